//! What is checked, and what a refusal says.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};

use super::*;
use crate::certificate::CertificateName;
use crate::config::secret::{CertificateCheck, DirectorySpec, FileSpec, SecretSpec};
use crate::disk::{FileMode, Owner, Placement};
use crate::secret::SecretBytes;
use crate::testing::{file_read, file_spec, job_of, secret_spec};

const ALL: [FileCheck; 10] = [
    FileCheck::NotEmpty,
    FileCheck::Pem,
    FileCheck::Certificate,
    FileCheck::Key,
    FileCheck::Bundle,
    FileCheck::Ca,
    FileCheck::Json,
    FileCheck::Yaml,
    FileCheck::Toml,
    FileCheck::Dotenv,
];

fn target(path: &str) -> TargetPath {
    TargetPath::parse(path, Path::new("/out")).unwrap()
}

/// A job with these files, and what was rendered of them.
fn rendered(files: &[(&str, Option<FileCheck>, &str)]) -> (Job, Rendered) {
    let spec = |(path, check, _): &(&str, Option<FileCheck>, &str)| FileSpec {
        check: *check,
        ..file_spec(target(path), "field")
    };
    let files_of = files.iter().map(spec).collect();
    let new = |(path, _, text): &(&str, _, &str)| NewFile {
        placement: Placement::new(target(path)),
        content: SecretBytes::new(text.as_bytes().to_vec()),
    };
    let job = job_of(SecretSpec { files: files_of, ..secret_spec("app", file_read("app")) });
    (job, Rendered { files: files.iter().map(new).collect(), facts: None })
}

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn causes(job: &Job, rendered: &Rendered) -> Vec<String> {
    examine(job, rendered, now()).refusals.into_iter().map(|fault| fault.message).collect()
}

fn refused(files: &[(&str, Option<FileCheck>, &str)]) -> Vec<String> {
    let (job, rendered) = rendered(files);
    causes(&job, &rendered)
}

/// A certificate for `a.example` that lasts for decades, and its key.
fn pair() -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(["a.example".to_owned()]).unwrap().self_signed(&key).unwrap();
    (own.pem(), key.serialize_pem())
}

#[test]
fn every_check_implies_that_the_file_is_not_blank() {
    for word in ALL {
        assert_eq!(refused(&[("a", Some(word), "")]), ["/out/a: it is empty"], "{word:?}");
        assert_eq!(
            refused(&[("a", Some(word), " \n\t")]),
            ["/out/a: it holds nothing but blanks"],
            "{word:?}"
        );
    }
    assert!(refused(&[("a", None, ""), ("b", Some(FileCheck::NotEmpty), "x")]).is_empty());
}

#[test]
fn each_file_is_refused_for_itself_by_name_and_kind() {
    let files = [
        ("good.json", Some(FileCheck::Json), "{}"),
        ("bad.json", Some(FileCheck::Json), "{\"hunter2\""),
        ("unchecked.json", None, "{"),
        ("bad.toml", Some(FileCheck::Toml), "a = hunter2"),
        ("bad.pem", Some(FileCheck::Pem), "hunter2"),
    ];
    let (job, rendered) = rendered(&files);
    let refusals = examine(&job, &rendered, now()).refusals;
    let starts = [
        "/out/bad.json: it is not JSON: line 1",
        "/out/bad.toml: it is not TOML: line 1",
        "/out/bad.pem: it is no PEM file",
    ];
    assert_eq!(refusals.len(), starts.len());
    for (fault, start) in refusals.iter().zip(starts) {
        assert!(fault.kind == Kind::Refused && fault.message.starts_with(start), "{fault}");
        assert!(!fault.message.contains("hunter2") && !fault.remedy.is_empty(), "{fault}");
    }
}

#[test]
fn a_pair_belongs_together_in_two_files_and_in_one() {
    let ((certificate, key), (_, other)) = (pair(), pair());
    let both = |certificate: &str, key: &str| {
        refused(&[("crt", Some(FileCheck::Certificate), certificate), ("key", Some(FileCheck::Key), key)])
    };
    assert!(both(&certificate, &key).is_empty());
    assert_eq!(both(&certificate, &other), ["/out/key: it is not the key of the certificate in /out/crt"]);
    let bundle = |parts: [&str; 2]| refused(&[("pem", Some(FileCheck::Bundle), &parts.concat())]);
    assert!(bundle([&certificate, &key]).is_empty() && bundle([&key, &certificate]).is_empty());
    assert_eq!(
        bundle([&certificate, &other]),
        ["/out/pem: its private key is not the key of its certificate"]
    );
}

