//! Plain values of the types that describe a secret, for unit tests (as `crate::testing`) and for the suites: a test
//! writes down only what it is about.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use secrets_sync::config::provider::SecretRead;
use secrets_sync::config::provider::file::FileRead;
use secrets_sync::config::provider::vault::dynamic::{DynamicKind, DynamicMethod, DynamicRead, LeaseTerms};
use secrets_sync::config::provider::vault::{KvVersion, VaultRead};
use secrets_sync::config::secret::{
    CertificateCheck, Content, Decoding, DeletionPolicy, FileSpec, Refresh, SecretSpec,
};
use secrets_sync::config::sources::{Source, Sources};
use secrets_sync::disk::{Placement, TargetPath};
use secrets_sync::name::{SecretName, StoreName};
use secrets_sync::render::Job;

/// The newest version of a KV v2 secret, read with the store's own credentials and namespace.
pub(crate) fn vault_read(mount: &str, key: &str) -> VaultRead {
    VaultRead {
        credentials: None,
        namespace: None,
        mount: mount.to_owned(),
        key: key.to_owned(),
        kv_version: KvVersion::V2,
        version: None,
    }
}

/// A GET of a path that leases what it answers.
pub(crate) fn dynamic_read(path: &str) -> DynamicRead {
    DynamicRead {
        credentials: None,
        namespace: None,
        path: path.to_owned(),
        method: DynamicMethod::Get,
        parameters: BTreeMap::new(),
        kind: DynamicKind::Lease,
        terms: LeaseTerms::default(),
    }
}

/// A read of a local store.
pub(crate) fn file_read(key: &str) -> SecretRead {
    FileRead { key: key.to_owned() }.into()
}

/// A required secret of the main store that is read once a minute, with no files yet.
pub(crate) fn secret_spec(name: &str, read: impl Into<SecretRead>) -> SecretSpec {
    SecretSpec {
        name: SecretName::new(name),
        sources: Sources::of(Source::new(StoreName::main(), read.into())),
        refresh: Refresh::Every(Duration::from_secs(60)),
        required: true,
        deletion_policy: DeletionPolicy::Retain,
        max_staleness: None,
        files: Vec::new(),
        directory: None,
        generations: None,
        check: CertificateCheck::default(),
        hooks: Vec::new(),
        brakes: Vec::new(),
    }
}

/// A private file that holds field `field`.
pub(crate) fn file_spec(target: TargetPath, field: &str) -> FileSpec {
    let content = Content::Field(field.to_owned());
    FileSpec { placement: Placement::new(target), content, decoding: Decoding::None, check: None }
}

/// The job of `secret`, whose files may have a megabyte.
pub(crate) fn job_of(secret: SecretSpec) -> Job {
    Job { secret: Arc::new(secret), gates: Arc::default(), duties: Arc::default(), max_file_size: 1 << 20 }
}
