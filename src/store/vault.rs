//! Vault and `OpenBao`: tokens per credential set, KV v1 and v2, and answers that are read before they are judged.
//!
//! vaultrs describes the requests (paths, methods, parameters) and nothing else: its client follows redirects with
//! the token, reads bodies without a bound, and its errors print bodies. Requests travel through [`crate::net`].

mod answer;
mod auth;
mod cooldown;
mod credentials;
mod denied;
mod dynamic;
#[cfg(fuzzing)]
#[doc(hidden)]
#[path = "../../fuzz/hooks/vault.rs"]
pub mod fuzzing;
mod issue;
mod kv;
mod lease;
mod list;
mod login_memory;
mod mixup;
mod mounts;
mod renewer;
mod server;
mod token_state;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rand::Rng;
use tokio::time::Instant;

use super::breaker::CircuitBreaker;
use super::{Fetched, Revision, Store};
use crate::blocking::Worker;
use crate::clock::Clock;
use crate::config::Limits;
use crate::config::provider::SecretRead;
use crate::config::provider::vault::dynamic::DynamicRead;
use crate::config::provider::vault::{CredentialSpec, KvVersion, VaultRead, VaultSpec};
use crate::config::settings::BreakerSettings;
use crate::fault::{Fault, Kind};
use crate::name::{CredentialsName, StoreName};
use crate::net::{self, Address};
use crate::secret::FingerprintKey;
use auth::Token;
use credentials::CredentialSet;
use denied::Explainer;
use dynamic::Overdue;
use kv::{Kv, KvRead};
use mixup::AnswerLog;
use mounts::Mounts;
use renewer::RenewedSet;
use server::{Namespaces, Server, check_path};
pub use token_state::RefusedLogins;
use token_state::{DeniedRead, SharedBudget};

/// How long after a login a standby node may not know the token.
const STANDBY_LAG: Duration = Duration::from_secs(2);

/// One Vault or `OpenBao` server.
///
/// Dropping it ends the tasks that keep its tokens.
pub struct VaultStore {
    address: Address,
    /// The store's own credential set, without a name, and the named ones.
    sets: BTreeMap<Option<CredentialsName>, RenewedSet>,
    mounts: Mounts,
    explainer: Explainer,
    answers: Arc<AnswerLog>,
    key: FingerprintKey,
    /// Reads the files of parameters.
    parameters: Worker,
    overdue: Overdue,
}

/// The logins of a store, for the store that follows it at a reload.
#[derive(Clone)]
pub(super) struct Logins {
    address: Address,
    sets: BTreeMap<Option<CredentialsName>, Arc<CredentialSet>>,
}

impl VaultStore {
    /// Builds the adapter and reads its TLS files. Nothing is sent, nobody is logged in.
    ///
    /// # Errors
    /// The TLS files cannot be used.
    pub fn build(
        name: &StoreName,
        spec: &VaultSpec,
        limits: &Limits,
        breaker: BreakerSettings,
        key: FingerprintKey,
        clock: &Clock,
    ) -> Result<Self, Fault> {
        // `mount_path` and `kv_version` are defaults that each `VaultRead` has resolved already.
        let VaultSpec {
            address,
            namespace,
            namespace_variable,
            auth,
            credentials,
            mount_path: _,
            kv_version: _,
            timeout,
            proxy,
            tls,
        } = spec;
        let http = net::Client::build(net::ClientSettings {
            address: address.clone(),
            tls: tls.clone(),
            proxy: proxy.clone(),
            timeout: *timeout,
            max_body: limits.max_response_size,
            max_connections: limits.max_concurrent_requests,
            redirects: net::Redirects::ToOtherHosts,
        })?;
        let budget = SharedBudget::default();
        let answers = Arc::<AnswerLog>::default();
        let set = |credentials: &CredentialsName, spec: &CredentialSpec| {
            let of_login = spec.login_namespace(namespace.as_deref()).map(str::to_owned);
            let namespaces = Namespaces {
                of_login: of_login.clone(),
                of_store: namespace.clone(),
                variable: namespace_variable.clone(),
            };
            let breaker = CircuitBreaker::new(name.clone(), credentials.clone(), breaker);
            let server = Server::new(
                name.clone(),
                credentials.clone(),
                http.clone(),
                breaker,
                Arc::clone(&answers),
                clock.clone(),
                namespaces,
            );
            let (key, budget) = (key.clone(), SharedBudget::clone(&budget));
            RenewedSet::new(CredentialSet::new(spec.auth.clone(), of_login, key, budget), server)
        };
        let own = auth.iter().map(|spec| (None, set(&CredentialsName::main(), spec)));
        let named = credentials.iter().map(|(name, spec)| (Some(name.clone()), set(name, spec)));
        let (sets, mounts, explainer) = (own.chain(named).collect(), Mounts::default(), Explainer::default());
        let (address, parameters, overdue) = (address.clone(), Worker::default(), Overdue::default());
        Ok(Self { address, sets, mounts, explainer, answers, key, parameters, overdue })
    }

