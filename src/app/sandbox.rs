//! Which paths and ports a configuration needs, and whether a changed one stays within what was granted at start.
//!
//! Landlock's rules can never be widened, so a directory is not granted alone but with the tree it belongs to: the
//! shortest path above it that the rest of the system does not use too (`/secrets` for `/secrets/db/tls`, `/run/app` for
//! `/run/app/x`). Secrets that come with a reload nearly always lie there.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::config::settings::{SandboxMode, Settings};
use crate::config::store::{AuthSpec, Credential, StoreSpec, VaultSpec};
use crate::disk::{self, FileMode, Owner};
use crate::fault::{Fault, Kind};
use crate::lifecycle::{Holds, Policy, Rules, SandboxError, resolved};
use crate::net::{Address, TlsSettings};
use crate::telemetry::audit::Destination;
use crate::telemetry::event;

use super::OpenError;

/// Directories that many programs share: no tree begins with one of them.
const SHARED: [&str; 31] = [
    "/",
    "/bin",
    "/boot",
    "/dev",
    "/dev/shm",
    "/etc",
    "/etc/pki",
    "/etc/ssl",
    "/etc/systemd",
    "/home",
    "/lib",
    "/lib64",
    "/media",
    "/mnt",
    "/opt",
    "/proc",
    "/root",
    "/run",
    "/run/user",
    "/sbin",
    "/srv",
    "/sys",
    "/tmp",
    "/usr",
    "/usr/local",
    "/var",
    "/var/cache",
    "/var/lib",
    "/var/log",
    "/var/spool",
    "/var/tmp",
];

/// Directories whose entries are somebody's home: shared as well.
const HOMES: [&str; 2] = ["/home", "/run/user"];

/// What any process reads: names and users (`/etc` as a whole, because `resolv.conf` and `hosts` are replaced by
/// renaming and a rule holds for the file that was there), system roots, its own figures, random numbers.
const SYSTEM: [&str; 10] = [
    "/etc",
    "/usr",
    "/lib",
    "/lib64",
    "/nix/store",
    "/var/lib/ca-certificates",
    "/proc",
    "/dev/null",
    "/dev/random",
    "/dev/urandom",
];

/// Files of the system that are often symlinks to elsewhere.
const SYSTEM_LINKS: [&str; 4] =
    ["/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/ssl/certs/ca-certificates.crt"];

/// DNS over TCP, and where servers redirect to without saying so beforehand: HTTP, HTTPS, Vault.
const PORTS: [u16; 4] = [53, 80, 443, 8200];

/// What was granted at start. It holds until the process ends.
#[derive(Clone, Default, Debug)]
pub struct Sandbox {
    holds: Holds,
    granted: Policy,
}

/// What one configuration needs.
#[derive(Default)]
struct Needs<'c> {
    read: BTreeSet<&'c Path>,
    write: Vec<(&'c Path, FileMode, Owner)>,
    connect: BTreeSet<u16>,
}

/// The environment's own word on where the system's roots are.
#[derive(Clone, Copy, Default, Debug)]
pub struct SystemRoots<'e> {
    /// `SSL_CERT_FILE`.
    pub file: Option<&'e str>,
    /// `SSL_CERT_DIR`.
    pub directories: Option<&'e str>,
}

/// A sandbox that is complete and does not hold yet.
#[derive(Debug)]
pub struct Prepared {
    mode: SandboxMode,
    /// `None` where it is off.
    rules: Option<Result<Rules, SandboxError>>,
    granted: Policy,
    left_out: Vec<PathBuf>,
}

impl Prepared {
    /// Collects what `config` and `settings` need. Trees that are missing are made: a rule needs something to hold on
    /// to. It may take for as long as a file system hangs.
    pub fn new(config: &Config, settings: &Settings, config_file: &Path, roots: SystemRoots<'_>) -> Self {
        let mode = settings.sandbox.mode;
        if mode == SandboxMode::Off {
            return Self { mode, rules: None, granted: Policy::default(), left_out: Vec::new() };
        }
        let mut grant = Grant::default();
        grant.settings(settings, config_file);
        grant.system(roots);
        grant.configuration(&Needs::of(config));
        let Grant { policy, left_out, in_root } = grant;
        let rules = match in_root {
            Some(path) => Err(SandboxError::InRoot(path)),
            None => Rules::prepare(&policy),
        };
        Self { mode, rules: Some(rules), granted: policy, left_out }
    }

    /// Restricts this thread and every one it starts.
    ///
    /// # Errors
    /// `SANDBOX=require`, and paths cannot be restricted.
    pub fn enter(self) -> Result<Entered, OpenError> {
        let Self { mode, rules, granted, left_out } = self;
        let Some(rules) = rules else { return Ok(Entered::default()) };
        match rules.and_then(Rules::enter) {
            Ok(holds) => Ok(Entered { sandbox: Sandbox { holds, granted }, refused: None, left_out }),
            Err(error) if mode == SandboxMode::Auto => {
                Ok(Entered { refused: Some(error), ..Entered::default() })
            }
            Err(error) => Err(OpenError::new(
                "restrict itself (SANDBOX=require)".to_owned(),
                io::Error::other(error),
                "use Linux 5.13 or newer with Landlock, keep files out of the root directory, or set SANDBOX=auto",
            )),
        }
    }
}

