//! The file store against real files.

use std::fs;
use std::os::unix::fs::symlink;

use tempfile::TempDir;

use super::*;
use crate::config::sources::Search;
use crate::fault::Kind;
use crate::secret::SecretBytes;
use crate::store::Revision;
use crate::store::fake::{source, sources};
use crate::store::search;

struct Lab {
    directory: TempDir,
}

impl Lab {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    #[expect(clippy::disallowed_methods, reason = "test data, not secrets")]
    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn link(&self, target: impl AsRef<Path>, name: &str) {
        symlink(target, self.path(name)).unwrap();
    }

    fn store(&self, name: &str) -> FileStore {
        self.limited(name, &Limits::default())
    }

    fn limited(&self, name: &str, limits: &Limits) -> FileStore {
        let key = FingerprintKey::random().unwrap();
        FileStore::build(&FileStoreSpec { path: self.path(name) }, limits, key).unwrap()
    }
}

async fn get(store: &FileStore, key: &str) -> Vec<(String, String)> {
    let fetched = store.fetch(&source(key), None).await.unwrap();
    let text = |value: &FieldValue| match value {
        FieldValue::Text(text) | FieldValue::Number(text) => text.expose().to_owned(),
        other => panic!("{other:?}"),
    };
    fetched.fields.unwrap().iter().map(|(name, value)| (name.clone(), text(value))).collect()
}

async fn fault_of(store: &FileStore, key: &str) -> Fault {
    store.fetch(&source(key), None).await.unwrap_err()
}

async fn revision(store: &FileStore, key: &str) -> Revision {
    store.fetch(&source(key), None).await.unwrap().revision
}

fn pairs<const N: usize>(pairs: [(&str, &str); N]) -> Vec<(String, String)> {
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
}

#[tokio::test]
async fn reads_a_document_and_sees_that_it_changed() {
    let lab = Lab::new();
    lab.write("lab.yaml", "app/db: {user: u1}\nother: {x: 1}\n");
    let store = lab.store("lab.yaml");
    assert_eq!(get(&store, "app/db").await, pairs([("user", "u1")]));
    let (app, other) = (revision(&store, "app/db").await, revision(&store, "other").await);
    // The same size, at once and in place: nothing but the content tells the two apart.
    lab.write("lab.yaml", "app/db: {user: u2}\nother: {x: 1}\n");
    assert_eq!(get(&store, "app/db").await, pairs([("user", "u2")]));
    assert_ne!(revision(&store, "app/db").await, app);
    assert_eq!(revision(&store, "other").await, other, "its neighbour has not changed");
}

#[tokio::test]
async fn an_unchanged_document_is_parsed_once_and_forgotten_when_it_is_gone() {
    let lab = Lab::new();
    lab.write("all.env", "A=1");
    let store = lab.store("all.env");
    let fetch = async || store.fetch(&source("any"), None).await;
    let first = fetch().await.unwrap().fields.unwrap();
    assert!(Arc::ptr_eq(&first, &fetch().await.unwrap().fields.unwrap()), "young: read again, same content");
    let kept = Arc::downgrade(&first);
    drop(first);
    assert!(kept.upgrade().is_some());
    fs::remove_file(lab.path("all.env")).unwrap();
    assert_eq!(fetch().await.unwrap_err().kind, Kind::Unreachable);
    assert!(kept.upgrade().is_none());
}

#[tokio::test]
async fn a_secret_that_is_as_it_was_comes_without_fields() {
    let lab = Lab::new();
    lab.write("all.env", "A=1");
    let store = lab.store("all.env");
    let first = store.fetch(&source("any"), None).await.unwrap();
    let again = store.fetch(&source("any"), Some(first.revision)).await.unwrap();
    assert_eq!((again.fields, again.revision), (None, first.revision));
    lab.write("all.env", "A=2");
    let changed = store.fetch(&source("any"), Some(first.revision)).await.unwrap();
    assert!(changed.fields.is_some() && changed.revision != first.revision);
}

#[tokio::test]
async fn an_absent_key_is_told_with_the_keys_near_it() {
    let lab = Lab::new();
    lab.write("lab.yaml", "app/db: {a: hunter2}\napp: {cache: {a: 1}, note: hunter2}\n");
    let fault = fault_of(&lab.store("lab.yaml"), "app/cahce").await;
    assert_eq!(fault.kind, Kind::Absent);
    assert!(fault.remedy.contains("`app/cache`") && !fault.remedy.contains("note"), "{}", fault.remedy);
    let fault = fault_of(&lab.store("lab.yaml"), "app/note").await;
    assert!(fault.kind == Kind::BadAnswer && fault.message.contains("is string"), "{fault}");
}

