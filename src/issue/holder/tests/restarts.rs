//! What a holder makes of what an earlier process left, wherever that one ended.

use super::*;
use crate::issue::forget_unconfigured;
use crate::issue::seal::SealKey;
use crate::journal::{
    CredentialTimes, IssueIntent, IssuedRecord, JournalEntry, KnownCredential, SourceId, StateDirectory,
};
use crate::name::LeaseId;
use crate::store::issuer::TokenOrigin;

/// Holders over one directory of values.
pub(super) fn sealed(home: &tempfile::TempDir) -> SealedValues {
    SealedValues::open(home.path(), SealKey::of(&[7; 32])).unwrap()
}

fn kept(issuer: &FakeIssuer, outlasting: (Journal, Clock), sealed: &SealedValues) -> Bench {
    Bench::with(issuer, OnStop::Keep, outlasting, sealed.clone())
}

#[tokio::test]
async fn with_values_a_restart_issues_nothing_and_gives_the_same() {
    let home = tempfile::tempdir().unwrap();
    let (issuer, sealed) = (FakeIssuer::new(HOUR, HOUR * 24), sealed(&home));
    let journal = Journal::in_memory(FingerprintKey::random().unwrap(), clock());
    let mut given = Vec::new();
    for start in 0..3 {
        let bench = kept(&issuer, (journal.clone(), clock()), &sealed);
        let files = if start > 0 { FilesThere::All } else { FilesThere::None };
        bench.holder.join(&secret("a"), files, Some(HOUR));
        let fetched = bench.holder.fetch(&bench.read, None).await.unwrap();
        given.push((fetched.revision.version(), fetched.fields.unwrap()));
        // It ends before anything is published: as after kill -9.
        bench.holders.stop(SECOND).await;
    }
    assert!(given.iter().all(|one| *one == given[0]), "the same each time");
    let Asked { issues, look_ups, .. } = issuer.asked();
    assert_eq!((issues, look_ups <= 2), (1, true));
}