impl Sandbox {
    /// What holds, in the words of the status.
    pub fn as_str(&self) -> &'static str {
        self.holds.as_str()
    }

    /// Whether everything `config` needs was granted at start. A reload asks this before it touches anything.
    ///
    /// # Errors
    /// The first thing that was not, and how to have it.
    pub fn covers(&self, config: &Config) -> Result<(), Fault> {
        let needs = Needs::of(config);
        if self.holds.file_system {
            for (path, ..) in &needs.write {
                if !is_within(&self.granted.write, &resolved(path)) {
                    return Err(beyond(
                        "write in",
                        &path.display().to_string(),
                        "SANDBOX_WRITE",
                        &tree_of(path),
                    ));
                }
            }
            for path in &needs.read {
                let places = places(path);
                let is_granted = |place: &PathBuf| {
                    [&self.granted.read, &self.granted.write].iter().any(|all| is_within(all, place))
                };
                if !places.iter().all(is_granted) {
                    return Err(beyond("read", &path.display().to_string(), "SANDBOX_READ", &tree_of(path)));
                }
            }
        }
        match needs.connect.difference(&self.granted.connect).next() {
            Some(port) if self.holds.network && !self.granted.connect.is_empty() => {
                Err(beyond("connect to port", &port.to_string(), "SANDBOX_CONNECT", &port.to_string()))
            }
            _ => Ok(()),
        }
    }
}

/// The sandbox, and what is to be said of it when there is a log.
#[derive(Default, Debug)]
pub struct Entered {
    sandbox: Sandbox,
    refused: Option<SandboxError>,
    left_out: Vec<PathBuf>,
}

impl Entered {
    /// Writes what holds, and what does not, to the log.
    pub fn told(self) -> Sandbox {
        let Self { sandbox, refused, left_out } = self;
        let Sandbox { holds, granted } = &sandbox;
        if let Some(error) = refused {
            event::not_sandboxed(&error.to_string());
        } else if holds.file_system {
            let write: Vec<String> = granted.write.iter().map(|path| path.display().to_string()).collect();
            event::Sandboxed { abi: holds.abi, holds: holds.as_str(), scope: holds.scope, write: &write }
                .emit();
            for path in &left_out {
                event::left_out_of_sandbox(&path.display().to_string());
            }
        }
        sandbox
    }
}

impl<'c> Needs<'c> {
    fn of(config: &'c Config) -> Self {
        let mut needs = Self::default();
        for store in config.stores.values() {
            match store {
                StoreSpec::File(file) => {
                    needs.read.insert(&file.path);
                }
                StoreSpec::Vault(vault) => needs.vault(vault),
            }
        }
        for secret in &config.secrets {
            for file in &secret.files {
                needs.write.push((file.target.directory(), FileMode::DIRECTORY, file.owner));
            }
            if let Some(output) = &secret.directory {
                needs.write.push((output.path.as_path(), output.directory_mode, output.owner));
            }
        }
        needs
    }

    fn vault(&mut self, vault: &'c VaultSpec) {
        // Connecting to a unix socket by its path is nothing that Landlock knows.
        if let Address::Http(url) = &vault.address {
            self.connect.extend(url.port_or_known_default());
        }
        for auth in vault.auth.iter().chain(vault.credentials.values()) {
            let credentials = match auth {
                AuthSpec::Token { token } => [Some(token), None],
                AuthSpec::AppRole { role_id, secret_id, .. } => [Some(role_id), secret_id.as_ref()],
            };
            for credential in credentials.into_iter().flatten() {
                if let Credential::File(path) = credential {
                    self.read.insert(path);
                }
            }
        }
        let TlsSettings { ca_cert, ca_path, client, .. } = &vault.tls;
        self.read.extend([ca_cert, ca_path].into_iter().flatten().map(PathBuf::as_path));
        if let Some(client) = client {
            self.read.extend([client.certificate.as_path(), client.key.as_path()]);
        }
    }
}

/// The rules while they are put together.
#[derive(Default)]
struct Grant {
    policy: Policy,
    /// Trees that are not there and cannot be made.
    left_out: Vec<PathBuf>,
    /// Something to be written directly in `/`: no rule could allow that and refuse anything.
    in_root: Option<PathBuf>,
}