#[tokio::test]
async fn a_missing_file_is_a_fault_of_the_fetch_and_is_read_once_it_is_there() {
    let lab = Lab::new();
    let store = lab.store("lab.yaml");
    let fault = fault_of(&store, "app").await;
    assert_eq!(fault.kind, Kind::Unreachable);
    assert!(
        fault.message.contains("lab.yaml") && fault.remedy.contains("create"),
        "{fault} {}",
        fault.remedy
    );
    lab.write("lab.yaml", "app: {a: x}");
    assert_eq!(get(&store, "app").await, pairs([("a", "x")]));
}

#[tokio::test]
async fn a_file_larger_than_the_limit_is_refused() {
    let lab = Lab::new();
    lab.write("lab.yaml", "app: {a: xxxx}");
    lab.write("d/app/a", "12345678");
    lab.write("d/app/b", "1234567");
    let limits = |max_response_size| Limits { max_response_size, ..Limits::default() };
    for (name, size) in [("lab.yaml", 14), ("d", 15)] {
        assert!(lab.limited(name, &limits(size)).fetch(&source("app"), None).await.is_ok(), "{name}");
        let fault = fault_of(&lab.limited(name, &limits(size - 1)), "app").await;
        assert!(fault.kind == Kind::BadAnswer && fault.remedy.contains("maxResponseSize"), "{fault}");
    }
}

#[tokio::test]
async fn a_dotenv_file_answers_any_key_with_all_its_variables() {
    let lab = Lab::new();
    for name in [".env", ".env.local", "app.env"] {
        lab.write(name, "A=1\nB='x y'\n");
        assert_eq!(get(&lab.store(name), "whatever").await, pairs([("A", "1"), ("B", "x y")]));
    }
    lab.write("app.env", "A=1\nhunter2");
    let fault = fault_of(&lab.store("app.env"), "x").await;
    assert!(fault.message.contains("app.env:2:1: ") && !fault.message.contains("hunter2"), "{fault}");
    lab.write("app.env", "");
    assert_eq!(fault_of(&lab.store("app.env"), "x").await.kind, Kind::BadAnswer, "half of a write");
}

#[tokio::test]
async fn a_directory_gives_one_field_per_file_byte_for_byte() {
    let lab = Lab::new();
    lab.write("d/app/db/user", "admin\n");
    lab.write("d/app/db/pass", "  p\r\n\n");
    lab.write("d/app/db/.hidden", "no");
    lab.write("d/app/db/deeper/x", "no");
    assert_eq!(get(&lab.store("d"), "app/db").await, pairs([("pass", "  p\r\n\n"), ("user", "admin\n")]));
    assert_eq!(get(&lab.store("d"), "app/db/deeper").await, pairs([("x", "no")]));
    let fault = fault_of(&lab.store("d"), "app/bd").await;
    assert!(fault.kind == Kind::Absent && fault.remedy.contains("`app/db`"), "{}", fault.remedy);
}

