//! What a configuration and the settings need is granted: the rules while they are put together.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::landlock::{SandboxError, SandboxPolicy};
use super::trees::{places, rule_for, tree};
use crate::config::Config;
use crate::config::settings::Settings;
use crate::disk::{self, Generations, Placement, resolved};
use crate::telemetry::audit::Destination;

/// What any process reads: names and users (`/etc` as a whole, because `resolv.conf` and `hosts` are replaced by
/// renaming and a rule holds for the file that was there), system roots, its own figures, random numbers.
const SYSTEM: &str =
    "/etc /usr /lib /lib64 /nix/store /var/lib/ca-certificates /proc /dev/null /dev/random /dev/urandom";

/// Files of the system that are often symlinks to elsewhere.
const SYSTEM_LINKS: &str =
    "/etc/resolv.conf /etc/hosts /etc/nsswitch.conf /etc/ssl/certs/ca-certificates.crt";

/// DNS over TCP, and where servers redirect to without saying so beforehand: HTTP, HTTPS, Vault.
const PORTS: [u16; 4] = [53, 80, 443, 8200];

/// Files that the environment names.
#[derive(Clone, Default, Debug)]
pub(in crate::app) struct EnvironmentFiles<'e> {
    /// `SSL_CERT_FILE`.
    pub(in crate::app) roots_file: Option<&'e str>,
    /// `SSL_CERT_DIR`.
    pub(in crate::app) roots_directories: Option<&'e str>,
    /// What fills, or after a reload may fill, the settings of a store.
    pub(in crate::app) of_stores: Vec<&'e str>,
}

/// The rules while they are put together.
#[derive(Default)]
pub(super) struct Grant {
    pub(super) policy: SandboxPolicy,
    /// The first path that no rule can be made for.
    refused: Option<SandboxError>,
    /// Output directories that have been granted.
    outputs: BTreeSet<PathBuf>,
}

impl Grant {
    /// The policy, if there is a rule for all that it needs.
    pub(super) fn finish(self) -> Result<SandboxPolicy, SandboxError> {
        let Self { policy, refused, outputs: _ } = self;
        refused.map_or(Ok(policy), Err)
    }

    pub(super) fn settings(&mut self, settings: &Settings) {
        let audit = match &settings.audit_log {
            Some(Destination::File(path)) => Some(path),
            _ => None,
        };
        // Where that fails, claiming the status file says why.
        drop(settings.status_file.make_directory());
        // It was made already, and is removed at the end.
        let control = settings.control_socket().filter(|path| path.exists());
        for path in [Some(&settings.status_file.path), audit, control.as_ref()].into_iter().flatten() {
            self.own(path.parent().unwrap_or(path));
        }
        let connect = &settings.sandbox.connect;
        if !connect.is_empty() {
            // Only where ports are named: a store that moves to another one is an ordinary reload.
            self.policy.connect.extend(PORTS.iter().chain(connect));
        }
        if let Some(tracing) = &settings.tracing {
            let identity =
                tracing.client_certificate.iter().flat_map(|(certificate, key)| [certificate, key]);
            tracing.ca_certificate.iter().chain(identity).for_each(|path| self.read(path));
            self.connect(tracing.endpoint.port_or_known_default());
        }
        self.policy.bind.extend(settings.listen.map(|address| address.port()));
        if !settings.port_is_configured {
            // Where the default port is in use, the system picks one.
            self.policy.bind.insert(0);
        }
        self.policy.read.extend(settings.sandbox.read.iter().map(|path| resolved(path)));
        settings.sandbox.write.iter().for_each(|path| self.write(&resolved(path)));
    }

    /// A directory of the daemon's own files.
    pub(super) fn own(&mut self, directory: &Path) {
        let directory = resolved(directory);
        self.write(&rule_for(&directory).unwrap_or(directory));
    }

