//! `provider: file`: secrets from a YAML or JSON document, a directory, or a dotenv file.
//!
//! What the path leads to is looked at for each read: a store may be built before its file is there. A document
//! is parsed once for all the secrets in it, and again when its stamp changes.

mod cache;
mod directory;
mod document;
mod fault;
#[cfg(fuzzing)]
#[doc(hidden)]
#[path = "../../fuzz/hooks/file_store.rs"]
pub mod fuzzing;
mod read;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use zeroize::Zeroizing;

use crate::blocking::Worker;
use crate::clock::Clock;
use crate::config::Limits;
use crate::config::provider::SecretRead;
use crate::config::provider::file::{FileRead, FileStoreSpec};
use crate::dotenv::{self, Malformed};
use crate::fault::{Fault, Kind};
use crate::secret::{FieldValue, Fields, FingerprintKey};
use crate::store::{Fetched, Life, Revision, Store};
use cache::Cache;

/// How long one read may take.
const READ_LIMIT: Duration = Duration::from_secs(10);

/// A local document, directory or dotenv file as a store. A document's key is
/// one of its own, a directory's the path of a subdirectory or file, and a dotenv file answers any key with all its
/// variables.
pub struct FileStore {
    inner: Arc<Inner>,
    worker: Worker,
}

struct Inner {
    path: PathBuf,
    limit: usize,
    fingerprints: FingerprintKey,
    cache: Cache,
}

impl FileStore {
    /// A store that reads at most `limits.max_response_size` bytes for a secret, and makes revisions with `key`.
    ///
    /// # Errors
    /// The path is empty, or relative and the working directory is gone. A missing file is a fault of the fetch.
    pub fn build(spec: &FileStoreSpec, limits: &Limits, key: FingerprintKey) -> Result<Self, Fault> {
        let path = std::path::absolute(&spec.path).map_err(|error| fault::unreadable(&spec.path, &error))?;
        let cache = Cache::new(Clock::system());
        let inner = Inner { path, limit: limits.max_response_size, fingerprints: key, cache };
        Ok(Self { inner: Arc::new(inner), worker: Worker::default() })
    }
}

impl FileStore {
    /// Reads on a thread: a hung mount must hold up nobody else.
    async fn read<R: Send + 'static>(
        &self,
        step: &str,
        work: impl FnOnce(&Inner) -> Result<R, Fault> + Send + 'static,
    ) -> Result<R, Fault> {
        let inner = Arc::clone(&self.inner);
        let step = format!("{step} {}", inner.path.display());
        match self.worker.run(step, READ_LIMIT, move |_| work(&inner)).await {
            Ok(read) => read,
            Err(error) => Err(Fault::new(Kind::Unreachable, error.to_string(), error.remedy())),
        }
    }
}

#[async_trait]
impl Store for FileStore {
    async fn fetch(&self, read: &SecretRead, known: Option<Revision>) -> Result<Fetched, Fault> {
        let FileRead { key } = read.file()?.clone();
        self.read("reading", move |inner| inner.read(&key, known)).await
    }

    async fn list(&self, read: &SecretRead) -> Result<Vec<String>, Fault> {
        let FileRead { key } = read.file()?.clone();
        self.read("listing", move |inner| inner.list(&key)).await
    }

    /// The file system that the path is on: a directory below a mount point that was unmounted holds no secret either.
    async fn place(&self, _: &SecretRead) -> Result<String, Fault> {
        let device = |inner: &Inner| match inner.path.metadata() {
            Ok(attributes) => Ok(format!("device {}", attributes.dev())),
            Err(error) => Err(fault::unreadable(&inner.path, &error)),
        };
        self.read("looking at", device).await
    }
}

impl Inner {
    fn read(&self, key: &str, known: Option<Revision>) -> Result<Fetched, Fault> {
        let fields = self.fields(key)?;
        let revision = Revision::Content(self.fingerprints.of_fields(&fields));
        let fields = (known != Some(revision)).then_some(fields);
        Ok(Fetched {
            fields,
            metadata: None,
            created: None,
            revision,
            life: Life::Open,
            request_id: None,
            turn: None,
        })
    }

    fn fields(&self, key: &str) -> Result<Arc<Fields>, Fault> {
        if self.path.is_dir() {
            return directory::read(&self.path, key, self.limit).map(Arc::new);
        }
        let root = self.document()?;
        if is_dotenv(&self.path) {
            return Ok(root);
        }
        match document::find(&root, key) {
            Some(FieldValue::Map(fields)) => Ok(Arc::new(fields.clone())),
            Some(other) => Err(fault::not_a_mapping(&self.path, key, other.type_name())),
            None => Err(fault::absent(&self.path, key, &document::near(&root, key))),
        }
    }

    /// What lies directly below the folder `key`, as [`Store::list`] has it.
    fn list(&self, key: &str) -> Result<Vec<String>, Fault> {
        if self.path.is_dir() {
            return directory::list(&self.path, key);
        }
        let root = self.document()?;
        if is_dotenv(&self.path) {
            Err(fault::one_secret(&self.path))
        } else {
            Ok(document::list(&root, key))
        }
    }

    /// The whole file.
    fn document(&self) -> Result<Arc<Fields>, Fault> {
        let parse = |content| parse_file(&self.path, content);
        self.cache.read(&self.path, self.limit, &self.fingerprints, parse)
    }
}

/// Reads a document or a dotenv file, as its name says.
fn parse_file(path: &Path, content: Zeroizing<Vec<u8>>) -> Result<Fields, Fault> {
    let text = read::text(content, &path.display().to_string())?;
    if !is_dotenv(path) {
        // EXPOSE: to the parser, whose tree becomes fields
        return document::parse(path, text.expose());
    }
    // EXPOSE: to the parser, which makes fields of it
    let fields = dotenv::parse(text.expose())
        .map_err(|Malformed { line, column, cause }| fault::malformed(path, line, column, cause))?;
    if fields.is_empty() { Err(fault::no_content(path, "variable")) } else { Ok(fields) }
}

/// `.env`, `.env.production`, `app.env`.
fn is_dotenv(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name == ".env" || name.starts_with(".env.") || name.ends_with(".env")
}

#[cfg(test)]
mod tests;
