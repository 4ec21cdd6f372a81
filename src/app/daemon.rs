//! The daemon: open what can fail, sweep, start, obey signals, stop in order.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::build::{Builder, World};
use super::herald::Herald;
use super::origin::Origin;
use super::reload::{Prepared, Refusal, Reloader};
use super::reporter::Reporter;
use super::sandbox::Sandbox;
use super::suspend::Suspend;
use super::watch::Changes;
use crate::admin;
use crate::config::secret::SecretSpec;
use crate::config::settings::Settings;
use crate::disk::{Location, OutputMounts, Swept};
use crate::lifecycle::{self, Signal, Signals, Systemd};
use crate::name::SecretName;
use crate::plan::Job;
use crate::sink;
use crate::status::StatusFile;
use crate::sync::{Assignment, Supervisor, Surroundings};
use crate::telemetry::{event, trace};

/// What is left for the status file when the tasks have used up their time.
const GRACE: Duration = Duration::from_secs(1);

/// What a write of the status file that is under way may still take when a second signal ends everything: without its
/// end the file would be left behind.
const MOMENT: Duration = Duration::from_millis(200);

/// Everything that can fail to open is open; nothing runs.
pub struct Bound {
    world: World,
    origin: Origin,
    status_file: StatusFile,
    admin: Option<admin::Server>,
    signals: Signals,
    systemd: Option<Systemd>,
    sandbox: Arc<Sandbox>,
    settings: Settings,
}

/// A local resource that could not be had. `Display` is place and cause.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what}: {cause}")]
pub struct OpenError {
    what: String,
    cause: io::Error,
    /// What the operator can do.
    pub remedy: &'static str,
}

impl OpenError {
    pub(super) fn new(what: String, cause: io::Error, remedy: &'static str) -> Self {
        Self { what, cause, remedy }
    }
}

impl Bound {
    /// Opens the status file and the port. Reloads will ask `origin`.
    ///
    /// # Errors
    /// The file cannot be written, another daemon has it, or a secret writes to its path; the port is in use.
    pub fn open(
        world: World,
        origin: Origin,
        signals: Signals,
        settings: &Settings,
    ) -> Result<Self, OpenError> {
        let path = settings.status_file.clone();
        let claimed = match taken(&path, &world.jobs, &world.inputs) {
            Some(cause) => Err(io::Error::other(cause)),
            None => StatusFile::claim(path.clone()),
        };
        let status_file = claimed.map_err(|cause| OpenError {
            what: format!("write the status file {}", path.display()),
            cause,
            remedy: "make its directory writable, or set STATUS_FILE to a path of this daemon's own",
        })?;
        let admin = settings.listen.map(listen).transpose()?;
        if let Some(server) = &admin {
            world.surroundings.board.listens_on(server.address());
        }
        let settings = settings.clone();
        Ok(Self {
            world,
            origin,
            status_file,
            admin,
            signals,
            systemd: None,
            sandbox: Arc::default(),
            settings,
        })
    }

    /// Has reloads stay within `sandbox`, and the status say what it restricts.
    #[must_use]
    pub fn within(self, sandbox: Sandbox) -> Self {
        self.world.surroundings.board.sandboxed(sandbox.as_str());
        Self { sandbox: Arc::new(sandbox), ..self }
    }

    /// Has `systemd` told how things are.
    #[must_use]
    pub fn with_systemd(self, systemd: Option<Systemd>) -> Self {
        Self { systemd, ..self }
    }

    /// Where the status file is.
    pub fn status_file(&self) -> String {
        self.status_file.path().display().to_string()
    }

    /// Where the HTTP endpoints are.
    pub fn listen(&self) -> Option<String> {
        self.admin.as_ref().map(|server| server.address().to_string())
    }

    /// Syncs until SIGTERM or SIGINT. The order of the end: unready, no new passes, files being written are
    /// finished, who is late is named and left, the status file goes. A second signal ends it at once, and nothing
    /// that hangs can hold it up for longer than `SHUTDOWN_TIMEOUT`.
    pub async fn run(self) {
        let Self { world, origin, status_file, admin, mut signals, systemd, sandbox, settings } = self;
        let Surroundings { board, key, clock, .. } = &world.surroundings;
        let (board, ended) = (Arc::clone(board), CancellationToken::new());
        event::configuration_loaded(clock.now());
        let mut herald = Herald::new(systemd, Arc::clone(&board));
        let mut reporter = tokio::spawn(Reporter::new(Arc::clone(&board), status_file).run(ended.clone()));
        // Aborted when dropped, which is after the status file has gone: until then probes are answered.
        let mut endpoints = JoinSet::new();
        if let Some(server) = admin {
            endpoints.spawn(server.serve(Arc::clone(&board)));
        }

        let swept = tokio::select! {
            () = sweep(&world.jobs, &world.surroundings.mounts) => true,
            () = signals.stop() => false,
        };
        let builder = Builder { breaker: settings.breaker, key: key.clone(), clock: clock.clone() };
        let reloader = Reloader::new(Arc::clone(&origin.load), builder, &world, &settings).within(sandbox);
        let World { jobs, surroundings, stores: _, inputs: _ } = world;
        let mut supervisor = Supervisor::start(if swept { jobs } else { Vec::new() }, &surroundings);
        if swept {
            let changes = settings.watch_config.then(|| origin.watch());
            Obedience { signals: &mut signals, reloader, changes }.obey(&mut supervisor, &mut herald).await;
        }

        event::stopping();
        board.stopping();
        herald.stopping();
        let limit = settings.shutdown_timeout;
        let end = async {
            name_late(&supervisor.stop(limit).await);
            ended.cancel();
            // It only waits for its last write, which cannot panic.
            drop((&mut reporter).await);
            trace::stop().await;
        };
        tokio::select! {
            () = end => {}
            () = signals.stop() => {}
            () = tokio::time::sleep(limit + GRACE) => {}
        }
        if !reporter.is_finished() {
            ended.cancel();
            // A file system that hangs keeps it.
            drop(tokio::time::timeout(MOMENT, reporter).await);
        }
        drop(endpoints);
        event::stopped();
    }
}

