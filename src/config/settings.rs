//! Process settings: how the program runs, apart from what it keeps in sync. A flag comes before the environment, the
//! environment before the default; a variable that is set to nothing counts as not set.

mod control;
mod listen;
mod place;
mod reader;
mod sandbox;
mod state;
mod status;
mod table;
mod trace;

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tracing::level_filters::LevelFilter;

use super::diagnostic::Report;
use super::duration;
use super::env::{Env, parse_bool};
use crate::backoff::BackoffSettings;
use crate::telemetry::audit::Destination;

pub use control::ControlSocketPath;
pub(crate) use place::config_path;
pub use reader::Flags;
pub use sandbox::{SandboxMode, SandboxSettings};
pub use state::StatePath;
pub use status::StatusPath;
pub(crate) use table::SETTINGS;
pub use table::Setting;
pub use trace::TraceSettings;

use reader::{A_BOOLEAN, A_DURATION, SettingsReader};

const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(30);
const REFRESH_JITTER: f64 = 0.1;

/// Everything the environment and the flags say about the process.
#[derive(Clone, PartialEq, Debug)]
pub struct Settings {
    /// `LOG_LEVEL`.
    pub log_level: LogLevel,
    /// `LOG_FORMAT`.
    pub log_format: LogFormat,
    /// `STATUS_FILE`.
    pub status_file: StatusPath,
    /// `CONTROL_SOCKET`.
    pub control_socket: ControlSocketPath,
    /// `STATE_DIR`: where the journal and its key are.
    pub state_dir: StatePath,
    /// `STATE_KEY_FILE`: the key that seals issued credentials there.
    pub state_key_file: Option<PathBuf>,
    /// `AUDIT_LOG`: where audit lines go; `None` is nowhere.
    pub audit_log: Option<Destination>,
    /// `INITIAL_BACKOFF`, `MAX_BACKOFF`, `BACKOFF_MULTIPLIER`.
    pub backoff: BackoffSettings,
    /// `REFRESH_JITTER`: a wait is the interval times something between 1 minus this and 1; 0 up to below 1.
    pub refresh_jitter: f64,
    /// `SHUTDOWN_TIMEOUT`: how long passes may go on after a signal.
    pub shutdown_timeout: Duration,
    /// `CIRCUIT_BREAKER_MAX_REQUESTS`, `CIRCUIT_BREAKER_INTERVAL`, `CIRCUIT_BREAKER_TIMEOUT`.
    pub breaker: BreakerSettings,
    /// `WATCH_CONFIG`: reload when the configuration file changes.
    pub watch_config: bool,
    /// `METRICS_ADDR`, `METRICS_PORT`: where the HTTP endpoints are; `None` where `ENABLE_METRICS` is false.
    pub listen: Option<SocketAddr>,
    /// Whether the port was chosen: then another one will not do.
    pub port_is_configured: bool,
    /// `ENABLE_TRACING` and `OTEL_*`; `None` where no traces are sent.
    pub tracing: Option<TraceSettings>,
    /// `SANDBOX`, `SANDBOX_READ`, `SANDBOX_WRITE`, `SANDBOX_CONNECT`.
    pub sandbox: SandboxSettings,
    /// `LOCK_MEMORY`: keep memory out of swap.
    pub lock_memory: bool,
}

/// The settings of circuit breakers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BreakerSettings {
    /// Requests let through concurrently while it is half-open; at least 1.
    pub max_requests: u32,
    /// The window in which requests and failures are counted while it is closed.
    pub interval: Duration,
    /// How long it stays open.
    pub timeout: Duration,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self { max_requests: 3, interval: Duration::from_secs(60), timeout: Duration::from_secs(30) }
    }
}

/// `LOG_LEVEL`: the least important events that are logged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogLevel {
    /// Everything, third-party crates included.
    Trace,
    /// Unchanged refreshes too.
    Debug,
    /// What the operator did or got.
    Info,
    /// What is degraded.
    Warn,
    /// What an operator has to act on.
    Error,
}

impl LogLevel {
    /// The same in the words of the log.
    pub fn filter(self) -> LevelFilter {
        match self {
            Self::Trace => LevelFilter::TRACE,
            Self::Debug => LevelFilter::DEBUG,
            Self::Info => LevelFilter::INFO,
            Self::Warn => LevelFilter::WARN,
            Self::Error => LevelFilter::ERROR,
        }
    }
}

/// `LOG_FORMAT`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    Auto,
    /// Lines for people.
    Text,
    /// One JSON object per line.
    Json,
}

