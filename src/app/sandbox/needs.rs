//! What one configuration opens: files it reads, directories it writes in, ports it connects to.

use std::collections::BTreeSet;
use std::path::Path;

use crate::config::Config;
use crate::config::store::{AuthSpec, Credential, StoreSpec, VaultSpec};
use crate::disk::{FileMode, Owner};
use crate::net::{Address, TlsSettings};

/// What one configuration needs.
#[derive(Default)]
pub(super) struct Needs<'c> {
    pub(super) read: BTreeSet<&'c Path>,
    pub(super) write: Vec<Output<'c>>,
    pub(super) connect: BTreeSet<u16>,
}

/// A directory that is written in.
#[derive(Clone, Copy)]
pub(super) struct Output<'c> {
    pub(super) directory: &'c Path,
    /// The file in it, or the directory again.
    pub(super) last: &'c Path,
    /// As the directory is made where it is missing.
    pub(super) mode: FileMode,
    pub(super) owner: Owner,
}

impl<'c> Needs<'c> {
    pub(super) fn of(config: &'c Config) -> Self {
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
            needs.write.extend(secret.files.iter().map(|file| Output {
                directory: file.target.directory(),
                last: file.target.as_path(),
                mode: FileMode::DIRECTORY,
                owner: file.owner,
            }));
            needs.write.extend(secret.directory.iter().map(|output| Output {
                directory: output.path.as_path(),
                last: output.path.as_path(),
                mode: output.directory_mode,
                owner: output.owner,
            }));
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
        self.read.extend([ca_cert, ca_path].into_iter().flatten().map(std::path::PathBuf::as_path));
        if let Some(client) = client {
            self.read.extend([client.certificate.as_path(), client.key.as_path()]);
        }
    }
}
