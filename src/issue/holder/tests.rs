//! A holder with an issuer that is slow, loses answers and lies, in paused time.

mod issuer;
mod lines;
mod look_ups;
mod reloads;
mod restarts;

use std::collections::BTreeMap;
use std::mem::size_of_val;

use tokio_util::sync::CancellationToken;

use self::issuer::{Asked, FakeIssuer, Mood};
use super::super::holders::Holders;
use super::super::sealed::SealedValues;
use super::*;
use crate::clock::Clock;
use crate::config::provider::vault::dynamic::{DynamicMethod, Share};
use crate::journal::Journal;
use crate::status::{CredentialState, CredentialStatus};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// Holders of one source over one journal.
struct Bench {
    issuer: FakeIssuer,
    journal: Journal,
    clock: Clock,
    holders: Holders,
    holder: Arc<Holder>,
    read: SecretRead,
}

fn read(on_stop: OnStop) -> DynamicRead {
    DynamicRead {
        credentials: None,
        namespace: None,
        path: "database/creds/app".to_owned(),
        method: DynamicMethod::Get,
        parameters: BTreeMap::new(),
        kind: DynamicKind::Lease,
        terms: LeaseTerms { on_stop, ..LeaseTerms::default() },
    }
}

/// Wall time that runs as the paused time does.
fn clock() -> Clock {
    let (start, wall) = (Instant::now(), Clock::system().now());
    Clock::from_fn(move || wall + start.elapsed())
}

impl Bench {
    fn new(issuer: &FakeIssuer, on_stop: OnStop) -> Self {
        let clock = clock();
        let journal = Journal::in_memory(FingerprintKey::random().unwrap(), clock.clone());
        Self::over(issuer, on_stop, (journal, clock))
    }

    fn over(issuer: &FakeIssuer, on_stop: OnStop, (journal, clock): (Journal, Clock)) -> Self {
        Self::with(issuer, on_stop, (journal, clock), SealedValues::none())
    }

    fn with(
        issuer: &FakeIssuer,
        on_stop: OnStop,
        (journal, clock): (Journal, Clock),
        sealed: SealedValues,
    ) -> Self {
        let context =
            HolderContext { journal: journal.clone(), sealed, clock: clock.clone(), is_once: false };
        let (holders, read) = (Holders::new(context), read(on_stop));
        let key = FingerprintKey::random().unwrap();
        let holder = Holder::new(StoreName::main(), read.clone(), Arc::new(issuer.clone()), key);
        holders.exchange(vec![Arc::clone(&holder)]);
        let (issuer, read) = (issuer.clone(), SecretRead::VaultDynamic(Box::new(read)));
        Self { issuer, journal, clock, holders, holder, read }
    }

    /// One secret that has its first credential, confirmed.
    async fn held() -> Self {
        let bench = Self::new(&FakeIssuer::new(HOUR, HOUR * 24), OnStop::Keep);
        bench.join("a");
        let number = bench.fetch().await.unwrap();
        bench.holder.published(&secret("a"), number, false);
        bench
    }

    fn join(&self, name: &str) -> Membership {
        self.holder.join(&secret(name), FilesThere::None, Some(HOUR))
    }

    async fn fetch(&self) -> Result<CredentialNumber, Fault> {
        let fetched = self.holder.fetch(&self.read, None).await?;
        Ok(CredentialNumber::new(fetched.revision.version().unwrap()))
    }

    async fn outdated(&self, since: Instant) {
        self.holder.outdated(&self.read, since, None).await;
    }

    fn status(&self) -> CredentialStatus {
        self.holders.report().remove(0)
    }
}

fn secret(name: &str) -> SecretName {
    SecretName::new(name)
}

fn number(number: u64) -> CredentialNumber {
    CredentialNumber::new(number)
}

/// Lets `time` pass, and what is due then happen.
async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

