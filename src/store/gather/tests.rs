//! Several sources of one secret, with scripted stores.

use super::*;
use crate::secret::FieldValue;
use crate::store::fake::{FakeStore, sources};

const THREE: &str =
    "    dataFrom: [{ extract: { key: a } }, { extract: { key: b } }, { extract: { key: c } }]";

fn fields(value: &str) -> Fields {
    [("value".to_owned(), FieldValue::from(value))].into_iter().collect()
}

/// A store that has `a`, `b` and `c`, and as the store of every source.
fn stores(sources: &Sources) -> (FakeStore, SourceStores) {
    let fake = FakeStore::new();
    for key in ["kv/a", "kv/b", "kv/c"] {
        fake.answer(key, fields(key));
    }
    let stores = sources.all().map(|_| Arc::new(fake.clone()) as Arc<dyn Store>).collect();
    (fake, stores)
}

fn fault(kind: Kind) -> Fault {
    Fault::new(kind, format!("it is {kind}"), "correct it")
}

#[tokio::test(start_paused = true)]
async fn every_source_is_read_once_and_all_together() {
    let sources = sources(THREE);
    let (fake, stores) = stores(&sources);
    let second = Duration::from_secs(1);
    fake.latency(second);
    let (begun, key) = (Instant::now(), FingerprintKey::random().unwrap());
    let gathered = stores.gather(&sources, None, &key, |_, _| {}).await.unwrap();
    assert_eq!((begun.elapsed(), fake.calls().len()), (second, 3));
    assert_eq!(gathered.versions, [Some(1), Some(2), Some(3)]);
    assert_eq!(gathered.answers.unwrap().len(), 3);
}

#[tokio::test]
async fn the_revision_is_of_all_sources_and_what_is_known_comes_without_fields() {
    let sources = sources(THREE);
    let (fake, stores) = stores(&sources);
    let key = FingerprintKey::random().unwrap();
    let gather = async |known| stores.gather(&sources, known, &key, |_, _| {}).await.unwrap();
    let first = gather(None).await;
    let same = gather(Some(first.revision)).await;
    assert!(same.answers.is_none() && same.revision == first.revision);
    fake.answer("kv/b", fields("new"));
    let changed = gather(Some(first.revision)).await;
    assert_eq!(changed.answers.map(|answers| answers.len()), Some(3), "the others are there, too");
    assert_ne!(changed.revision, first.revision);
    assert_eq!(fake.calls().len(), 9, "one request for each source and pass");
}

#[tokio::test]
async fn the_life_of_all_is_the_shortest() {
    let sources = sources(THREE);
    let (fake, stores) = stores(&sources);
    let key = FingerprintKey::random().unwrap();
    let (soon, late) = (Instant::now(), Instant::now() + Duration::from_secs(9));
    for (lives, shortest) in [
        ([Life::Open, Life::Open, Life::Open], Life::Open),
        ([Life::Open, Life::Until(late), Life::Next(soon)], Life::Next(soon)),
        ([Life::Until(soon), Life::Open, Life::Next(late)], Life::Until(soon)),
    ] {
        ["kv/a", "kv/b", "kv/c"].into_iter().zip(lives).for_each(|(path, life)| fake.live(path, life));
        assert_eq!(stores.gather(&sources, None, &key, |_, _| {}).await.unwrap().life, shortest);
    }
}

#[tokio::test]
async fn a_failure_names_its_source_and_is_a_deletion_only_if_all_are_gone() {
    use Kind::{Absent, Deleted, Denied, Destroyed, Unreachable};
    let sources = sources(THREE);
    let key = FingerprintKey::random().unwrap();
    for (kinds, kind, is_partial, message) in [
        ([Some(Denied), None, None], Denied, false, "source kv/a: it is denied"),
        (
            [Some(Deleted), None, None],
            Deleted,
            true,
            "source kv/a: it is deleted; other sources of the secret are there",
        ),
        (
            [None, Some(Absent), Some(Deleted)],
            Absent,
            true,
            "source kv/b: it is absent (and one more source failed); other",
        ),
        (
            [Some(Deleted), Some(Unreachable), None],
            Unreachable,
            false,
            "source kv/b: it is unreachable (and one more",
        ),
        (
            [Some(Deleted), Some(Destroyed), Some(Absent)],
            Absent,
            false,
            "source kv/c: it is absent (and 2 more sources failed)",
        ),
        (
            [Some(Deleted), Some(Destroyed), Some(Deleted)],
            Deleted,
            false,
            "source kv/a: it is deleted (and 2 more",
        ),
    ] {
        let (fake, stores) = stores(&sources);
        for (path, kind) in ["kv/a", "kv/b", "kv/c"].into_iter().zip(kinds) {
            if let Some(kind) = kind {
                fake.fail(path, fault(kind));
            }
        }
        let failure = stores.gather(&sources, None, &key, |_, _| {}).await.unwrap_err();
        assert_eq!((failure.fault.kind, failure.is_partial), (kind, is_partial), "{kinds:?}");
        assert!(failure.fault.message.starts_with(message), "{}", failure.fault.message);
    }
}

#[tokio::test]
async fn the_longest_wait_that_a_server_asks_for_counts() {
    let sources = sources(THREE);
    let (fake, stores) = stores(&sources);
    for (path, seconds) in [("kv/a", 1), ("kv/b", 30)] {
        let retry_after = Some(Duration::from_secs(seconds));
        fake.fail(path, Fault { retry_after, ..fault(Kind::RateLimited) });
    }
    let key = FingerprintKey::random().unwrap();
    let failure = stores.gather(&sources, None, &key, |_, _| {}).await.unwrap_err();
    assert_eq!(failure.fault.retry_after, Some(Duration::from_secs(30)));
}

#[tokio::test]
async fn a_secret_with_one_source_is_asked_for_as_ever() {
    let sources = sources("    key: a");
    let (_, stores) = stores(&sources);
    let key = FingerprintKey::random().unwrap();
    let gathered = stores.gather(&sources, None, &key, |_, _| {}).await.unwrap();
    assert_eq!((gathered.revision.version(), gathered.versions.len()), (Some(1), 0));
    let again = stores.gather(&sources, Some(gathered.revision), &key, |_, _| {}).await.unwrap();
    assert!(again.answers.is_none());
}
