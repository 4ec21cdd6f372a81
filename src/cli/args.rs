//! The arguments, as clap reads them.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, Parser, Subcommand};

use crate::config::settings::Overrides;

/// Keeps files in sync with secrets in Vault and OpenBao.
#[derive(Parser, Debug)]
#[command(
    name = "secrets-sync",
    version,
    about,
    long_about = None,
    subcommand_help_heading = "Commands (run is the default)",
    after_help = "Exit codes: 0 done, 1 not ready or unforeseen, 2 usage, 3 configuration, 4 authentication, 5 store, \
                  6 secret absent,\n7 template, 8 file, 9 local resource, 10 several. Start with: secrets-sync init > config.yaml"
)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) common: Common,
    #[command(subcommand)]
    pub(super) command: Option<Command>,
}

/// Options of every command, before or after its name.
#[derive(ClapArgs, Clone, Debug)]
pub(super) struct Common {
    /// Configuration file; else CONFIG_FILE, ./config.yaml, /etc/secrets-sync/config.yaml
    #[arg(short, long, global = true, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// error, warn, info, debug or trace
    #[arg(long, global = true, value_name = "LEVEL")]
    log_level: Option<String>,
    /// auto, text or json
    #[arg(long, global = true, value_name = "FORMAT")]
    log_format: Option<String>,
    /// Where the daemon shows its state to `isready`
    #[arg(long, global = true, value_name = "FILE")]
    status_file: Option<String>,
    /// One JSON line per fetch, write, delete, login and reload: stdout or a file
    #[arg(long, global = true, value_name = "FILE")]
    audit_log: Option<String>,
    /// Ceiling of the first delay after a failure
    #[arg(long, global = true, value_name = "DURATION")]
    initial_backoff: Option<String>,
    /// Ceiling of every delay after a failure
    #[arg(long, global = true, value_name = "DURATION")]
    max_backoff: Option<String>,
    /// Growth of the ceiling from one failure to the next
    #[arg(long, global = true, value_name = "NUMBER")]
    backoff_multiplier: Option<String>,
    /// A wait is the interval × U(1 − jitter, 1)
    #[arg(long, global = true, value_name = "0..1")]
    refresh_jitter: Option<String>,
    /// How long a stop waits for files that are being written
    #[arg(long, global = true, value_name = "DURATION")]
    shutdown_timeout: Option<String>,
    /// Probes that a half-open circuit breaker lets through
    #[arg(long, global = true, value_name = "NUMBER")]
    circuit_breaker_max_requests: Option<String>,
    /// Window in which a circuit breaker counts failures
    #[arg(long, global = true, value_name = "DURATION")]
    circuit_breaker_interval: Option<String>,
    /// How long a circuit breaker stays open
    #[arg(long, global = true, value_name = "DURATION")]
    circuit_breaker_timeout: Option<String>,
    /// Reload when the configuration file changes
    #[arg(long, global = true, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    watch_config: Option<String>,
    /// Whether the HTTP endpoints are there
    #[arg(long, global = true, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    enable_metrics: Option<String>,
    /// Address of the HTTP endpoints
    #[arg(long, global = true, value_name = "IP")]
    metrics_addr: Option<String>,
    /// Port of the HTTP endpoints; 0 picks one
    #[arg(long, global = true, value_name = "PORT")]
    metrics_port: Option<String>,
    /// Whether traces are sent; where to, the OTEL_* variables say
    #[arg(long, global = true, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    enable_tracing: Option<String>,
    /// Whether the daemon restricts itself to what it needs: off, auto or require
    #[arg(long, global = true, value_name = "MODE")]
    sandbox: Option<String>,
    /// More trees the sandbox lets it read
    #[arg(long, global = true, value_name = "DIR:DIR")]
    sandbox_read: Option<String>,
    /// More trees the sandbox lets it write in
    #[arg(long, global = true, value_name = "DIR:DIR")]
    sandbox_write: Option<String>,
    /// More TCP ports the sandbox lets it connect to
    #[arg(long, global = true, value_name = "PORT:PORT")]
    sandbox_connect: Option<String>,
    /// Keep all memory out of swap
    #[arg(long, global = true, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    lock_memory: Option<String>,
}

