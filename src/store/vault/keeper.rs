//! Keeps the token of one credential set alive, apart from the tasks that read: it renews, logs in again before the
//! end, and looks after credential files. It reads no secrets, and nobody waits for it.

use std::sync::{Arc, OnceLock};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::time::{Duration, Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;

use super::lease::{Lease, Origin, Plan, Prospect, SPACING, Schedule, Step};
use super::login::Token;
use super::renew::{self, Denial};
use super::server::Server;
use super::session::Session;
use super::watch;
use crate::fault::{Fault, Kind};
use crate::telemetry::event::{RenewalFailed, Renewed, TokenEnding, TokenKnown};

/// So many tokens in a row whose renewal was refused, and no further one is tried: the role's tokens cannot be renewed.
/// One alone may have been revoked.
const REFUSED_TOKENS: u32 = 2;

/// Secrets that wait for other credentials come back within this time and not all at once.
const SPREAD: Duration = Duration::from_millis(250);

/// One credential set: its token, the server as it is seen through the set's own breaker, and the tasks that keep the
/// token, which end with it.
pub(super) struct Kept {
    session: Arc<Session>,
    server: Arc<Server>,
    /// Started when the session is used first: a store may be built where there is no runtime, and one that is never
    /// read needs no token.
    tasks: OnceLock<Vec<AbortOnDropHandle<()>>>,
}

impl Kept {
    pub(super) fn new(session: Session, server: Server) -> Self {
        Self { session: Arc::new(session), server: Arc::new(server), tasks: OnceLock::new() }
    }

    /// Goes on with the session of `before`, if it is of the same credentials: its token, a secret id that can be opened
    /// only once, and the rest of what was refused. Credentials that come from elsewhere may still be the same ones.
    pub(super) fn take_over(&mut self, before: &Self) {
        if self.session.is_of_the_credentials_of(&before.session) {
            self.session = Arc::clone(&before.session);
        } else {
            self.session.inherit(&before.session);
        }
    }

    /// Session and server; the token is kept from now on.
    pub(super) fn at_work(&self) -> (&Session, &Server) {
        self.tasks.get_or_init(|| {
            let keeper = Keeper {
                session: Arc::clone(&self.session),
                server: Arc::clone(&self.server),
                rng: SmallRng::from_os_rng(),
                refused_tokens: 0,
            };
            let mut tasks = vec![AbortOnDropHandle::new(tokio::spawn(keeper.run()))];
            if !self.session.files().is_empty() {
                let watching = watch::run(Arc::clone(&self.session), Arc::clone(&self.server));
                tasks.push(AbortOnDropHandle::new(tokio::spawn(watching)));
            }
            tasks
        });
        (&self.session, &self.server)
    }

    /// Returns when other credentials than before have been tried.
    pub(super) async fn put_right(&self) {
        let mut changed = self.at_work().0.changed();
        // The sender lives as long as the session.
        drop(changed.changed().await);
        let wait = SPREAD.mul_f64(rand::rng().random());
        tokio::time::sleep(wait).await;
    }
}

/// Takes care of one token after the other.
struct Keeper {
    session: Arc<Session>,
    server: Arc<Server>,
    rng: SmallRng,
    /// Tokens in a row whose renewal was refused.
    refused_tokens: u32,
}

/// One token and what is known of it.
struct Ward {
    token: Arc<Token>,
    origin: Origin,
    lease: Lease,
    granted: Duration,
    /// Whether its end has been announced.
    announced: bool,
}

/// How a step ended.
enum Done {
    /// The ward's lease is another one than before.
    Learnt,
    /// There is nothing left to do for this token.
    Over,
    /// It is tried again, not before the time for which the server wants to be left alone.
    Failed(Option<Duration>),
}

impl Keeper {
    async fn run(mut self) {
        let mut moved = self.session.moved();
        loop {
            moved.mark_unchanged();
            if let Some((token, origin)) = self.session.held() {
                let (lease, granted) = (token.lease, token.granted);
                let mut ward = Ward { token, origin, lease, granted, announced: false };
                if self.refused_tokens >= REFUSED_TOKENS {
                    ward.gives_up_renewal();
                }
                tokio::select! {
                    () = self.keep(ward) => {}
                    // There is another token, and the next round is about that one.
                    _ = moved.changed() => continue,
                }
            }
            drop(moved.changed().await);
        }
    }

    /// Does for one token what is due until there is nothing left to do. Dropping it in the middle of a request loses
    /// that request's answer, which is about a token that has been replaced.
    async fn keep(&mut self, mut ward: Ward) {
        let mut not_before = Instant::now();
        loop {
            self.announce(&mut ward);
            let now = Instant::now();
            let Some(schedule) = Schedule::of(&ward.lease, ward.origin, now, &mut self.rng) else { return };
            let mut failures = 0;
            loop {
                let Some(Plan { step, at }) = schedule.next(failures, Instant::now(), &mut self.rng) else {
                    return;
                };
                // A login is no request for this token, and may be what its last moment is for.
                sleep_until(if step == Step::LogIn && failures == 0 { at } else { at.max(not_before) }).await;
                match self.take(step, &mut ward).await {
                    Done::Learnt => {
                        not_before = Instant::now() + SPACING;
                        break;
                    }
                    Done::Over => return,
                    Done::Failed(wait) => {
                        failures += 1;
                        not_before = Instant::now() + wait.unwrap_or_default();
                    }
                }
            }
        }
    }

    async fn take(&mut self, step: Step, ward: &mut Ward) -> Done {
        match step {
            Step::Renew => self.renew(ward).await,
            Step::LookUp => self.look_up(ward).await,
            Step::LogIn => self.log_in(ward).await,
        }
    }

    async fn log_in(&self, ward: &Ward) -> Done {
        match self.session.log_in_ahead(&self.server, &ward.token).await {
            Ok(()) => Done::Over,
            Err(fault) => Done::Failed(fault.retry_after),
        }
    }

    async fn renew(&mut self, ward: &mut Ward) -> Done {
        let namespace = self.session.namespace.as_deref();
        match renew::renew(&self.server, namespace, &ward.token.text, ward.granted).await {
            Ok(lease) => {
                self.refused_tokens = 0;
                if self.learn(ward, lease) {
                    let (store, credentials) = self.labels();
                    Renewed { store, credentials, expires: self.server.wall_time(lease.end()) }.emit();
                }
                Done::Learnt
            }
            Err(Denial::Refused(fault)) => {
                self.refused_tokens = self.refused_tokens.saturating_add(1);
                self.report(&fault);
                ward.gives_up_renewal();
                // The token may be gone.
                if ward.origin == Origin::Login && matches!(self.log_in(ward).await, Done::Over) {
                    return Done::Over;
                }
                Done::Learnt
            }
            Err(Denial::Other(fault)) => {
                self.report(&fault);
                Done::Failed(fault.retry_after)
            }
        }
    }

    async fn look_up(&mut self, ward: &mut Ward) -> Done {
        let namespace = self.session.namespace.as_deref();
        match renew::look_up(&self.server, namespace, &ward.token.text).await {
            Ok(known) if known.uses > 0 => {
                self.session.reject(&self.server, &ward.token, few_uses(known.uses)).await;
                Done::Over
            }
            Ok(known) => {
                ward.granted = known.granted;
                let refused = matches!(ward.lease, Lease::Until { prospect: Prospect::Nothing, .. });
                if self.learn(ward, known.lease) {
                    let (store, credentials) = self.labels();
                    TokenKnown { store, credentials, expires: self.server.wall_time(known.lease.end()) }
                        .emit();
                }
                if refused {
                    ward.gives_up_renewal();
                }
                Done::Learnt
            }
            // The reads tell whether it is good. Nothing more can be learnt about it.
            Err(Denial::Refused(fault)) => {
                if matches!(ward.lease, Lease::Unknown { .. }) {
                    self.report(&fault);
                }
                Done::Over
            }
            Err(Denial::Other(fault)) => Done::Failed(fault.retry_after),
        }
    }

    /// The ward's lease is `lease` now; false when the token is not in use any more.
    fn learn(&self, ward: &mut Ward, lease: Lease) -> bool {
        ward.lease = lease;
        self.session.prolong(&ward.token, &lease)
    }

    /// Says once that a given token will end.
    fn announce(&self, ward: &mut Ward) {
        let Lease::Until { end, prospect, .. } = ward.lease else { return };
        if ward.origin == Origin::Login || prospect == Prospect::Full || ward.announced {
            return;
        }
        ward.announced = true;
        let (store, credentials) = self.labels();
        TokenEnding { store, credentials, expires: self.server.wall_time(Some(end)) }.emit();
    }

    fn report(&self, fault: &Fault) {
        let (store, credentials) = self.labels();
        RenewalFailed { store, credentials, fault }.emit();
    }

    fn labels(&self) -> (&str, &str) {
        (self.server.store.as_str(), self.session.name.as_str())
    }
}

impl Ward {
    /// From now on only a login, or somebody else, can help.
    fn gives_up_renewal(&mut self) {
        if let Lease::Until { from, end, .. } = self.lease {
            self.lease = Lease::Until { from, end, prospect: Prospect::Nothing };
        }
    }
}

fn few_uses(uses: u64) -> Fault {
    let message = format!("the token may be used {uses} more times only, and every read is a use");
    Fault::new(Kind::Login, message, "provide a token without a limit of uses (num_uses=0)")
}