impl Grant {
    fn settings(&mut self, settings: &Settings, config_file: &Path) {
        self.read(config_file);
        // The directories alone: settings do not change while the process lives.
        let audit = match &settings.audit_log {
            Some(Destination::File(path)) => Some(path),
            _ => None,
        };
        if let Some(directory) = settings.status_file.parent() {
            // Where that fails, claiming the status file says why.
            drop(fs::create_dir_all(directory));
        }
        for path in [Some(&settings.status_file), audit].into_iter().flatten() {
            self.write_tree(&resolved(path.parent().unwrap_or(path)));
        }
        if let Some(tracing) = &settings.tracing {
            let identity =
                tracing.client_certificate.iter().flat_map(|(certificate, key)| [certificate, key]);
            tracing.ca_certificate.iter().chain(identity).for_each(|path| self.read(path));
            if !settings.sandbox.connect.is_empty() {
                self.policy.connect.extend(tracing.endpoint.port_or_known_default());
            }
        }
        if !settings.sandbox.connect.is_empty() {
            // Only where ports are named: a store that moves to another one is an ordinary reload.
            self.policy.connect.extend(PORTS.iter().chain(&settings.sandbox.connect));
        }
        self.policy.bind.extend(settings.listen.map(|address| address.port()));
        self.policy.read.extend(settings.sandbox.read.iter().map(|path| resolved(path)));
        settings.sandbox.write.iter().for_each(|path| self.write_tree(&resolved(path)));
    }

    fn system(&mut self, roots: SystemRoots<'_>) {
        self.policy.read.extend(SYSTEM.iter().map(PathBuf::from));
        for path in SYSTEM_LINKS {
            self.policy.read.extend(places(Path::new(path)));
        }
        let directories = roots.directories.unwrap_or_default().split(':');
        for path in directories.chain(roots.file).filter(|path| !path.is_empty()) {
            self.read(Path::new(path));
        }
    }

    fn configuration(&mut self, needs: &Needs<'_>) {
        needs.read.iter().for_each(|path| self.read(path));
        for (path, mode, owner) in &needs.write {
            let Some(tree) = tree(&resolved(path)) else {
                self.in_root = Some(path.to_path_buf());
                continue;
            };
            if !tree.exists() {
                // Where that fails, the secret's own pass says why.
                drop(disk::make_directory(&tree, *mode, *owner));
            }
            self.write_tree(&tree);
        }
        if !self.policy.connect.is_empty() {
            self.policy.connect.extend(&needs.connect);
        }
    }

    fn read(&mut self, path: &Path) {
        let trees =
            places(path).into_iter().map(|place| tree(&place).filter(|tree| tree.is_dir()).unwrap_or(place));
        self.policy.read.extend(trees);
    }

    /// What is missing and could not be made may still come to be, made by somebody else, in the nearest directory
    /// above it; this process, which could not make it there, cannot do much else there either.
    fn write_tree(&mut self, tree: &Path) {
        match tree.ancestors().find(|path| path.exists()) {
            Some(existing) if existing.parent().is_some() => {
                self.policy.write.insert(existing.to_path_buf());
            }
            _ if tree.parent().is_none() => self.in_root = Some(tree.to_path_buf()),
            _ => self.left_out.push(tree.to_path_buf()),
        }
    }
}

/// Where a path leads: a directory itself; for a file the directory it is called in and the one it is kept in, because
/// whoever writes it anew puts another file in its place. In the root directory only the file itself.
fn places(path: &Path) -> BTreeSet<PathBuf> {
    let real = resolved(path);
    if real.is_dir() {
        return BTreeSet::from([real]);
    }
    let called = path.parent().map(resolved);
    let kept = real.parent().map(Path::to_path_buf);
    let in_root = |directory: PathBuf| if directory.parent().is_none() { real.clone() } else { directory };
    called.into_iter().chain(kept).map(in_root).collect()
}

/// The shortest path above `directory`, or itself, that is not shared; a shared one is taken as it is, the root never.
fn tree(directory: &Path) -> Option<PathBuf> {
    let above: Vec<&Path> = directory.ancestors().collect();
    let own = above.iter().rev().find(|path| !is_shared(path)).copied();
    own.or_else(|| directory.parent().and(Some(directory))).map(Path::to_path_buf)
}

fn is_shared(path: &Path) -> bool {
    let is_home = path.parent().is_some_and(|above| HOMES.iter().any(|home| above == Path::new(home)));
    is_home || SHARED.iter().any(|shared| path == Path::new(shared))
}

fn is_within(trees: &BTreeSet<PathBuf>, path: &Path) -> bool {
    trees.iter().any(|tree| path.starts_with(tree))
}

fn tree_of(path: &Path) -> String {
    let real = resolved(path);
    let directory = if real.is_dir() { real.as_path() } else { real.parent().unwrap_or(&real) };
    tree(directory).unwrap_or_else(|| real.clone()).display().to_string()
}

fn beyond(doing: &str, what: &str, variable: &str, value: &str) -> Fault {
    Fault::new(
        Kind::Write,
        format!("the sandbox does not let this process {doing} {what}"),
        format!(
            "restart it: rules cannot be widened while it runs; with {variable}={value} it may from the start"
        ),
    )
}

#[cfg(test)]
mod tests;
