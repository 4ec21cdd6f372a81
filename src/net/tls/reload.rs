//! TLS that follows its files: certificates for mutual TLS live for hours, and a CA is replaced under a daemon that
//! runs for months. Files are looked at before requests, at most once a second, and read again when one has changed.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Tls;
use crate::blocking::{WorkStep, Worker};
use crate::net::error::NetError;
use crate::net::settings::TlsSettings;

/// For this time, files are taken to be as they were.
const FRESH: Duration = Duration::from_secs(1);

/// Reading them may take this long. After that the last good ones serve, and the thread is left to the file system.
const LIMIT: Duration = Duration::from_secs(2);

/// What TLS needs, as new as its files.
pub(in crate::net) struct ReloadingTls(Arc<TlsFiles>);

struct TlsFiles {
    settings: TlsSettings,
    worker: Worker,
    state: Mutex<TlsState>,
}

#[derive(Default)]
struct TlsState {
    loaded: Option<LoadedTls>,
    checked: Option<Instant>,
}

/// One reading of the files.
#[derive(Clone)]
pub(in crate::net) struct LoadedTls {
    pub(in crate::net) tls: Arc<Tls>,
    /// The files have changed since and cannot be used: `tls` is what they were before.
    pub(in crate::net) error: Option<NetError>,
    stamps: Vec<(PathBuf, Option<FileStamp>)>,
}

/// Device, inode, size, and the times of content and inode.
type FileStamp = (u64, u64, u64, (i64, i64), (i64, i64));

impl ReloadingTls {
    pub(in crate::net) fn new(settings: TlsSettings) -> Self {
        Self(Arc::new(TlsFiles { settings, worker: Worker::default(), state: Mutex::default() }))
    }

    /// The configured CA file or directory.
    pub(in crate::net) fn ca(&self) -> Option<&Path> {
        self.0.settings.ca()
    }

    /// Looks at the files again for the next request.
    pub(in crate::net) fn expire(&self) {
        self.0.state().checked = None;
    }

    /// The files' content of now; what they were before where they cannot be used any more.
    ///
    /// # Errors
    /// The files could never be used.
    pub(in crate::net) async fn current(&self, host: &str) -> Result<LoadedTls, NetError> {
        if let Some(loaded) = self.0.fresh() {
            return Ok(loaded);
        }
        let (files, shown) = (Arc::clone(&self.0), host.to_owned());
        let loading = move |step: &WorkStep| files.load(&shown, &|path| step.set(reading(path)));
        match self.0.worker.run("reading the TLS files", LIMIT, loading).await {
            Ok(loaded) => loaded,
            Err(error) => self.0.keep(NetError::tls_setup(host, error.to_string(), error.remedy())),
        }
    }

    /// As [`Self::current`]. Blocks.
    pub(in crate::net) fn load(&self, host: &str) -> Result<(), NetError> {
        self.0.load(host, &|_| ()).map(drop)
    }
}

impl TlsFiles {
    fn fresh(&self) -> Option<LoadedTls> {
        let state = self.state();
        let is_fresh = state.checked.is_some_and(|checked| checked.elapsed() < FRESH);
        state.loaded.clone().filter(|_| is_fresh)
    }

    /// What was loaded last, for another second, though the files cannot be read now.
    fn keep(&self, error: NetError) -> Result<LoadedTls, NetError> {
        let mut state = self.state();
        state.checked = Some(Instant::now());
        match &state.loaded {
            Some(loaded) => Ok(LoadedTls { error: Some(error), ..loaded.clone() }),
            None => Err(error),
        }
    }

    /// `begins` hears of each path before it is looked at.
    fn load(&self, host: &str, begins: &dyn Fn(&Path)) -> Result<LoadedTls, NetError> {
        // Before the files are read: a change in between is found the next time.
        let stamps = stamps(&self.settings, begins);
        let before = self.state().loaded.clone();
        let now = match before {
            Some(before) if before.stamps == stamps => before,
            before => match (Tls::build(&self.settings, host), before) {
                (Ok(tls), _) => LoadedTls { tls: Arc::new(tls), error: None, stamps },
                (Err(error), Some(before)) => LoadedTls { error: Some(error), stamps, ..before },
                (Err(error), None) => return Err(error),
            },
        };
        *self.state() = TlsState { loaded: Some(now.clone()), checked: Some(Instant::now()) };
        Ok(now)
    }

    fn state(&self) -> MutexGuard<'_, TlsState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn reading(path: &Path) -> String {
    format!("reading {}", path.display())
}

/// Each file that `settings` leads to; a directory with what is in it.
fn stamps(settings: &TlsSettings, begins: &dyn Fn(&Path)) -> Vec<(PathBuf, Option<FileStamp>)> {
    let TlsSettings { ca_cert, ca_path, client, server_name: _, skip_verify: _ } = settings;
    let client = client.iter().flat_map(|client| [&client.certificate, &client.key]);
    let mut paths: Vec<PathBuf> = ca_cert.iter().chain(ca_path).chain(client).cloned().collect();
    let list = |directory: &PathBuf| {
        begins(directory);
        fs::read_dir(directory).ok()
    };
    let entries = ca_path.iter().filter_map(list).flatten();
    paths.extend(entries.flatten().map(|entry| entry.path()));
    paths.sort();
    let stamped = |path: PathBuf| {
        begins(&path);
        let stamp = stamp(&path);
        (path, stamp)
    };
    paths.into_iter().map(stamped).collect()
}

/// Of the file behind a symlink, since that is what is read.
fn stamp(path: &Path) -> Option<FileStamp> {
    let facts = fs::metadata(path).ok()?;
    let modified = (facts.mtime(), facts.mtime_nsec());
    Some((facts.dev(), facts.ino(), facts.size(), modified, (facts.ctime(), facts.ctime_nsec())))
}