#[tokio::test]
async fn a_directory_gives_documents_by_their_stem() {
    let lab = Lab::new();
    lab.write("d/a.yaml", "x: 1");
    lab.write("d/b/c.yml", "x: 2");
    lab.write("d/d.json", r#"{"x": 3.10}"#);
    lab.write("d/e.env", "x=4");
    let store = lab.store("d");
    for (key, value) in [("a", "1"), ("b/c", "2"), ("d", "3.10"), ("e", "4")] {
        assert_eq!(get(&store, key).await, pairs([("x", value)]), "{key}");
    }
    lab.write("d/a.json", "{}");
    let fault = fault_of(&store, "a").await;
    assert!(fault.message.contains("a.yaml, a.json"), "{fault}");
}

#[tokio::test]
async fn the_links_of_a_kubernetes_mount_are_followed() {
    let lab = Lab::new();
    lab.write("d/app/..2026_1/user", "one");
    lab.write("d/app/..2026_2/user", "two");
    lab.link("..2026_1", "d/app/..data");
    lab.link("..data/user", "d/app/user");
    let store = lab.store("d");
    assert_eq!(get(&store, "app").await, pairs([("user", "one")]));
    lab.link("..2026_2", "d/app/..data_tmp");
    fs::rename(lab.path("d/app/..data_tmp"), lab.path("d/app/..data")).unwrap();
    assert_eq!(get(&store, "app").await, pairs([("user", "two")]));
}

#[tokio::test]
async fn nothing_outside_the_directory_is_read() {
    let lab = Lab::new();
    lab.write("outside/secret", "hunter2");
    lab.write("outside.yaml", "a: hunter2");
    lab.write("d/app/user", "x");
    lab.link("../../outside/secret", "d/app/stolen");
    lab.link("../outside", "d/away");
    lab.link("../outside.yaml", "d/doc.yaml");
    let store = lab.store("d");
    for key in ["app", "away", "doc"] {
        let fault = fault_of(&store, key).await;
        assert!(fault.kind == Kind::BadAnswer && fault.message.contains("leads out of"), "{key}: {fault}");
    }
    for key in ["../outside", "app/../../outside", "", "/", "app//user", ".", ".hidden", "app/"] {
        assert_eq!(fault_of(&store, key).await.kind, Kind::BadRequest, "{key}");
    }
}

#[tokio::test]
async fn what_is_not_text_is_a_field_of_bytes() {
    let lab = Lab::new();
    lab.write("d/app/keystore", b"\xff\xfe\0");
    lab.write("d/app/user", "app");
    let store = lab.store("d");
    let fetched = store.fetch(&source("app"), None).await.unwrap();
    let fields = fetched.fields.unwrap();
    assert_eq!(fields.value("keystore"), Some(&FieldValue::Bytes(SecretBytes::new(b"\xff\xfe\0".to_vec()))));
    assert_eq!(fields.value("user"), Some(&FieldValue::from("app")));
    lab.write("d/app/keystore", b"\xff\xfe\x01");
    assert_ne!(store.fetch(&source("app"), None).await.unwrap().revision, fetched.revision);
}

#[tokio::test]
async fn what_is_not_a_file_is_refused_by_name() {
    let lab = Lab::new();
    lab.write("d/app/user", "app");
    nix::unistd::mkfifo(&lab.path("d/pipe/x").with_file_name("fifo"), nix::sys::stat::Mode::S_IRWXU)
        .unwrap_err();
    fs::create_dir_all(lab.path("d/pipe")).unwrap();
    nix::unistd::mkfifo(&lab.path("d/pipe/fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(
        fault_of(&lab.store("d"), "pipe").await.message.contains("neither"),
        "and opening it does not hang"
    );
    lab.link("nowhere", "d/app/dangling");
    assert_eq!(fault_of(&lab.store("d"), "app").await.kind, Kind::Unreachable);
}

#[test]
fn a_file_without_permission_is_told_with_the_user() {
    let denied = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
    // Permissions deny what is below a file, to root as well.
    let path = Path::new("/etc/passwd/lab.yaml");
    let fault = fault::unreadable(path, &denied);
    let user = nix::unistd::geteuid().to_string();
    assert!(fault.remedy.contains(&user) && fault.remedy.contains("lab.yaml"), "{}", fault.remedy);
}

/// `find` by name.
fn search_for(pattern: &str) -> Search {
    let found = sources(&format!("    dataFrom: [{{ find: {{ name: {{ regexp: '{pattern}' }} }} }}]"));
    found.first().search.clone().unwrap()
}

#[tokio::test]
async fn a_search_finds_the_secrets_of_a_directory_and_of_a_document() {
    let lab = Lab::new();
    lab.write("dir/app/db/user", "u");
    lab.write("dir/app/db/replica/user", "r");
    lab.write("dir/app/api.yaml", "token: t");
    lab.write("dir/app/.hidden/x", "x");
    lab.write("dir/loose", "no key of its own");
    lab.write("dir/..2026/app/old", "an old generation");
    let document =
        "app: { db: { user: u, more: { a: 1 } }, api: { token: t } }\napp/x: { y: z }\nplain: 1\nempty: {}";
    lab.write("doc.yaml", document);
    let all = ["app/api", "app/db", "app/db/replica"];
    for (name, folder, pattern, expected) in [
        ("dir", "", ".", &all[..]),
        ("dir", "app/db", ".", &["app/db/replica"]),
        ("dir", "app", "^app/a", &["app/api"]),
        ("doc.yaml", "", ".", &["app/api", "app/db", "app/x"]),
        ("doc.yaml", "app", "db$", &["app/db"]),
    ] {
        let (search, key) = (search_for(pattern), FingerprintKey::random().unwrap());
        let found = search::find(&lab.store(name), &source(folder), &search, &key).await.unwrap();
        let names: Vec<_> = found.fields.unwrap().iter().map(|(name, _)| name.clone()).collect();
        assert_eq!(names, expected, "{name} {folder}");
    }
}

#[tokio::test]
async fn a_search_without_a_hit_is_absent_and_leaves_the_directory_nowhere() {
    let lab = Lab::new();
    lab.write("dir/app/db/user", "u");
    lab.write("outside/secret/x", "x");
    lab.write("app.env", "A=1");
    let search = search_for("nothing");
    let key = FingerprintKey::random().unwrap();
    let fault_of = async |name: &str, folder: &str| {
        search::find(&lab.store(name), &source(folder), &search, &key).await.unwrap_err()
    };
    for folder in ["", "app", "not/there"] {
        assert_eq!(fault_of("dir", folder).await.kind, Kind::Absent, "{folder}");
    }
    let fault = fault_of("app.env", "").await;
    assert!(fault.kind == Kind::BadRequest && fault.message.contains("dotenv"), "{fault}");
    lab.link(lab.path("outside"), "dir/out");
    let fault = fault_of("dir", "").await;
    assert!(fault.message.contains("outside") || fault.message.contains("leads out"), "{fault}");
    fs::remove_file(lab.path("dir/out")).unwrap();
    lab.link(lab.path("dir"), "dir/round");
    let fault = fault_of("dir", "").await;
    assert_eq!(fault.kind, Kind::BadRequest, "folders without end: {fault}");
}
