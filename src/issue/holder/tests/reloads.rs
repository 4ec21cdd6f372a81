//! A source that a reload takes away and another one brings back, while its first owner still works.

use super::*;
use crate::journal::JournalEntry;
use crate::store::issuer::Issuer as _;

impl Bench {
    /// A reload without the source, and one with it.
    fn away_and_back(&self, on_stop: OnStop) -> Arc<Holder> {
        self.holders.exchange(Vec::new());
        let key = FingerprintKey::random().unwrap();
        let back = Holder::new(StoreName::main(), read(on_stop), Arc::new(self.issuer.clone()), key);
        self.holders.exchange(vec![Arc::clone(&back)]);
        back.join(&secret("a"), FilesThere::All, Some(HOUR));
        back
    }

    async fn fetched_from(&self, holder: &Holder) -> CredentialNumber {
        let fetched = holder.fetch(&self.read, None).await.unwrap();
        CredentialNumber::new(fetched.revision.version().unwrap())
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_after_the_reload_is_of_the_one_history() {
    let bench = Bench::held().await;
    pass(MINUTE).await;
    bench.issuer.answers_after(SECOND);
    let name = secret("a");
    let rotate = bench.holders.rotate(&name, false);
    let reload = async {
        pass(SECOND / 2).await;
        bench.away_and_back(OnStop::Keep)
    };
    let (rotated, back) = tokio::join!(rotate, reload);
    assert!(rotated[0].is_err(), "it was answered by nobody who has the source");
    assert_eq!(bench.fetched_from(&back).await, number(3), "two were issued before");
    let live: Vec<_> = bench.history().live.iter().map(|known| known.number.get()).collect();
    assert_eq!((live, bench.issuer.living(), bench.status().unanswered), (vec![1, 2, 3], vec![1, 2, 3], 0));
    back.published(&secret("a"), number(3), false);
    pass(MINUTE * 6).await;
    assert_eq!(bench.issuer.living(), [3]);
}

#[tokio::test]
async fn what_the_first_owner_revokes_is_not_given_by_the_second() {
    let home = tempfile::tempdir().unwrap();
    let issuer = FakeIssuer::new(HOUR, HOUR * 24);
    let journal = Journal::in_memory(FingerprintKey::random().unwrap(), clock());
    let bench = Bench::with(&issuer, OnStop::Revoke, (journal, clock()), restarts::sealed(&home));
    bench.join("a");
    bench.holder.published(&secret("a"), bench.fetch().await.unwrap(), false);
    issuer.answers_after(SECOND / 10);
    let back = bench.away_and_back(OnStop::Revoke);
    // It was issued moments ago, and there is no other now.
    let given = back.fetch(&bench.read, None).await;
    assert!(given.is_err(), "{:?}", given.map(|given| given.revision));
    assert_eq!(issuer.living(), [0; 0]);
    let kept = std::fs::read_dir(home.path().join("sealed")).unwrap();
    assert_eq!(kept.count(), 0, "no value outlives what it is of");
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_what_an_owner_that_leaves_revokes() {
    let bench = Bench::new(&FakeIssuer::new(HOUR, HOUR * 24), OnStop::Revoke);
    bench.join("a");
    bench.fetch().await.unwrap();
    bench.issuer.answers_after(SECOND);
    bench.holders.exchange(Vec::new());
    bench.holders.stop(MINUTE).await;
    assert_eq!(bench.issuer.living(), [0; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_rotation_of_what_leaves_ends_at_once() {
    let bench = Bench::held().await;
    // `minInterval` is not over.
    let name = secret("a");
    let rotate = bench.holders.rotate(&name, false);
    let began = Instant::now();
    let leave = async { bench.holders.exchange(Vec::new()) };
    let (rotated, ()) = tokio::join!(rotate, leave);
    assert_eq!((rotated.len(), began.elapsed()), (1, Duration::ZERO));
    let fault = rotated[0].as_ref().unwrap_err();
    assert!(fault.message.contains("no longer has database/creds/app"), "{fault}");
}

#[tokio::test(start_paused = true)]
async fn a_token_is_revoked_at_a_stop_and_only_where_nothing_of_it_is_to_live() {
    let bench = Bench::new(&FakeIssuer::new(HOUR, HOUR * 24), OnStop::Revoke);
    bench.join("a");
    bench.fetch().await.unwrap();
    bench.holders.exchange(Vec::new());
    pass(SECOND).await;
    assert_eq!((bench.issuer.living(), bench.issuer.asked().tokens_revoked), (vec![], 0), "a reload");
    for (other, tokens) in [(OnStop::Keep, 0), (OnStop::Revoke, 1)] {
        let bench = Bench::new(&FakeIssuer::new(HOUR, HOUR * 24), OnStop::Revoke);
        let read = DynamicRead { path: "database/creds/other".to_owned(), ..read(other) };
        let (issuer, key) = (Arc::new(bench.issuer.clone()), FingerprintKey::random().unwrap());
        let second = Holder::new(StoreName::main(), read, issuer, key);
        bench.holders.exchange(vec![Arc::clone(&bench.holder), Arc::clone(&second)]);
        bench.join("a");
        bench.fetch().await.unwrap();
        second.join(&secret("b"), FilesThere::None, Some(HOUR));
        bench.fetched_from(&second).await;
        bench.holders.stop(MINUTE).await;
        assert_eq!(bench.issuer.asked().tokens_revoked, tokens, "{other:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_has_ended_keeps_no_token_from_being_revoked() {
    let ends =
        [(MINUTE, false, 0), (HOUR + MINUTE * 4, false, 0), (HOUR + MINUTE * 6, false, 1), (MINUTE, true, 1)];
    for (after, is_lost, tokens) in ends {
        let bench = Bench::new(&FakeIssuer::new(HOUR, HOUR * 24), OnStop::Revoke);
        let read = DynamicRead { path: "database/creds/other".to_owned(), ..read(OnStop::Keep) };
        let (issuer, key) = (Arc::new(bench.issuer.clone()), FingerprintKey::random().unwrap());
        let second = Holder::new(StoreName::main(), read, issuer, key);
        bench.holders.exchange(vec![Arc::clone(&bench.holder), Arc::clone(&second)]);
        bench.join("a");
        bench.fetch().await.unwrap();
        second.join(&secret("b"), FilesThere::None, Some(HOUR));
        let number = bench.fetched_from(&second).await;
        // From now on nothing renews it.
        bench.holders.exchange(vec![Arc::clone(&bench.holder)]);
        if is_lost {
            bench.journal.append([JournalEntry::Lost { source: second.source(&bench.journal), number }]);
        }
        pass(after).await;
        bench.holders.stop(MINUTE).await;
        assert_eq!(bench.issuer.asked().tokens_revoked, tokens, "{after:?}, lost: {is_lost}");
    }
}

#[tokio::test(start_paused = true)]
async fn another_server_is_asked_at_once_whether_it_has_the_credential() {
    let bench = Bench::held().await;
    pass(MINUTE).await;
    let other = FakeIssuer::new(HOUR, HOUR * 24);
    // The first one of the other server has the name of the one that is kept.
    other.issue(&read(OnStop::Keep)).await.unwrap();
    other.forget_all();
    other.answers_after(SECOND / 100);
    let began = Instant::now();
    bench.holder.use_issuer(Arc::new(other.clone()));
    bench.outdated(began).await;
    assert_eq!((bench.fetch().await.unwrap(), other.living()), (number(2), vec![2]));
    assert!(began.elapsed() < SECOND, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn the_token_of_another_store_is_the_one_that_counts() {
    let bench = Bench::new(&FakeIssuer::new(HOUR * 9, HOUR * 24), OnStop::Keep);
    bench.issuer.log_in(1, Some(Instant::now() + HOUR));
    bench.join("a");
    bench.holder.published(&secret("a"), bench.fetch().await.unwrap(), false);
    let other = FakeIssuer::new(HOUR * 9, HOUR * 24);
    other.lend(1, HOUR * 9);
    bench.holder.use_issuer(Arc::new(other.clone()));
    pass(SECOND).await;
    assert_eq!(bench.status().state, CredentialState::Held);
    other.log_in(2, Some(Instant::now() + HOUR));
    pass(SECOND).await;
    assert_eq!(bench.status().state, CredentialState::Ageing, "what issued it ends unrenewed");
}

#[tokio::test(start_paused = true)]
async fn a_refresh_asks_whether_the_lease_lives_and_issues_nothing_else() {
    let bench = Bench::held().await;
    for _ in 0..10 {
        bench.holder.forget();
        assert_eq!(bench.fetch().await.unwrap(), number(1));
    }
    assert_eq!(bench.issuer.asked(), Asked { issues: 1, look_ups: 10, ..Asked::default() });
    pass(MINUTE).await;
    bench.issuer.forget_all();
    bench.holder.forget();
    assert_eq!(bench.fetch().await.unwrap(), number(2), "it was revoked by others");
    // A server that does not answer holds nothing up.
    bench.holder.published(&secret("a"), number(2), false);
    bench.issuer.be(Mood::Down);
    bench.holder.forget();
    assert_eq!(bench.fetch().await.unwrap(), number(2));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_ends_soon_waits_for_no_spread_and_revokes_nothing() {
    let first = Bench::held().await;
    let context = HolderContext { is_once: true, ..first.context() };
    first.holders.stop(SECOND).await;
    pass(MINUTE).await;
    let holders = Holders::new(context);
    let key = FingerprintKey::random().unwrap();
    let once = Holder::new(StoreName::main(), read(OnStop::Revoke), Arc::new(first.issuer.clone()), key);
    once.join(&secret("a"), FilesThere::All, Some(HOUR));
    holders.exchange(vec![Arc::clone(&once)]);
    let began = Instant::now();
    assert_eq!(first.fetched_from(&once).await, number(2), "its value is not known");
    assert!(began.elapsed() < SECOND, "{:?}", began.elapsed());
    holders.stop(MINUTE).await;
    assert_eq!(first.issuer.living(), [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_is_changed_before_its_credential_is_given_up_has_the_one_before_again() {
    let bench = Bench::held().await;
    pass(MINUTE).await;
    let rotated = bench.holders.rotate(&secret("a"), false).await;
    assert_eq!(rotated[0].as_ref().unwrap().number, number(2));
    let fault = Fault::new(Kind::Refused, "it has no name", "look");
    bench.holder.failed(number(2), &fault);
    // The secret is another one, which has files and fails as well.
    bench.holder.leave(&secret("a"), Membership(1));
    pass(SECOND).await;
    bench.holder.join(&secret("a"), FilesThere::All, Some(HOUR));
    bench.holder.failed(bench.fetch().await.unwrap(), &fault);
    pass(MINUTE * 2).await;
    assert_eq!(bench.fetch().await.unwrap(), number(1));
}

#[tokio::test]
async fn a_run_that_ends_soon_gives_nothing_before_the_server_was_asked() {
    let home = tempfile::tempdir().unwrap();
    let issuer = FakeIssuer::new(HOUR, HOUR * 24);
    let journal = Journal::in_memory(FingerprintKey::random().unwrap(), clock());
    let first = Bench::with(&issuer, OnStop::Keep, (journal, clock()), restarts::sealed(&home));
    first.join("a");
    first.fetch().await.unwrap();
    first.holders.stop(SECOND).await;
    issuer.forget_all();
    issuer.answers_after(SECOND / 10);
    let context = HolderContext { is_once: true, sealed: restarts::sealed(&home), ..first.context() };
    let key = FingerprintKey::random().unwrap();
    let once = Holder::new(StoreName::main(), read(OnStop::Keep), Arc::new(issuer.clone()), key);
    once.join(&secret("a"), FilesThere::All, Some(HOUR));
    let holders = Holders::new(context);
    holders.exchange(vec![Arc::clone(&once)]);
    // The next one has to wait for `minInterval`.
    let given = tokio::time::timeout(SECOND * 5, once.fetch(&first.read, None)).await;
    assert!(!matches!(given, Ok(Ok(_))), "it is dead");
    assert_eq!(issuer.asked().look_ups, 1);
}
