//! Secrets as configured: what one entry of `secrets` says.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::sources::Sources;
use crate::certificate::CertificateName;
use crate::disk::{FileMode, Generations, Owner, Placement, TargetPath};
use crate::fault::Kind;
use crate::name::{HookName, SecretName};
use crate::template::{Format, Template};

/// One entry of `secrets`, resolved against the store's defaults.
#[derive(Clone, PartialEq, Debug)]
pub struct SecretSpec {
    /// Unique.
    pub name: SecretName,
    /// What to read.
    pub sources: Sources,
    /// When to read it again.
    pub refresh: Refresh,
    /// Whether readiness waits for it.
    pub required: bool,
    /// What to do with the files when the source is gone.
    pub deletion_policy: DeletionPolicy,
    /// Older than this is not ready.
    pub max_staleness: Option<Duration>,
    /// `files`.
    pub files: Vec<FileSpec>,
    /// `directory`.
    pub directory: Option<DirectorySpec>,
    /// `generations`: the outputs are switched as one.
    pub generations: Option<Generations>,
    /// `check`.
    pub check: CertificateCheck,
    /// `hooks`, in the order in which they run.
    pub hooks: Vec<HookName>,
    /// `check.brakes`.
    pub brakes: Vec<Brake>,
}

impl SecretSpec {
    /// Whether a read that failed so means that the files are to be removed; `absent` takes further evidence.
    pub(crate) fn is_removed_on(&self, kind: Kind) -> bool {
        let is_gone = match kind {
            Kind::Deleted | Kind::Destroyed => true,
            Kind::Absent => !self.sources.is_pinned(),
            _ => false,
        };
        is_gone && self.deletion_policy == DeletionPolicy::Delete
    }

    /// Whether anything of it is checked before publishing.
    pub(crate) fn is_checked(&self) -> bool {
        let directory = self.directory.as_ref();
        self.files.iter().any(|file| file.check.is_some())
            || directory.is_some_and(|it| !it.checks.is_empty())
    }

    /// The directories that its files are in; some perhaps more than once.
    pub fn directories(&self) -> impl Iterator<Item = &Path> {
        let files = self.files.iter().map(|file| file.placement.target.directory());
        let directory = self.directory.iter().map(|output| output.path.as_path());
        let generations = self.generations.iter().map(|generations| generations.path.as_path());
        files.chain(directory).chain(generations)
    }

    /// Whether what becomes of it has to be remembered.
    pub(crate) fn needs_journal(&self) -> bool {
        self.generations.is_some()
            || !self.brakes.is_empty()
            || !self.hooks.is_empty()
            || self.sources.has_issued()
    }
}

/// `refreshInterval`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refresh {
    /// This long after a success, jitter aside.
    Every(Duration),
    /// `"0"`: once; after the first success only a reload or SIGUSR1 reads it again.
    Once,
}

/// `deletionPolicy`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeletionPolicy {
    /// Keep the files.
    Retain,
    /// Remove the files.
    Delete,
}

/// One entry of `files`.
#[derive(Clone, PartialEq, Debug)]
pub struct FileSpec {
    /// Where it is written, with which mode and whose.
    pub placement: Placement,
    /// What is written.
    pub content: Content,
    /// `decoding: base64`: the text is base64 and the file gets the bytes.
    pub decoding: Decoding,
    /// What it has to be.
    pub check: Option<FileCheck>,
}

/// What a file has to be before it is published; every one of them implies that it is not blank.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FileCheck {
    /// Nothing more.
    NotEmpty,
    /// A PEM file.
    Pem,
    /// A certificate and its chain, as PEM.
    Certificate,
    /// One private key, as PEM.
    Key,
    /// A certificate with its chain and its private key, as PEM.
    Bundle,
    /// The certificates of CAs, as PEM.
    Ca,
    /// A JSON document.
    Json,
    /// YAML documents.
    Yaml,
    /// A TOML document.
    Toml,
    /// `NAME=value` lines as Docker Compose reads them.
    Dotenv,
}

impl FileCheck {
    /// Whether the file holds a certificate of a server or a client, and not that of a CA.
    pub(crate) fn is_of_certificates(self) -> bool {
        matches!(self, Self::Certificate | Self::Bundle)
    }
}

/// `check` of a secret: what all of its certificates have to be.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct CertificateCheck {
    /// Whom they have to be for.
    pub names: Vec<CertificateName>,
    /// What has to be left of their life.
    pub min_life: Duration,
}

/// What stops a change that looks like a mistake, until an operator approves it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Brake {
    /// Half of the fields are gone, and two at least.
    LostFields,
    /// A field that held something is blank.
    Emptied,
    /// A certificate has another issuer.
    Issuer,
    /// A certificate ends earlier.
    Expiry,
}

/// Where a file's content comes from.
#[derive(Clone, PartialEq, Debug)]
pub enum Content {
    /// A template: the file's own, or the entry of `template.data` that `key` names.
    Template(Template),
    /// One raw field.
    Field(String),
    /// All fields in one document.
    Format(Format),
}

/// `decoding`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Decoding {
    /// Written as it is.
    None,
    /// Standard or URL-safe alphabet, padding optional, white space ignored.
    Base64,
}

/// `directory`: one file per field.
#[derive(Clone, PartialEq, Debug)]
pub struct DirectorySpec {
    /// The directory; each field becomes the file of its name in it.
    pub path: TargetPath,
    /// Mode of each file.
    pub mode: FileMode,
    /// Mode of the directory when it is made.
    pub directory_mode: FileMode,
    /// Owner of files and directory.
    pub owner: Owner,
    /// `acceptMode`, for all of its files.
    pub accept_mode: bool,
    /// What files of these names have to be.
    pub checks: BTreeMap<String, FileCheck>,
}

impl DirectorySpec {
    /// What each of its files looks like, and as which the directory itself is made; its own path as the target.
    pub fn placement(&self) -> Placement {
        let Self { path, mode, directory_mode, owner, accept_mode, checks: _ } = self.clone();
        Placement { mode, owner, parent_mode: directory_mode, accept_mode, ..Placement::new(path) }
    }
}
