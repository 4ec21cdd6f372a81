//! Checks before publishing: of a file, of the entries of a directory, and of the certificates of a secret.

use std::collections::BTreeMap;

use super::context::CompileContext;
use super::section::Section;
use crate::certificate::CertificateName;
use crate::config::diagnostic::{Code, Diagnostic, Place};
use crate::config::keys::{KeySet, KeySpec, KeyType};
use crate::config::secret::{Brake, CertificateCheck, DirectorySpec, FileCheck, FileSpec};
use crate::disk::TargetPath;

/// `check` of a secret.
pub(super) static KEYS: KeySet = KeySet::new(
    "secrets[].check",
    &[&[
        KeySpec::new(
            "names",
            KeyType::Texts,
            "",
            "DNS names and IP addresses that each certificate of the secret has to be for; `*.example.com` asks for that wildcard",
        ),
        KeySpec::new(
            "minLife",
            KeyType::Duration,
            "`0`",
            "what has to be left of the life of each certificate when it is published",
        ),
        KeySpec::new(
            "brakes",
            KeyType::Choices(&BRAKE_WORDS),
            "",
            "what stops a change that looks like a mistake, until it is approved ([brakes](checks.md#brakes))",
        ),
    ]],
);

/// The words of `check` of a file.
pub(super) const WORDS: [&str; 10] =
    ["certificate", "key", "bundle", "ca", "pem", "json", "yaml", "toml", "dotenv", "not-empty"];

const CHECKS: [(&str, FileCheck); 10] = [
    ("certificate", FileCheck::Certificate),
    ("key", FileCheck::Key),
    ("bundle", FileCheck::Bundle),
    ("ca", FileCheck::Ca),
    ("pem", FileCheck::Pem),
    ("json", FileCheck::Json),
    ("yaml", FileCheck::Yaml),
    ("toml", FileCheck::Toml),
    ("dotenv", FileCheck::Dotenv),
    ("not-empty", FileCheck::NotEmpty),
];

const BRAKE_WORDS: [&str; 4] = ["lost-fields", "emptied", "issuer", "expiry"];

const BRAKES: [(&str, Brake); 4] = [
    ("lost-fields", Brake::LostFields),
    ("emptied", Brake::Emptied),
    ("issuer", Brake::Issuer),
    ("expiry", Brake::Expiry),
];

const OTHERWISE: &str = "docs/checks.md says what each of them looks at";

/// `check` of one file.
pub(super) fn of_file(section: &Section<'_>, context: &mut CompileContext<'_>) -> Option<FileCheck> {
    section.choice_or("check", &CHECKS, OTHERWISE, context)
}

/// `check` of the directory `path`.
pub(super) fn of_directory(
    section: &Section<'_>,
    path: Option<&TargetPath>,
    context: &mut CompileContext<'_>,
) -> BTreeMap<String, FileCheck> {
    let mut checks = BTreeMap::new();
    for (entry, check) in section.named_choices("check", &CHECKS, OTHERWISE, context) {
        if let Some(Err(error)) = path.map(|path| path.entry(&entry.key)) {
            let place = Place { path: section.path_of("check"), position: Some(entry.position) };
            let message = format!("{:?} cannot name a file: it {error}", entry.key);
            context.push(Diagnostic::new(Code::BadValue, place, message).hint("write the name of a field"));
        }
        checks.insert(entry.key.clone(), check);
    }
    checks
}

/// `check` of a secret that writes `files` and `directory`.
pub(super) fn of_secret(
    secret: &Section<'_>,
    files: &[FileSpec],
    directory: Option<&DirectorySpec>,
    context: &mut CompileContext<'_>,
) -> (CertificateCheck, Vec<Brake>) {
    let Some(section) = secret.child("check", context) else { return Default::default() };
    let mut names = Vec::new();
    for (text, place) in section.placed_texts("names", context) {
        match CertificateName::parse(&text.value) {
            Ok(name) => names.push(name),
            Err(reason) => {
                let message = text.is_not("a name that a certificate can be for", reason);
                context.push(Diagnostic::new(Code::BadValue, place, message));
            }
        }
    }
    let min_life = section.duration("minLife", context).unwrap_or_default();
    let brakes = section.choices("brakes", &BRAKES, context);
    let in_directory = directory.into_iter().flat_map(|directory| directory.checks.values());
    let mut checks = files.iter().filter_map(|file| file.check.as_ref()).chain(in_directory);
    let uses = ["names", "minLife"].iter().any(|key| section.has(key));
    if uses && !checks.any(|check| check.is_of_certificates()) {
        let message = "no file of this secret is checked as a certificate";
        let useless = Diagnostic::new(Code::NothingToCheck, section.place(), message);
        context.push(
            useless.hint(
                "give the file that holds the certificate \"check: certificate\" (with its key: bundle)",
            ),
        );
    }
    section.finish(context);
    (CertificateCheck { names, min_life }, brakes)
}
