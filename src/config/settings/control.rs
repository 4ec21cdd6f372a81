//! Where the control socket is.

use std::path::{Path, PathBuf};

use super::Settings;
use super::reader::SettingsReader;

const NAME: &str = "control.sock";

/// `CONTROL_SOCKET`.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub enum ControlSocketPath {
    /// There is none.
    Off,
    /// Beside the status file.
    #[default]
    Beside,
    /// There.
    At(PathBuf),
}

impl Settings {
    /// Where the daemon makes its control socket.
    pub(crate) fn control_socket(&self) -> Option<PathBuf> {
        self.control_socket.path(&self.status_file.path)
    }

    /// Where commands look for the daemon's control socket.
    pub(crate) fn control_socket_to_reach(&self) -> Option<PathBuf> {
        self.control_socket.path(self.status_file.to_read())
    }
}

impl ControlSocketPath {
    fn path(&self, status_file: &Path) -> Option<PathBuf> {
        match self {
            Self::Off => None,
            Self::Beside => Some(status_file.with_file_name(NAME)),
            Self::At(path) => Some(path.clone()),
        }
    }
}

impl SettingsReader<'_> {
    pub(super) fn control_socket(&mut self, working_directory: &Path) -> ControlSocketPath {
        let parse = |text: &str| match text {
            "off" => Some(ControlSocketPath::Off),
            _ if text.contains('\0') || text.ends_with('/') => None,
            _ => Some(ControlSocketPath::At(working_directory.join(text))),
        };
        self.value("CONTROL_SOCKET", "the path of a socket, or off", parse).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::env::Env;
    use crate::config::settings::Flags;

    fn settings(pairs: &[(&str, &str)]) -> Settings {
        let env = Env::from_pairs(pairs.iter().copied());
        Settings::from_env(&Flags::default(), &env, Path::new("/work")).unwrap()
    }

    #[test]
    fn it_is_beside_the_status_file_unless_it_is_elsewhere_or_off() {
        let socket = |pairs: &[(&str, &str)]| {
            let settings = settings(pairs);
            assert_eq!(settings.control_socket(), settings.control_socket_to_reach());
            settings.control_socket()
        };
        let status = ("STATUS_FILE", "/run/app/status.json");
        assert_eq!(socket(&[status]), Some(PathBuf::from("/run/app/control.sock")));
        assert_eq!(socket(&[status, ("CONTROL_SOCKET", "off")]), None);
        assert_eq!(socket(&[("CONTROL_SOCKET", "c.sock")]), Some(PathBuf::from("/work/c.sock")));
        assert_eq!(socket(&[("CONTROL_SOCKET", "/a/off")]), Some(PathBuf::from("/a/off")));
    }

    #[test]
    fn a_directory_is_refused() {
        let env = Env::from_pairs([("CONTROL_SOCKET", "/run/")]);
        let report = Settings::from_env(&Flags::default(), &env, Path::new("/")).unwrap_err().to_string();
        assert!(report.contains("CONTROL_SOCKET"), "{report}");
    }
}