#[test]
fn a_file_holds_what_its_role_says_and_nothing_else() {
    let (certificate, key) = pair();
    let both = [&*certificate, &key].concat();
    let two_keys = [&*key, &key].concat();
    for (check, text, cause) in [
        (FileCheck::Certificate, &both, "it holds a private key beside its certificate"),
        (FileCheck::Certificate, &key, "it holds a private key beside its certificate"),
        (FileCheck::Key, &both, "it holds a certificate beside its private key"),
        (FileCheck::Key, &two_keys, "it holds more than one private key"),
        (FileCheck::Bundle, &certificate, "it holds no private key"),
        (FileCheck::Bundle, &key, "it holds no certificate"),
        (FileCheck::Ca, &both, "it holds a private key"),
        (FileCheck::Ca, &key, "it holds a private key"),
    ] {
        assert_eq!(refused(&[("a", Some(check), text)]), [format!("/out/a: {cause}")], "{check:?}");
    }
    assert!(
        refused(&[("a", Some(FileCheck::Pem), &both), ("b", Some(FileCheck::Ca), &certificate)]).is_empty()
    );
}

#[test]
fn names_life_and_ca_are_those_of_the_secret() {
    let ((certificate, _), (stranger, _)) = (pair(), pair());
    let with = |names: &[&str], days: u32, ca: &str| {
        let files = [("crt", Some(FileCheck::Certificate), &*certificate), ("ca", Some(FileCheck::Ca), ca)];
        let (job, rendered) = rendered(&files);
        let names = names.iter().map(|name| CertificateName::parse(name).unwrap()).collect();
        let check = CertificateCheck { names, min_life: Duration::from_secs(86_400) * days };
        causes(&job_of(SecretSpec { check, ..SecretSpec::clone(&job.secret) }), &rendered)
    };
    assert!(with(&["a.example"], 3, &certificate).is_empty());
    assert!(
        with(&["a.example", "b.example"], 3, &certificate)[0]
            .contains("/out/crt: its certificate is not for b.example")
    );
    let short = with(&[], 1_000_000, &certificate);
    assert!(
        short[0].starts_with("/out/ca: ") && short[1].starts_with("/out/crt: its certificate expires at"),
        "{short:?}"
    );
    let lost = with(&[], 0, &stranger);
    assert_eq!(
        lost,
        [
            "/out/crt: its chain does not lead to a certificate in /out/ca: none of those certificates has issued it"
        ]
    );
}

#[test]
fn the_certificates_that_are_shown_are_reported_with_their_end() {
    let (certificate, key) = pair();
    let bundle = [&*certificate, &key].concat();
    let files = [
        ("crt", Some(FileCheck::Certificate), &*certificate),
        ("pem", Some(FileCheck::Bundle), &bundle),
        ("ca", Some(FileCheck::Ca), &certificate),
        ("unchecked", None, &certificate),
    ];
    let (job, rendered) = rendered(&files);
    let outcome = examine(&job, &rendered, now());
    assert!(outcome.refusals.is_empty(), "{:?}", outcome.refusals);
    let shown: Vec<_> =
        outcome.certificates.iter().map(|one| (one.file.to_str().unwrap(), &*one.names[0])).collect();
    assert_eq!(shown, [("/out/crt", "a.example"), ("/out/pem", "a.example")]);
    assert!(outcome.certificates.iter().all(|one| one.not_after > now()));
}

#[test]
fn entries_of_a_directory_are_checked_by_name_and_have_to_be_there() {
    let checks = [("app.json", FileCheck::Json), ("gone", FileCheck::NotEmpty)];
    let directory = DirectorySpec {
        path: TargetPath::parse_directory("/run/app", Path::new("/")).unwrap(),
        mode: FileMode::PRIVATE,
        directory_mode: FileMode::DIRECTORY,
        owner: Owner::default(),
        accept_mode: false,
        checks: checks.map(|(name, check)| (name.to_owned(), check)).into(),
    };
    let entry = |name: &str, text: &str| NewFile {
        placement: Placement::new(directory.path.entry(name).unwrap()),
        content: SecretBytes::new(text.as_bytes().to_vec()),
    };
    let files = vec![file_spec(target("app.json"), "field")];
    let spec =
        |directory| SecretSpec { files: files.clone(), directory, ..secret_spec("app", file_read("app")) };
    let job = job_of(spec(Some(directory.clone())));
    let first = NewFile { placement: Placement::new(target("app.json")), content: SecretBytes::default() };
    let rendered =
        Rendered { files: vec![first, entry("app.json", "{"), entry("other.json", "{")], facts: None };
    let causes = causes(&job, &rendered);
    assert_eq!(causes.len(), 2, "{causes:?}");
    assert!(causes[0].starts_with("/run/app/app.json: it is not JSON"), "{causes:?}");
    assert!(causes[1].starts_with("/run/app/gone: there is no field"), "{causes:?}");
    assert!(job.secret.is_checked());
    let unchecked = DirectorySpec { checks: BTreeMap::new(), ..directory };
    assert!(!job_of(spec(Some(unchecked))).secret.is_checked());
}
