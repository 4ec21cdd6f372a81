//! The daemon: opens what can fail to open, starts the tasks, runs the control loop, stops in order.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::composition::Composition;
use super::control::ControlLoop;
use super::journal::JournalTask;
use super::notifier::ServiceNotifier;
use super::paths::conflict;
use super::reload::{Load, Reloader};
use super::sandbox::Sandbox;
use super::start_error::StartError;
use super::status_writer::StatusWriter;
use super::sweep::sweep_all;
use super::watch::Watch;
use crate::admin;
use crate::admin::control::{ControlSocket, ControlSocketFile};
use crate::blocking::Worker;
use crate::config::settings::{Settings, StatusPath};
use crate::hook::SystemActions;
use crate::issue::Holders;
use crate::lifecycle::{Signals, Systemd};
use crate::name::SecretName;
use crate::status::StatusFile;
use crate::sync::{Supervisor, SyncContext};
use crate::telemetry::event;
use crate::telemetry::trace;

/// What is left for the status file when the tasks have used up their time.
const GRACE: Duration = Duration::from_secs(1);

/// What a write of the status file that is under way may still take when a second signal ends everything: without its
/// end the file would be left behind.
const MOMENT: Duration = Duration::from_millis(200);

/// A daemon that has opened everything that can fail to open; nothing runs.
pub(super) struct OpenDaemon {
    composition: Composition,
    config: ConfigFile,
    status_file: StatusFile,
    admin: Option<admin::AdminServer>,
    systemd: Option<Systemd>,
    control: Option<ControlSocket>,
    sandbox: Arc<Sandbox>,
    actions: SystemActions,
    settings: Settings,
}

/// The configuration's file: how it is loaded again, and the watch on it, which begins with the daemon.
pub(super) struct ConfigFile {
    pub(super) load: Load,
    pub(super) watch: Watch,
}

impl OpenDaemon {
    /// Opens the status file and the port.
    ///
    /// # Errors
    /// The file cannot be written, another daemon has it, or a secret writes to its path; the port is in use.
    pub(super) fn open(
        composition: Composition,
        config: ConfigFile,
        (systemd, control): (Option<Systemd>, Option<ControlSocket>),
        (sandbox, actions): (Sandbox, SystemActions),
        settings: Settings,
    ) -> Result<Self, StartError> {
        let StatusPath { path, is_in_tmp } = &settings.status_file;
        let claimed = match conflict(path, &composition.jobs, &composition.inputs) {
            Some(cause) => Err(io::Error::other(cause)),
            None => settings.status_file.make_directory().and_then(|()| StatusFile::claim(path.clone())),
        };
        let status_file = claimed.map_err(|cause| unwritable_status(path, &cause))?;
        if *is_in_tmp {
            event::status_file_in_tmp(&path.display().to_string());
        }
        let admin =
            settings.listen.map(|address| listen(address, settings.port_is_configured)).transpose()?;
        let registry = &composition.context.registry;
        if let Some(server) = &admin {
            registry.listens_on(server.address());
        }
        registry.configured_by(config.watch.path().to_path_buf());
        registry.sandboxed(sandbox.as_str());
        let sandbox = Arc::new(sandbox);
        Ok(Self { composition, config, status_file, admin, systemd, control, sandbox, actions, settings })
    }

