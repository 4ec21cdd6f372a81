//! What is sealed comes back as it was or not at all.

#![expect(clippy::disallowed_methods, reason = "a test writes its own files")]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::time::SystemTime;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::journal::CredentialTimes;
use crate::name::{CredentialNumber, LeaseId};
use crate::secret::{FieldValue, Fingerprint, SecretText, json};

const VALUE: &str = "v-kubernet-canary-1";

fn source() -> SourceId {
    "0123456789abcdef0123456789abcdef".parse().unwrap()
}

fn credential(number: u64, second: u64) -> KnownCredential {
    KnownCredential {
        number: CredentialNumber::new(number),
        from: SystemTime::UNIX_EPOCH + Duration::from_secs(second),
        lease: LeaseId::parse("database/creds/app/x"),
        serial: None,
        is_renewable: true,
        life_seconds: Some(60),
        token: None,
        times: CredentialTimes::default(),
        is_lost: false,
    }
}

fn fields() -> Fields {
    let nested =
        "{\"password\":\"v-kubernet-canary-1\",\"port\":5432.10,\"more\":[true,null,{\"a\":\"\\u0000\"}]}";
    json::object_in(&SecretText::new(nested.to_owned())).unwrap()
}

fn key(fill: u8) -> Option<SealKey> {
    SealKey::of(&[fill; 32])
}

fn open(home: &TempDir, fill: u8) -> SealedValues {
    SealedValues::open(home.path(), key(fill)).unwrap()
}

fn home() -> TempDir {
    // On a disk, where the system has one: /tmp may be in memory.
    TempDir::new_in(env!("CARGO_MANIFEST_DIR").to_owned() + "/target").unwrap()
}

fn file(home: &TempDir) -> PathBuf {
    home.path().join("sealed").join(source().to_string())
}

