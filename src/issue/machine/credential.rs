//! One issued credential: when it ends, when it is renewed, and when the next one is issued.

use rand::Rng;
use tokio::time::{Duration, Instant};

use super::rules::{LeaseRules, SPACING, in_first_half, wait_after};
use crate::name::{CredentialNumber, LeaseId};
use crate::secret::Fingerprint;
use crate::store::issuer::{Issued, Renewed, TokenLife};

/// A credential that may still be good.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, and most of them may meet")]
pub(crate) struct LiveCredential {
    pub(crate) number: CredentialNumber,
    pub(crate) lease: Option<LeaseId>,
    pub(crate) issued_at: Instant,
    /// How long it was to live as it was issued: what each renewal asks for.
    pub(crate) first_life: Option<Duration>,
    /// When its lease, or what its own dates say, ends; `None`: not by itself.
    pub(crate) lease_end: Option<Instant>,
    pub(crate) is_renewable: bool,
    /// When the next one is issued, where that is known.
    pub(crate) reissue_at: Option<Instant>,
    /// When it is renewed, unless there is no use in that.
    pub(super) renew_at: Option<Instant>,
    /// When the server is asked whether it is still there.
    pub(super) look_up_at: Option<Instant>,
    /// It is dead, and files hold it.
    pub(crate) is_lost: bool,
    /// Whether its fields are known; a restart may lose them.
    pub(super) has_value: bool,
    /// No renewal prolongs it any more.
    pub(super) is_ageing: bool,
    /// Its end is a guess until the server has been asked: the clock may have been set.
    pub(super) is_end_doubted: bool,
    /// It is no longer needed, and is retired at this moment.
    pub(crate) retire_at: Option<Instant>,
    /// The server does not allow that.
    pub(crate) is_left: bool,
    /// When it is given up, because no file could be written with it.
    pub(super) withdraw_at: Option<Instant>,
    /// No `grace` for it.
    pub(super) is_hurried: bool,
    token: Option<IssuingToken>,
    renewals_failed: u32,
    look_ups_failed: u32,
    retirements_failed: u32,
}

/// The token whose end is the end of its leases.
#[derive(Clone, Copy, Debug)]
struct IssuingToken {
    /// `None`: an earlier process had it, and did not note which it was.
    fingerprint: Option<Fingerprint>,
    end: Option<Instant>,
    /// Whether no renewal moves that end.
    is_final: bool,
    /// It is used no longer, so nobody renews it.
    is_replaced: bool,
    /// Its end is what the journal says, and the server has not answered since: the earlier process may have renewed it
    /// without a line.
    is_noted: bool,
    unrenewed: Unrenewed,
}

/// Whether the last known end of a token has passed without a renewal.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
enum Unrenewed {
    #[default]
    NotYet,
    /// It has: its leases have ended, unless the server says that they live.
    Passed,
    /// It has, and the server says so: others have renewed it.
    Refuted,
}

impl From<TokenLife> for IssuingToken {
    fn from(TokenLife { token, end, is_final }: TokenLife) -> Self {
        let (is_replaced, is_noted, unrenewed) = (false, false, Unrenewed::NotYet);
        Self { fingerprint: Some(token), end, is_final, is_replaced, is_noted, unrenewed }
    }
}

impl IssuingToken {
    /// Whether the end that is known of it is over, and says nothing.
    fn is_stale(&self) -> bool {
        self.is_noted && self.unrenewed == Unrenewed::Passed
    }
}

/// A credential as an earlier process left it.
#[derive(Clone, Debug)]
pub(crate) struct RestoredCredential {
    pub(crate) number: CredentialNumber,
    pub(crate) lease: Option<LeaseId>,
    pub(crate) issued_at: Instant,
    pub(crate) first_life: Option<Duration>,
    pub(crate) lease_end: Option<Instant>,
    pub(crate) is_renewable: bool,
    /// The token that issued it; `None`: it is not known, and is none that this process has.
    pub(crate) token: Option<Fingerprint>,
    /// The end of that token, as it was known last.
    pub(crate) token_end: Option<Instant>,
    pub(crate) is_lost: bool,
    /// Whether its fields are known.
    pub(crate) has_value: bool,
}

