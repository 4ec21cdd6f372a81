//! Searches, with a scripted store.

use super::*;
use crate::store::fake::{FakeStore, sources};

fn fields(value: &str) -> Fields {
    [("value".to_owned(), FieldValue::from(value))].into_iter().collect()
}

fn store_of(keys: &[&str]) -> FakeStore {
    let store = FakeStore::new();
    for key in keys {
        store.answer(&format!("kv/{key}"), fields(key));
    }
    store
}

/// The paths that a search with these keys finds.
async fn found(store: &FakeStore, keys: &str) -> Result<Vec<String>, Fault> {
    let sources = sources(&format!("    dataFrom: [{{ find: {{ {keys} }} }}]"));
    let source = sources.first();
    let search = source.search.as_ref().unwrap();
    let key = FingerprintKey::random().unwrap();
    let fetched = find(store, &source.read, search, &key).await?;
    Ok(fetched.fields.unwrap().names().map(str::to_owned).collect())
}

#[tokio::test]
async fn finds_by_the_path_below_the_mount_at_any_depth() {
    let store = store_of(&["dev/a", "dev/b/c", "dev/b/d/e", "devel/x", "prod/a"]);
    let all = ["dev/a", "dev/b/c", "dev/b/d/e"];
    assert_eq!(found(&store, "path: dev, name: { regexp: . }").await.unwrap(), all);
    assert_eq!(found(&store, "name: { regexp: '^dev/' }").await.unwrap(), all);
    assert_eq!(found(&store, "path: dev/, name: { regexp: 'v/b' }").await.unwrap(), ["dev/b/c", "dev/b/d/e"]);
    assert_eq!(found(&store, "name: { regexp: a$ }").await.unwrap(), ["dev/a", "prod/a"]);
}

#[tokio::test]
async fn what_fits_and_nothing_else_is_read() {
    let store = store_of(&["a", "b"]);
    found(&store, "name: { regexp: a }").await.unwrap();
    let paths: Vec<_> = store.calls().iter().map(SecretRead::path).collect();
    assert_eq!(paths, ["kv/", "kv/a"]);
}

#[tokio::test]
async fn finds_by_tags_all_of_which_must_fit() {
    let store = store_of(&["a", "b", "c"]);
    store.tag("kv/a", "env", "prod");
    store.tag("kv/b", "env", "prod");
    store.tag("kv/b", "team", "x");
    assert_eq!(found(&store, "tags: { env: prod }").await.unwrap(), ["a", "b"]);
    assert_eq!(found(&store, "tags: { env: prod, team: x }").await.unwrap(), ["b"]);
    assert_eq!(found(&store, "name: { regexp: '[ac]' }, tags: { env: prod }").await.unwrap(), ["a"]);
    assert_eq!(found(&store, "tags: { env: test }").await.unwrap_err().kind, Kind::Absent);
}

#[tokio::test]
async fn deleted_secrets_are_left_out_and_other_faults_are_not() {
    let store = store_of(&["a", "b"]);
    let fail = |kind| store.fail("kv/a", Fault::new(kind, "m", "r"));
    for kind in [Kind::Deleted, Kind::Destroyed, Kind::Absent] {
        fail(kind);
        assert_eq!(found(&store, "name: { regexp: . }").await.unwrap(), ["b"]);
    }
    let nothing = found(&store, "name: { regexp: a }").await.unwrap_err();
    assert_eq!((nothing.kind, &*nothing.message), (Kind::Absent, "no secret below kv/ fits the search"));
    fail(Kind::Denied);
    assert_eq!(found(&store, "name: { regexp: . }").await.unwrap_err().kind, Kind::Denied);
}

#[tokio::test]
async fn the_revision_changes_with_the_set_and_with_each_secret() {
    let store = store_of(&["a", "b"]);
    let sources = sources("    dataFrom: [{ find: { name: { regexp: . } } }]");
    let (source, key) = (sources.first(), FingerprintKey::random().unwrap());
    let search = source.search.as_ref().unwrap();
    let revision = async || find(&store, &source.read, search, &key).await.unwrap().revision;
    let first = revision().await;
    assert_eq!(revision().await, first);
    store.answer("kv/b", fields("new"));
    let second = revision().await;
    assert_ne!(second, first);
    store.fail("kv/a", Fault::new(Kind::Deleted, "m", "r"));
    assert_ne!(revision().await, second);
}

#[tokio::test]
async fn a_search_is_bounded() {
    let error = async |store: &FakeStore| found(store, "name: { regexp: . }").await.unwrap_err().message;
    let many: Vec<_> = (0..=MOST_SECRETS).map(|n| n.to_string()).collect();
    let store = store_of(&many.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(error(&store).await, "kv/: 1001 secrets fit, more than a search may read (1000)");
    let folders: Vec<_> = (0..MOST_FOLDERS).map(|n| format!("{n}/a")).collect();
    let store = store_of(&folders.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(error(&store).await.contains("more folders below it"));
    let deep = format!("{}x", "a/".repeat(MAX_DEPTH));
    assert!(error(&store_of(&[&deep])).await.contains("deeper in each other"));
    let most = format!("{}x", "a/".repeat(MAX_DEPTH - 1));
    assert_eq!(found(&store_of(&[&most]), "name: { regexp: x }").await.unwrap(), [most]);
}
