//! The control socket at the start: made before the sandbox is entered; where that fails, the daemon runs without it.

use std::io;
use std::path::{Path, PathBuf};

use crate::admin::control::ControlSocket;
use crate::config::settings::{ControlSocketPath, Settings};
use crate::telemetry::event;

/// The socket, or why there is none; nothing where it is off.
#[derive(Default, Debug)]
pub(super) struct ControlSocketAttempt(Option<(PathBuf, io::Result<ControlSocket>)>);

/// Makes the socket that `settings` ask for.
pub(super) fn make_control_socket(settings: &Settings) -> ControlSocketAttempt {
    let made = |path: PathBuf| {
        let socket = make(settings, &path);
        (path, socket)
    };
    ControlSocketAttempt(settings.control_socket().map(made))
}

fn make(settings: &Settings, path: &Path) -> io::Result<ControlSocket> {
    if settings.control_socket == ControlSocketPath::Beside {
        // In `/tmp` it must be a directory of this user's own.
        settings.status_file.make_directory()?;
    }
    ControlSocket::bind(path)
}

impl ControlSocketAttempt {
    /// The socket. Where it could not be made, the log says so.
    pub(super) fn report(self) -> Option<ControlSocket> {
        let (path, socket) = self.0?;
        socket.map_err(|error| event::no_control_socket(&path.display().to_string(), &error.to_string())).ok()
    }
}