    /// Counts refused logins together with the stores of its address that were given `refused`, too.
    pub(super) fn count_refusals_in(&self, refused: &RefusedLogins) {
        let budget = refused.at(&self.address);
        self.sets.values().for_each(|set| set.shared().count_refusals_in(&budget));
    }

    /// Continues with the logins `before`, if they are of the same address: a token is sent nowhere else.
    pub(super) fn take_over(&mut self, before: &Logins) {
        for (name, set) in self.sets.iter_mut().filter(|_| before.address == self.address) {
            if let Some(before) = before.sets.get(name) {
                set.take_over(before);
            }
        }
    }

    /// What the store that follows this one may continue with.
    pub(super) fn logins(&self) -> Logins {
        let sets = self.sets.iter().map(|(name, set)| (name.clone(), set.shared())).collect();
        Logins { address: self.address.clone(), sets }
    }

    /// The version of each KV mount that the store's own credentials may read something of.
    ///
    /// # Errors
    /// The server cannot be reached, or refuses the login or the request.
    pub(crate) async fn kv_mounts(
        &self,
        namespace: Option<&str>,
    ) -> Result<BTreeMap<String, KvVersion>, Fault> {
        let set = self.sets.get(&None).ok_or_else(no_credentials)?;
        let (set, server) = set.start();
        let token = set.token(server).await?;
        let mounts = mounts::visible(server, namespace, &token).await?;
        let version = |kv| match kv {
            Kv::V1 => KvVersion::V1,
            Kv::V2 => KvVersion::V2,
        };
        Ok(mounts.into_iter().map(|mount| (mount.path, version(mount.kv))).collect())
    }

    /// `compile` has resolved the names of credential sets.
    fn credentials(&self, source: &VaultRead) -> Result<&RenewedSet, Fault> {
        self.sets.get(&source.credentials).ok_or_else(no_credentials)
    }

    fn set(&self, read: &DynamicRead) -> Result<&RenewedSet, Fault> {
        self.sets.get(&read.credentials).ok_or_else(no_credentials)
    }

    /// The set that reads `read`.
    fn set_of(&self, read: &SecretRead) -> Result<&RenewedSet, Fault> {
        match read {
            SecretRead::VaultDynamic(read) => self.set(read),
            read => self.credentials(read.vault()?),
        }
    }

    /// Reads, and once more after a moment if the answer may come from a standby node that does not know a token this
    /// fresh: such nodes answer 403 or 404 until they have caught up.
    async fn read_settled(
        &self,
        set: &CredentialSet,
        read: &KvRead<'_>,
        token: &Arc<Token>,
    ) -> Result<Fetched, Fault> {
        let mut outcome = self.read(read, token).await;
        let is_doubtful = matches!(&outcome, Err(fault) if matches!(fault.kind, Kind::Denied | Kind::Absent));
        let wait = Duration::from_millis(rand::rng().random_range(250..500));
        if is_doubtful && token.logged_in.is_some_and(|at| Instant::now() + wait < at + STANDBY_LAG) {
            tokio::time::sleep(wait).await;
            outcome = self.read(read, token).await;
        }
        if outcome.is_ok() {
            set.note_read(token, read.source);
        }
        outcome
    }

    async fn read(&self, read: &KvRead<'_>, token: &Token) -> Result<Fetched, Fault> {
        match read.source.kv_version {
            KvVersion::V1 => self.read_configured(Kv::V1, read, token).await,
            KvVersion::V2 => self.read_configured(Kv::V2, read, token).await,
            KvVersion::Auto => self.read_detected(read, token).await,
        }
    }