impl Settings {
    /// Reads flags and environment; a relative status file starts at `working_directory`.
    ///
    /// # Errors
    /// Every value that is refused, each named by its variable or flag and never shown.
    pub fn from_env(flags: &Flags, env: &Env, working_directory: &Path) -> Result<Self, Report> {
        let mut reader = SettingsReader { flags, env, report: Report::new("process settings") };
        let settings = Self {
            log_level: reader.value("LOG_LEVEL", LEVELS, level).unwrap_or(LogLevel::Info),
            log_format: reader.value("LOG_FORMAT", FORMATS, format).unwrap_or(LogFormat::Auto),
            status_file: reader.status_file(working_directory),
            control_socket: reader.control_socket(working_directory),
            state_dir: reader.state_dir(working_directory),
            state_key_file: reader.state_key_file(working_directory),
            audit_log: reader.value(
                "AUDIT_LOG",
                "stdout, or the path of a file (an absolute one if its name is that of a stream)",
                |text| destination(text, working_directory),
            ),
            backoff: reader.backoff(),
            refresh_jitter: reader
                .value("REFRESH_JITTER", "a number from 0 up to below 1", jitter)
                .unwrap_or(REFRESH_JITTER),
            shutdown_timeout: reader
                .value("SHUTDOWN_TIMEOUT", A_DURATION, any_duration)
                .unwrap_or(SHUTDOWN_TIMEOUT),
            breaker: reader.breaker(),
            watch_config: reader.value("WATCH_CONFIG", A_BOOLEAN, parse_bool).unwrap_or(false),
            port_is_configured: reader.has("METRICS_PORT"),
            listen: reader.listen(),
            tracing: reader.tracing(working_directory),
            sandbox: reader.sandbox(),
            lock_memory: reader.value("LOCK_MEMORY", A_BOOLEAN, parse_bool).unwrap_or(false),
        };
        if reader.report.is_empty() { Ok(settings) } else { Err(reader.report) }
    }
}

/// `LOG_FORMAT`, where the other settings may be refused; the default where it is refused itself.
pub(crate) fn log_format(flags: &Flags, env: &Env) -> LogFormat {
    let mut reader = SettingsReader { flags, env, report: Report::new("process settings") };
    reader.value("LOG_FORMAT", FORMATS, format).unwrap_or(LogFormat::Auto)
}

const LEVELS: &str = "trace, debug, info, warn or error";
const FORMATS: &str = "auto, text or json";

impl SettingsReader<'_> {
    fn breaker(&mut self) -> BreakerSettings {
        let default = BreakerSettings::default();
        let count = |text: &str| text.parse().ok().map(NonZeroU32::get);
        let takes = "a whole number from 1";
        let max_requests = self.value("CIRCUIT_BREAKER_MAX_REQUESTS", takes, count);
        let takes = "a duration above 0, such as 30s";
        let interval = self.value("CIRCUIT_BREAKER_INTERVAL", takes, some_time);
        let timeout = self.value("CIRCUIT_BREAKER_TIMEOUT", takes, some_time);
        BreakerSettings {
            max_requests: max_requests.unwrap_or(default.max_requests),
            interval: interval.unwrap_or(default.interval),
            timeout: timeout.unwrap_or(default.timeout),
        }
    }

    fn status_file(&mut self, working_directory: &Path) -> StatusPath {
        let parse =
            |text: &str| (!text.contains('\0') && !text.is_empty()).then(|| working_directory.join(text));
        let configured = self.value("STATUS_FILE", "the path of a file", parse);
        configured.map_or_else(|| StatusPath::default_of(self.env), StatusPath::configured)
    }

    /// Where only one of the ceilings is given, it pulls the default of the other along.
    fn backoff(&mut self) -> BackoffSettings {
        let default = BackoffSettings::default();
        let takes = "a duration above 0, such as 1s";
        let initial = self.value("INITIAL_BACKOFF", takes, some_time);
        let max = self.value("MAX_BACKOFF", takes, some_time);
        let takes = "a number from 1 to 100";
        let multiplier = self.value("BACKOFF_MULTIPLIER", takes, multiplier);
        if let (Some(initial), Some(max)) = (initial, max)
            && max < initial
        {
            self.refuse("MAX_BACKOFF".to_owned(), "must not be below INITIAL_BACKOFF".to_owned());
        }
        BackoffSettings {
            initial: initial.unwrap_or(default.initial.min(max.unwrap_or(default.max))),
            max: max.unwrap_or(default.max.max(initial.unwrap_or(default.initial))),
            multiplier: multiplier.unwrap_or(default.multiplier),
        }
    }
}

