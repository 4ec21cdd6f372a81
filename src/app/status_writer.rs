//! The status writer: keeps the status file true. A heartbeat every 10 s, and a new file soon after a secret changed its
//! state.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::blocking::Worker;
use crate::status::{RegistryInner, StatusFile, StatusRegistry};
use crate::telemetry::event;

const HEARTBEAT: Duration = Duration::from_secs(10);

/// Between two writes: a thousand secrets that sync at start are a few files, not a thousand.
const SPACING: Duration = Duration::from_millis(100);

/// Between two writes for tries that changed no state.
const TRIES_SPACING: Duration = Duration::from_secs(2);

/// Writes the status file until it is dropped or asked to end; then the file is gone.
pub(super) struct StatusWriter {
    registry: Arc<StatusRegistry>,
    file: Arc<StatusFile>,
    worker: Worker,
    ready: bool,
}

impl StatusWriter {
    pub(super) fn new(registry: Arc<StatusRegistry>, file: StatusFile) -> Self {
        Self { registry, file: Arc::new(file), worker: Worker::default(), ready: false }
    }

    /// Runs until `ended`, which comes after the last task: the status file is kept as long as files may change.
    pub(super) async fn run(mut self, ended: CancellationToken) {
        let mut changes = self.registry.changes();
        loop {
            self.registry.beat();
            self.write().await;
            tokio::select! {
                () = ended.cancelled() => break,
                () = tokio::time::sleep_until(self.next_write()) => {}
                () = debounced(&mut changes) => {}
                () = after_tries(&self.registry) => {}
            }
        }
        // A write that is late still has the file, which goes with its last owner.
        self.worker.idle().await;
    }

    /// The next heartbeat, or earlier the moment a secret becomes too old: that is a change nobody else reports.
    fn next_write(&self) -> Instant {
        let heartbeat = Instant::now() + HEARTBEAT;
        self.registry.next_staleness().map_or(heartbeat, |stale| heartbeat.min(stale))
    }

    async fn write(&mut self) {
        let snapshot = self.registry.snapshot();
        if snapshot.ready != self.ready && !snapshot.stopping {
            self.ready = snapshot.ready;
            event::readiness_changed(snapshot.unready_reason(snapshot.heartbeat).as_deref());
        }
        let file = Arc::clone(&self.file);
        let path = self.file.path().display().to_string();
        let written = self
            .worker
            .run(format!("writing {path}"), HEARTBEAT, move |_| {
                file.write(&snapshot).map_err(|e| e.to_string())
            })
            .await;
        if let Err(error) = written.unwrap_or_else(|error| Err(error.to_string())) {
            event::status_file_failed(&path, &error);
        }
    }
}

/// Waits for a change, and for those that come right behind it. The registry outlives the writer, so there is always
/// a change to wait for.
async fn debounced(changes: &mut watch::Receiver<RegistryInner>) {
    if changes.changed().await.is_ok() {
        tokio::time::sleep(SPACING).await;
    }
}

/// Waits for the end of a try and a while longer: many secrets that change nothing cost a write now and then.
async fn after_tries(registry: &StatusRegistry) {
    registry.tried().await;
    tokio::time::sleep(TRIES_SPACING).await;
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::clock::Clock;
    use crate::name::SecretName;
    use crate::status::{SecretEntry, SecretInfo, Snapshot, Success, read};

    struct WriterSetup {
        home: TempDir,
        registry: Arc<StatusRegistry>,
        ended: CancellationToken,
        writer: tokio::task::JoinHandle<()>,
    }

    /// A writer of one required secret that may be a minute old.
    fn start() -> WriterSetup {
        let home = TempDir::new().unwrap();
        let facts =
            SecretInfo { max_staleness: Some(Duration::from_secs(60)), ..SecretInfo::of_required("a") };
        let registry =
            Arc::new(StatusRegistry::new([(SecretName::new("a"), SecretEntry::new(facts))], Clock::system()));
        let file = StatusFile::claim(home.path().join("status.json")).unwrap();
        let ended = CancellationToken::new();
        let writer = tokio::spawn(StatusWriter::new(Arc::clone(&registry), file).run(ended.clone()));
        WriterSetup { home, registry, ended, writer }
    }

    impl WriterSetup {
        async fn after(&self, seconds: f64) -> Snapshot {
            tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
            read(&self.home.path().join("status.json")).unwrap()
        }

        fn sync(&self) {
            self.registry.succeeded(
                &SecretName::new("a"),
                Success { version: None, versions: Vec::new(), created: None, next_try: None },
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_shows_at_once_and_staleness_when_it_begins() {
        let setting = start();
        assert!(!setting.after(1.0).await.ready);
        setting.sync();
        assert!(setting.after(0.2).await.ready);
        assert!(setting.after(59.7).await.ready);
        assert!(!setting.after(0.2).await.ready);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_that_changes_no_state_shows_within_three_seconds() {
        let setting = start();
        let fail = || {
            let fault = crate::fault::Fault::new(crate::fault::Kind::Denied, "no", "ask");
            setting.registry.failed(&SecretName::new("a"), &fault, None);
        };
        fail();
        assert_eq!(setting.after(0.2).await.secrets[0].failures, 1);
        fail();
        assert_eq!(setting.after(1.0).await.secrets[0].failures, 1, "it is not urgent");
        assert_eq!(setting.after(2.0).await.secrets[0].failures, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn the_file_stays_and_says_stopping_until_the_last_task_has_ended() {
        let setting = start();
        setting.sync();
        setting.registry.stopping();
        let snapshot = setting.after(5.0).await;
        assert!(snapshot.stopping && !snapshot.ready);
        setting.ended.cancel();
        setting.writer.await.unwrap();
        assert!(!setting.home.path().join("status.json").exists());
    }
}
