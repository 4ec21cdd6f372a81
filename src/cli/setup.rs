//! What commands have in common: settings and configuration from flags, environment and file.

use std::env;
use std::path::PathBuf;

use tokio::runtime::Runtime;

use super::args::Common;
use super::output;
use crate::app::{self, Composition, Launch, Mode, StartError};
use crate::clock::Clock;
use crate::config::diagnostic::Report;
use crate::config::env::Env;
use crate::config::settings::{LogFormat, Settings};
use crate::config::{Loaded, Loader};
use crate::fault::ExitStatus;
use crate::telemetry::log::LogStyle;

/// Flags, environment and working directory of this process.
pub(super) struct Setup {
    pub(super) env: Env,
    pub(super) settings: Settings,
    working_directory: PathBuf,
}

/// Why a command cannot begin.
pub(super) enum SetupError {
    /// What is wrong with settings or configuration; it has not been printed.
    Refused(Report),
    /// Anything else; it has been printed.
    Printed(ExitStatus),
}

impl SetupError {
    /// Prints what has not been.
    pub(super) fn print(self) -> ExitStatus {
        match self {
            Self::Refused(report) => {
                output::report(&report);
                ExitStatus::Configuration
            }
            Self::Printed(status) => status,
        }
    }
}

impl Setup {
    /// Reads the process settings; what is wrong with them is printed.
    pub(super) fn read(common: &Common) -> Result<Self, ExitStatus> {
        Self::try_read(common).map_err(SetupError::print)
    }

    /// Reads the process settings.
    pub(super) fn try_read(common: &Common) -> Result<Self, SetupError> {
        let env = Env::process();
        let working_directory = env::current_dir().map_err(|error| {
            let message = format!("cannot find out the working directory: {error}");
            output::error(&message, "start it in a directory that exists");
            SetupError::Printed(ExitStatus::Resource)
        })?;
        let settings = Settings::from_env(&common.flags, &env, &working_directory);
        let settings = settings.map_err(SetupError::Refused)?;
        Ok(Self { env, settings, working_directory })
    }

    /// What a run is started with.
    pub(super) fn launch(self, common: &Common, mode: Mode) -> Launch {
        let log_style = log_style(self.settings.log_format, &self.env);
        let Self { env, settings, working_directory } = self;
        Launch { env, settings, config_flag: common.config.clone(), working_directory, log_style, mode }
    }

    /// Finds the configuration file: flag, `CONFIG_FILE`, and the two usual places.
    pub(super) fn loader(&self, common: &Common) -> Result<Loader, SetupError> {
        Loader::find(common.config.as_deref(), self.env.clone(), self.working_directory.clone())
            .map_err(SetupError::Refused)
    }

    /// Finds and loads the configuration; errors are printed, warnings are left to the caller.
    pub(super) fn loaded(&self, common: &Common) -> Result<Loaded, ExitStatus> {
        load(self.loader(common).map_err(SetupError::print)?).map_err(SetupError::print)
    }

    /// Builds what a sync needs; an error is printed.
    pub(super) fn composition(&self, loaded: Loaded) -> Result<Composition, ExitStatus> {
        Composition::build(loaded, &self.settings, Clock::system())
            .map_err(|fault| output::start_error(&fault.into()))
    }

    /// Whether a terminal is not to be given colours.
    pub(super) fn is_colourless(&self) -> bool {
        output::is_colourless(&self.env)
    }

    /// Whether the terminal obeys no escapes at all: they would be shown as they are.
    pub(super) fn is_dumb(&self) -> bool {
        output::is_dumb(&self.env)
    }
}

/// How log lines look.
pub(super) fn log_style(format: LogFormat, env: &Env) -> LogStyle {
    match (format, output::is_terminal()) {
        (LogFormat::Json, _) | (LogFormat::Auto, false) => LogStyle::Json,
        (LogFormat::Text, false) => LogStyle::Text,
        (LogFormat::Text | LogFormat::Auto, true) => {
            LogStyle::Terminal { colour: !output::is_colourless(env) }
        }
    }
}

/// Loads the configuration; a file that hangs is an error after a while.
pub(super) fn load(loader: Loader) -> Result<Loaded, SetupError> {
    let loading = app::runtime().and_then(|runtime| runtime.block_on(app::load(loader)));
    loading.map_err(|error| match error {
        StartError::Configuration(report) => SetupError::Refused(report),
        failure @ StartError::Failure { .. } => SetupError::Printed(output::start_error(&failure)),
    })
}

/// One thread that waits, and a few that may block.
pub(super) fn runtime() -> Result<Runtime, ExitStatus> {
    app::runtime().map_err(|error| output::start_error(&error))
}