fn level(text: &str) -> Option<LogLevel> {
    match text.to_ascii_lowercase().as_str() {
        "trace" => Some(LogLevel::Trace),
        "debug" => Some(LogLevel::Debug),
        "info" => Some(LogLevel::Info),
        "warn" | "warning" => Some(LogLevel::Warn),
        "error" => Some(LogLevel::Error),
        _ => None,
    }
}

fn format(text: &str) -> Option<LogFormat> {
    match text.to_ascii_lowercase().as_str() {
        "auto" => Some(LogFormat::Auto),
        "text" => Some(LogFormat::Text),
        "json" => Some(LogFormat::Json),
        _ => None,
    }
}

fn destination(text: &str, working_directory: &Path) -> Option<Destination> {
    match text {
        "stdout" => Some(Destination::Stdout),
        // A file of that name in the working directory is hardly what is meant.
        "-" => None,
        _ if ["stdin", "stdout", "stderr"].iter().any(|stream| text.eq_ignore_ascii_case(stream)) => None,
        _ if text.is_empty() || text.ends_with('/') || text.contains('\0') => None,
        path => Some(Destination::File(working_directory.join(path))),
    }
}

fn any_duration(text: &str) -> Option<Duration> {
    duration::parse(text).ok()
}

fn some_time(text: &str) -> Option<Duration> {
    any_duration(text).filter(|duration| !duration.is_zero())
}

fn multiplier(text: &str) -> Option<f32> {
    text.parse().ok().filter(|factor| (1.0..=100.0).contains(factor))
}

