//! The token renewer of one credential set: it renews, logs in again before the end, and takes up credential files
//! that change. It reads no secrets, and no read waits for it.

use std::sync::{Arc, OnceLock};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::time::{Duration, Instant, sleep, sleep_until};
use tokio_util::task::AbortOnDropHandle;

use super::auth::{Token, TokenError};
use super::credentials::{CredentialReload, CredentialSet};
use super::lease::{FailedSteps, Lease, Renewability, SPACING, Schedule, TokenSource, TokenStep};
use super::server::Server;
use crate::fault::{Fault, Kind};
use crate::telemetry::event;

/// Tokens of logins in a row whose renewal was refused: the role's tokens cannot be renewed. A single one may have been
/// revoked.
const REFUSED_TOKENS: u32 = 2;

/// Secrets that wait for other credentials come back within this time and not all together.
const SPREAD: Duration = Duration::from_millis(250);

/// Between two looks at the metadata of credential files. They are polled, because events do not come from every file
/// system that holds credentials, and one `stat` a second is next to nothing.
const LOOK: Duration = Duration::from_secs(1);

/// How long a file must stay as it is before it is read: a writer may be in the middle of it.
const SETTLE: Duration = Duration::from_millis(250);

/// How often a file that keeps changing is waited for.
const SETTLE_LOOKS: usize = 3;

/// The longest wait before a token that the server did not know is looked at again.
const LONGEST: Duration = Duration::from_secs(60);

/// One credential set, the server as it is seen through the set's own breaker, and the tasks that keep the token, which
/// end with it.
pub(super) struct RenewedSet {
    set: Arc<CredentialSet>,
    server: Arc<Server>,
    /// Started when the set is used first: a store may be built where there is no runtime, and one that is never read
    /// needs no token.
    tasks: OnceLock<Vec<AbortOnDropHandle<()>>>,
}

impl RenewedSet {
    pub(super) fn new(set: CredentialSet, server: Server) -> Self {
        Self { set: Arc::new(set), server: Arc::new(server), tasks: OnceLock::new() }
    }

    /// Continues with the token of `before`, if it has the same credentials. Credentials that come from elsewhere may
    /// still be the same ones: their cool-downs are taken over.
    pub(super) fn take_over(&mut self, before: &Arc<CredentialSet>) {
        if self.set.has_the_credentials_of(before) {
            self.set = Arc::clone(before);
        } else {
            self.set.inherit(before);
        }
    }

    pub(super) fn shared(&self) -> Arc<CredentialSet> {
        Arc::clone(&self.set)
    }

    /// The set and its server; the token is renewed from now on.
    pub(super) fn start(&self) -> (&CredentialSet, &Server) {
        self.tasks.get_or_init(|| {
            let (set, server) = (Arc::clone(&self.set), Arc::clone(&self.server));
            let renewer = TokenRenewer { set, server, rng: SmallRng::from_os_rng(), refused_tokens: 0 };
            let mut tasks = vec![AbortOnDropHandle::new(tokio::spawn(renewer.run()))];
            if !self.set.files().is_empty() {
                let watching = watch_files(Arc::clone(&self.set), Arc::clone(&self.server));
                tasks.push(AbortOnDropHandle::new(tokio::spawn(watching)));
            }
            tasks
        });
        (&self.set, &self.server)
    }

    /// Returns when other credentials than before have been tried.
    pub(super) async fn changed(&self) {
        let mut changed = self.start().0.changed();
        // The sender lives as long as the set.
        drop(changed.changed().await);
        let wait = SPREAD.mul_f64(rand::rng().random());
        sleep(wait).await;
    }
}

/// Takes care of one token after the other.
struct TokenRenewer {
    set: Arc<CredentialSet>,
    server: Arc<Server>,
    rng: SmallRng,
    refused_tokens: u32,
}

/// One token and what is known of it.
struct RenewedToken {
    token: Arc<Token>,
    lease: Lease,
    granted: Duration,
    /// Whether a warning has said that it will end.
    is_announced: bool,
    /// Whether a warning has said that it is not renewed, since it was the last time.
    is_reported: bool,
}

