//! TLS that follows its files: certificates for mutual TLS live for hours, and a CA is replaced under a daemon that
//! runs for months. Files are looked at before each new connection, and read again when one of them has changed.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Tls;
use crate::net::TlsSettings;
use crate::net::error::NetError;

/// What TLS needs, as new as its files.
pub(in crate::net) struct Fresh {
    settings: TlsSettings,
    loaded: Mutex<Option<Loaded>>,
}

/// One reading of the files.
#[derive(Clone)]
pub(in crate::net) struct Loaded {
    pub(in crate::net) tls: Arc<Tls>,
    /// The files have changed since and cannot be used: `tls` is what they were before.
    pub(in crate::net) trouble: Option<NetError>,
    stamps: Vec<(PathBuf, Option<Stamp>)>,
}

/// Device, inode, size, and the times of content and inode.
type Stamp = (u64, u64, u64, (i64, i64), (i64, i64));

impl Fresh {
    pub(in crate::net) fn new(settings: TlsSettings) -> Self {
        Self { settings, loaded: Mutex::default() }
    }

    /// The files' content of now; what they were before where they cannot be used any more. Blocks.
    ///
    /// # Errors
    /// The files could never be used.
    pub(in crate::net) fn load(&self, host: &str) -> Result<Loaded, NetError> {
        // Before the files are read: a change in between is found the next time.
        let stamps = stamps(&self.settings);
        let before = self.loaded().clone();
        if let Some(loaded) = before.as_ref().filter(|loaded| loaded.stamps == stamps) {
            return Ok(loaded.clone());
        }
        let now = match (Tls::build(&self.settings, host), before) {
            (Ok(tls), _) => Loaded { tls: Arc::new(tls), trouble: None, stamps },
            (Err(error), Some(before)) => Loaded { trouble: Some(error), stamps, ..before },
            (Err(error), None) => return Err(error),
        };
        *self.loaded() = Some(now.clone());
        Ok(now)
    }

    fn loaded(&self) -> MutexGuard<'_, Option<Loaded>> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Each file that `settings` leads to; a directory with what is in it.
fn stamps(settings: &TlsSettings) -> Vec<(PathBuf, Option<Stamp>)> {
    let TlsSettings { ca_cert, ca_path, client, server_name: _, skip_verify: _ } = settings;
    let client = client.iter().flat_map(|client| [&client.certificate, &client.key]);
    let mut paths: Vec<PathBuf> = ca_cert.iter().chain(ca_path).chain(client).cloned().collect();
    let entries = ca_path.iter().filter_map(|directory| fs::read_dir(directory).ok()).flatten();
    paths.extend(entries.flatten().map(|entry| entry.path()));
    paths.sort();
    let stamped = |path: PathBuf| {
        let stamp = stamp(&path);
        (path, stamp)
    };
    paths.into_iter().map(stamped).collect()
}

/// Of the file behind a symlink, since that is what is read.
fn stamp(path: &Path) -> Option<Stamp> {
    let facts = fs::metadata(path).ok()?;
    let modified = (facts.mtime(), facts.mtime_nsec());
    Some((facts.dev(), facts.ino(), facts.size(), modified, (facts.ctime(), facts.ctime_nsec())))
}