fn listen(address: SocketAddr) -> Result<admin::Server, OpenError> {
    admin::Server::bind(address).map_err(|cause| OpenError {
        what: format!("listen on {address}"),
        cause,
        remedy: "set METRICS_PORT to a free port (0 picks one) and METRICS_ADDR to an address of this machine, \
                 or ENABLE_METRICS=false",
    })
}

/// The secret whose file, or whose directory's entry, is at `place`: the two would replace each other for ever.
fn writer_of<'j>(place: &Location, jobs: &'j [Assignment]) -> Option<&'j SecretName> {
    let writes = |secret: &SecretSpec| {
        let is_file = secret.files.iter().any(|file| place.is_replaced_at(file.placement.target.as_path()));
        is_file || secret.directory.iter().any(|output| place.is_in(&Location::of(output.path.as_path())))
    };
    jobs.iter().map(|(job, _)| &job.secret).find(|secret| writes(secret)).map(|secret| &secret.name)
}

/// Why the daemon itself must not write to `path`: somebody else does, or it is read. Links do not hide that.
pub(super) fn taken(path: &Path, jobs: &[Assignment], inputs: &[(String, PathBuf)]) -> Option<String> {
    let place = Location::of(path);
    let secret = writer_of(&place, jobs).map(|secret| format!("the secret {secret} writes to that path"));
    let read = || inputs.iter().find(|(_, input)| Location::of(input).is(&place));
    secret.or_else(|| read().map(|(name, _)| format!("that path is {name}")))
}

/// What the daemon listens to.
struct Obedience<'s> {
    signals: &'s mut Signals,
    reloader: Reloader,
    changes: Option<Changes>,
}

/// What the daemon is to do.
enum Call {
    Signal(Signal),
    /// The configuration's file has changed.
    Changed,
    /// A new configuration has been loaded, or refused.
    Loaded(Result<Prepared, Refusal>),
    /// The machine has been asleep for so long.
    Slept(Duration),
}

impl Obedience<'_> {
    /// Returns at the first signal to stop.
    async fn obey(mut self, supervisor: &mut Supervisor, herald: &mut Herald) {
        let mut suspend = Suspend::watch(lifecycle::time_asleep);
        loop {
            let call = async {
                tokio::select! {
                    biased;
                    signal = self.signals.next() => Call::Signal(signal),
                    outcome = self.reloader.prepared() => Call::Loaded(outcome),
                    () = next_change(&mut self.changes) => Call::Changed,
                    slept = suspend.over() => Call::Slept(slept),
                }
            };
            match herald.meanwhile(call).await {
                Call::Signal(Signal::Stop) => return,
                Call::Signal(Signal::Reload) | Call::Changed => {
                    herald.reloading();
                    self.reloader.request();
                }
                Call::Signal(Signal::Refresh) => {
                    event::refresh_requested();
                    supervisor.refresh();
                }
                Call::Loaded(outcome) => {
                    self.reloader.conclude(outcome, supervisor);
                    if self.reloader.is_idle() {
                        herald.reloaded();
                    }
                }
                Call::Slept(slept) => {
                    event::resumed(slept);
                    supervisor.refresh();
                }
            }
        }
    }
}

/// Never where nobody watches the file.
async fn next_change(changes: &mut Option<Changes>) {
    match changes {
        Some(changes) => changes.next().await,
        None => std::future::pending().await,
    }
}

fn name_late(late: &[SecretName]) {
    if !late.is_empty() {
        let names: Vec<String> = late.iter().map(ToString::to_string).collect();
        event::abandoned(&names);
    }
}

/// Removes what an earlier life of this program left beside its files. A directory that cannot be read is for the
/// secrets that write to it to report.
pub(super) async fn sweep(jobs: &[Assignment], mounts: &Arc<OutputMounts>) {
    let (jobs, mounts): (Vec<Job>, _) =
        (jobs.iter().map(|(job, _)| job.clone()).collect(), Arc::clone(mounts));
    let prepare = move || sink::prepare(jobs.iter().flat_map(sink::directories), &mounts);
    if let Ok(swept) = tokio::task::spawn_blocking(prepare).await {
        tell_swept(&swept);
    }
}

pub(super) fn tell_swept(swept: &Swept) {
    if swept.removed > 0 {
        event::swept(swept.removed);
    }
    swept.faults.iter().for_each(event::sweep_failed);
}