    pub(super) fn system(&mut self, environment: &EnvironmentFiles<'_>) {
        self.policy.read.extend(SYSTEM.split_whitespace().map(PathBuf::from));
        let links = SYSTEM_LINKS.split_whitespace().map(Path::new);
        self.policy.read.extend(links.flat_map(places));
        let EnvironmentFiles { roots_file, roots_directories, of_stores } = environment;
        let directories = roots_directories.unwrap_or_default().split(':');
        let named = directories.chain(*roots_file).chain(of_stores.iter().copied());
        // Perhaps none of them is ever used: for what is missing nothing wider is opened.
        let rules = named.filter(|path| !path.is_empty()).flat_map(|path| rules(Path::new(path)));
        self.policy.read.extend(rules.filter(|rule| rule.exists()));
    }

    pub(super) fn configuration(&mut self, config: &Config) {
        for store in config.stores.values() {
            store.input_files().into_iter().for_each(|path| self.read(path));
            self.connect(store.port());
        }
        config.hooks.iter().for_each(|hook| self.connect(hook.action.port()));
        for secret in &config.secrets {
            secret
                .sources
                .all()
                .flat_map(|source| source.read.input_files())
                .for_each(|path| self.read(path));
            for file in &secret.files {
                self.output(file.placement.target.directory(), &file.placement);
            }
            if let Some(output) = &secret.directory {
                self.output(output.path.as_path(), &output.placement());
            }
            if let Some(generations) = &secret.generations {
                self.generations(generations);
            }
        }
    }

    fn connect(&mut self, port: Option<u16>) {
        if !self.policy.connect.is_empty() {
            self.policy.connect.extend(port);
        }
    }

    pub(super) fn read(&mut self, path: &Path) {
        for rule in rules(path) {
            match existing(&rule) {
                Some(existing) => _ = self.policy.read.insert(existing),
                None => self.refuse(SandboxError::Missing(rule)),
            }
        }
    }

    fn output(&mut self, directory: &Path, placement: &Placement) {
        if !self.outputs.insert(directory.to_owned()) {
            return;
        }
        let real = resolved(directory);
        let (Some(tree), Some(rule)) = (tree(&real), rule_for(&real)) else {
            return self.refuse(SandboxError::InRoot(directory.to_path_buf()));
        };
        if !rule.exists() {
            // A rule needs something to hold on to. Where that fails, the secret's own pass says why.
            drop(disk::make_directory(&tree, placement.parent_mode, placement.owner));
        }
        self.write(&rule);
    }

    /// As for any output directory; and its links may be made.
    fn generations(&mut self, generations: &Generations) {
        let Generations { path, directory_mode, owner, .. } = generations;
        let placement =
            Placement { parent_mode: *directory_mode, owner: *owner, ..Placement::new(path.clone()) };
        self.output(path.as_path(), &placement);
        let rule = rule_for(&resolved(path.as_path())).and_then(|rule| existing(&rule));
        self.policy.links.extend(rule);
    }

    /// What is missing and could not be made may be made later by another process, in the nearest directory above it;
    /// this process, which could not make it there, cannot do much else there either.
    fn write(&mut self, rule: &Path) {
        match existing(rule) {
            Some(existing) => _ = self.policy.write.insert(existing),
            None if rule.parent().is_none() => self.refuse(SandboxError::InRoot(rule.to_path_buf())),
            None => self.refuse(SandboxError::Missing(rule.to_path_buf())),
        }
    }

    fn refuse(&mut self, error: SandboxError) {
        self.refused.get_or_insert(error);
    }
}

/// What the rules that let `path` be read are for.
fn rules(path: &Path) -> impl Iterator<Item = PathBuf> {
    places(path).into_iter().map(|place| rule_for(&place).unwrap_or(place))
}

/// `path`, or the nearest directory above it that is there; never the root.
fn existing(path: &Path) -> Option<PathBuf> {
    let found = path.ancestors().find(|path| path.exists())?;
    found.parent().and(Some(found)).map(Path::to_path_buf)
}
