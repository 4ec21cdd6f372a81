//! Where the state directory is, and its key.

use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use super::reader::SettingsReader;

const DEFAULT: &str = "/var/lib/secrets-sync";

/// `STATE_DIR`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StatePath {
    /// There.
    Configured(PathBuf),
    /// What the service manager made, else the usual place if it is there and writable. Both are looked for when they
    /// are needed.
    Default(Option<PathBuf>),
}

impl StatePath {
    /// The directory, if there is one.
    pub(crate) fn directory(&self) -> Option<PathBuf> {
        match self {
            Self::Configured(path) | Self::Default(Some(path)) => Some(path.clone()),
            Self::Default(None) => {
                let path = Path::new(DEFAULT);
                let is_usable = path.is_dir() && access(path, Access::WRITE_OK | Access::EXEC_OK).is_ok();
                is_usable.then(|| path.to_owned())
            }
        }
    }

    /// Whether an operator named it.
    pub(crate) fn is_configured(&self) -> bool {
        matches!(self, Self::Configured(_))
    }
}

impl SettingsReader<'_> {
    pub(super) fn state_key_file(&mut self, working_directory: &Path) -> Option<PathBuf> {
        let parse = |text: &str| (!text.contains('\0')).then(|| working_directory.join(text));
        self.value("STATE_KEY_FILE", "the path of a file", parse)
    }

    pub(super) fn state_dir(&mut self, working_directory: &Path) -> StatePath {
        let parse = |text: &str| (!text.contains('\0')).then(|| working_directory.join(text));
        let configured = self.value("STATE_DIR", "the path of a directory", parse);
        // systemd gives a list; the first one is the service's own.
        let made = self.env.value("STATE_DIRECTORY").and_then(|list| list.split(':').next());
        let made = made.map(PathBuf::from).filter(|path| path.is_absolute());
        configured.map_or(StatePath::Default(made), StatePath::Configured)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::env::Env;
    use crate::config::settings::{Flags, Settings};

    fn state_dir(pairs: &[(&str, &str)]) -> StatePath {
        let env = Env::from_pairs(pairs.iter().copied());
        Settings::from_env(&Flags::default(), &env, Path::new("/work")).unwrap().state_dir
    }

    #[test]
    fn what_an_operator_names_comes_before_what_the_service_manager_made() {
        let configured = StatePath::Configured("/work/state".into());
        assert_eq!(state_dir(&[("STATE_DIR", "state"), ("STATE_DIRECTORY", "/var/lib/a")]), configured);
        let made = state_dir(&[("STATE_DIRECTORY", "/var/lib/a:/var/lib/b")]);
        assert_eq!((made.directory(), made.is_configured()), (Some("/var/lib/a".into()), false));
        for list in ["", "relative"] {
            assert_eq!(state_dir(&[("STATE_DIRECTORY", list)]), StatePath::Default(None));
        }
    }
}