impl LiveCredential {
    pub(super) fn new(
        number: CredentialNumber,
        issued: &Issued,
        at: Instant,
        (rules, maximum): (&LeaseRules, Option<Duration>),
        rng: &mut impl Rng,
    ) -> Self {
        let token = issued.token.filter(|_| rules.is_leased && issued.lease.is_some());
        let mut new =
            Self { token: token.map(IssuingToken::from), ..Self::blank(number, issued.lease.clone(), at) };
        new.first_life = issued.life;
        new.lease_end = issued.life.and_then(|life| at.checked_add(life));
        new.is_renewable = rules.is_leased && issued.is_renewable && issued.lease.is_some();
        new.reissue_at = new.whole_end(rules, maximum).map(|end| rules.reissue_point(at, end, rng));
        new.plan_renewal(at, rules, rng);
        new.look_up_at = new.next_look_up(at, rules);
        new
    }

    pub(super) fn restored(
        restored: RestoredCredential,
        now: Instant,
        (rules, maximum): (&LeaseRules, Option<Duration>),
        rng: &mut impl Rng,
    ) -> Self {
        let RestoredCredential { number, lease, issued_at, token, token_end, is_lost, has_value, .. } =
            restored;
        let is_of_token = rules.is_leased && lease.is_some() && (token.is_some() || token_end.is_some());
        // Until it is known which token there is now, that one may have been renewed since.
        let issuing = IssuingToken {
            fingerprint: token,
            end: token_end,
            is_final: false,
            is_replaced: false,
            is_noted: true,
            unrenewed: Unrenewed::NotYet,
        };
        let mut old = Self { token: is_of_token.then_some(issuing), ..Self::blank(number, lease, issued_at) };
        old.first_life = restored.first_life;
        old.lease_end = restored.lease_end;
        old.is_renewable = rules.is_leased && restored.is_renewable && old.lease.is_some();
        old.is_lost = is_lost;
        old.has_value = has_value;
        old.reissue_at = old.whole_end(rules, maximum).map(|end| rules.reissue_point(issued_at, end, rng));
        let begun = old.lease_end.zip(old.first_life).and_then(|(end, life)| end.checked_sub(life));
        old.plan_renewal(begun.unwrap_or(now), rules, rng);
        let can_look_up = old.next_look_up(now, rules).is_some() && !is_lost;
        old.look_up_at = can_look_up.then_some(now);
        old.is_end_doubted = can_look_up;
        old
    }

    fn blank(number: CredentialNumber, lease: Option<LeaseId>, issued_at: Instant) -> Self {
        Self {
            number,
            lease,
            issued_at,
            first_life: None,
            lease_end: None,
            is_renewable: false,
            reissue_at: None,
            renew_at: None,
            look_up_at: None,
            is_lost: false,
            has_value: true,
            is_ageing: false,
            is_end_doubted: false,
            retire_at: None,
            is_left: false,
            withdraw_at: None,
            is_hurried: false,
            token: None,
            renewals_failed: 0,
            look_ups_failed: 0,
            retirements_failed: 0,
        }
    }

    /// When it ends, if that is known: with its lease, or with the token that issued it.
    pub(crate) fn end(&self) -> Option<Instant> {
        self.lease_end.into_iter().chain(self.token_end()).min()
    }

    /// The end of its token that no renewal moves, or that none has moved in time.
    fn token_end(&self) -> Option<Instant> {
        let is_fixed = |token: &IssuingToken| {
            token.is_replaced || token.is_final || token.unrenewed == Unrenewed::Passed
        };
        let token = self.token.filter(|token| !token.is_stale());
        token.filter(is_fixed).and_then(|token| token.end)
    }

    /// When its token ends unless that is renewed before.
    pub(super) fn renewable_token_end(&self) -> Option<Instant> {
        let is_open = |token: &IssuingToken| {
            token.unrenewed == Unrenewed::NotYet && (token.is_noted || !token.is_replaced)
        };
        self.token.filter(is_open).filter(|token| !token.is_final && !self.is_lost)?.end
    }

    /// Nobody has renewed the token until the end that is known of it: the server is asked what became of the lease, where
    /// it `can_look_up` that.
    pub(super) fn token_unrenewed(&mut self, now: Instant, can_look_up: bool) {
        if self.renewable_token_end().is_none_or(|end| end > now) {
            return;
        }
        if let Some(token) = &mut self.token {
            token.unrenewed = Unrenewed::Passed;
        }
        if can_look_up {
            self.is_end_doubted = true;
            self.look_up_at = Some(now);
        }
    }

    /// The end of the token that issued it, if it is known.
    pub(crate) fn end_of_token(&self) -> Option<Instant> {
        self.token.and_then(|token| token.end)
    }

    /// The end that nothing moves. That of a token counts when there is another token: what the same one issues ends with
    /// it, too.
    fn whole_end(&self, rules: &LeaseRules, maximum: Option<Duration>) -> Option<Instant> {
        let of_lease = self.lease_end.filter(|_| !self.is_renewable);
        let by_age = [rules.terms.max_age, maximum].into_iter().flatten();
        let by_age = by_age.filter_map(|age| self.issued_at.checked_add(age));
        of_lease.into_iter().chain(by_age).min()
    }

