//! What secrets say to the owners of issued credentials: that they have the source, that their files hold a credential, and
//! that their hooks have run for it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::fault::Fault;
use crate::journal::Journal;
use crate::name::{CredentialNumber, SecretName};
use crate::store::gather::{Gathered, SourceStores};
use crate::store::issuer::{CredentialOwner, FilesThere, Membership};

/// The issued credentials that one pass has read: the number of each source, `None` where it is not issued.
#[derive(Clone)]
pub(super) struct ReadCredentials {
    stores: SourceStores,
    numbers: Vec<Option<CredentialNumber>>,
}

/// The secrets whose files hold credentials that their hooks have not run for.
#[derive(Clone, Default)]
pub(super) struct Unconfirmed(Arc<Mutex<BTreeMap<SecretName, ReadCredentials>>>);

/// That a secret has its issued sources. Clones are the same; `None` where it has none.
#[derive(Clone, Default)]
pub(super) struct Memberships(Option<Arc<Mutex<JoinedSources>>>);

type JoinedSources = Vec<(SourceStores, usize, Membership)>;

impl ReadCredentials {
    /// Of what was `gathered` from `stores`; `None` where none of it is issued.
    pub(super) fn of(stores: &SourceStores, gathered: &Gathered) -> Option<Self> {
        let only = [gathered.revision.version()];
        let versions: &[_] = if gathered.versions.is_empty() { &only } else { &gathered.versions };
        let numbers: Vec<_> = stores
            .iter()
            .zip(versions)
            .map(|(store, version)| store.owner().and(version.map(CredentialNumber::new)))
            .collect();
        let is_issued = numbers.iter().any(Option::is_some);
        is_issued.then(|| Self { stores: stores.clone(), numbers })
    }

    /// The files could not be written with them.
    pub(super) fn failed(&self, fault: &Fault) {
        self.owned().for_each(|(owner, number)| owner.failed(number, fault));
    }

    /// The files of `secret` do not get them, because it is held at an earlier change.
    pub(super) fn withheld(&self, secret: &SecretName) {
        self.owned().for_each(|(owner, number)| owner.withheld(secret, number));
    }

    fn owned(&self) -> impl Iterator<Item = (&dyn CredentialOwner, CredentialNumber)> {
        let pairs = self.stores.iter().zip(&self.numbers);
        pairs.filter_map(|(store, number)| Some((store.owner()?, (*number)?)))
    }
}

impl Unconfirmed {
    /// The files of `secret` hold `credentials`. Its consumers have them when no hook is owed for the secret.
    pub(super) fn published(&self, secret: &SecretName, credentials: ReadCredentials, journal: &Journal) {
        let is_owed = owes(journal, secret);
        credentials.owned().for_each(|(owner, number)| owner.published(secret, number, is_owed));
        if is_owed {
            self.lock().insert(secret.clone(), credentials);
        } else {
            self.lock().remove(secret);
        }
    }

    /// Hooks of these secrets have run, or run no more.
    pub(super) fn ran<'s>(&self, secrets: impl Iterator<Item = &'s SecretName>, journal: &Journal) {
        for secret in secrets.filter(|secret| !owes(journal, secret)) {
            let credentials = self.lock().remove(secret);
            if let Some(credentials) = credentials {
                credentials.owned().for_each(|(owner, number)| owner.confirmed(secret, number));
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<SecretName, ReadCredentials>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memberships {
    /// Of a secret that `has_issued` sources. Those of its predecessor, `before`, are its own now, so that no source is
    /// without it until it joins itself.
    pub(super) fn after(before: &Self, has_issued: bool) -> Self {
        let joined = before.exchange(Vec::new());
        Self((has_issued || !joined.is_empty()).then(|| Arc::new(Mutex::new(joined))))
    }

    /// `secret`, which is read from `stores`, has their issued sources from now on, and others no longer.
    pub(super) fn join(
        &self,
        stores: &SourceStores,
        secret: &SecretName,
        files: FilesThere,
        refresh: Option<Duration>,
    ) {
        let join = |(index, owner): (usize, &dyn CredentialOwner)| {
            (stores.clone(), index, owner.join(secret, files, refresh))
        };
        let owners = stores.iter().enumerate();
        let joined = owners.filter_map(|(index, store)| Some((index, store.owner()?))).map(join).collect();
        // Only now: an owner that stays is at no time without the secret.
        leave(self.exchange(joined), secret);
    }

    /// `secret` has them no longer.
    pub(super) fn leave(&self, secret: &SecretName) {
        leave(self.exchange(Vec::new()), secret);
    }

    fn exchange(&self, joined: JoinedSources) -> JoinedSources {
        let Some(shared) = &self.0 else { return Vec::new() };
        std::mem::replace(&mut *shared.lock().unwrap_or_else(PoisonError::into_inner), joined)
    }
}

fn leave(joined: JoinedSources, secret: &SecretName) {
    for (stores, index, membership) in joined {
        if let Some(owner) = stores.iter().nth(index).and_then(|store| store.owner()) {
            owner.leave(secret, membership);
        }
    }
}

/// Whether a hook is to run for `secret`.
fn owes(journal: &Journal, secret: &SecretName) -> bool {
    journal.look(|state| state.duties.values().any(|duty| duty.secrets.contains_key(secret)))
}