#[tokio::test(start_paused = true)]
async fn secrets_that_read_together_and_later_have_one_credential() {
    let bench = Bench::new(&FakeIssuer::new(HOUR, HOUR * 24), OnStop::Keep);
    bench.issuer.answers_after(SECOND);
    for name in ["a", "b"] {
        bench.join(name);
    }
    let (first, second) = tokio::join!(bench.fetch(), bench.fetch());
    assert_eq!((first.unwrap(), second.unwrap()), (number(1), number(1)));
    for _ in 0..100 {
        assert_eq!(bench.fetch().await.unwrap(), number(1));
    }
    assert_eq!(bench.issuer.asked(), Asked { issues: 1, ..Asked::default() });
    let known = bench.holder.fetch(&bench.read, None).await.unwrap();
    let again = bench.holder.fetch(&bench.read, Some(known.revision)).await.unwrap();
    assert!(known.fields.is_some() && again.fields.is_none(), "unchanged");
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_counts_for_the_interval_and_is_shown() {
    let bench = Bench::new(&FakeIssuer::new(HOUR, HOUR * 24), OnStop::Keep);
    bench.join("a");
    bench.issuer.be(Mood::Losing);
    assert_eq!(bench.fetch().await.unwrap_err().kind, Kind::Timeout);
    bench.issuer.be(Mood::Well);
    let fault = bench.fetch().await.unwrap_err();
    assert_eq!((fault.kind, fault.retry_after), (Kind::Timeout, Some(SECOND * 30)));
    assert_eq!((bench.issuer.asked().issues, bench.status().unanswered), (1, 1));
    pass(SECOND * 30).await;
    assert_eq!(bench.fetch().await.unwrap(), number(2));
}

/// It may have been done at any time until then: a request waits for its turn behind others.
#[tokio::test(start_paused = true)]
async fn the_interval_begins_when_the_answer_to_an_issue_or_its_failure_is_there() {
    for mood in [Mood::Well, Mood::Losing] {
        let bench = Bench::new(&FakeIssuer::new(HOUR, HOUR * 24), OnStop::Keep);
        bench.join("a");
        bench.issuer.be(mood);
        bench.issuer.answers_after(SECOND * 20);
        assert_eq!(bench.fetch().await.is_ok(), mood == Mood::Well);
        let answered = Instant::now();
        bench.holder.change(|state, _| state.machine.rotate(Rotation::WithGrace));
        let next = bench.holder.state().machine.issue_at();
        assert_eq!(next, Some(answered + SECOND * 30), "{mood:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn while_the_server_is_down_each_read_says_why_and_nothing_is_kept_busy() {
    let bench = Bench::new(&FakeIssuer::new(HOUR, HOUR * 24), OnStop::Keep);
    bench.join("a");
    bench.issuer.be(Mood::Down);
    for _ in 0..50 {
        assert_eq!(bench.fetch().await.unwrap_err().kind, Kind::Timeout);
        pass(SECOND).await;
    }
    assert!((4..=8).contains(&bench.issuer.asked().issues), "{:?}", bench.issuer.asked());
    assert_eq!(bench.status().unanswered, 0, "nothing was issued");
    bench.issuer.be(Mood::Well);
    pass(MINUTE * 5).await;
    assert_eq!(bench.fetch().await.unwrap(), number(1));
}

#[tokio::test(start_paused = true)]
async fn a_credential_is_renewed_replaced_confirmed_and_retired() {
    let bench = Bench::new(&FakeIssuer::new(HOUR, HOUR * 2), OnStop::Keep);
    bench.join("a");
    let began = Instant::now();
    assert_eq!(bench.fetch().await.unwrap(), number(1));
    bench.holder.published(&secret("a"), number(1), true);
    bench.holder.confirmed(&secret("a"), number(1));
    bench.outdated(began + SECOND).await;
    let waited = began.elapsed();
    assert!(waited > HOUR && waited < HOUR * 2, "{waited:?}");
    assert_eq!(bench.fetch().await.unwrap(), number(2));
    bench.holder.published(&secret("a"), number(2), true);
    pass(MINUTE).await;
    assert_eq!((bench.issuer.living(), bench.status().state), (vec![1, 2], CredentialState::Confirming));
    bench.holder.confirmed(&secret("a"), number(2));
    pass(MINUTE * 5 + SECOND).await;
    assert_eq!((bench.issuer.living(), bench.status().state), (vec![2], CredentialState::Held));
    let Asked { issues, renewals, revocations, .. } = bench.issuer.asked();
    assert_eq!((issues, revocations), (2, 1));
    assert!((2..=4).contains(&renewals), "{renewals}");
}

#[tokio::test(start_paused = true)]
async fn a_credential_that_was_revoked_by_others_is_noticed_and_replaced_at_once() {
    let bench = Bench::held().await;
    bench.issuer.forget_all();
    let began = Instant::now();
    bench.outdated(began + SECOND).await;
    assert!(began.elapsed() <= HOUR, "at the next look-up or renewal");
    assert_eq!(bench.fetch().await.unwrap(), number(2));
    // Its token was revoked, and another one issues: it is asked at once.
    bench.holder.published(&secret("a"), number(2), false);
    bench.issuer.log_in(7, Some(Instant::now() + HOUR));
    pass(MINUTE).await;
    bench.holder.rotate(Rotation::Now, &bench.context()).await.unwrap();
    bench.holder.published(&secret("a"), number(3), false);
    bench.issuer.forget_all();
    bench.issuer.log_in(8, Some(Instant::now() + HOUR));
    pass(SECOND).await;
    assert_eq!(bench.fetch().await.unwrap(), number(4));
}

#[tokio::test(start_paused = true)]
async fn while_it_is_lost_and_nothing_is_issued_secrets_are_told_so() {
    let bench = Bench::held().await;
    bench.issuer.be(Mood::Down);
    let began = Instant::now();
    bench.outdated(began + SECOND).await;
    assert!(began.elapsed() >= MINUTE * 59, "a failed renewal is no reason to issue: {:?}", began.elapsed());
    assert!(bench.issuer.asked().issues <= 2, "one at the end: {:?}", bench.issuer.asked());
    let fault = bench.fetch().await.unwrap_err();
    assert_eq!(fault.kind, Kind::LeaseLost);
    assert_eq!(bench.status().state, CredentialState::Lost);
    bench.issuer.be(Mood::Well);
    bench.outdated(Instant::now()).await;
    assert_eq!(bench.fetch().await.unwrap(), number(2));
}

#[tokio::test(start_paused = true)]
async fn a_revocation_that_hangs_delays_nothing() {
    let bench = Bench::held().await;
    bench.issuer.be(Mood::Hanging);
    bench.holder.rotate(Rotation::Now, &bench.context()).await.unwrap();
    bench.holder.published(&secret("a"), number(2), false);
    pass(HOUR * 5).await;
    assert!(bench.issuer.living().contains(&2) && bench.issuer.asked().renewals >= 5);
}

#[tokio::test(start_paused = true)]
async fn a_rotation_waits_for_the_new_credential() {
    let bench = Bench::held().await;
    pass(MINUTE).await;
    bench.issuer.answers_after(SECOND * 3);
    let rotated = bench.holders.rotate(&secret("a"), false).await;
    let rotated: Vec<_> = rotated.into_iter().map(Result::unwrap).collect();
    assert_eq!((rotated[0].number, &*rotated[0].waits_for), (number(2), &[secret("a")][..]));
    assert!(bench.holders.rotate(&secret("b"), false).await.is_empty());
    bench.issuer.be(Mood::Down);
    pass(MINUTE).await;
    assert_eq!(bench.holders.rotate(&secret("a"), false).await[0].as_ref().unwrap_err().kind, Kind::Timeout);
}

#[tokio::test(start_paused = true)]
async fn what_no_secret_could_use_is_given_up_and_the_fault_is_kept() {
    let bench = Bench::held().await;
    pass(MINUTE).await;
    bench.holder.rotate(Rotation::WithGrace, &bench.context()).await.unwrap();
    assert_eq!(bench.fetch().await.unwrap(), number(2));
    let fault = Fault::new(Kind::Refused, "too short", "look at the check");
    bench.holder.failed(number(2), &fault);
    bench.outdated(Instant::now()).await;
    assert_eq!(bench.fetch().await.unwrap(), number(1), "the value of the one before is still known");
    pass(SECOND).await;
    assert_eq!(bench.issuer.living(), [1]);
    // Without one before, the fault is the answer.
    let bench = Bench::new(&FakeIssuer::new(HOUR, HOUR * 24), OnStop::Keep);
    bench.join("a");
    bench.holder.failed(bench.fetch().await.unwrap(), &fault);
    pass(MINUTE + SECOND).await;
    assert_eq!(bench.fetch().await.unwrap_err().kind, Kind::Refused);
    assert_eq!(bench.issuer.living(), [] as [usize; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_stop_keeps_or_revokes_what_lives() {
    for (on_stop, living, tokens) in [(OnStop::Keep, vec![1], 0), (OnStop::Revoke, vec![], 1)] {
        let bench = Bench::new(&FakeIssuer::new(HOUR, HOUR * 24), on_stop);
        bench.join("a");
        bench.fetch().await.unwrap();
        bench.holders.stop(MINUTE).await;
        assert_eq!((bench.issuer.living(), bench.issuer.asked().tokens_revoked), (living, tokens));
    }
    // A server that does not answer does not hold up the stop.
    let bench = Bench::new(&FakeIssuer::new(HOUR, HOUR * 24), OnStop::Revoke);
    bench.join("a");
    bench.fetch().await.unwrap();
    bench.issuer.be(Mood::Hanging);
    let began = Instant::now();
    bench.holders.stop(SECOND * 5).await;
    assert_eq!(began.elapsed(), SECOND * 5);
}

#[tokio::test(start_paused = true)]
async fn other_terms_hold_for_what_lives() {
    let bench = Bench::held().await;
    bench.holder.use_terms(LeaseTerms { renew_at: Share::new(0.1).unwrap(), ..read(OnStop::Revoke).terms });
    pass(MINUTE * 15).await;
    assert_eq!((bench.issuer.asked().issues, bench.issuer.asked().renewals), (1, 2));
    bench.holders.stop(MINUTE).await;
    assert_eq!(bench.issuer.living(), [0; 0]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_at_the_stop_is_noted() {
    let bench = Bench::new(&FakeIssuer::new(HOUR, HOUR * 24), OnStop::Keep);
    bench.join("a");
    bench.issuer.answers_after(SECOND);
    let _no_credential = tokio::time::timeout(SECOND / 2, bench.fetch()).await;
    bench.holders.stop(MINUTE).await;
    assert_eq!(bench.history().live.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn without_values_a_restart_issues_once_and_the_old_one_drains() {
    for (files, at_most) in [(FilesThere::All, 60), (FilesThere::Some, 0), (FilesThere::None, 0)] {
        let first = Bench::held().await;
        let (issuer, outlasting) = (first.issuer.clone(), (first.journal.clone(), first.clock.clone()));
        pass(MINUTE * 10).await;
        first.holders.stop(SECOND).await;
        let second = Bench::over(&issuer, OnStop::Keep, outlasting);
        second.holder.join(&secret("a"), files, Some(HOUR));
        let began = Instant::now();
        assert_eq!(second.fetch().await.unwrap(), number(2));
        assert!(began.elapsed() <= SECOND * at_most, "{:?}", began.elapsed());
        assert_eq!(issuer.living(), [1, 2]);
        second.holder.published(&secret("a"), number(2), false);
        pass(MINUTE * 5 + SECOND).await;
        assert_eq!((issuer.living(), issuer.asked().issues), (vec![2], 2));
    }
}

#[tokio::test(start_paused = true)]
async fn a_journal_that_cannot_be_written_stops_issues_and_no_renewal() {
    let home = tempfile::tempdir().unwrap();
    // Nothing writes it.
    let journal = Journal::open(home.path(), clock()).unwrap();
    let issuer = FakeIssuer::new(HOUR, HOUR * 24);
    let bench = Bench::over(&issuer, OnStop::Keep, (journal.clone(), clock()));
    bench.join("a");
    assert_eq!(bench.fetch().await.unwrap_err().kind, Kind::Write);
    assert_eq!(issuer.asked(), Asked::default());
    let ended = CancellationToken::new();
    let writer = tokio::spawn(journal.run(ended.clone()));
    pass(MINUTE).await;
    assert_eq!(bench.fetch().await.unwrap(), number(1));
    ended.cancel();
    writer.await.unwrap();
    bench.holder.published(&secret("a"), number(1), false);
    let rotated = bench.holders.rotate(&secret("a"), false).await;
    assert_eq!(rotated[0].as_ref().unwrap_err().kind, Kind::Write);
    pass(HOUR * 3).await;
    assert_eq!((issuer.living(), issuer.asked().issues), (vec![1], 1));
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_noted_and_not_be_revoked_is_named() {
    let home = tempfile::tempdir().unwrap();
    let journal = Journal::open(home.path(), clock()).unwrap();
    let ended = CancellationToken::new();
    let writer = tokio::spawn({
        let (journal, ended) = (journal.clone(), ended.clone());
        async move { journal.run(ended).await }
    });
    let issuer = FakeIssuer::new(HOUR, HOUR * 24);
    let bench = Bench::over(&issuer, OnStop::Keep, (journal, clock()));
    issuer.answers_after(SECOND);
    bench.join("a");
    let trouble = async {
        while issuer.asked().issues == 0 {
            pass(SECOND / 10).await;
        }
        ended.cancel();
        writer.await.unwrap();
        // The answer is there; the line has a few seconds.
        pass(SECOND * 2).await;
        issuer.be(Mood::Down);
    };
    let (fetched, ()) = tokio::join!(bench.fetch(), trouble);
    let fault = fetched.unwrap_err();
    assert_eq!(fault.kind, Kind::Write);
    assert!(fault.message.contains("lease/1 was issued and is not used"), "{fault}");
    assert!(fault.remedy.contains("bao lease revoke lease/1"), "{}", fault.remedy);
}

#[tokio::test(start_paused = true)]
async fn the_journal_is_never_far_behind_the_end_of_a_short_lease() {
    let bench = Bench::new(&FakeIssuer::new(MINUTE * 5, HOUR * 24), OnStop::Keep);
    bench.join("a");
    bench.holder.published(&secret("a"), bench.fetch().await.unwrap(), false);
    for _ in 0..60 {
        pass(MINUTE).await;
        let noted = bench.history().live[0].times.life_end.unwrap();
        let end = bench.status().current.unwrap().end.unwrap();
        let behind = end.duration_since(noted).unwrap_or_default();
        assert!(behind < WORTH_A_LINE, "{behind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_holder_is_small() {
    let bench = Bench::held().await;
    let context = bench.context();
    let source = bench.holder.source(&bench.journal);
    let future = run(Arc::clone(&bench.holder), source, context, CancellationToken::new());
    let size = size_of::<Holder>() + size_of_val(&future);
    assert!(size <= 8 * 1024, "{size} bytes");
}

impl Bench {
    fn context(&self) -> HolderContext {
        HolderContext {
            is_once: false,
            journal: self.journal.clone(),
            sealed: SealedValues::none(),
            clock: self.clock.clone(),
        }
    }

    fn history(&self) -> crate::journal::CredentialHistory {
        let source = self.holder.source(&self.journal);
        self.journal.look(|journal| journal.credentials.get(&source).cloned()).unwrap()
    }
}