#[tokio::test]
async fn with_the_same_token_a_restart_continues_and_with_another_one_issues() {
    let home = tempfile::tempdir().unwrap();
    let (issuer, sealed) = (FakeIssuer::new(HOUR * 9, HOUR * 24), sealed(&home));
    let journal = Journal::in_memory(FingerprintKey::random().unwrap(), clock());
    for (token, state) in
        [(1, CredentialState::Held), (1, CredentialState::Held), (2, CredentialState::Ageing)]
    {
        issuer.log_in(token, Some(Instant::now() + HOUR));
        let bench = kept(&issuer, (journal.clone(), clock()), &sealed);
        bench.holder.join(&secret("a"), FilesThere::All, Some(HOUR));
        let number = bench.fetch().await.unwrap();
        bench.holder.published(&secret("a"), number, false);
        while bench.status().state == CredentialState::Fresh {
            tokio::task::yield_now().await;
        }
        pass(SECOND / 10).await;
        assert_eq!((bench.status().state, number.get()), (state, 1), "token {token}");
        bench.holders.stop(SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_intent_without_an_answer_counts_for_the_interval() {
    let issuer = FakeIssuer::new(HOUR, HOUR * 24);
    let clock = clock();
    let journal = Journal::in_memory(FingerprintKey::random().unwrap(), clock.clone());
    let source = journal.source_id(&StoreName::main(), &read(OnStop::Keep));
    let (store, path) = (StoreName::main(), "database/creds/app".to_owned());
    let intent = IssueIntent { source, number: number(4), store, path, secrets: Vec::new() };
    journal.append([JournalEntry::Issuing(intent)]);
    pass(SECOND * 10).await;
    let bench = Bench::over(&issuer, OnStop::Keep, (journal, clock));
    bench.join("a");
    let fault = bench.fetch().await.unwrap_err();
    // A line is as precise as a millisecond.
    let wait = fault.retry_after.unwrap().as_secs_f64().round();
    assert_eq!((fault.kind, wait), (Kind::RateLimited, 20.0));
    assert_eq!((issuer.asked().issues, bench.status().unanswered), (0, 1));
    pass(SECOND * 20).await;
    assert_eq!(bench.fetch().await.unwrap(), number(5));
    // When a credential of that time cannot live any more, it is no longer shown.
    pass(HOUR * 2).await;
    bench.holder.rotate(Rotation::WithGrace, &bench.context()).await.unwrap();
    assert_eq!(bench.status().unanswered, 0);
}

#[tokio::test(start_paused = true)]
async fn a_credential_that_no_line_could_be_written_for_is_revoked() {
    let home = tempfile::tempdir().unwrap();
    let journal = Journal::open(home.path(), clock()).unwrap();
    let ended = CancellationToken::new();
    let writer = tokio::spawn(journal.clone().run(ended.clone()));
    let issuer = FakeIssuer::new(HOUR, HOUR * 24);
    let bench = Bench::over(&issuer, OnStop::Keep, (journal, clock()));
    bench.join("a");
    issuer.answers_after(MINUTE);
    let full = async {
        while issuer.asked().issues == 0 {
            pass(SECOND).await;
        }
        ended.cancel();
        writer.await.unwrap();
    };
    let (fetched, ()) = tokio::join!(bench.fetch(), full);
    assert_eq!(fetched.unwrap_err().kind, Kind::Write);
    assert_eq!((issuer.living(), issuer.asked().revocations), (vec![], 1));
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_was_set_back_prolongs_no_life() {
    // A server that answers knows the end.
    for mood in [Mood::Well, Mood::Down] {
        let first = Bench::held().await;
        first.holders.stop(SECOND).await;
        let (issuer, journal) = (first.issuer.clone(), first.journal.clone());
        pass(MINUTE * 50).await;
        issuer.be(mood);
        let wall = first.clock.now() - HOUR * 5;
        let start = Instant::now();
        let clock = Clock::from_fn(move || wall + start.elapsed());
        let second = Bench::over(&issuer, OnStop::Keep, (journal, clock));
        second.holder.join(&secret("a"), FilesThere::All, Some(HOUR));
        assert_eq!(second.fetch().await.is_ok(), mood == Mood::Well);
        let draining = &second.status().draining[0];
        assert!(draining.end.unwrap() <= wall + HOUR + MINUTE, "{draining:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_that_stood_still_for_hours_finds_out_and_issues_once() {
    let bench = Bench::held().await;
    tokio::time::advance(HOUR * 5).await;
    pass(MINUTE).await;
    assert_eq!(bench.fetch().await.unwrap(), number(2));
    assert_eq!(bench.issuer.asked().issues, 2);
    // A machine that slept says so.
    bench.holder.published(&secret("a"), number(2), false);
    pass(MINUTE).await;
    bench.holders.slept(MINUTE * 50);
    pass(MINUTE).await;
    assert_eq!((bench.issuer.asked().issues, bench.issuer.asked().renewals), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_certificate_ends_by_its_date_when_the_clock_is_set() {
    let ahead = Arc::new(AtomicU64::new(0));
    let (start, wall, hours) = (Instant::now(), Clock::system().now(), Arc::clone(&ahead));
    let clock = Clock::from_fn(move || {
        wall + start.elapsed() + HOUR * u32::try_from(hours.load(Ordering::SeqCst)).unwrap()
    });
    let issuer = FakeIssuer::new(HOUR * 24, HOUR * 24);
    let journal = Journal::in_memory(FingerprintKey::random().unwrap(), clock.clone());
    let bench = Bench::over(&issuer, OnStop::Keep, (journal, clock));
    let read = DynamicRead { kind: DynamicKind::Certificate, ..read(OnStop::Keep) };
    let key = FingerprintKey::random().unwrap();
    let holder = Holder::new(StoreName::main(), read, Arc::new(issuer.clone()), key);
    bench.holders.exchange(vec![Arc::clone(&holder)]);
    holder.join(&secret("a"), FilesThere::None, Some(HOUR));
    holder.fetch(&bench.read, None).await.unwrap();
    holder.published(&secret("a"), number(1), false);
    let end = || bench.status().current.unwrap().end.unwrap();
    let date = end();
    for hours in [5, 2] {
        ahead.store(hours, Ordering::SeqCst);
        assert_ne!(end(), date, "it was counted from the issue");
        bench.holders.clock_set();
        assert_eq!(end(), date);
    }
    pass(MINUTE).await;
    assert_eq!(issuer.asked().issues, 1);
    ahead.store(25, Ordering::SeqCst);
    bench.holders.clock_set();
    pass(MINUTE).await;
    assert_eq!(issuer.asked().issues, 2);
}

#[tokio::test(start_paused = true)]
async fn an_answer_with_the_lease_of_a_credential_in_use_is_refused_and_revokes_nothing() {
    let first = Bench::held().await;
    first.holders.stop(SECOND).await;
    let (issuer, outlasting) = (first.issuer.clone(), (first.journal.clone(), first.clock.clone()));
    pass(MINUTE).await;
    issuer.be(Mood::Repeating);
    let second = Bench::over(&issuer, OnStop::Keep, outlasting);
    second.holder.join(&secret("a"), FilesThere::None, Some(HOUR));
    assert_eq!(second.fetch().await.unwrap_err().kind, Kind::BadAnswer);
    issuer.be(Mood::Well);
    pass(MINUTE).await;
    assert_eq!(second.fetch().await.unwrap(), number(3));
    assert_eq!((issuer.living(), issuer.asked().revocations), (vec![1, 3], 0));
}

/// The first one of a source, which has this lease for an hour.
fn known(lease: u64, clock: &Clock) -> KnownCredential {
    KnownCredential {
        number: number(1),
        from: clock.now(),
        lease: LeaseId::parse(&format!("lease/{lease}")),
        serial: None,
        is_renewable: true,
        life_seconds: Some(HOUR.as_secs()),
        token: None,
        times: CredentialTimes { life_end: Some(clock.now() + HOUR), ..CredentialTimes::default() },
        is_lost: false,
    }
}

#[tokio::test(start_paused = true)]
async fn what_another_configuration_left_is_kept_until_its_end_and_then_forgotten() {
    let home = tempfile::tempdir().unwrap();
    let sealed = sealed(&home);
    let directory = StateDirectory::open(home.path()).unwrap().below("sealed").unwrap();
    let clock = clock();
    let journal = Journal::in_memory(FingerprintKey::random().unwrap(), clock.clone());
    let issuer = FakeIssuer::new(HOUR, HOUR * 24);
    let bench = kept(&issuer, (journal.clone(), clock.clone()), &sealed);
    bench.join("a");
    bench.fetch().await.unwrap();
    bench.holders.stop(SECOND).await;
    let own = bench.holder.source(&journal);
    let id = |fill: &str| fill.repeat(16).parse::<SourceId>().unwrap();
    let (other, unknown, fields) = (id("ab"), id("cd"), Fields::default());
    let record = IssuedRecord { source: other, credential: known(7, &clock), maximum_seconds: None };
    sealed.keep(other, &record.credential, &fields).await;
    sealed.keep(unknown, &record.credential, &fields).await;
    journal.append([JournalEntry::Issued(record)]);
    for name in ["key", "of-others", &format!("{unknown}.bad"), &format!("{unknown}.next")] {
        directory.replace(name, b"x").unwrap();
    }
    let token = |set| {
        let set = journal.fingerprint_of(&TokenOrigin::pieces_of_set("default", set));
        (format!("token-{set}"), TokenOrigin { set, login: set })
    };
    let ((own_token, own_origin), (other_token, other_origin)) = (token("default"), token("team"));
    for origin in [own_origin, other_origin] {
        sealed.keep_token(origin, &SecretText::new("t".to_owned())).await;
    }
    let left_at = |later: Duration| {
        let configured = [Arc::clone(&bench.holder)];
        forget_unconfigured(&journal, home.path(), &configured, clock.now() + later);
        let mut names = directory.names().unwrap();
        names.sort();
        let known = journal.look(|state| state.credentials.keys().copied().collect::<Vec<_>>());
        (names, known.contains(&other))
    };
    let sorted = |names: &[&str]| {
        let mut names: Vec<_> = names.iter().map(ToString::to_string).collect();
        names.sort();
        names
    };
    let (own_name, other_name) = (own.to_string(), other.to_string());
    let all = sorted(&[&own_name, &other_name, &own_token, &other_token, "key", "of-others"]);
    // A renewal may have moved the end by some minutes without a line.
    for later in [Duration::ZERO, HOUR + MINUTE] {
        assert_eq!(left_at(later), (all.clone(), true), "it may live after {later:?}");
    }
    let count = journal.count();
    let few = sorted(&[&own_name, &own_token, "key", "of-others"]);
    assert_eq!(left_at(HOUR * 2), (few.clone(), false));
    assert_eq!(left_at(HOUR * 2), (few.clone(), false));
    assert_eq!(journal.count(), count + 1, "one snapshot");
    assert_eq!(bench.history().live.len(), 1, "a source of the configuration keeps its history");
    // What was asked for and had no answer may live, too.
    let (store, path) = (StoreName::main(), "database/creds/other".to_owned());
    let intent = IssueIntent { source: other, number: number(2), store, path, secrets: Vec::new() };
    journal.append([JournalEntry::Issuing(intent)]);
    assert!(left_at(HOUR * 23).1);
    assert_eq!(left_at(HOUR * 25), (few, false));
}

/// Restarts with `count` sources and no values; gives when each one had its next credential.
async fn issued_again(count: u64, files: FilesThere) -> Vec<Duration> {
    let issuer = FakeIssuer::new(HOUR, HOUR * 24);
    let clock = clock();
    let journal = Journal::in_memory(FingerprintKey::random().unwrap(), clock.clone());
    let context = HolderContext {
        journal: journal.clone(),
        sealed: SealedValues::none(),
        clock: clock.clone(),
        is_once: false,
    };
    let key = FingerprintKey::random().unwrap();
    let made = (0..count).map(|source| {
        let read = DynamicRead { path: format!("database/creds/{source}"), ..read(OnStop::Keep) };
        let id = journal.source_id(&StoreName::main(), &read);
        let known = known(10_000 + source, &clock);
        journal.append([JournalEntry::Issued(IssuedRecord {
            source: id,
            credential: known,
            maximum_seconds: None,
        })]);
        issuer.lend(10_000 + usize::try_from(source).unwrap(), HOUR);
        let holder = Holder::new(StoreName::main(), read.clone(), Arc::new(issuer.clone()), key.clone());
        (holder, SecretRead::VaultDynamic(Box::new(read)))
    });
    let made: Vec<_> = made.collect();
    pass(MINUTE).await;
    let began = Instant::now();
    let holders = Holders::new(context);
    holders.exchange(made.iter().map(|(holder, _)| Arc::clone(holder)).collect());
    let all = made.iter().map(|(holder, read)| async move {
        holder.join(&secret("a"), files, Some(HOUR));
        holder.fetch(read, None).await.unwrap();
        began.elapsed()
    });
    let times = futures_util::future::join_all(all).await;
    assert_eq!(issuer.asked().issues, made.len());
    times
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_without_values_a_thousand_sources_issue_within_a_minute_and_in_no_burst() {
    let times = issued_again(1000, FilesThere::All).await;
    let mut seconds = [0; 61];
    for time in &times {
        seconds[usize::try_from(time.as_secs()).unwrap()] += 1;
    }
    // 17 a second on average.
    assert!(seconds.iter().all(|second| *second <= 45), "{seconds:?}");
    assert!(seconds[..60].iter().all(|second| *second > 0), "{seconds:?}");
    let times = issued_again(1000, FilesThere::None).await;
    assert!(times.iter().all(|time| *time < SECOND), "files that are missing are not waited for");
}
