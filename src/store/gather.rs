//! All that one secret reads: every source once, together, all or nothing.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::future::{join_all, select_all};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::search;
use super::{Fetched, Life, RequestId, Revision, Store};
use crate::config::sources::{Source, Sources};
use crate::fault::{Fault, Kind};
use crate::secret::{Fields, FingerprintKey, SecretText};

/// Where a secret is read from: the store of each of its sources, in their order.
#[derive(Clone)]
pub(crate) struct SourceStores(Arc<[Arc<dyn Store>]>);

/// What the sources of a secret answered.
#[derive(Debug)]
pub(crate) struct Gathered {
    /// The fields of each source; `None`: unchanged since the revision that the caller has.
    pub answers: Option<Vec<Arc<Fields>>>,
    /// What each source's store says of its fields; see [`Fetched::metadata`].
    pub metadata: Vec<Option<SecretText>>,
    /// When the oldest of them was written, where a store says so.
    pub created: Option<SystemTime>,
    /// Of all of them.
    pub revision: Revision,
    /// The version number of each source, where there are several.
    pub versions: Vec<Option<u64>>,
    /// How long all of it stays right.
    pub life: Life,
    /// Of the only source.
    pub request_id: Option<RequestId>,
    /// As in [`Fetched`], of the only source.
    pub turn: Option<Arc<OwnedSemaphorePermit>>,
}

/// Why a secret could not be read.
#[derive(Debug)]
pub(crate) struct ReadFailure {
    pub fault: Fault,
    /// Other sources of the secret are still there: it is not gone.
    pub is_partial: bool,
    /// Numbers of the sources that are absent, where there are several.
    pub absent: Vec<usize>,
}

impl From<Fault> for ReadFailure {
    fn from(fault: Fault) -> Self {
        Self { fault, is_partial: false, absent: Vec::new() }
    }
}

impl From<Arc<dyn Store>> for SourceStores {
    fn from(store: Arc<dyn Store>) -> Self {
        Self(Arc::new([store]))
    }
}

impl FromIterator<Arc<dyn Store>> for SourceStores {
    fn from_iter<I: IntoIterator<Item = Arc<dyn Store>>>(stores: I) -> Self {
        Self(stores.into_iter().collect())
    }
}

impl SourceStores {
    /// Whether these are the same stores, and not others of the same names.
    pub(crate) fn are(&self, others: &Self) -> bool {
        self.0.len() == others.0.len() && self.0.iter().zip(&*others.0).all(|(a, b)| Arc::ptr_eq(a, b))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<dyn Store>> {
        self.0.iter()
    }

    /// Each source with its store.
    fn of<'s>(&'s self, sources: &'s Sources) -> impl Iterator<Item = (&'s Source, &'s dyn Store)> {
        sources.all().zip(self.0.iter().map(AsRef::as_ref))
    }

    /// Reads every source of a secret. `known` is the revision that the caller has; where there are several sources it is
    /// compared, but all of them are read: what has not changed is needed beside what has, and is kept nowhere.
    /// `note` sees the outcome of each read.
    ///
    /// # Errors
    /// A source could not be read.
    ///
    /// # Cancel safety
    /// Dropping the future abandons the requests and nothing else.
    pub(crate) async fn gather(
        &self,
        sources: &Sources,
        known: Option<Revision>,
        key: &FingerprintKey,
        note: impl Fn(&Source, &Result<Fetched, Fault>),
    ) -> Result<Gathered, ReadFailure> {
        if let (Some(source), Some(store)) = (sources.only(), self.0.first()) {
            let fetched = store.fetch(&source.read, known).await;
            note(source, &fetched);
            return Ok(Gathered::of_one(fetched?));
        }
        let reads = self.of(sources).map(|(source, store)| async move {
            let fetched = match &source.search {
                None => store.fetch(&source.read, None).await,
                Some(search) => search::find(store, &source.read, search, key).await,
            };
            // A large answer waits for the turn of the one before it, which may be another one of this secret.
            fetched.map(|fetched| Fetched { turn: None, ..fetched })
        });
        let outcomes = join_all(reads).await;
        sources.all().zip(&outcomes).for_each(|(source, outcome)| note(source, outcome));
        combined(sources, outcomes, known, key)
    }

    /// Reads every source that is no issue, and keeps nothing of it: what is wrong with each.
    pub(crate) async fn probe(&self, sources: &Sources, key: &FingerprintKey) -> Vec<Fault> {
        let reads = self.of(sources).filter(|(source, _)| source.read.issued().is_none());
        let reads = reads.map(|(source, store)| async move {
            let fetched = match &source.search {
                None => store.fetch(&source.read, None).await.map(drop),
                Some(search) => search::find(store, &source.read, search, key).await.map(drop),
            };
            fetched.err().map(|fault| {
                let message = format!("source {}: {}", source.path(), fault.message);
                Fault { message, ..fault }
            })
        });
        join_all(reads).await.into_iter().flatten().collect()
    }