/// How a step ended.
enum StepEnd {
    /// There is another lease than before.
    Learnt,
    /// There is nothing left to do for this token.
    Over,
    Failed {
        is_refused: bool,
        /// For how long the server wants to be left alone.
        wait: Option<Duration>,
    },
}

impl TokenRenewer {
    async fn run(mut self) {
        let mut replaced = self.set.replaced();
        loop {
            replaced.mark_unchanged();
            if let Some(token) = self.set.current() {
                let (mut lease, granted) = (token.lease, token.granted);
                if self.refused_tokens >= REFUSED_TOKENS && token.source() == TokenSource::Login {
                    lease = never_renewed(lease);
                }
                let kept = RenewedToken { token, lease, granted, is_announced: false, is_reported: false };
                tokio::select! {
                    () = self.keep(kept) => {}
                    // There is another token, and the next round is about that one.
                    _ = replaced.changed() => continue,
                }
            }
            drop(replaced.changed().await);
        }
    }

    /// Does for one token what is due until there is nothing left to do. Dropping it in the middle of a request loses
    /// that request's answer, which is about a token that has been replaced.
    async fn keep(&mut self, mut kept: RenewedToken) {
        let mut not_before = Instant::now();
        loop {
            let (now, source) = (Instant::now(), kept.token.source());
            if let Lease::Until { renewability: Renewability::Capped | Renewability::Never, .. } = kept.lease
            {
                self.announce(&mut kept);
            }
            let Some(schedule) = Schedule::of(&kept.lease, source, now, &mut self.rng) else { return };
            let mut failed: Option<FailedSteps> = None;
            loop {
                let Some(plan) = schedule.next(failed, Instant::now(), &mut self.rng) else { return };
                // A login is no request for this token, and may be what its last moment is for.
                let is_login = plan.step == TokenStep::LogIn && failed.is_none();
                sleep_until(if is_login { plan.at } else { plan.at.max(not_before) }).await;
                match self.take(plan.step, &mut kept).await {
                    StepEnd::Learnt => {
                        not_before = Instant::now() + SPACING;
                        break;
                    }
                    StepEnd::Over => return,
                    StepEnd::Failed { is_refused, wait } => {
                        let count = failed.map_or(0, |failed| failed.count).saturating_add(1);
                        failed = Some(FailedSteps { count, last: plan.step, is_refused });
                        not_before = Instant::now() + wait.unwrap_or_default();
                    }
                }
            }
        }
    }

    async fn take(&mut self, step: TokenStep, kept: &mut RenewedToken) -> StepEnd {
        match step {
            TokenStep::Renew => self.renew(kept).await,
            TokenStep::LookUp => self.look_up(kept).await,
            TokenStep::LogIn => self.log_in(kept).await,
        }
    }

    async fn log_in(&self, kept: &RenewedToken) -> StepEnd {
        match self.set.log_in_ahead(&self.server, &kept.token).await {
            Ok(()) => StepEnd::Over,
            Err(fault) => {
                let is_refused = matches!(fault.kind, Kind::Login | Kind::Spent);
                StepEnd::Failed { is_refused, wait: fault.retry_after }
            }
        }
    }

    async fn renew(&mut self, kept: &mut RenewedToken) -> StepEnd {
        match self.set.renew(&self.server, &kept.token, kept.granted).await {
            Ok(lease) => {
                self.refused_tokens = 0;
                if self.learn(kept, lease) {
                    let (store, credentials) = self.labels();
                    event::token_renewed(store, credentials, self.server.wall_time(lease.end()));
                }
                StepEnd::Learnt
            }
            Err(TokenError::Refused(fault)) => {
                let is_first = !kept.is_reported;
                self.report(kept, &fault);
                if kept.lease.end().is_some() {
                    self.announce(kept);
                }
                if kept.token.source() == TokenSource::Login && is_first {
                    self.refused_tokens = self.refused_tokens.saturating_add(1);
                    // The token may be gone.
                    if matches!(self.log_in(kept).await, StepEnd::Over) {
                        return StepEnd::Over;
                    }
                }
                StepEnd::Failed { is_refused: true, wait: fault.retry_after }
            }
            Err(TokenError::Other(fault)) => {
                self.report(kept, &fault);
                StepEnd::Failed { is_refused: false, wait: fault.retry_after }
            }
        }
    }

