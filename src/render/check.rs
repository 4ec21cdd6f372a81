//! Checks before publishing: whether rendered files are what the configuration says they have to be. Nothing is read
//! or written here; the time is an argument.

mod document;
mod pieces;

use std::path::PathBuf;
use std::time::SystemTime;

use super::{CertificateFacts, Job, Rendered};
use crate::certificate::Flaw;
use crate::config::secret::FileCheck;
use crate::disk::{NewFile, TargetPath};
use crate::fault::{Fault, Kind};
use pieces::Pieces;

/// What was found out about a change.
#[derive(Clone, Default, Debug)]
pub struct CheckOutcome {
    /// Why it is not published; nothing if it may be. One for each file at most, in their order, then those of files
    /// that do not belong together.
    pub refusals: Vec<Fault>,
    /// The certificates of it.
    pub certificates: Vec<CheckedCertificate>,
}

/// A certificate of a server or a client: the first one of a file with `check: certificate` or `bundle`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CheckedCertificate {
    /// The file.
    pub file: PathBuf,
    /// Who issued it.
    pub issuer: String,
    /// When it ends.
    pub not_after: SystemTime,
    /// Whom it is for: DNS names, IP addresses and URIs, a hundred at most.
    pub names: Vec<String>,
}

impl CheckOutcome {
    /// What is kept of the certificates.
    pub(crate) fn certificate_facts(&self) -> Vec<CertificateFacts> {
        let facts = |certificate: &CheckedCertificate| CertificateFacts {
            file: certificate.file.display().to_string(),
            issuer: certificate.issuer.clone(),
            end: certificate.not_after,
        };
        self.certificates.iter().map(facts).collect()
    }

    fn refuse(&mut self, target: &TargetPath, flaw: &Flaw) {
        let message = format!("{}: {}", target.as_path().display(), flaw.cause);
        self.refusals.push(Fault::new(Kind::Refused, message, flaw.remedy));
    }
}

/// Checks what `job` has rendered, at the time `now`.
pub fn examine(job: &Job, rendered: &Rendered, now: SystemTime) -> CheckOutcome {
    let mut outcome = CheckOutcome::default();
    let mut pieces = Pieces::default();
    for (check, file) in checked(job, rendered) {
        // EXPOSE: to the checks, whose words hold nothing of it
        let read = pieces.read(check, &file.placement.target, file.content.expose());
        if let Err(flaw) = read {
            outcome.refuse(&file.placement.target, &flaw);
        }
    }
    for (target, flaw) in missing(job, rendered) {
        outcome.refuse(&target, &flaw);
    }
    // Whether files belong together is a question of those that can be read.
    if outcome.refusals.is_empty() {
        pieces.judge(&job.secret.check, now, &mut outcome);
    }
    outcome
}

/// The files that are checked, each with its check.
fn checked<'r>(job: &'r Job, rendered: &'r Rendered) -> impl Iterator<Item = (FileCheck, &'r NewFile)> {
    let secret = &job.secret;
    // Those of `files` come first, in their order; then those of the directory.
    let (files, entries) =
        rendered.files.split_at_checked(secret.files.len()).unwrap_or((&rendered.files, &[]));
    let of_files = secret.files.iter().map(|spec| spec.check).zip(files);
    let checks = secret.directory.as_ref().map(|directory| &directory.checks);
    let of_entries = entries.iter().map(move |file| {
        let name = file.placement.target.as_path().file_name().and_then(|name| name.to_str());
        (checks.zip(name).and_then(|(checks, name)| checks.get(name)).copied(), file)
    });
    of_files.chain(of_entries).filter_map(|(check, file)| Some((check?, file)))
}

/// The files that `directory.check` names and that there are not.
fn missing(job: &Job, rendered: &Rendered) -> Vec<(TargetPath, Flaw)> {
    let Some(directory) = &job.secret.directory else { return Vec::new() };
    let targets = directory.checks.keys().filter_map(|name| directory.path.entry(name).ok());
    let is_there = |target: &TargetPath| rendered.files.iter().any(|file| file.placement.target == *target);
    let flaw = || {
        Flaw::new(
            "there is no field of this name, and directory.check asks for one",
            "write the field into the secret, or take it out of directory.check",
        )
    };
    targets.filter(|target| !is_there(target)).map(|target| (target, flaw())).collect()
}

#[cfg(test)]
mod tests;
