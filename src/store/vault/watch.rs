//! Credential files that change: looked at every second by their metadata, read when that differs. Polled, because
//! events do not come from every file system that holds credentials, and one `stat` a second is next to nothing.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::task::spawn_blocking;
use tokio::time::{Duration, Instant, sleep};

use super::server::Server;
use super::session::{Session, TakenUp};

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// How long a file must stay as it is before it is believed: a writer may be in the middle of it.
const SETTLE: Duration = Duration::from_millis(250);

/// How often a file that goes on changing is waited for.
const PATIENCE: usize = 3;

/// The longest wait before a token that the server did not know is looked at again.
const LONGEST: Duration = Duration::from_secs(60);

/// What tells one state of a file from another without reading it; `None` where there is no file.
type Stamp = Option<(u64, u64, u64, i64, i64)>;

/// Watches the credential files of `session` for ever.
pub(super) async fn run(session: Arc<Session>, server: Arc<Server>) {
    let paths: Arc<[PathBuf]> = session.files().into();
    // Nobody knows what the files were like when they were read first: the first look compares the content.
    let mut seen: Option<Vec<Stamp>> = None;
    let (mut again, mut wait) = (None, LOOK);
    loop {
        sleep(LOOK).await;
        let now = stamps(&paths).await;
        if seen.as_ref() != Some(&now) {
            seen = Some(settled(&paths, now).await);
            wait = LOOK;
        } else if again.is_none_or(|again| again > Instant::now()) {
            continue;
        }
        again = match session.take_up(&server).await {
            TakenUp::Done => None,
            TakenUp::NotYet => Some(Instant::now() + wait),
        };
        wait = (wait * 2).min(LONGEST);
    }
}

/// Waits until the files stay as they are.
async fn settled(paths: &Arc<[PathBuf]>, mut last: Vec<Stamp>) -> Vec<Stamp> {
    for _ in 0..PATIENCE {
        sleep(SETTLE).await;
        let now = stamps(paths).await;
        if now == last {
            break;
        }
        last = now;
    }
    last
}

/// Looks at the files on a thread that may block. It is waited for however long it takes, so that a mount that hangs
/// holds one thread and no more.
async fn stamps(paths: &Arc<[PathBuf]>) -> Vec<Stamp> {
    let paths = Arc::clone(paths);
    spawn_blocking(move || paths.iter().map(|path| stamp(path)).collect()).await.unwrap_or_default()
}

/// Follows symlinks, as Kubernetes swaps `..data` and not the file.
fn stamp(path: &Path) -> Stamp {
    let data = std::fs::metadata(path).ok()?;
    Some((data.dev(), data.ino(), data.size(), data.mtime(), data.mtime_nsec()))
}
