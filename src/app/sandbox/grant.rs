//! The rules while they are put together.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::needs::{Needs, Output};
use super::trees::{anchor, places, tree};
use crate::config::settings::Settings;
use crate::disk::{self, resolved};
use crate::lifecycle::SandboxPolicy;
use crate::telemetry::audit::Destination;

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
    /// Trees that are not there and cannot be made.
    pub(super) left_out: BTreeSet<PathBuf>,
    /// Something to be written directly in `/`: no rule could allow that and refuse anything.
    pub(super) in_root: Option<PathBuf>,
}

impl Grant {
    pub(super) fn settings(&mut self, settings: &Settings) {
        let audit = match &settings.audit_log {
            Some(Destination::File(path)) => Some(path),
            _ => None,
        };
        // Where that fails, claiming the status file says why.
        drop(settings.status_file.make_directory());
        for path in [Some(&settings.status_file.path), audit].into_iter().flatten() {
            let directory = resolved(path.parent().unwrap_or(path));
            self.write(&anchor(&directory, &directory).unwrap_or(directory));
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
        if !settings.port_is_configured {
            // Where the default port is in use, the system picks one.
            self.policy.bind.insert(0);
        }
        self.policy.read.extend(settings.sandbox.read.iter().map(|path| resolved(path)));
        settings.sandbox.write.iter().for_each(|path| self.write(&resolved(path)));
    }

    pub(super) fn system(&mut self, environment: &EnvironmentFiles<'_>) {
        self.policy.read.extend(SYSTEM.iter().map(PathBuf::from));
        for path in SYSTEM_LINKS {
            self.policy.read.extend(places(Path::new(path)));
        }
        let EnvironmentFiles { roots_file, roots_directories, of_stores } = environment;
        let directories = roots_directories.unwrap_or_default().split(':');
        let named = directories.chain(*roots_file).chain(of_stores.iter().copied());
        // Some of it nobody may ever ask for: for what is missing nothing wider is opened.
        let rules = named.filter(|path| !path.is_empty()).flat_map(|path| rules(Path::new(path)));
        self.policy.read.extend(rules.filter(|rule| rule.exists()));
    }

    pub(super) fn configuration(&mut self, needs: &Needs<'_>) {
        needs.read.iter().for_each(|path| self.read(path));
        needs.write.iter().for_each(|output| self.output(*output));
        if !self.policy.connect.is_empty() {
            self.policy.connect.extend(&needs.connect);
        }
    }

    pub(super) fn read(&mut self, path: &Path) {
        for rule in rules(path) {
            match existing(&rule) {
                Some(existing) => _ = self.policy.read.insert(existing),
                None => _ = self.left_out.insert(rule),
            }
        }
    }

    fn output(&mut self, Output { directory, last, mode, owner }: Output<'_>) {
        let real = resolved(directory);
        let last = last.strip_prefix(directory).map_or_else(|_| real.clone(), |name| real.join(name));
        let (Some(tree), Some(rule)) = (tree(&real), anchor(&real, &last)) else {
            self.in_root = Some(directory.to_path_buf());
            return;
        };
        if !rule.exists() {
            // A rule needs something to hold on to. Where that fails, the secret's own pass says why.
            drop(disk::make_directory(&tree, mode, owner));
        }
        self.write(&rule);
    }

    /// What is missing and could not be made may still come to be, made by somebody else, in the nearest directory
    /// above it; this process, which could not make it there, cannot do much else there either.
    fn write(&mut self, rule: &Path) {
        match existing(rule) {
            Some(existing) => _ = self.policy.write.insert(existing),
            None if rule.parent().is_none() => self.in_root = Some(rule.to_path_buf()),
            None => _ = self.left_out.insert(rule.to_path_buf()),
        }
    }
}

/// What the rules that let `path` be read are for.
fn rules(path: &Path) -> impl Iterator<Item = PathBuf> {
    let last = resolved(path);
    places(path).into_iter().map(move |place| anchor(&place, &last).unwrap_or(place))
}

/// `path`, or the nearest directory above it that is there; never the root.
fn existing(path: &Path) -> Option<PathBuf> {
    let found = path.ancestors().find(|path| path.exists())?;
    found.parent().and(Some(found)).map(Path::to_path_buf)
}
