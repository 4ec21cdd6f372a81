//! The arguments, as clap reads them.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{
    Arg, ArgMatches, Args as ClapArgs, CommandFactory, FromArgMatches, Parser, Subcommand, value_parser,
};
use clap_complete::Shell;

use super::version::VERSION;
use crate::config::settings::{Flags, SETTINGS, Setting};
use crate::disk::FileMode;

const CONFIG: &str = "config";

/// Keeps files in sync with secrets in Vault and OpenBao.
#[derive(Parser, Debug)]
#[command(
    name = "secrets-sync",
    version = VERSION.as_str(),
    about,
    long_about = None,
    subcommand_help_heading = "Commands (run is the default)",
    after_help = "Exit codes: 0 done, 1 not ready or unforeseen, 2 usage, 3 configuration, 4 authentication, 5 store, \
                  6 secret absent,\n7 template, 8 file, 9 local resource, 10 several, 11 hook failed, 12 converted with warnings,\n13 not converted. Start with: secrets-sync init > config.yaml"
)]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) command: Option<Command>,
}

/// Options that stand before or after the command: the configuration file, and the process settings.
#[derive(Clone, Debug)]
pub(super) struct Common {
    pub(super) config: Option<PathBuf>,
    pub(super) flags: Flags,
}

/// Reads the command line.
pub(super) fn parse(line: impl IntoIterator<Item = OsString>) -> Result<(Common, Args), clap::Error> {
    let matches = command().try_get_matches_from(line)?;
    let args = Args::from_arg_matches(&matches)?;
    let below = matches.subcommand().map(|(_, below)| below);
    let given = |id: &str| below.and_then(|below| value(below, id)).or_else(|| value(&matches, id));
    let flags = SETTINGS.iter().filter_map(|setting| Some((setting.variable, given(setting.variable)?)));
    let config = below.and_then(|below| path(below, "file").or_else(|| path(below, CONFIG)));
    let common = Common { config: config.or_else(|| path(&matches, CONFIG)), flags: flags.into() };
    Ok((common, args))
}

fn value(matches: &ArgMatches, id: &str) -> Option<String> {
    matches.try_get_one::<String>(id).ok().flatten().cloned()
}

fn path(matches: &ArgMatches, id: &str) -> Option<PathBuf> {
    matches.try_get_one::<PathBuf>(id).ok().flatten().cloned()
}

/// What a command obeys of the common options; its help shows those and no others.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Obeys {
    /// All of them: it is the daemon.
    Everything,
    /// The configuration, and silently the process settings, which it checks.
    Configuration,
    /// Where the daemon's status file is.
    StatusFile,
    /// Where the daemon's journal is.
    StateDirectory,
    /// Where the daemon's control socket is.
    ControlSocket,
    Nothing,
}

pub(super) fn command() -> clap::Command {
    let names = [
        ("run", Obeys::Everything),
        ("validate", Obeys::Configuration),
        ("plan", Obeys::Configuration),
        ("isready", Obeys::StatusFile),
        ("status", Obeys::StatusFile),
        ("refresh", Obeys::ControlSocket),
        ("rollback", Obeys::ControlSocket),
        ("release", Obeys::ControlSocket),
        ("approve", Obeys::ControlSocket),
        ("leases", Obeys::ControlSocket),
        ("rotate", Obeys::ControlSocket),
        ("hook", Obeys::Configuration),
        ("history", Obeys::StateDirectory),
        ("init", Obeys::Nothing),
        ("schema", Obeys::Nothing),
        ("convert", Obeys::Nothing),
        ("explain", Obeys::Nothing),
        ("completions", Obeys::Nothing),
        ("man", Obeys::Nothing),
        ("version", Obeys::Nothing),
    ];
    names.into_iter().fold(with_common(Args::command(), Obeys::Everything), |command, (name, obeys)| {
        command.mut_subcommand(name, |command| with_common(command, obeys))
    })
}

fn with_common(command: clap::Command, obeys: Obeys) -> clap::Command {
    let has_config = matches!(obeys, Obeys::Everything | Obeys::Configuration);
    let config = Arg::new(CONFIG)
        .short('c')
        .long("config")
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .hide(!has_config)
        .help("Configuration file [env: CONFIG_FILE] [default: ./config.yaml, else /etc/secrets-sync/config.yaml]");
    command.arg(config).args(SETTINGS.iter().map(|setting| setting_arg(setting, obeys)))
}

