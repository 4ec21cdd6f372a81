//! The process settings, each named once: `cli` makes its flags of this table, and a test compares the table of
//! docs/configuration.md with it.

/// One process setting.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The environment variable.
    pub variable: &'static str,
    /// The flag, without dashes in front: the variable in lower case, with hyphens.
    pub flag: &'static str,
    /// What the value is called in the help.
    pub value: &'static str,
    /// The default as text; empty where there is none.
    pub default: &'static str,
    /// What it is for.
    pub help: &'static str,
}

impl Setting {
    /// Whether the flag may stand without a value, for `true`.
    pub(crate) fn is_switch(&self) -> bool {
        self.value == "BOOL"
    }
}

/// Every process setting but the configuration file, in the order of the help.
pub(crate) const SETTINGS: &[Setting] = &[
    setting(
        "LOG_LEVEL",
        "log-level",
        "LEVEL",
        "info",
        "Least important log lines: error, warn, info, debug or trace",
    ),
    setting(
        "LOG_FORMAT",
        "log-format",
        "FORMAT",
        "auto",
        "text, json, or auto: text on a terminal and JSON otherwise",
    ),
    setting(
        "STATUS_FILE",
        "status-file",
        "FILE",
        "$XDG_RUNTIME_DIR/secrets-sync/status.json, else /run/secrets-sync/status.json or /tmp/secrets-sync-UID/status.json",
        "Where the daemon writes its state, which isready and status read",
    ),
    setting(
        "CONTROL_SOCKET",
        "control-socket",
        "PATH",
        "control.sock beside STATUS_FILE",
        "Socket that takes commands to the daemon; off for none",
    ),
    setting(
        "STATE_DIR",
        "state-dir",
        "DIR",
        "$STATE_DIRECTORY, else /var/lib/secrets-sync if it is writable",
        "Where the daemon keeps its journal, which history reads",
    ),
    setting(
        "STATE_KEY_FILE",
        "state-key-file",
        "FILE",
        "",
        "32 random bytes that seal issued credentials, so that they survive a restart",
    ),
    setting(
        "AUDIT_LOG",
        "audit-log",
        "FILE",
        "",
        "One JSON line per fetch, write, delete, login and reload: stdout or a file",
    ),
    setting("INITIAL_BACKOFF", "initial-backoff", "DURATION", "1s", "Maximum delay before the first retry"),
    setting("MAX_BACKOFF", "max-backoff", "DURATION", "5m", "Maximum delay before any retry"),
    setting(
        "BACKOFF_MULTIPLIER",
        "backoff-multiplier",
        "NUMBER",
        "2.0",
        "Factor by which the maximum delay grows with each failure",
    ),
    setting(
        "REFRESH_JITTER",
        "refresh-jitter",
        "0..1",
        "0.1",
        "Shorten each interval by a random share of up to this fraction",
    ),
    setting(
        "SHUTDOWN_TIMEOUT",
        "shutdown-timeout",
        "DURATION",
        "30s",
        "How long a stop waits for files that are being written",
    ),
    setting(
        "CIRCUIT_BREAKER_MAX_REQUESTS",
        "circuit-breaker-max-requests",
        "NUMBER",
        "3",
        "Requests that a half-open circuit breaker lets through concurrently",
    ),
    setting(
        "CIRCUIT_BREAKER_INTERVAL",
        "circuit-breaker-interval",
        "DURATION",
        "60s",
        "Window in which a closed circuit breaker counts failures",
    ),
    setting(
        "CIRCUIT_BREAKER_TIMEOUT",
        "circuit-breaker-timeout",
        "DURATION",
        "30s",
        "How long a circuit breaker stays open",
    ),
    setting("WATCH_CONFIG", "watch-config", "BOOL", "false", "Reload when the configuration file changes"),
    setting("ENABLE_METRICS", "enable-metrics", "BOOL", "true", "Enable the HTTP endpoints"),
    setting("METRICS_ADDR", "metrics-addr", "IP", "127.0.0.1", "Address of the HTTP endpoints"),
    setting("METRICS_PORT", "metrics-port", "PORT", "8080", "Port of the HTTP endpoints; 0 picks a free one"),
    setting(
        "ENABLE_TRACING",
        "enable-tracing",
        "BOOL",
        "false",
        "Send OpenTelemetry traces (configured by OTEL_*)",
    ),
    setting(
        "SANDBOX",
        "sandbox",
        "MODE",
        "auto",
        "Restrict the daemon to what it needs: off, auto or require",
    ),
    setting(
        "SANDBOX_READ",
        "sandbox-read",
        "DIR:DIR",
        "",
        "Further directories that the sandbox lets it read",
    ),
    setting(
        "SANDBOX_WRITE",
        "sandbox-write",
        "DIR:DIR",
        "",
        "Further directories that the sandbox lets it write in",
    ),
    setting(
        "SANDBOX_CONNECT",
        "sandbox-connect",
        "PORT:PORT",
        "",
        "Further TCP ports that the sandbox lets it connect to",
    ),
    setting("LOCK_MEMORY", "lock-memory", "BOOL", "false", "Keep all memory out of swap"),
];

const fn setting(
    variable: &'static str,
    flag: &'static str,
    value: &'static str,
    default: &'static str,
    help: &'static str,
) -> Setting {
    Setting { variable, flag, value, default, help }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_is_its_variable_in_lower_case() {
        for setting in SETTINGS {
            assert_eq!(setting.flag, setting.variable.to_lowercase().replace('_', "-"));
        }
    }

    #[test]
    fn the_documentation_has_every_setting_with_its_flag_and_default() {
        let page = include_str!("../../../docs/configuration.md");
        let table = page.split_once("## Process settings").unwrap().1;
        let rows: Vec<Vec<&str>> = table
            .lines()
            .skip_while(|line| !line.starts_with("| `"))
            .take_while(|line| line.starts_with("| `"))
            .map(|line| line.split('|').map(str::trim).collect())
            .collect();
        assert_eq!(rows.len(), SETTINGS.len() + 1, "CONFIG_FILE is the one more");
        for setting in SETTINGS {
            let row = rows.iter().find(|row| row[1] == format!("`{}`", setting.variable));
            let row = row.unwrap_or_else(|| panic!("{} is not documented", setting.variable));
            assert_eq!(row[2], format!("`--{}`", setting.flag));
            let default =
                if setting.default.is_empty() { "–".to_owned() } else { setting.default.to_owned() };
            assert_eq!(row[3].replace('`', ""), default, "{}", setting.variable);
        }
    }
}
