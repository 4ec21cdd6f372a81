//! The token renewer of one credential set: it renews, logs in again before the end, and takes up credential files
//! that change. It reads no secrets, and no read waits for it.

use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use rand::Rng;
use tokio::time::{Duration, Instant, sleep, sleep_until};
use tokio_util::task::AbortOnDropHandle;

use super::auth::{AuthError, Token};
use super::cooldown::AuthFailure;
use super::credentials::CredentialSet;
use super::lease::{FailedSteps, Lease, Renewability, SPACING, Schedule, TokenSource, TokenStep};
use super::server::Server;
use crate::fault::{Fault, Kind};
use crate::telemetry::event;

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
            let both = || (Arc::clone(&self.set), Arc::clone(&self.server));
            let (set, server) = both();
            let mut tasks = vec![AbortOnDropHandle::new(tokio::spawn(renew_tokens(set, server)))];
            if !self.set.files().is_empty() {
                let (set, server) = both();
                tasks.push(AbortOnDropHandle::new(tokio::spawn(watch_files(set, server))));
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
async fn renew_tokens(set: Arc<CredentialSet>, server: Arc<Server>) {
    let mut replaced = set.replaced();
    loop {
        replaced.mark_unchanged();
        if let Some(token) = set.current() {
            let (lease, granted) = (token.lease, token.granted);
            let (set, server) = (&*set, &*server);
            let mut renewed =
                RenewedToken { set, server, token, lease, granted, is_announced: false, is_reported: false };
            tokio::select! {
                () = renewed.keep() => {}
                // There is another token, and the next round is about that one.
                _ = replaced.changed() => continue,
            }
        }
        drop(replaced.changed().await);
    }
}

/// One token and what is known of it.
struct RenewedToken<'a> {
    set: &'a CredentialSet,
    server: &'a Server,
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

impl RenewedToken<'_> {
    /// Does what is due until there is nothing left to do. Dropping it in the middle of a request loses that request's
    /// answer, which is about a token that has been replaced.
    async fn keep(&mut self) {
        let mut not_before = Instant::now();
        loop {
            if let Lease::Until { renewability: Renewability::Capped | Renewability::Never, .. } = self.lease
            {
                self.announce();
            }
            let (now, source) = (Instant::now(), self.token.source());
            let Some(schedule) = Schedule::of(&self.lease, source, now, &mut rand::rng()) else { return };
            let mut failed: Option<FailedSteps> = None;
            loop {
                let Some(plan) = schedule.next(failed, Instant::now(), &mut rand::rng()) else { return };
                // A login is no request for this token, and may be what its last moment is for.
                let is_login = plan.step == TokenStep::LogIn && failed.is_none();
                sleep_until(if is_login { plan.at } else { plan.at.max(not_before) }).await;
                let end = match plan.step {
                    TokenStep::Renew => self.renew().await,
                    TokenStep::LookUp => self.look_up().await,
                    TokenStep::LogIn => self.log_in().await,
                };
                match end {
                    StepEnd::Learnt => {
                        not_before = Instant::now() + SPACING;
                        break;
                    }
                    StepEnd::Over => return,
                    StepEnd::Failed { is_refused, wait } => {
                        let count = failed.map_or(0, |failed| failed.count).saturating_add(1);
                        failed = Some(FailedSteps { count, last: plan.step, is_refused });
                        not_before = Instant::now() + self.bearable(wait.unwrap_or_default());
                    }
                }
            }
        }
    }

    /// A wait that the server asks for, which must not outlast the token.
    fn bearable(&self, wait: Duration) -> Duration {
        let left = self.lease.end().map(|end| end.saturating_duration_since(Instant::now()));
        left.map_or(wait, |left| wait.min(left / 10))
    }

    async fn log_in(&self) -> StepEnd {
        match self.set.log_in_ahead(self.server, &self.token).await {
            Ok(()) => StepEnd::Over,
            Err(fault) => {
                let is_refused = matches!(fault.kind, Kind::Login | Kind::Spent);
                StepEnd::Failed { is_refused, wait: fault.retry_after }
            }
        }
    }

    async fn renew(&mut self) -> StepEnd {
        let AuthError { failure, fault } = match self.set.renew(self.server, &self.token, self.granted).await
        {
            Ok(lease) => return self.learn(lease, event::token_renewed),
            Err(error) => error,
        };
        let (is_refused, is_first) = (failure == AuthFailure::Refused, !self.is_reported);
        self.report(&fault);
        if is_refused && self.lease.end().is_some() {
            self.announce();
        }
        // The token may be gone.
        if is_refused
            && is_first
            && self.token.source() == TokenSource::Login
            && matches!(self.log_in().await, StepEnd::Over)
        {
            return StepEnd::Over;
        }
        StepEnd::Failed { is_refused, wait: fault.retry_after }
    }

    async fn look_up(&mut self) -> StepEnd {
        match self.set.look_up(self.server, &self.token).await {
            Ok(info) if info.uses > 0 => {
                self.set.reject(self.server, &self.token, few_uses(info.uses));
                StepEnd::Over
            }
            // The answer contradicts itself: another node, or a renewal, knows better.
            Ok(info) if matches!(info.lease, Lease::Unknown { .. }) => {
                StepEnd::Failed { is_refused: true, wait: None }
            }
            Ok(info) => {
                self.granted = info.granted;
                self.learn(info.lease, event::token_looked_up)
            }
            Err(AuthError { failure, fault }) => {
                let is_refused = failure == AuthFailure::Refused;
                // The reads show whether it is good.
                if is_refused && !self.is_reported {
                    self.report(&fault);
                }
                StepEnd::Failed { is_refused, wait: fault.retry_after }
            }
        }
    }

    /// The lease is `lease` now, which `event` says while the token is in use.
    fn learn(&mut self, lease: Lease, event: fn(&str, &str, Option<SystemTime>)) -> StepEnd {
        self.lease = lease;
        self.is_reported = false;
        if self.set.prolong(&self.token, &lease) {
            let (store, credentials) = self.server.labels();
            event(store, credentials, self.server.wall_time(lease.end()));
        }
        StepEnd::Learnt
    }

    /// Says once that a static token will end.
    fn announce(&mut self) {
        if self.token.source() == TokenSource::Login || self.is_announced {
            return;
        }
        self.is_announced = true;
        let (store, credentials) = self.server.labels();
        event::token_ending(store, credentials, self.server.wall_time(self.lease.end()));
    }

    fn report(&mut self, fault: &Fault) {
        let (store, credentials) = self.server.labels();
        event::renewal_failed(store, credentials, fault, self.is_reported);
        self.is_reported = true;
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
        let is_done = set.reload_credentials(&server).await;
        again = (!is_done).then(|| Instant::now() + wait);
        wait = (wait * 2).min(LONGEST);
    }
}
