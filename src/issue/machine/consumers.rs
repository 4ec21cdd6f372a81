//! Which credentials the files of each secret hold, and which ones its consumers may still use.

use tokio::time::{Duration, Instant};

use crate::name::{CredentialNumber, SecretName};

/// The secrets that have the source, in the order of their names. Most sources have one, for which a map would take the
/// place of eleven.
#[derive(Default, Debug)]
pub(super) struct Consumers(Vec<Use>);

/// What one secret uses.
#[derive(Debug)]
struct Use {
    secret: SecretName,
    held: Option<Held>,
    /// Since when it counts as confirmed, because the time for that was over.
    unconfirmed_since: Option<Instant>,
    /// Since when what is in the files is dead.
    dead_since: Option<Instant>,
    /// The one that the files do not get, because the secret is held.
    withheld: Option<CredentialNumber>,
}

/// The credentials that one secret may use: all of these numbers.
#[derive(Debug)]
struct Held {
    /// The one that consumers have for sure.
    oldest: CredentialNumber,
    /// The one in the files.
    newest: CredentialNumber,
    /// What was written into the files, when, and is not confirmed. Each has its own time to be confirmed in: one after
    /// another would keep all of them alive if hooks failed for good.
    unconfirmed: Vec<(CredentialNumber, Instant)>,
}

impl Consumers {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `secret` has the source, and maybe files with one of the credentials `known`.
    pub(super) fn join(&mut self, secret: &SecretName, known: Option<(CredentialNumber, CredentialNumber)>) {
        let held = known.map(|(oldest, newest)| Held { oldest, newest, unconfirmed: Vec::new() });
        let Err(place) = self.place(secret) else { return };
        let used =
            Use { secret: secret.clone(), held, unconfirmed_since: None, dead_since: None, withheld: None };
        self.0.reserve_exact(1);
        self.0.insert(place, used);
    }

    pub(super) fn leave(&mut self, secret: &SecretName) {
        if let Ok(place) = self.place(secret) {
            self.0.remove(place);
        }
    }

    /// The files of `secret` hold credential `number`: true when that is new.
    pub(super) fn published(&mut self, secret: &SecretName, number: CredentialNumber, now: Instant) -> bool {
        let Some(used) = self.of(secret) else { return false };
        let is_new = used.held.as_ref().is_none_or(|held| held.newest != number);
        if is_new {
            used.dead_since = None;
        }
        match &mut used.held {
            Some(held) if held.newest == number && !held.unconfirmed.is_empty() => {}
            Some(held) if held.newest == number && held.oldest == number => {}
            Some(held) => {
                held.oldest = held.oldest.min(number);
                held.newest = number;
                held.unconfirmed.push((number, now));
            }
            none => *none = Some(Held { oldest: number, newest: number, unconfirmed: vec![(number, now)] }),
        }
        is_new
    }

    /// The consumers of `secret` have credential `number`.
    pub(super) fn confirmed(&mut self, secret: &SecretName, number: CredentialNumber) {
        let Some(used) = self.of(secret) else { return };
        if let Some(held) = used.held.as_mut().filter(|held| held.newest == number) {
            held.oldest = number;
            held.unconfirmed.clear();
            used.unconfirmed_since = None;
        }
    }

    /// Credential `number` is dead.
    pub(super) fn lost(&mut self, number: CredentialNumber, now: Instant) {
        let has_it = |used: &&mut Use| used.held.as_ref().is_some_and(|held| held.newest == number);
        for used in self.0.iter_mut().filter(has_it) {
            used.dead_since.get_or_insert(now);
        }
    }

    /// The files of `secret` do not get credential `number`, because it is held: true when that is new.
    pub(super) fn withheld(&mut self, secret: &SecretName, number: CredentialNumber) -> bool {
        let Some(used) = self.of(secret) else { return false };
        // What an earlier process left may be taken for it.
        if let Some(held) = used.held.as_mut().filter(|held| held.newest == number) {
            held.newest = held.oldest;
            held.unconfirmed.clear();
        }
        used.held.take_if(|held| held.newest == number);
        used.withheld.replace(number) != Some(number)
    }