    /// Syncs until SIGTERM or SIGINT. The order of the shutdown: unready, no new passes, files being written are
    /// finished, secrets that are late are named and abandoned, the status file goes. A second signal ends it
    /// immediately, and nothing that hangs can hold it up for longer than `SHUTDOWN_TIMEOUT`.
    pub(super) async fn run(self, mut signals: Signals) {
        self.announce();
        let Self { composition, config, status_file, admin, systemd, control, sandbox, actions, settings } =
            self;
        let SyncContext { registry, clock, .. } = &composition.context;
        let (registry, ended) = (Arc::clone(registry), CancellationToken::new());
        event::configuration_loaded(clock.now());
        let notifier = ServiceNotifier::new(systemd, Arc::clone(&registry));
        let writer = tokio::spawn(StatusWriter::new(Arc::clone(&registry), status_file).run(ended.clone()));
        // Aborted when dropped, which is after the status file has gone: until then probes are answered.
        let mut endpoints = JoinSet::new();
        if let Some(server) = admin {
            endpoints.spawn(server.serve(Arc::clone(&registry)));
        }

        let swept = tokio::select! {
            () = sweep_all(&composition.jobs, &composition.context.mounts) => true,
            () = signals.stop() => false,
        };
        let builder = composition.builder.clone();
        let reloader = Reloader::new(config.load, builder, &composition, &settings, (sandbox, actions));
        let Composition { jobs, context, stores, builder: _, inputs: _, sealed: _ } = composition;
        let (journal, holders) = (context.journal.clone(), context.holders.clone());
        registry.credentials_by({
            let holders = holders.clone();
            move || holders.report()
        });
        if swept {
            holders.exchange(stores.holders());
        }
        let journal_task = JournalTask::start(&journal);
        let mut supervisor = Supervisor::start(if swept { jobs } else { Vec::new() }, &context);
        if swept {
            let changes = settings.watch_config.then(|| config.watch.start());
            let (control_loop, calls) = ControlLoop::new(signals, reloader, changes, notifier);
            let mut commands = JoinSet::new();
            let socket_file = control.map(|socket| {
                let (serving, file) = socket.serve(calls);
                commands.spawn(serving);
                file
            });
            signals = control_loop.run(&mut supervisor).await;
            // A daemon that stops takes no commands.
            commands.shutdown().await;
            remove(socket_file).await;
        } else {
            remove(control.map(|socket| socket.file)).await;
            notifier.stopping();
        }
        registry.stopping();
        shut_down((supervisor, holders, journal_task), signals, settings.shutdown_timeout, writer, ended)
            .await;
        drop(endpoints);
        event::stopped(journal.position().map(|last| (last.seq, last.head.to_string())));
    }

    fn announce(&self) {
        let listen = self.admin.as_ref().map(|server| server.address().to_string());
        let config_file = self.config.watch.path().display().to_string();
        let status_file = self.status_file.path().display().to_string();
        event::started(&config_file, self.composition.jobs.len(), &status_file, listen.as_deref());
    }
}

/// Removes the control socket; a file system that hangs keeps it.
async fn remove(socket: Option<ControlSocketFile>) {
    if let Some(socket) = socket {
        drop(Worker::default().run("removing the control socket", MOMENT, move |_| drop(socket)).await);
    }
}

/// Stops the tasks, and then the status file's writer by `ended`.
async fn shut_down(
    (supervisor, holders, journal): (Supervisor, Holders, JournalTask),
    mut signals: Signals,
    limit: Duration,
    mut writer: JoinHandle<()>,
    ended: CancellationToken,
) {
    event::stopping();
    let end = async {
        // Side by side: secrets that are late leave time for what `onStop: revoke` asks.
        let (late, ()) = tokio::join!(supervisor.stop(limit), holders.stop(limit / 2));
        report_late(&late);
        journal.stop().await;
        ended.cancel();
        // It only waits for its last write, which cannot panic.
        drop((&mut writer).await);
        trace::stop().await;
    };
    tokio::select! {
        () = end => {}
        () = signals.stop() => {}
        () = tokio::time::sleep(limit + GRACE) => {}
    }
    if !writer.is_finished() {
        ended.cancel();
        // A file system that hangs keeps it.
        drop(tokio::time::timeout(MOMENT, writer).await);
    }
}

/// A port that nobody configured is no reason to end: a free one is taken, and the status file says which.
fn listen(address: SocketAddr, is_configured: bool) -> Result<admin::AdminServer, StartError> {
    let bound = match admin::AdminServer::bind(address) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && !is_configured => {
            let server = admin::AdminServer::bind(SocketAddr::new(address.ip(), 0));
            if let Ok(server) = &server {
                event::port_in_use(address, server.address());
            }
            server
        }
        bound => bound,
    };
    bound.map_err(|cause| {
        StartError::resource(
            format!("cannot listen on {address}: {cause}"),
            "set METRICS_PORT to a free port (0 picks one) and METRICS_ADDR to an address of this machine, \
             or ENABLE_METRICS=false",
        )
    })
}

fn unwritable_status(path: &Path, cause: &io::Error) -> StartError {
    let remedy = match cause.kind() {
        io::ErrorKind::ResourceBusy => "set STATUS_FILE to a path of this daemon's own",
        _ => "make its directory writable, or set STATUS_FILE to a path of this daemon's own",
    };
    StartError::resource(format!("cannot write the status file {}: {cause}", path.display()), remedy)
}

fn report_late(late: &[SecretName]) {
    if !late.is_empty() {
        let names: Vec<String> = late.iter().map(ToString::to_string).collect();
        event::abandoned(&names);
    }
}
