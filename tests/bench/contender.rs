//! The two programs and how each is told to do the same work: one file per secret, holding one field.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::server::{self, TOKEN};
use crate::{Result, collector};

/// Where secrets-sync shows its state, below the workload's home.
pub(crate) const STATUS_FILE: &str = "status.json";

/// What both have to do.
pub(crate) struct Workload<'a> {
    /// The secrets-sync that is measured.
    pub(crate) binary: &'a Path,
    /// Scratch space in memory.
    pub(crate) home: &'a Path,
    /// Where the server, or the proxy before it, listens: `host:port`.
    pub(crate) address: &'a str,
    /// The file with the server's certificate, if `address` takes TLS.
    pub(crate) ca: Option<&'a Path>,
    pub(crate) secrets: usize,
    /// Between two reads of a secret.
    pub(crate) interval: Duration,
}

#[derive(Clone, Copy)]
pub(crate) enum Contender {
    SecretsSync,
    /// The same with metrics, an audit stream, traces and the watch of its configuration.
    EverythingOn,
    BaoAgent,
}

impl Contender {
    pub(crate) const BOTH: [Self; 2] = [Self::SecretsSync, Self::BaoAgent];

    /// Writes the configuration; returns what starts the process, and the files it will write below `output`.
    pub(crate) fn prepare(self, work: &Workload, output: &Path) -> Result<Command> {
        let mut command = match self {
            Self::SecretsSync | Self::EverythingOn => secrets_sync(work, output)?,
            Self::BaoAgent => bao_agent(work, output)?,
        };
        command.env_clear().env("HOME", work.home).current_dir(work.home);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.env("STATUS_FILE", work.home.join(STATUS_FILE)).env("METRICS_PORT", "0");
        if let Self::EverythingOn = self {
            command.env("AUDIT_LOG", work.home.join("audit.log")).env("WATCH_CONFIG", "true");
            command.env("ENABLE_TRACING", "true").env("OTEL_EXPORTER_OTLP_ENDPOINT", collector::start()?);
        }
        Ok(command)
    }
}

/// The files of a workload, in the order in which they are configured.
pub(crate) fn files(work: &Workload, output: &Path) -> Vec<PathBuf> {
    (0..work.secrets).map(|index| output.join(format!("secret-{index}"))).collect()
}

fn secrets_sync(work: &Workload, output: &Path) -> Result<Command> {
    let Workload { binary, home, address, ca, secrets: _, interval } = work;
    let server = match ca {
        Some(ca) => format!("'https://{address}', tlsCACert: {}", ca.display()),
        None => format!("'http://{address}'"),
    };
    let mut text = format!(
        "secretStore: {{ address: {server}, authMethod: token, token: {TOKEN}, mountPath: secret }}\n\
         limits: {{ minRefreshInterval: 1s }}\nsecrets:\n"
    );
    for (index, file) in files(work, output).iter().enumerate() {
        let (file, seconds) = (file.display(), interval.as_secs());
        writeln!(
            text,
            "- {{ name: s{index}, key: bench/{index}, refreshInterval: {seconds}s, files: [{{ path: {file}, field: \
             value }}] }}"
        )?;
    }
    // Apart from the files of the process: its directory may be watched.
    let path = home.join("etc/config.yaml");
    fs::create_dir_all(home.join("etc"))?;
    fs::write(&path, text)?;
    let mut command = Command::new(binary);
    command.arg("--config").arg(path);
    Ok(command)
}

fn bao_agent(work: &Workload, output: &Path) -> Result<Command> {
    let Workload { binary: _, home, address, ca: _, secrets: _, interval } = work;
    let token_file = home.join("token");
    fs::write(&token_file, TOKEN)?;
    let mut text = format!(
        "vault {{ address = \"http://{address}\" }}\n\
         auto_auth {{ method \"token_file\" {{ config = {{ token_file_path = \"{}\" }} }} }}\n\
         template_config {{ static_secret_render_interval = \"{}s\" }}\n",
        token_file.display(),
        interval.as_secs()
    );
    for (index, file) in files(work, output).iter().enumerate() {
        writeln!(
            text,
            "template {{\n  contents = \"{{{{ with secret \\\"secret/data/bench/{index}\\\" }}}}{{{{ .Data.data.value \
             }}}}{{{{ end }}}}\"\n  destination = \"{}\"\n  perms = \"0600\"\n}}",
            file.display()
        )?;
    }
    let path = home.join("agent.hcl");
    fs::write(&path, text)?;
    let mut command = Command::new(server::bao()?);
    command.arg("agent").arg(format!("-config={}", path.display()));
    Ok(command)
}