    /// Takes for confirmed what was to be confirmed by now; says which.
    pub(super) fn overdue(&mut self, timeout: Duration, now: Instant) -> Vec<(SecretName, CredentialNumber)> {
        let mut overdue = Vec::new();
        for used in &mut self.0 {
            let Some(held) = &mut used.held else { continue };
            let over = held.unconfirmed.iter().take_while(|(_, since)| *since + timeout <= now).count();
            if let Some((number, _)) = held.unconfirmed.drain(..over).next_back() {
                held.oldest = number.min(held.newest);
                used.unconfirmed_since.get_or_insert(now);
                overdue.push((used.secret.clone(), number));
            }
        }
        overdue
    }

    /// When the next confirmation is overdue.
    pub(super) fn deadline(&self, timeout: Duration) -> Option<Instant> {
        let first = self.held().filter_map(|held| held.unconfirmed.first());
        first.map(|(_, since)| *since + timeout).min()
    }

    /// Whether consumers of any secret may use credential `number`.
    pub(super) fn need(&self, number: CredentialNumber) -> bool {
        self.held().any(|held| held.oldest <= number && number <= held.newest)
    }

    /// Whether the files of any secret hold credential `number`.
    pub(super) fn have(&self, number: CredentialNumber) -> bool {
        self.held().any(|held| held.newest == number)
    }

    /// Whether the files of all secrets hold credential `number`.
    pub(super) fn all_have(&self, number: CredentialNumber) -> bool {
        self.0.iter().all(|used| used.held.as_ref().is_some_and(|held| held.newest == number))
    }

    /// Whether a confirmation is waited for.
    pub(super) fn is_pending(&self) -> bool {
        self.held().any(|held| !held.unconfirmed.is_empty())
    }

    /// The secrets whose files hold a dead credential, and since when.
    pub(super) fn with_dead(&self) -> impl Iterator<Item = (&SecretName, Instant)> {
        self.0.iter().filter_map(|used| Some((&used.secret, used.dead_since?)))
    }

    /// The secrets whose consumers may not have what is in the files, although the time for that is over; since when.
    pub(super) fn unconfirmed(&self) -> impl Iterator<Item = (&SecretName, Instant)> {
        self.0.iter().filter_map(|used| Some((&used.secret, used.unconfirmed_since?)))
    }

    /// The secrets whose files do not hold credential `number`, or whose consumers do not have it.
    pub(super) fn without(&self, number: CredentialNumber) -> Vec<SecretName> {
        let is_confirmed = |held: &Held| held.newest == number && held.unconfirmed.is_empty();
        let has =
            |used: &Use| used.unconfirmed_since.is_none() && used.held.as_ref().is_some_and(is_confirmed);
        self.0.iter().filter(|used| !has(used)).map(|used| used.secret.clone()).collect()
    }

    /// The secrets, in the order of their names.
    pub(super) fn names(&self) -> impl Iterator<Item = &SecretName> {
        self.0.iter().map(|used| &used.secret)
    }

    /// The machine slept for `by`.
    pub(super) fn slept(&mut self, by: Duration) {
        let held = self.0.iter_mut().filter_map(|used| used.held.as_mut());
        for (_, since) in held.flat_map(|held| &mut held.unconfirmed) {
            *since = since.checked_sub(by).unwrap_or(*since);
        }
    }

    fn held(&self) -> impl Iterator<Item = &Held> {
        self.0.iter().filter_map(|used| used.held.as_ref())
    }

    fn of(&mut self, secret: &SecretName) -> Option<&mut Use> {
        let place = self.place(secret).ok()?;
        self.0.get_mut(place)
    }

    /// Where `secret` is, or would be.
    fn place(&self, secret: &SecretName) -> Result<usize, usize> {
        self.0.binary_search_by(|used| used.secret.cmp(secret))
    }
}