fn setting_arg(setting: &'static Setting, obeys: Obeys) -> Arg {
    let default = match setting.default {
        "" => String::new(),
        default => format!(" [default: {default}]"),
    };
    let is_shown = match obeys {
        Obeys::Everything => true,
        Obeys::StatusFile => setting.variable == "STATUS_FILE",
        Obeys::StateDirectory => setting.variable == "STATE_DIR",
        Obeys::ControlSocket => ["STATUS_FILE", "CONTROL_SOCKET"].contains(&setting.variable),
        Obeys::Configuration | Obeys::Nothing => false,
    };
    let arg = Arg::new(setting.variable)
        .long(setting.flag)
        .value_name(setting.value)
        .help(format!("{} [env: {}]{default}", setting.help, setting.variable))
        .help_heading("Process settings")
        .hide(!is_shown);
    if setting.is_switch() { arg.num_args(0..=1).default_missing_value("true") } else { arg }
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
    Plan(PlanArgs),
    /// Show the running daemon's view of each secret
    Status(StatusArgs),
    /// Have the running daemon read secrets now, and show what became of each
    Refresh(RefreshArgs),
    /// Publish an earlier change of a secret again, and hold it until it is released
    Rollback(RollbackArgs),
    /// End the hold of a secret
    Release(OneSecretArgs),
    /// Publish what a brake has refused, that content alone
    Approve(OneSecretArgs),
    /// Show the credentials that are issued: when each is renewed, replaced and ends
    Leases(LeasesArgs),
    /// Issue the next credential of a secret; the one before is retired once the new one is in use
    Rotate(RotateArgs),
    /// Run one hook now with an event of type "test", and show what was sent and how it ended
    Hook(HookArgs),
    /// Show what the journal says became of secrets and hooks
    History(HistoryArgs),
    /// Print a commented starter configuration
    Init,
    /// Print the JSON Schema of the configuration file, for editors
    Schema,
    /// Convert files of External Secrets, Vault Agent, consul-template and other tools into a configuration
    Convert(ConvertArgs),
    /// Explain a diagnostic code, with an example that is wrong and one that is right; without one list all codes
    Explain(ExplainArgs),
    /// Print what completes command lines of this program in a shell
    Completions(CompletionsArgs),
    /// Print a manual page: secrets-sync(1) or secrets-sync.yaml(5)
    Man(ManArgs),
    /// Print the version
    Version,
}

#[derive(ClapArgs, Debug, Default)]
pub(super) struct RunArgs {
    /// Sync everything once, then exit
    #[arg(long)]
    pub(super) once: bool,
    /// With --once: keep retrying transient errors until this timeout; without it each secret is tried once
    #[arg(long, value_name = "DURATION", requires = "once", value_parser = duration)]
    pub(super) timeout: Option<Duration>,
    /// With --once: do not run the hooks that are due after a change; they stay owed
    #[arg(long, requires = "once")]
    pub(super) no_hooks: bool,
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
pub(super) struct RefreshArgs {
    /// Names of secrets; without one all of them
    #[arg(value_name = "NAME")]
    pub(super) secrets: Vec<String>,
}

#[derive(ClapArgs, Debug)]
pub(super) struct RollbackArgs {
    /// Name of the secret
    #[arg(value_name = "NAME")]
    pub(super) secret: String,
    /// Number of the change; without it the one before that of now
    #[arg(long, value_name = "NUMBER")]
    pub(super) to: Option<u64>,
}

#[derive(ClapArgs, Debug)]
pub(super) struct OneSecretArgs {
    /// Name of the secret
    #[arg(value_name = "NAME")]
    pub(super) secret: String,
}

#[derive(ClapArgs, Debug)]
pub(super) struct LeasesArgs {
    /// Print them as one JSON array
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(ClapArgs, Debug)]
pub(super) struct RotateArgs {
    /// Name of the secret
    #[arg(value_name = "NAME")]
    pub(super) secret: String,
    /// Retire the one before as soon as the new one is confirmed, without the grace of `lease`
    #[arg(long)]
    pub(super) now: bool,
}

#[derive(ClapArgs, Debug)]
pub(super) struct HookArgs {
    /// Name of the hook
    #[arg(value_name = "NAME")]
    pub(super) hook: String,
}

#[derive(ClapArgs, Debug)]
pub(super) struct HistoryArgs {
    /// Name of a secret; without one all of them
    #[arg(value_name = "NAME")]
    pub(super) secret: Option<String>,
    /// Show at most this many lines, the last ones [default: 50]
    #[arg(long, value_name = "NUMBER")]
    pub(super) limit: Option<usize>,
    /// Print the lines as one JSON array
    #[arg(long)]
    pub(super) json: bool,
    /// Follow the hash chain over all files instead; exit 1 names the first line that breaks it
    #[arg(long, conflicts_with_all = ["secret", "limit"])]
    pub(super) verify: bool,
}

#[derive(ClapArgs, Debug)]
pub(super) struct PlanArgs {
    /// Configuration file, as with --config
    #[arg(conflicts_with = CONFIG)]
    file: Option<PathBuf>,
}

#[derive(ClapArgs, Debug)]
pub(super) struct ValidateArgs {
    /// Configuration file, as with --config
    #[arg(conflicts_with = CONFIG)]
    file: Option<PathBuf>,
    /// Log in, and check for each secret whether it can be read and for each file whether it can be written
    #[arg(long)]
    pub(super) online: bool,
    /// Print the report as JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(ClapArgs, Debug)]
pub(super) struct ExplainArgs {
    /// Code of a report, such as unknown-key
    pub(super) code: Option<String>,
}

#[derive(ClapArgs, Debug)]
pub(super) struct CompletionsArgs {
    /// The shell that reads it
    pub(super) shell: Shell,
}

#[derive(ClapArgs, Debug)]
pub(super) struct ManArgs {
    /// Section: 1 for the command, 5 for the configuration file
    #[arg(default_value = "1", value_parser = ["1", "5"])]
    pub(super) section: String,
}

#[derive(ClapArgs, Debug)]
pub(super) struct ConvertArgs {
    /// Files and directories; "-" or none for standard input
    pub(super) inputs: Vec<PathBuf>,
    /// Where the files of the secrets will lie
    #[arg(long, value_name = "DIR", default_value = "./secrets")]
    pub(super) output_dir: String,
    /// Write the configuration into this file instead of stdout
    #[arg(long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
    /// The mount of keys whose store says nothing of one
    #[arg(long, value_name = "MOUNT")]
    pub(super) mount_path: Option<String>,
    /// The KV version of a mount, such as kv=v1; can be repeated
    #[arg(long, value_name = "MOUNT=VERSION", value_parser = kv_version)]
    pub(super) kv_version: Vec<(String, String)>,
    /// Ask the server which KV mounts there are, of which version, and which fields the secrets have
    #[arg(long)]
    pub(super) query_vault: bool,
    /// The mode of all files
    #[arg(long, value_name = "MODE", value_parser = mode)]
    pub(super) mode: Option<String>,
    /// Write what can be converted although something is refused
    #[arg(long)]
    pub(super) partial: bool,
    /// Render the original and the configuration with synthetic values, and compare the files
    #[arg(long)]
    pub(super) verify: bool,
    /// Where template files of the Agent are looked for, by their names; can be repeated
    #[arg(long, value_name = "DIR")]
    pub(super) template_dir: Vec<PathBuf>,
    /// Print what became of each field: text or json
    #[arg(long, value_name = "FORMAT", value_parser = report_format)]
    pub(super) report: Option<ReportFormat>,
}

/// How `convert` prints its report.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ReportFormat {
    Text,
    Json,
}

fn report_format(text: &str) -> Result<ReportFormat, &'static str> {
    match text {
        "text" => Ok(ReportFormat::Text),
        "json" => Ok(ReportFormat::Json),
        _ => Err("write text or json"),
    }
}