fn jitter(text: &str) -> Option<f64> {
    text.parse().ok().filter(|share| (0.0..1.0).contains(share))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> Result<Settings, Report> {
        Settings::from_env(&Flags::default(), &Env::from_pairs(pairs.iter().copied()), Path::new("/work"))
    }

    #[test]
    fn defaults_are_those_of_the_contract() {
        let settings = settings(&[("LOG_LEVEL", "")]).unwrap();
        assert_eq!((settings.log_level, settings.log_format), (LogLevel::Info, LogFormat::Auto));
        assert_eq!(settings.status_file.path, Path::new("/run/secrets-sync/status.json"));
        assert_eq!(settings.backoff, BackoffSettings::default());
        assert!((settings.refresh_jitter - 0.1).abs() < f64::EPSILON);
        assert_eq!(settings.shutdown_timeout, Duration::from_secs(30));
        let (interval, timeout) = (Duration::from_secs(60), Duration::from_secs(30));
        assert_eq!(settings.breaker, BreakerSettings { max_requests: 3, interval, timeout });
        assert_eq!((settings.watch_config, settings.listen), (false, "127.0.0.1:8080".parse().ok()));
    }

    #[test]
    fn every_setting_is_read() {
        let settings = settings(&[
            ("LOG_LEVEL", "DEBUG"),
            ("LOG_FORMAT", "json"),
            ("STATUS_FILE", "status"),
            ("INITIAL_BACKOFF", "2s"),
            ("MAX_BACKOFF", "1m"),
            ("BACKOFF_MULTIPLIER", "1.5"),
            ("REFRESH_JITTER", "0"),
            ("SHUTDOWN_TIMEOUT", "0"),
            ("CIRCUIT_BREAKER_MAX_REQUESTS", "5"),
            ("CIRCUIT_BREAKER_INTERVAL", "2m"),
            ("CIRCUIT_BREAKER_TIMEOUT", "10s"),
            ("WATCH_CONFIG", "1"),
            ("METRICS_ADDR", "[::1]"),
            ("METRICS_PORT", "0"),
        ])
        .unwrap();
        assert_eq!((settings.log_level, settings.log_format), (LogLevel::Debug, LogFormat::Json));
        assert_eq!(settings.status_file.path, Path::new("/work/status"));
        let (initial, max) = (Duration::from_secs(2), Duration::from_secs(60));
        assert_eq!(settings.backoff, BackoffSettings { initial, max, multiplier: 1.5 });
        assert_eq!((settings.refresh_jitter.to_bits(), settings.shutdown_timeout), (0, Duration::ZERO));
        let (interval, timeout) = (Duration::from_secs(120), Duration::from_secs(10));
        assert_eq!(settings.breaker, BreakerSettings { max_requests: 5, interval, timeout });
        assert_eq!((settings.watch_config, settings.listen), (true, "[::1]:0".parse().ok()));
    }

    #[test]
    fn the_audit_stream_goes_nowhere_to_stdout_or_to_a_file() {
        assert_eq!(settings(&[]).unwrap().audit_log, None);
        for (text, destination) in [
            ("stdout", Destination::Stdout),
            ("./stdout", Destination::File("/work/stdout".into())),
            ("/var/log/audit", Destination::File("/var/log/audit".into())),
        ] {
            assert_eq!(settings(&[("AUDIT_LOG", text)]).unwrap().audit_log, Some(destination));
        }
        for text in ["logs/", "-", "STDOUT", "Stdout", "stderr", "stdin"] {
            let refused = settings(&[("AUDIT_LOG", text)]).unwrap_err().to_string();
            assert!(refused.contains("takes stdout, or the path of a file (an absolute one"), "{refused}");
        }
    }

    #[test]
    fn a_port_is_configured_only_where_somebody_chose_it() {
        assert!(!settings(&[]).unwrap().port_is_configured);
        assert!(!settings(&[("METRICS_PORT", ""), ("METRICS_ADDR", "::1")]).unwrap().port_is_configured);
        assert!(settings(&[("METRICS_PORT", "8080")]).unwrap().port_is_configured);
    }

    #[test]
    fn without_metrics_nothing_listens() {
        assert_eq!(settings(&[("ENABLE_METRICS", "false")]).unwrap().listen, None);
    }

    #[test]
    fn every_bad_value_is_named_and_none_is_shown() {
        let variables = [
            "LOG_LEVEL",
            "LOG_FORMAT",
            "WATCH_CONFIG",
            "ENABLE_METRICS",
            "ENABLE_TRACING",
            "METRICS_ADDR",
            "METRICS_PORT",
            "CIRCUIT_BREAKER_MAX_REQUESTS",
            "CIRCUIT_BREAKER_INTERVAL",
            "CIRCUIT_BREAKER_TIMEOUT",
            "INITIAL_BACKOFF",
            "MAX_BACKOFF",
            "BACKOFF_MULTIPLIER",
            "REFRESH_JITTER",
            "SHUTDOWN_TIMEOUT",
        ];
        let report = settings(&variables.map(|name| (name, "hunter2"))).unwrap_err();
        let named: Vec<_> = report.diagnostics.iter().map(|one| one.place.path.as_str()).collect();
        assert!(variables.iter().all(|name| named.contains(name)), "{report}");
        assert_eq!(named.len(), variables.len());
        assert!(!report.to_string().contains("hunter2"));
    }

    #[test]
    fn numbers_outside_their_range_are_refused() {
        for (name, value) in [
            ("BACKOFF_MULTIPLIER", "0.5"),
            ("BACKOFF_MULTIPLIER", "NaN"),
            ("REFRESH_JITTER", "1"),
            ("REFRESH_JITTER", "-0.1"),
            ("METRICS_PORT", "65536"),
            ("CIRCUIT_BREAKER_MAX_REQUESTS", "0"),
            ("CIRCUIT_BREAKER_TIMEOUT", "0"),
            ("INITIAL_BACKOFF", "0"),
            ("SHUTDOWN_TIMEOUT", "30"),
        ] {
            assert!(settings(&[(name, value)]).is_err(), "{name}={value}");
        }
    }

    #[test]
    fn one_ceiling_of_the_backoff_pulls_the_other_along() {
        let low = settings(&[("MAX_BACKOFF", "200ms")]).unwrap().backoff;
        assert_eq!(low.initial, Duration::from_millis(200));
        let high = settings(&[("INITIAL_BACKOFF", "10m")]).unwrap().backoff;
        assert_eq!(high.max, Duration::from_secs(600));
        assert!(settings(&[("INITIAL_BACKOFF", "2s"), ("MAX_BACKOFF", "1s")]).is_err());
    }

    #[test]
    fn a_flag_comes_before_its_variable_and_errors_name_the_flag() {
        let env = Env::from_pairs([("LOG_LEVEL", "nonsense")]);
        let flag = |text: &str| Flags::from([("LOG_LEVEL", text.to_owned())]);
        assert_eq!(
            Settings::from_env(&flag("warn"), &env, Path::new("/")).unwrap().log_level,
            LogLevel::Warn
        );
        let report = Settings::from_env(&flag("loud"), &env, Path::new("/")).unwrap_err();
        assert_eq!(report.diagnostics[0].place.path, "--log-level");
    }

    #[test]
    fn the_status_file_goes_to_the_runtime_directory() {
        let status = |directory| settings(&[("XDG_RUNTIME_DIR", directory)]).unwrap().status_file.path;
        assert_eq!(status("/run/user/7"), Path::new("/run/user/7/secrets-sync/status.json"));
        assert_eq!(status("relative"), Path::new("/run/secrets-sync/status.json"));
    }
}
