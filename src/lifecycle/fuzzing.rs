//! What the fuzz targets reach of the words with the service manager and with the runner. Exists under `cfg(fuzzing)` only.

use std::os::linux::net::SocketAddrExt;
use std::time::Duration;

pub use super::runner::fuzzing::{pid, requests, staging};
use super::systemd;

/// The socket that `NOTIFY_SOCKET` names as that variable would be written, and how often the manager wants a sign.
pub fn manager(socket: &str, microseconds: &str, pid: &str, own: u32) -> (Option<Vec<u8>>, Option<Duration>) {
    let address = systemd::address(socket).ok();
    let name = address.and_then(|address| {
        let path = address.as_pathname().map(|path| path.as_os_str().as_encoded_bytes().to_vec());
        path.or_else(|| address.as_abstract_name().map(|name| [b"@", name].concat()))
    });
    (name, systemd::watchdog(Some(microseconds), Some(pid), own))
}