    /// Reads as the configuration says. To a v2 path a v1 mount answers as if the secret were absent, and files may be
    /// removed on that: so an absent secret is believed only of a mount of the configured version. Where the server
    /// does not tell the version, there is nothing to hold against it.
    async fn read_configured(&self, kv: Kv, read: &KvRead<'_>, token: &Token) -> Result<Fetched, Fault> {
        let (begun, KvRead { server, source, .. }) = (Instant::now(), *read);
        let outcome = kv::read(kv, read, token).await;
        if !matches!(&outcome, Err(fault) if fault.kind == Kind::Absent) {
            return outcome;
        }
        // What was known before says nothing of this answer: the mount may have been replaced by one of the other version.
        match self.mounts.mount(server, source, token, Some(begun)).await {
            Ok(mount) if mount.kv != kv => Err(kv::wrong_version(mount.kv, source)),
            _ => outcome,
        }
    }

    /// Reads as the mount's version says, and asks for that again when the answer contradicts what was remembered: a
    /// mount may have been replaced by one of the other version. A v2 path on a v1 mount looks like an absent secret.
    async fn read_detected(&self, read: &KvRead<'_>, token: &Token) -> Result<Fetched, Fault> {
        let (begun, KvRead { server, source, .. }) = (Instant::now(), *read);
        // The mount may be asked for without a key, for a search: a read has one.
        check_path(&source.key)?;
        let known = self.mounts.mount(server, source, token, None).await?;
        let outcome = kv::read(known.kv, read, token).await;
        let is_doubtful =
            matches!(&outcome, Err(fault) if matches!(fault.kind, Kind::WrongForm | Kind::Absent));
        if !is_doubtful || known.asked >= begun {
            return outcome;
        }
        let now = self.mounts.mount(server, source, token, Some(begun)).await?;
        if now.kv == known.kv { outcome } else { kv::read(now.kv, read, token).await }
    }
}

fn no_credentials() -> Fault {
    let remedy = "give the store a token, or the secret a key of the store's `credentials`";
    Fault::new(Kind::Login, "the store has no such credentials", remedy)
}

#[async_trait]
impl Store for VaultStore {
    async fn prepare(&self, read: &SecretRead) -> Result<(), Fault> {
        let (set, server) = self.set_of(read)?.start();
        set.token(server).await.map(drop)
    }

    async fn fetch(&self, read: &SecretRead, known: Option<Revision>) -> Result<Fetched, Fault> {
        if let SecretRead::VaultDynamic(read) = read {
            return self.fetch_dynamic(read, known).await;
        }
        let source = read.vault()?;
        let (set, server) = self.credentials(source)?.start();
        let read = KvRead { server, source, known, key: &self.key };
        let token = set.token(server).await?;
        let begun = Instant::now();
        let denied = match self.read_settled(set, &read, &token).await {
            Err(fault) if fault.kind == Kind::Denied => fault,
            outcome => return outcome,
        };
        // A bad token and a missing policy both answer 403: only the token itself can tell.
        match set.judge_denied(server, &token, source, begun).await? {
            DeniedRead::ByPolicy => Err(self.explainer.explain(&read, &token, denied).await),
            DeniedRead::TokenReplaced(token) => self.read_settled(set, &read, &token).await,
        }
    }

    async fn list(&self, read: &SecretRead) -> Result<Vec<String>, Fault> {
        self.names_below(read.vault()?).await
    }

    async fn tags(&self, read: &SecretRead) -> Result<BTreeMap<String, String>, Fault> {
        self.tags_of(read.vault()?).await
    }

    async fn place(&self, read: &SecretRead) -> Result<String, Fault> {
        let source = read.vault()?;
        let (set, server) = self.credentials(source)?.start();
        let token = set.token(server).await?;
        Ok(self.mounts.mount(server, source, &token, None).await?.id.to_string())
    }

    async fn outdated(&self, read: &SecretRead, read_at: Instant, failure: Option<Kind>) {
        let concerns_credentials =
            matches!(failure, Some(Kind::Login | Kind::NoCredentials | Kind::Spent | Kind::Denied));
        let recovered = async {
            match self.set_of(read) {
                Ok(set) if concerns_credentials => set.changed().await,
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            () = recovered => {}
            () = self.answers.distrusted(read_at) => {}
        }
    }
}