fn kv_version(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((mount, version @ ("v1" | "v2"))) if !mount.is_empty() => {
            Ok((mount.trim_matches('/').to_owned(), version.to_owned()))
        }
        _ => Err("write MOUNT=v1 or MOUNT=v2"),
    }
}

fn mode(text: &str) -> Result<String, String> {
    FileMode::parse(text).map(|mode| mode.to_string()).map_err(|error| format!("it {error}"))
}

fn duration(text: &str) -> Result<Duration, String> {
    crate::config::duration::parse(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &[&str]) -> Result<(Common, Args), clap::Error> {
        parse(std::iter::once("secrets-sync").chain(line.iter().copied()).map(OsString::from))
    }

    fn help(line: &[&str]) -> String {
        read(&[line, &["--help"]].concat()).unwrap_err().render().to_string()
    }

    #[test]
    fn clap_finds_no_contradiction() {
        command().debug_assert();
    }

    #[test]
    fn common_options_may_stand_before_or_after_the_command() {
        for line in
            [["-c", "x", "--log-level", "warn", "plan"], ["plan", "--config", "x", "--log-level", "warn"]]
        {
            let (common, _) = read(&line).unwrap();
            assert_eq!(common.config, Some(PathBuf::from("x")));
            assert_eq!(common.flags, Flags::from([("LOG_LEVEL", "warn".to_owned())]));
        }
        assert_eq!(read(&["validate", "x.yaml"]).unwrap().0.config, Some(PathBuf::from("x.yaml")));
        assert_eq!(read(&["plan", "x.yaml"]).unwrap().0.config, Some(PathBuf::from("x.yaml")));
        assert!(read(&["validate", "x.yaml", "-c", "y.yaml"]).is_err());
        let (common, _) = read(&["run", "--watch-config"]).unwrap();
        assert_eq!(common.flags, Flags::from([("WATCH_CONFIG", "true".to_owned())]));
    }

    #[test]
    fn the_help_of_a_command_shows_what_belongs_to_it() {
        let run = help(&["run"]);
        assert!(
            run.contains("Process settings:") && run.contains("[env: LOG_LEVEL] [default: info]"),
            "{run}"
        );
        for (line, shown) in [("init", false), ("version", false), ("isready", false), ("validate", true)] {
            let text = help(&[line]);
            assert!(!text.contains("LOG_LEVEL") && text.contains("--config") == shown, "{text}");
        }
        assert!(help(&["isready"]).contains("STATUS_FILE") && !help(&["validate"]).contains("STATUS_FILE"));
    }

    #[test]
    fn a_timeout_without_once_is_wrong_usage() {
        assert!(read(&["run", "--timeout", "5s"]).is_err());
        assert!(read(&["run", "--once", "--timeout", "5"]).is_err());
        assert!(read(&["run", "--once", "--timeout", "5s"]).is_ok());
    }
}