    /// The next one is issued at `point`, if not before.
    fn reissue_by(&mut self, point: Instant) {
        self.reissue_at = Some(self.reissue_at.map_or(point, |planned| planned.min(point)));
    }

    /// Whether the last renewal failed.
    pub(crate) fn is_failing(&self) -> bool {
        self.renewals_failed > 0
    }

    fn left(&self, now: Instant) -> Option<Duration> {
        self.end().map(|end| end.saturating_duration_since(now))
    }

    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.end().is_some_and(|end| end <= now) && !self.is_end_doubted
    }

    /// From when on its end is so near that a successor is overdue.
    pub(crate) fn near_end(&self) -> Option<Instant> {
        let end = self.end()?;
        let whole = end.saturating_duration_since(self.issued_at);
        let whole = self.first_life.map_or(whole, |first| whole.min(first));
        end.checked_sub(whole / 10)
    }

    /// A renewal makes sense while there is a lease that ends before what no renewal moves.
    fn plan_renewal(&mut self, from: Instant, rules: &LeaseRules, rng: &mut impl Rng) {
        let end = self.lease_end.filter(|end| self.token_end().is_none_or(|hard| *end < hard));
        self.renew_at = end.filter(|_| self.is_renewable).map(|end| rules.renewal(from, end, rng));
    }

    /// Plans with other rules. What has no full life left keeps its moments, and so does the issue of what has no value.
    pub(super) fn plan_again(
        &mut self,
        (rules, maximum): (&LeaseRules, Option<Duration>),
        now: Instant,
        rng: &mut impl Rng,
    ) {
        if self.is_ageing || self.is_lost {
            return;
        }
        if self.has_value {
            let end = self.whole_end(rules, maximum);
            self.reissue_at = end.map(|end| rules.reissue_point(self.issued_at, end, rng));
        }
        self.plan_renewal(now, rules, rng);
    }

    /// The next renewal, unless it ends later than it is needed.
    pub(crate) fn renewal(&self) -> Option<Instant> {
        let is_needed = |end: Instant| match self.retire_at {
            None => true,
            Some(retire_at) => self.retirements_failed == 0 && end < retire_at,
        };
        self.renew_at.filter(|_| !self.is_lost && self.lease_end.is_some_and(is_needed))
    }

    /// The server is asked whether it is there.
    pub(super) fn look_up_now(&mut self, now: Instant, rules: &LeaseRules) {
        self.look_up_at = self.next_look_up(now, rules).map(|_| now);
    }

    fn next_look_up(&self, from: Instant, rules: &LeaseRules) -> Option<Instant> {
        self.lease.as_ref().filter(|_| rules.is_leased).map(|_| from + rules.look_up_every)
    }

    /// The answer to a renewal that was sent at `asked_at`. It is true where the answer shows the most that the server
    /// gives.
    pub(super) fn renewed(
        &mut self,
        renewed: Renewed,
        asked_at: Instant,
        rules: &LeaseRules,
        rng: &mut impl Rng,
    ) -> bool {
        let is_short = self.first_life.is_some_and(|first| renewed.life < first.mul_f64(0.9));
        let was_doubted = self.is_end_doubted;
        self.lease_end = asked_at.checked_add(renewed.life);
        self.is_there(asked_at);
        self.renewals_failed = 0;
        self.is_renewable = renewed.is_renewable && !is_short;
        if !self.is_renewable {
            self.age(asked_at);
        }
        self.plan_renewal(asked_at, rules, rng);
        // An answer that was under way when the end came in doubt takes no doubt away.
        if self.look_up_at.is_some() && !was_doubted {
            self.look_up_at = self.next_look_up(asked_at, rules);
        }
        is_short
    }

    /// No renewal prolongs it: the next one is issued when half of what is left is over, if not before.
    pub(super) fn age(&mut self, now: Instant) {
        self.is_ageing = true;
        self.is_renewable = false;
        self.renew_at = None;
        let Some(left) = self.left(now) else { return };
        self.reissue_by(now + left / 2);
    }

    /// A renewal failed, and is tried again.
    pub(super) fn renewal_failed(&mut self, now: Instant, rng: &mut impl Rng) {
        self.renewals_failed = self.renewals_failed.saturating_add(1);
        self.renew_at = Some(now + wait_after(self.renewals_failed, self.left(now), rng));
    }

    /// The server says that it lives for `left` from `asked_at` on.
    pub(super) fn lives(
        &mut self,
        left: Duration,
        asked_at: Instant,
        rules: &LeaseRules,
        rng: &mut impl Rng,
    ) {
        self.is_there(asked_at);
        self.look_ups_failed = 0;
        self.look_up_at = self.look_up_at.and_then(|_| self.next_look_up(asked_at, rules));
        let Some(known) = self.lease_end else { return };
        let end = asked_at + left.min(Duration::from_secs(u64::from(u32::MAX)));
        // Times that differ by the way of the answer are no news.
        let is_news = end + SPACING * 2 < known || known + SPACING * 2 < end;
        if !is_news {
            return;
        }
        self.lease_end = Some(end);
        let is_due = self.renew_at.is_some_and(|at| at <= asked_at);
        if self.renewals_failed == 0 && !is_due {
            self.plan_renewal(asked_at, rules, rng);
        }
        if end < known && !self.is_renewable {
            self.age(asked_at);
        }
    }

    /// The server says that it is there.
    fn is_there(&mut self, now: Instant) {
        self.refute();
        self.take_for_true();
        if self.token_end().is_some_and(|end| end <= now) {
            self.outlives_token(now);
        }
    }

    /// The server has answered, or does not let us ask: the ends that are known count.
    pub(super) fn take_for_true(&mut self) {
        self.is_end_doubted = false;
        self.token.iter_mut().for_each(|token| token.is_noted = false);
    }

    /// It lives beyond the end that was known of its token, which is replaced: that was renewed after the end was noted, and
    /// nobody renews it now.
    fn outlives_token(&mut self, now: Instant) {
        self.token.iter_mut().for_each(|token| token.end = None);
        self.is_ageing = true;
        self.reissue_by(now);
    }

    /// A look-up brought no verdict.
    pub(super) fn look_up_failed(&mut self, now: Instant, rng: &mut impl Rng) {
        self.is_end_doubted = false;
        self.look_ups_failed = self.look_ups_failed.saturating_add(1);
        self.look_up_at = Some(now + wait_after(self.look_ups_failed, self.left(now), rng));
    }

    /// What is known of the token that issues now; says whether it is another one than has issued this.
    pub(super) fn token_changed(&mut self, life: TokenLife, now: Instant, rng: &mut impl Rng) -> bool {
        let Some(token) = self.token.as_mut().filter(|token| !token.is_replaced) else { return false };
        let is_replaced = token.fingerprint != Some(life.token);
        if !is_replaced && (token.end, token.is_final) == (life.end, life.is_final) {
            return false;
        }
        if !is_replaced {
            *token = life.into();
        }
        token.is_replaced = is_replaced;
        if is_replaced && (token.unrenewed == Unrenewed::Refuted || token.is_stale()) {
            self.outlives_token(now);
        }
        let Some(end) = self.token_end() else { return is_replaced };
        if is_replaced {
            self.is_ageing = true;
            self.reissue_by(in_first_half(now, end, rng));
        }
        if self.lease_end.is_some_and(|lease_end| lease_end >= end) {
            self.renew_at = None;
        }
        is_replaced
    }

    /// It is retired now. Nobody asks any more what became of its token: it lives as long as its lease.
    pub(super) fn give_up(&mut self, now: Instant) {
        (self.withdraw_at, self.retire_at) = (None, Some(now));
        (self.look_up_at, self.is_end_doubted) = (None, false);
        self.refute();
    }

    /// The last known end of its token has passed, and it was not the end.
    fn refute(&mut self) {
        if let Some(token) = self.token.as_mut().filter(|token| token.unrenewed == Unrenewed::Passed) {
            token.unrenewed = Unrenewed::Refuted;
        }
    }

    /// It could not be retired; it is tried again.
    pub(super) fn retirement_failed(&mut self, now: Instant, rng: &mut impl Rng) {
        self.retirements_failed = self.retirements_failed.saturating_add(1);
        self.retire_at = Some(now + wait_after(self.retirements_failed, None, rng));
    }

    /// The machine slept: all that happened lies further back, and all that ends is nearer.
    pub(super) fn slept(&mut self, by: Duration) {
        let back = |moment: &mut Instant| *moment = moment.checked_sub(by).unwrap_or(*moment);
        back(&mut self.issued_at);
        let Self { lease_end, reissue_at, renew_at, retire_at, .. } = self;
        [lease_end, reissue_at, renew_at, retire_at].into_iter().flatten().for_each(back);
        if let Some(end) = self.token.as_mut().and_then(|token| token.end.as_mut()) {
            back(end);
        }
    }
}