    async fn look_up(&mut self, kept: &mut RenewedToken) -> StepEnd {
        match self.set.look_up(&self.server, &kept.token).await {
            Ok(info) if info.uses > 0 => {
                self.set.reject(&self.server, &kept.token, few_uses(info.uses)).await;
                StepEnd::Over
            }
            // The answer contradicts itself: another node, or a renewal, knows better.
            Ok(info) if matches!(info.lease, Lease::Unknown { .. }) => {
                StepEnd::Failed { is_refused: true, wait: None }
            }
            Ok(info) => {
                kept.granted = info.granted;
                if self.learn(kept, info.lease) {
                    let (store, credentials) = self.labels();
                    event::token_looked_up(store, credentials, self.server.wall_time(info.lease.end()));
                }
                StepEnd::Learnt
            }
            // The reads show whether it is good.
            Err(TokenError::Refused(fault)) => {
                if !kept.is_reported {
                    self.report(kept, &fault);
                }
                StepEnd::Failed { is_refused: true, wait: fault.retry_after }
            }
            Err(TokenError::Other(fault)) => StepEnd::Failed { is_refused: false, wait: fault.retry_after },
        }
    }

    /// The lease is `lease` now; false when the token is not in use any more.
    fn learn(&self, kept: &mut RenewedToken, lease: Lease) -> bool {
        kept.lease = lease;
        kept.is_reported = false;
        self.set.prolong(&kept.token, &lease)
    }

    /// Says once that a static token will end.
    fn announce(&self, kept: &mut RenewedToken) {
        if kept.token.source() == TokenSource::Login || kept.is_announced {
            return;
        }
        kept.is_announced = true;
        let (store, credentials) = self.labels();
        event::token_ending(store, credentials, self.server.wall_time(kept.lease.end()));
    }

    fn report(&self, kept: &mut RenewedToken, fault: &Fault) {
        let (store, credentials) = self.labels();
        event::renewal_failed(store, credentials, fault, kept.is_reported);
        kept.is_reported = true;
    }

    fn labels(&self) -> (&str, &str) {
        (self.server.store.as_str(), self.set.name.as_str())
    }
}

fn never_renewed(lease: Lease) -> Lease {
    match lease {
        Lease::Until { from, end, .. } => Lease::Until { from, end, renewability: Renewability::Never },
        other => other,
    }
}

fn few_uses(uses: u64) -> Fault {
    let message = format!("the token may be used only {uses} more times, and every read is a use");
    Fault::new(Kind::Login, message, "provide a token without a limit of uses (num_uses=0)")
}

/// Watches the credential files of `set`.
async fn watch_files(set: Arc<CredentialSet>, server: Arc<Server>) {
    // It is not known what the files were like when they were read first: the first look compares the content.
    let mut seen = None;
    let (mut again, mut wait) = (None, LOOK);
    loop {
        sleep(LOOK).await;
        // A file system that hangs says nothing.
        let Some(mut now) = set.files().stamps().await else { continue };
        if seen.as_ref() != Some(&now) {
            for _ in 0..SETTLE_LOOKS {
                sleep(SETTLE).await;
                let Some(later) = set.files().stamps().await else { break };
                if later == now {
                    break;
                }
                now = later;
            }
            seen = Some(now);
            wait = LOOK;
        } else if again.is_none_or(|again| again > Instant::now()) {
            continue;
        }
        again = match set.reload_credentials(&server).await {
            CredentialReload::Done => None,
            CredentialReload::NotYet => Some(Instant::now() + wait),
        };
        wait = (wait * 2).min(LONGEST);
    }
}
