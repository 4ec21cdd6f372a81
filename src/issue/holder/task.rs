//! The task of a holder: one timer, no polling.

use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::{Duration, Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::record::Moment;
use super::requests::CredentialRequests;
use super::{Holder, HolderContext, IssuedValue};
use crate::issue::machine::PlannedLeaseStep;
use crate::journal::SourceId;
use crate::store::issuer::TokenLife;
use crate::telemetry::event::CredentialEvent;

/// How long an issue that is under way at a stop may take: its answer would be lost.
const LAST_ANSWER: Duration = Duration::from_secs(2);

/// A request under way.
type Lane = Option<Pin<Box<dyn Future<Output = ()> + Send>>>;

/// What is known of the token, as long as there is a sender.
struct TokenWatch {
    issuers: u64,
    life: watch::Receiver<Option<TokenLife>>,
    is_over: bool,
}

/// What is to be done, and when something is next.
struct Plan {
    step: Option<PlannedLeaseStep>,
    retirement: Option<PlannedLeaseStep>,
    deadline: Option<Instant>,
}

/// Runs until `ended` fires, and then does what `onStop` says.
pub(in super::super) async fn run(
    holder: Arc<Holder>,
    source: SourceId,
    context: HolderContext,
    ended: CancellationToken,
) {
    let requests = Arc::new(CredentialRequests { holder, context, source });
    let mut keeping: Lane = None;
    {
        let work = work(&requests, &mut keeping);
        tokio::select! {
            biased;
            () = ended.cancelled() => {}
            () = work => {}
        }
    }
    if let Some(last) = keeping {
        // What it brings is in the journal then.
        let _may_be_late = tokio::time::timeout(LAST_ANSWER, last).await;
    }
    if requests.holder.revokes(&requests.context) {
        Box::pin(requests.revoke_all()).await;
    }
}

/// Keeps credentials alive; never returns.
async fn work(requests: &Arc<CredentialRequests>, keeping: &mut Lane) {
    // What is needed once or seldom has no place in a future that lives as long as the daemon.
    Box::pin(restore(requests)).await;
    let holder = &requests.holder;
    let mut retiring: Lane = None;
    let mut token = TokenWatch::of(holder);
    loop {
        token.renew_for(holder);
        let plan = plan(requests, &mut token).await;
        let now = Instant::now();
        begin(keeping, plan.step, requests, now);
        begin(&mut retiring, plan.retirement, requests, now);
        if keeping.is_none() {
            holder.settle();
        }
        let of_lane = |lane: &Lane, planned: Option<PlannedLeaseStep>| match lane {
            Some(_) => None,
            None => planned.map(|planned| planned.at),
        };
        let times = [of_lane(keeping, plan.step), of_lane(&retiring, plan.retirement), plan.deadline];
        let next = times.into_iter().flatten().min();
        tokio::select! {
            () = holder.wake.notified() => {}
            () = answer(keeping) => {}
            () = answer(&mut retiring) => {}
            () = token.changed() => {}
            () = until(next) => {}
        }
    }
}

/// Begins a step that is due, unless its lane is taken.
fn begin(
    lane: &mut Lane,
    planned: Option<PlannedLeaseStep>,
    requests: &Arc<CredentialRequests>,
    now: Instant,
) {
    if let Some(planned) = planned.filter(|planned| planned.at <= now && lane.is_none()) {
        *lane = Some(Box::pin(Arc::clone(requests).step(planned.step)));
    }
}

/// Returns when the request of the lane has ended; never, if there is none.
async fn answer(lane: &mut Lane) {
    match lane {
        Some(request) => {
            request.await;
            *lane = None;
        }
        None => std::future::pending().await,
    }
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// Has the machine do what is due by now; says what is to be asked of the server.
async fn plan(requests: &CredentialRequests, token: &mut TokenWatch) -> Plan {
    let holder = &requests.holder;
    let now = Instant::now();
    let (plan, notices) = {
        let mut state = holder.state();
        if let Some(life) = *token.life.borrow_and_update() {
            state.machine.token_changed(life, now, &mut rand::rng());
        }
        state.machine.advance(now);
        state.forget_values();
        let machine = &mut state.machine;
        let plan = Plan {
            step: machine.next_step(now),
            retirement: machine.next_retirement(),
            deadline: machine.next_deadline(now),
        };
        let notices = machine.take_notices();
        holder.show(&state, now);
        (plan, notices)
    };
    if !notices.is_empty() {
        Box::pin(requests.note(notices)).await;
    }
    plan
}

/// Takes up what an earlier process left.
async fn restore(requests: &CredentialRequests) {
    let CredentialRequests { holder, context, source } = requests;
    let history = context.journal.look(|journal| journal.credentials.get(source).cloned());
    let Some(history) = history else { return holder.begin(|_| ()) };
    let newest = history.current().filter(|newest| !newest.is_lost).cloned();
    let fields = match &newest {
        Some(newest) => context.sealed.read(*source, newest).await,
        None => None,
    };
    if !history.open.is_empty() {
        let event = CredentialEvent {
            store: holder.store.to_string(),
            path: holder.read.path.clone(),
            secrets: history.secrets.iter().map(ToString::to_string).collect(),
            number: history.number.get(),
            lease: None,
            serial: None,
        };
        event.answers_lost(history.open.len());
    }
    let moment: Moment = requests.moment();
    let value = newest.zip(fields).map(|(known, fields)| IssuedValue {
        fields: Arc::new(fields),
        known,
        request_id: None,
        is_kept: true,
    });
    let with_value = value.as_ref().map(|value| value.known.number);
    let credentials = history.live.into_iter().map(|known| {
        let has_value = Some(known.number) == with_value;
        moment.restored(known, has_value)
    });
    let credentials = credentials.collect();
    let maximum = history.maximum_seconds.map(Duration::from_secs);
    let last_issue = moment.last_issue(history.asked_at);
    holder.begin(|state| {
        let (now, rng) = (moment.now, &mut rand::rng());
        state.machine.restore(credentials, history.number, (last_issue, maximum), now, rng);
        if context.is_once {
            state.machine.hurry(now);
            state.is_checking = true;
        }
        state.values = Vec::from_iter(value);
    });
}

impl TokenWatch {
    fn of(holder: &Holder) -> Self {
        let state = holder.state();
        Self { issuers: state.issuers, life: state.issuer.token_life(&holder.read), is_over: false }
    }

    /// Another issuer has other tokens.
    fn renew_for(&mut self, holder: &Holder) {
        if holder.state().issuers != self.issuers {
            *self = Self::of(holder);
        }
    }

    async fn changed(&mut self) {
        if self.is_over {
            std::future::pending::<()>().await;
        }
        self.is_over = self.life.changed().await.is_err();
    }
}