fn names(home: &TempDir) -> BTreeSet<String> {
    let entries = fs::read_dir(home.path().join("sealed")).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[tokio::test]
async fn a_kept_token_is_for_its_own_login_alone() {
    let (home, token) = (home(), SecretText::new("s.canary-token".to_owned()));
    let print = |number: u8| Fingerprint::parse(&format!("{number:032x}")).unwrap();
    let origin = |set, login| TokenOrigin { set: print(set), login: print(login) };
    let sealed = open(&home, 1);
    assert!(sealed.keep_token(origin(1, 1), &token).await);
    assert_eq!(open(&home, 1).token(origin(1, 1)).await, Some(token));
    let file = |set| home.path().join("sealed").join(format!("token-{}", print(set)));
    let content = fs::read(file(1)).unwrap();
    assert!(!content.windows(6).any(|window| window == b"canary"), "a token in the clear");
    fs::copy(file(1), file(2)).unwrap();
    for (key, other) in [(1, origin(1, 2)), (1, origin(2, 1)), (1, origin(3, 1)), (2, origin(1, 1))] {
        assert_eq!(open(&home, key).token(other).await, None, "{other:?} with key {key}");
    }
    sealed.forget_token(origin(1, 1)).await;
    assert_eq!(sealed.token(origin(1, 1)).await, None);
    assert!(
        !file(1).exists()
            && !SealedValues::none().keep_token(origin(1, 1), &SecretText::new(String::new())).await
    );
}

#[tokio::test]
async fn what_is_kept_is_there_after_a_restart_and_is_no_text() {
    let home = home();
    assert!(open(&home, 1).keep(source(), &credential(1, 9), &fields()).await);
    let content = fs::read(file(&home)).unwrap();
    assert!(!content.windows(6).any(|window| window == b"canary"), "a value in the clear");
    assert_eq!(fs::metadata(file(&home)).unwrap().permissions().mode() & 0o7777, 0o600);
    let reopened = open(&home, 1);
    assert_eq!(reopened.read(source(), &credential(1, 9)).await, Some(fields()));
    assert!(reopened.keep(source(), &credential(2, 10), &fields()).await);
    assert_ne!(fs::read(file(&home)).unwrap(), content, "another nonce");
    reopened.forget(source()).await;
    assert_eq!(names(&home), BTreeSet::new());
    assert_eq!(reopened.read(source(), &credential(2, 10)).await, None);
    reopened.forget(source()).await;
}

#[tokio::test]
async fn a_kill_on_either_side_of_the_line_in_the_journal_finds_the_value_of_its_credential() {
    let (home, other) = (home(), Fields::default());
    let sealed = open(&home, 1);
    assert!(sealed.keep(source(), &credential(1, 9), &fields()).await);
    assert!(sealed.keep_beside(source(), &credential(2, 10), &other).await);
    // Without the line the one before is current.
    assert_eq!(open(&home, 1).read(source(), &credential(1, 9)).await, Some(fields()));
    let files = || SealedFiles::open_to_read(home.path(), key(1)).unwrap().unwrap();
    assert!(files().has(source(), &credential(1, 9)) && files().has(source(), &credential(2, 10)));
    for _ in 0..2 {
        assert_eq!(open(&home, 1).read(source(), &credential(2, 10)).await, Some(other.clone()));
        assert_eq!(names(&home), BTreeSet::from([source().to_string()]));
    }
    assert!(sealed.keep_beside(source(), &credential(3, 11), &fields()).await);
    assert!(sealed.put_in_place(source()).await);
    assert_eq!(sealed.read(source(), &credential(3, 11)).await, Some(fields()));
    assert!(sealed.keep_beside(source(), &credential(4, 12), &fields()).await);
    sealed.forget(source()).await;
    assert_eq!(names(&home), BTreeSet::new());
}

#[tokio::test]
async fn another_key_or_credential_and_each_changed_byte_give_nothing() {
    let home = home();
    assert!(open(&home, 1).keep(source(), &credential(1, 9), &fields()).await);
    let content = fs::read(file(&home)).unwrap();
    let other: SourceId = "f123456789abcdef0123456789abcdef".parse().unwrap();
    let opens = |fill, source, credential: &KnownCredential, content: &[u8]| {
        unseal(&key(fill).unwrap(), source, credential, content)
    };
    assert_eq!(opens(1, source(), &credential(1, 9), &content), Some(fields()));
    assert_eq!(opens(2, source(), &credential(1, 9), &content), None);
    assert_eq!(opens(1, other, &credential(1, 9), &content), None);
    assert_eq!(opens(1, source(), &credential(2, 9), &content), None);
    assert_eq!(opens(1, source(), &credential(1, 10), &content), None);
    for at in 0..content.len() {
        let mut changed = content.clone();
        changed[at] ^= 0x40;
        assert_eq!(opens(1, source(), &credential(1, 9), &changed), None, "byte {at}");
        assert_eq!(opens(1, source(), &credential(1, 9), &content[..at]), None, "cut at {at}");
    }
}

#[tokio::test]
async fn what_cannot_be_opened_is_set_aside_and_a_new_one_takes_its_place() {
    let home = home();
    assert!(open(&home, 1).keep(source(), &credential(1, 9), &fields()).await);
    let other = open(&home, 2);
    assert_eq!(other.read(source(), &credential(1, 9)).await, None);
    let name = source().to_string();
    assert_eq!(names(&home), BTreeSet::from([format!("{name}.bad")]));
    assert!(other.keep(source(), &credential(2, 10), &fields()).await);
    assert_eq!(other.read(source(), &credential(2, 10)).await, Some(fields()));
}

#[tokio::test]
async fn what_others_plant_is_neither_followed_nor_waited_for() {
    let plants: [fn(&PathBuf, &PathBuf); 4] = [
        |victim, place| symlink(victim, place).unwrap(),
        |_, place| mkfifo(place, Mode::from_bits_truncate(0o600)).unwrap(),
        |victim, place| fs::hard_link(victim, place).unwrap(),
        |victim, place| {
            fs::copy(victim, place).unwrap();
            fs::set_permissions(place, fs::Permissions::from_mode(0o666)).unwrap();
        },
    ];
    for plant in plants {
        let home = home();
        let sealed = open(&home, 1);
        let victim = home.path().join("victim");
        assert!(sealed.keep(source(), &credential(1, 9), &fields()).await);
        fs::rename(file(&home), &victim).unwrap();
        plant(&victim, &file(&home));
        assert_eq!(sealed.read(source(), &credential(1, 9)).await, None);
        assert!(sealed.keep(source(), &credential(2, 10), &fields()).await);
        assert_eq!(sealed.read(source(), &credential(2, 10)).await, Some(fields()));
        let kept = unseal(&key(1).unwrap(), source(), &credential(1, 9), &fs::read(&victim).unwrap());
        assert_eq!(kept, Some(fields()), "what a link leads to is left alone");
    }
}

#[tokio::test]
async fn a_directory_in_the_place_of_the_file_keeps_nothing_and_stops_nothing() {
    let home = home();
    let sealed = open(&home, 1);
    fs::create_dir_all(file(&home).join("full")).unwrap();
    assert_eq!(sealed.read(source(), &credential(1, 9)).await, None);
    assert!(sealed.keep(source(), &credential(1, 9), &fields()).await, "it was set aside");
    fs::create_dir_all(file(&home).with_extension("new").join("full")).unwrap();
    assert!(!sealed.keep(source(), &credential(2, 9), &fields()).await);
    assert_eq!(sealed.read(source(), &credential(1, 9)).await, Some(fields()));
}

#[test]
fn a_link_or_a_shared_directory_in_its_place_is_refused() {
    let (home, elsewhere) = (home(), home());
    symlink(elsewhere.path(), home.path().join("sealed")).unwrap();
    let refusal = SealedValues::open(home.path(), key(1)).unwrap_err().message;
    assert!(refusal.ends_with("sealed is no directory"), "{refusal}");
    fs::remove_file(home.path().join("sealed")).unwrap();
    fs::create_dir(home.path().join("sealed")).unwrap();
    fs::set_permissions(home.path().join("sealed"), fs::Permissions::from_mode(0o777)).unwrap();
    let refusal = SealedValues::open(home.path(), key(1)).unwrap_err().message;
    assert!(refusal.contains("other users may write in it"), "{refusal}");
}

#[tokio::test]
async fn without_a_key_values_are_kept_in_memory_alone() {
    let disk = home();
    let on_disk = SealedValues::open(disk.path(), None).unwrap();
    if StateDirectory::open(disk.path()).unwrap().is_in_memory() {
        assert!(on_disk.is_kept());
    } else {
        assert!(!on_disk.is_kept() && !on_disk.keep(source(), &credential(1, 9), &fields()).await);
        assert!(!disk.path().join("sealed").exists());
    }
    let memory = TempDir::new_in("/dev/shm").unwrap();
    let opened = || SealedValues::open(memory.path(), None).unwrap();
    assert!(opened().keep(source(), &credential(1, 9), &fields()).await);
    assert_eq!(opened().read(source(), &credential(1, 9)).await, Some(fields()));
    fs::write(memory.path().join("sealed/key"), "short").unwrap();
    assert_eq!(opened().read(source(), &credential(1, 9)).await, None, "a damaged key is a new one");
}

#[tokio::test]
async fn what_has_no_text_of_its_own_is_not_kept() {
    let home = home();
    let bytes = FieldValue::Bytes(crate::secret::SecretBytes::new(vec![0xff]));
    let fields: Fields = [("file".to_owned(), bytes)].into_iter().collect();
    assert!(!open(&home, 1).keep(source(), &credential(1, 9), &fields).await);
}

#[test]
fn a_key_is_32_bytes_in_a_regular_file_and_is_never_shown() {
    let home = home();
    let path = home.path().join("state-key");
    for length in [0, 31, 33, 4096] {
        fs::write(&path, vec![7; length]).unwrap();
        let fault = SealKey::read(&path).unwrap_err();
        let cause = format!("{} has no key: it has {length} bytes, not 32", path.display());
        assert_eq!(fault.message, format!("STATE_KEY_FILE {cause}"));
    }
    fs::write(&path, [b'k'; 32]).unwrap();
    assert_eq!(format!("{:?}", SealKey::read(&path).unwrap()), "SealKey(redacted)");
    assert!(!format!("{:?}", open(&home, 1)).contains(VALUE));
}

#[test]
fn what_to_do_about_a_file_without_a_key_follows_from_its_content_and_writes_to_no_file_that_is_there() {
    let home = home();
    let path = home.path().join("state key");
    let remedy = || SealKey::read(&path).unwrap_err().remedy;
    let absent = remedy();
    let made = format!("(umask 077; set -C; head -c 32 /dev/urandom > '{}')", path.display());
    assert!(absent.ends_with(&made) && !absent.contains("mkdir"), "{absent}");
    let into = format!(" > '{}.new'), and set STATE_KEY_FILE to that file", path.display());
    let base64 = "SECRETsecretSECRETsecretSECRETsecretSECRETs=";
    for (content, command) in [
        ("k".repeat(32) + "\n", "head -c 32 '"),
        ("k".repeat(32) + "\r\n", "head -c 32 '"),
        ("5ecfe7AB".repeat(8), "basenc --base16 -d"),
        ("5ecfe7AB".repeat(8) + "\n", "basenc --base16 -d"),
        (base64.to_owned(), "base64 -d '"),
        (format!("{base64}\n"), "base64 -d '"),
        (format!("{base64}\r\n"), "head -c 32 /dev/urandom"),
        (String::new(), "head -c 32 /dev/urandom"),
        ("k".repeat(33), "head -c 32 /dev/urandom"),
        ("k".repeat(5000), "head -c 32 /dev/urandom"),
    ] {
        fs::write(&path, &content).unwrap();
        let remedy = remedy();
        assert!(remedy.contains(command) && remedy.contains(&into), "{content:?}: {remedy}");
        assert!(!remedy.contains("SECRET") && !remedy.contains("5ecfe7"), "{remedy}");
    }
    let remedy = SealKey::read(home.path()).unwrap_err().remedy;
    assert!(remedy.contains("name the file in it") && !remedy.contains("urandom"), "{remedy}");
}

proptest! {
    #[test]
    fn no_file_of_another_makes_fields(content in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut file = b"secrets-sync sealed 1\n".to_vec();
        file.extend(&content);
        for file in [&content, &file] {
            prop_assert_eq!(unseal(&key(1).unwrap(), source(), &credential(1, 9), file), None);
        }
    }
}
