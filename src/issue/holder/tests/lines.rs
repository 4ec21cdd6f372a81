//! Which lines the journal has of what happens, and what is forgotten.

use super::*;

impl Bench {
    /// The numbers of the credentials that live by the journal.
    fn noted(&self) -> Vec<u64> {
        self.history().live.iter().map(|known| known.number.get()).collect()
    }

    /// Waits for the next credential, and has it in the files of `a`.
    async fn moves_on(&self) {
        self.outdated(Instant::now()).await;
        self.holder.published(&secret("a"), self.fetch().await.unwrap(), false);
    }
}

#[tokio::test(start_paused = true)]
async fn a_renewal_has_a_line_where_it_moves_the_end_by_minutes_or_is_the_last() {
    let bench = Bench::held().await;
    let before = bench.journal.count();
    pass(HOUR * 3).await;
    let renewals = u64::try_from(bench.issuer.asked().renewals).unwrap();
    assert!(renewals >= 4 && bench.journal.count() - before == renewals, "{renewals}");
    // Those of a short lease would fill the journal.
    let bench = Bench::new(&FakeIssuer::new(MINUTE * 2, MINUTE * 40), OnStop::Keep);
    bench.join("a");
    bench.holder.published(&secret("a"), bench.fetch().await.unwrap(), false);
    let before = bench.journal.count();
    pass(MINUTE * 30).await;
    let renewals = u64::try_from(bench.issuer.asked().renewals).unwrap();
    assert!(renewals >= 20 && bench.journal.count() - before <= renewals / 2, "{renewals}");
    bench.outdated(Instant::now()).await;
    let known = bench.history().live.remove(0);
    let life = known.times.life_end.unwrap().duration_since(known.from).unwrap();
    assert!(life >= MINUTE * 39, "the last one is noted: {life:?}");
    assert!(bench.history().maximum_seconds.is_some_and(|seconds| seconds >= 39 * 60));
}

#[tokio::test(start_paused = true)]
async fn what_was_learnt_of_a_role_is_known_after_a_restart() {
    let bench = Bench::new(&FakeIssuer::new(HOUR, HOUR * 2), OnStop::Keep);
    bench.join("a");
    bench.holder.published(&secret("a"), bench.fetch().await.unwrap(), false);
    bench.moves_on().await;
    bench.holders.stop(SECOND).await;
    pass(MINUTE).await;
    let outlasting = (bench.journal.clone(), bench.clock.clone());
    let second = Bench::over(&bench.issuer, OnStop::Keep, outlasting);
    second.holder.join(&secret("a"), FilesThere::None, Some(HOUR));
    second.holder.published(&secret("a"), second.fetch().await.unwrap(), false);
    let current = second.status().current.unwrap();
    let reissue = current.reissue_at.expect("the whole life is known");
    let wait = reissue.duration_since(current.issued_at).unwrap();
    assert!(wait >= HOUR && wait <= MINUTE * 80, "{wait:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_lost_or_ends_is_noted() {
    let bench = Bench::held().await;
    bench.issuer.forget_all();
    bench.holder.forget();
    pass(SECOND).await;
    assert!(bench.history().live[0].is_lost);
    assert_eq!(bench.status().state, CredentialState::Lost);
    // It ends before `grace` does.
    let bench = Bench::new(&FakeIssuer::new(MINUTE * 4, MINUTE * 4), OnStop::Keep);
    bench.join("a");
    bench.holder.published(&secret("a"), bench.fetch().await.unwrap(), false);
    bench.moves_on().await;
    assert_eq!(bench.noted(), [1, 2]);
    while bench.issuer.living().contains(&1) {
        pass(SECOND).await;
    }
    pass(SECOND).await;
    assert_eq!(bench.noted().first(), Some(&2), "{:?}", bench.noted());
    // One that a secret still has in its files ends, too.
    let bench = Bench::new(&FakeIssuer::new(HOUR, HOUR), OnStop::Keep);
    for name in ["a", "b"] {
        bench.join(name);
        bench.holder.published(&secret(name), bench.fetch().await.unwrap(), false);
    }
    bench.moves_on().await;
    while bench.issuer.living().contains(&1) {
        pass(SECOND).await;
    }
    pass(SECOND).await;
    assert!(!bench.noted().contains(&1), "{:?}", bench.noted());
}

#[tokio::test(start_paused = true)]
async fn a_login_that_fails_is_no_issue_and_has_no_line() {
    let bench = Bench::new(&FakeIssuer::new(HOUR, HOUR * 24), OnStop::Keep);
    bench.join("a");
    bench.issuer.be(Mood::Locked);
    let before = bench.journal.count();
    for _ in 0..10 {
        assert_eq!(bench.fetch().await.unwrap_err().kind, Kind::Timeout);
        pass(SECOND).await;
    }
    assert_eq!((bench.journal.count(), bench.issuer.asked()), (before, Asked::default()));
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_shown_while_what_it_brought_may_live_and_a_fault_until_a_success() {
    let bench = Bench::new(&FakeIssuer::new(HOUR, HOUR * 24), OnStop::Keep);
    bench.join("a");
    bench.issuer.be(Mood::Losing);
    bench.fetch().await.unwrap_err();
    assert!(bench.status().last_error.is_some());
    bench.issuer.be(Mood::Well);
    pass(SECOND * 30).await;
    bench.fetch().await.unwrap();
    let status = bench.status();
    assert_eq!((status.unanswered, status.last_error.is_some()), (1, false));
}

#[tokio::test(start_paused = true)]
async fn a_value_is_kept_until_the_files_have_the_next_one() {
    let bench = Bench::held().await;
    let fetched = bench.holder.fetch(&bench.read, None).await.unwrap();
    let first = Arc::downgrade(&fetched.fields.unwrap());
    pass(MINUTE).await;
    bench.holder.rotate(Rotation::WithGrace, &bench.context()).await.unwrap();
    pass(SECOND).await;
    assert!(first.upgrade().is_some(), "it serves again if the next one is refused");
    bench.holder.published(&secret("a"), number(2), false);
    pass(SECOND).await;
    assert!(first.upgrade().is_none(), "no secret is given it again");
}

#[tokio::test(start_paused = true)]
async fn what_is_left_to_its_end_has_no_retirement() {
    let bench = Bench::held().await;
    bench.holder.use_terms(LeaseTerms { retires: false, ..read(OnStop::Keep).terms });
    pass(MINUTE).await;
    bench.holder.rotate(Rotation::WithGrace, &bench.context()).await.unwrap();
    bench.holder.published(&secret("a"), number(2), false);
    pass(MINUTE * 6).await;
    let status = bench.status();
    assert!(status.draining[0].left_to_end && status.draining[0].retire_at.is_none(), "{status:?}");
    assert_eq!((bench.issuer.living(), bench.issuer.asked().revocations), (vec![1, 2], 0));
}

#[tokio::test(start_paused = true)]
async fn only_the_task_that_has_joined_last_can_leave() {
    let bench = Bench::held().await;
    let before = bench.join("b");
    let _now = bench.join("b");
    bench.holder.leave(&secret("b"), before);
    assert!(bench.holder.has(&secret("b")));
    let unused = Bench::new(&FakeIssuer::new(HOUR, HOUR * 24), OnStop::Keep);
    let context = unused.context();
    let rotated = tokio::time::timeout(MINUTE, unused.holder.rotate(Rotation::Now, &context)).await;
    assert!(rotated.expect("it does not wait for a secret").is_err());
}