#[derive(Subcommand, Debug)]
pub(super) enum Command {
    /// Keep files in sync
    Run(RunArgs),
    /// Exit 0 when the daemon is ready (container health check; silent on success)
    Isready(IsreadyArgs),
    /// Report every error and warning of the configuration
    Validate(ValidateArgs),
    /// Show what a sync would write, change or repair: names, sizes and keyed fingerprints, never values
    Plan,
    /// Show the running daemon's view of each secret
    Status(StatusArgs),
    /// Print a commented starter configuration
    Init,
    /// Print the version
    Version,
}

#[derive(ClapArgs, Debug, Default)]
pub(super) struct RunArgs {
    /// Sync everything once, then exit
    #[arg(long)]
    pub(super) once: bool,
    /// With --once: try failures that pass by themselves again until then; without it each secret is tried once
    #[arg(long, value_name = "DURATION", requires = "once", value_parser = duration)]
    pub(super) timeout: Option<Duration>,
}

#[derive(ClapArgs, Debug)]
pub(super) struct IsreadyArgs {
    /// Print the daemon's state as JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(ClapArgs, Debug)]
pub(super) struct StatusArgs {
    /// Print it as JSON
    #[arg(long)]
    pub(super) json: bool,
    /// Show it again every 2 seconds, until Ctrl-C
    #[arg(long)]
    pub(super) watch: bool,
}

#[derive(ClapArgs, Debug)]
pub(super) struct ValidateArgs {
    /// Log in, and check for each secret whether it can be read and for each file whether it can be written
    #[arg(long)]
    pub(super) online: bool,
    /// Print the report as JSON
    #[arg(long)]
    pub(super) json: bool,
}

impl Common {
    /// What the flags say about process settings; they win over the environment.
    pub(super) fn overrides(&self) -> Overrides {
        let Self {
            config: _,
            log_level,
            log_format,
            status_file,
            audit_log,
            initial_backoff,
            max_backoff,
            backoff_multiplier,
            refresh_jitter,
            shutdown_timeout,
            circuit_breaker_max_requests,
            circuit_breaker_interval,
            circuit_breaker_timeout,
            watch_config,
            enable_metrics,
            metrics_addr,
            metrics_port,
            enable_tracing,
            sandbox,
            sandbox_read,
            sandbox_write,
            sandbox_connect,
            lock_memory,
        } = self;
        Overrides {
            log_level: log_level.clone(),
            log_format: log_format.clone(),
            status_file: status_file.clone(),
            audit_log: audit_log.clone(),
            initial_backoff: initial_backoff.clone(),
            max_backoff: max_backoff.clone(),
            backoff_multiplier: backoff_multiplier.clone(),
            refresh_jitter: refresh_jitter.clone(),
            shutdown_timeout: shutdown_timeout.clone(),
            circuit_breaker_max_requests: circuit_breaker_max_requests.clone(),
            circuit_breaker_interval: circuit_breaker_interval.clone(),
            circuit_breaker_timeout: circuit_breaker_timeout.clone(),
            watch_config: watch_config.clone(),
            enable_metrics: enable_metrics.clone(),
            metrics_addr: metrics_addr.clone(),
            metrics_port: metrics_port.clone(),
            enable_tracing: enable_tracing.clone(),
            sandbox: sandbox.clone(),
            sandbox_read: sandbox_read.clone(),
            sandbox_write: sandbox_write.clone(),
            sandbox_connect: sandbox_connect.clone(),
            lock_memory: lock_memory.clone(),
        }
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    crate::config::duration::parse(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn clap_finds_no_contradiction() {
        Args::command().debug_assert();
    }

    #[test]
    fn the_configuration_may_stand_before_or_after_the_command() {
        for line in [["secrets-sync", "-c", "x", "plan"], ["secrets-sync", "plan", "--config", "x"]] {
            let args = Args::try_parse_from(line).unwrap();
            assert_eq!(args.common.config, Some(PathBuf::from("x")));
        }
    }

    #[test]
    fn a_timeout_without_once_is_wrong_usage() {
        assert!(Args::try_parse_from(["secrets-sync", "run", "--timeout", "5s"]).is_err());
        assert!(Args::try_parse_from(["secrets-sync", "run", "--once", "--timeout", "5"]).is_err());
        assert!(Args::try_parse_from(["secrets-sync", "run", "--once", "--timeout", "5s"]).is_ok());
    }
}