    /// Returns when the outcome of a read at `read_at` is outdated; see [`Store::outdated`].
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub(crate) async fn outdated(&self, sources: &Sources, read_at: Instant, failure: Option<Kind>) {
        if let (Some(source), Some(store)) = (sources.only(), self.0.first()) {
            return store.outdated(&source.read, read_at, failure).await;
        }
        select_all(self.of(sources).map(|(source, store)| store.outdated(&source.read, read_at, failure)))
            .await;
    }

    /// The places that the secret is read from, as one name; see [`Store::place`].
    ///
    /// # Errors
    /// As for [`Store::place`], of the first of them.
    pub(crate) async fn place(&self, sources: &Sources) -> Result<String, Fault> {
        let mut places = String::new();
        for (index, (source, store)) in self.of(sources).enumerate() {
            places.push_str(if index > 0 { "\n" } else { "" });
            places.push_str(&store.place(&source.read).await?);
        }
        Ok(places)
    }
}

impl Gathered {
    fn of_one(fetched: Fetched) -> Self {
        let Fetched { fields, metadata, created, revision, life, request_id, turn } = fetched;
        let (answers, metadata, versions) = (fields.map(|fields| vec![fields]), vec![metadata], Vec::new());
        Self { answers, metadata, created, revision, versions, life, request_id, turn }
    }
}

/// What all sources answered, if all did.
fn combined(
    sources: &Sources,
    outcomes: Vec<Result<Fetched, Fault>>,
    known: Option<Revision>,
    key: &FingerprintKey,
) -> Result<Gathered, ReadFailure> {
    if outcomes.iter().any(Result::is_err) {
        return Err(failure(sources, &outcomes));
    }
    let fetched: Vec<Fetched> = outcomes.into_iter().flatten().collect();
    let revision = Revision::of_all(fetched.iter().map(|fetched| ("", fetched.revision)), key);
    let versions = fetched.iter().map(|fetched| fetched.revision.version()).collect();
    let created = fetched.iter().filter_map(|fetched| fetched.created).min();
    let life = fetched.iter().fold(Life::Open, |life, fetched| life.shorter(fetched.life));
    let (answers, metadata) =
        fetched.into_iter().map(|fetched| (fetched.fields.unwrap_or_default(), fetched.metadata)).unzip();
    let answers = (known != Some(revision)).then_some(answers);
    Ok(Gathered { answers, metadata, created, revision, versions, life, request_id: None, turn: None })
}

/// The fault of the secret: of the sources that failed, one that is not simply gone, or else one that is absent, because
/// a deletion takes more evidence then.
fn failure(sources: &Sources, outcomes: &[Result<Fetched, Fault>]) -> ReadFailure {
    let faults = || {
        sources.all().zip(outcomes).filter_map(|(source, outcome)| Some((source, outcome.as_ref().err()?)))
    };
    let is_gone = |kind| matches!(kind, Kind::Absent | Kind::Deleted | Kind::Destroyed);
    let worst = |fault: &Fault| match fault.kind {
        Kind::Absent => 1,
        kind if is_gone(kind) => 2,
        _ => 0,
    };
    let Some((source, fault)) = faults().min_by_key(|(_, fault)| worst(fault)) else {
        return Fault::new(Kind::Internal, "no source failed", "please report this").into();
    };
    let others = match faults().count() {
        1 => String::new(),
        2 => " (and one more source failed)".to_owned(),
        more => format!(" (and {} more sources failed)", more - 1),
    };
    let retry_after: Option<Duration> = faults().filter_map(|(_, fault)| fault.retry_after).max();
    let is_partial = is_gone(fault.kind) && faults().count() < outcomes.len();
    let stays = if is_partial { "; other sources of the secret are there, so its files stay" } else { "" };
    let message = format!("source {}: {}{others}{stays}", source.path(), fault.message);
    let is_absent =
        |outcome: &Result<_, Fault>| outcome.as_ref().is_err_and(|fault| fault.kind == Kind::Absent);
    let absent =
        outcomes.iter().enumerate().filter(|(_, outcome)| is_absent(outcome)).map(|(source, _)| source);
    let absent = absent.collect();
    ReadFailure { fault: Fault { message, retry_after, ..fault.clone() }, is_partial, absent }
}

#[cfg(test)]
mod tests;
