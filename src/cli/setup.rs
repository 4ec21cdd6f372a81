//! What commands have in common: settings and configuration from flags, environment and file, a runtime, a log.

use std::env;
use std::io;
use std::path::PathBuf;

use tokio::runtime::{Builder, Handle, Runtime};

use super::args::Common;
use super::output;
use crate::app::{self, EnvironmentFiles, World};
use crate::clock::Clock;
use crate::config::diagnostic::Report;
use crate::config::env::Env;
use crate::config::provider;
use crate::config::settings::{LogFormat, Settings};
use crate::config::{Config, Loaded, Loader};
use crate::fault::ExitStatus;
use crate::lifecycle::{Systemd, Variables};
use crate::telemetry::log::{self, LogStyle};

/// Flags, environment and working directory of this process.
#[derive(Clone)]
pub(super) struct Setup {
    pub(super) env: Env,
    pub(super) settings: Settings,
    working_directory: PathBuf,
}

/// Why a command cannot begin.
pub(super) enum Obstacle {
    /// What is wrong with settings or configuration; nobody has been told.
    Refused(Report),
    /// Anything else; it has been printed.
    Told(ExitStatus),
}

impl Obstacle {
    /// Prints what has not been.
    pub(super) fn tell(self) -> ExitStatus {
        match self {
            Self::Refused(report) => {
                output::note(&report.to_string());
                ExitStatus::Configuration
            }
            Self::Told(status) => status,
        }
    }
}

impl Setup {
    /// Reads the process settings; what is wrong with them is printed.
    pub(super) fn read(common: &Common) -> Result<Self, ExitStatus> {
        Self::try_read(common).map_err(Obstacle::tell)
    }

    /// Reads the process settings.
    pub(super) fn try_read(common: &Common) -> Result<Self, Obstacle> {
        let env = Env::process();
        let working_directory = env::current_dir().map_err(|error| {
            let message = format!("cannot tell the working directory: {error}");
            output::error(&message, "start it in a directory that exists");
            Obstacle::Told(ExitStatus::Resource)
        })?;
        let settings = Settings::from_env(&common.flags, &env, &working_directory);
        let settings = settings.map_err(Obstacle::Refused)?;
        Ok(Self { env, settings, working_directory })
    }

    /// Finds the configuration file: flag, `CONFIG_FILE`, and the two usual places; what is wrong is printed.
    pub(super) fn loader(&self, common: &Common) -> Result<Loader, ExitStatus> {
        self.try_loader(common).map_err(Obstacle::tell)
    }

    /// Finds the configuration file.
    pub(super) fn try_loader(&self, common: &Common) -> Result<Loader, Obstacle> {
        Loader::find(common.config.as_deref(), self.env.clone(), self.working_directory.clone())
            .map_err(Obstacle::Refused)
    }

    /// Finds and loads the configuration; errors are printed, warnings are left to the caller.
    pub(super) fn loaded(&self, common: &Common) -> Result<Loaded, ExitStatus> {
        self.loader(common)?.load().map_err(|report| {
            output::note(&report.to_string());
            ExitStatus::Configuration
        })
    }

    /// Builds what a sync needs.
    pub(super) fn world(&self, config: Config) -> Result<World, ExitStatus> {
        World::build(config, &self.settings, Clock::system()).map_err(|fault| {
            output::error(&fault.message, &fault.remedy);
            fault.kind.exit_status()
        })
    }

    /// The service manager, if it wants to hear from this process.
    ///
    /// # Errors
    /// `NOTIFY_SOCKET` leads nowhere.
    pub(super) fn systemd(&self) -> io::Result<Option<Systemd>> {
        Systemd::connect(Variables {
            notify_socket: self.env.value("NOTIFY_SOCKET"),
            watchdog_usec: self.env.value("WATCHDOG_USEC"),
            watchdog_pid: self.env.value("WATCHDOG_PID"),
        })
    }

    /// The files that the environment names, whether they are read now or only after a reload.
    pub(super) fn environment_files(&self) -> EnvironmentFiles<'_> {
        EnvironmentFiles {
            roots_file: self.env.value("SSL_CERT_FILE"),
            roots_directories: self.env.value("SSL_CERT_DIR"),
            of_stores: provider::files_of_variables(&self.env),
        }
    }

    /// Whether a terminal is not to be given colours: `NO_COLOR` is set, and not to nothing (no-color.org).
    pub(super) fn is_colourless(&self) -> bool {
        let refused = self.env.is_set("NO_COLOR") && self.env.value("NO_COLOR") != Some("");
        refused || self.is_dumb()
    }

    /// Whether the terminal obeys no escapes at all: they would be shown as they are.
    pub(super) fn is_dumb(&self) -> bool {
        self.env.value("TERM") == Some("dumb")
    }

    /// Starts the log of this process, and its traces where they are asked for; they are sent on `runtime`.
    pub(super) fn start_log(&self, runtime: &Handle) -> Result<(), ExitStatus> {
        let tracing = self.settings.tracing.as_ref();
        let spans = tracing.map(|tracing| app::start_tracing(tracing, runtime.clone()));
        let spans = spans.transpose().map_err(|fault| {
            output::error(&fault.message, &fault.remedy);
            ExitStatus::Configuration
        })?;
        let colour = output::is_terminal() && !self.is_colourless();
        let as_text = match self.settings.log_format {
            LogFormat::Json => false,
            LogFormat::Text => true,
            LogFormat::Auto => output::is_terminal(),
        };
        let style = if as_text { LogStyle::Text { colour } } else { LogStyle::Json };
        log::start(self.settings.log_level.filter(), style, Clock::system(), spans);
        Ok(())
    }
}

/// One thread that waits, and a few that may block. The work of this program is waiting.
pub(super) fn runtime() -> Result<Runtime, ExitStatus> {
    Builder::new_current_thread().enable_all().build().map_err(|error| {
        output::error(&format!("cannot start: {error}"), "check the limits of this process (RLIMIT_NOFILE)");
        ExitStatus::Resource
    })
}
