//! Messages to the service manager: the protocol of `sd_notify(3)`, one datagram per message. Without a manager that
//! listens every message is dropped.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Between two signs of life: a manager that wants more of them is misconfigured, and must not be obeyed at full load.
pub(super) const SHORTEST: Duration = Duration::from_millis(10);

/// The manager's socket.
#[derive(Debug)]
pub struct Systemd {
    socket: UnixDatagram,
    watchdog: Option<Duration>,
}

/// What the manager put into the environment.
#[derive(Clone, Copy, Default, Debug)]
pub struct Variables<'a> {
    /// `NOTIFY_SOCKET`: a path, or an abstract name after `@`.
    pub notify_socket: Option<&'a str>,
    /// `WATCHDOG_USEC`: after so much silence the manager believes that this process hangs.
    pub watchdog_usec: Option<&'a str>,
    /// `WATCHDOG_PID`: whom that is for; a parent's variables are inherited.
    pub watchdog_pid: Option<&'a str>,
}

impl Systemd {
    /// Connects to the manager; `None` where there is none.
    ///
    /// # Errors
    /// The socket cannot be used. The program runs as well without it.
    pub fn connect(variables: Variables<'_>) -> io::Result<Option<Self>> {
        let Variables { notify_socket, watchdog_usec, watchdog_pid } = variables;
        let Some(name) = notify_socket.filter(|name| !name.is_empty()) else { return Ok(None) };
        let socket = UnixDatagram::unbound()?;
        socket.connect_addr(&address(name)?)?;
        // A manager that does not read must not hold up the syncs.
        socket.set_nonblocking(true)?;
        let watchdog = watchdog(watchdog_usec, watchdog_pid, std::process::id());
        Ok(Some(Self { socket, watchdog }))
    }

    /// How often [`Systemd::alive`] is due: twice in the time after which the manager acts.
    pub(crate) fn watchdog_interval(&self) -> Option<Duration> {
        Some((self.watchdog? / 2).max(SHORTEST))
    }

    /// Everything is up, or up again after [`Systemd::reloading`].
    pub fn ready(&self) {
        self.send("READY=1");
    }

    /// One line for people, shown by `systemctl status`.
    pub fn status(&self, line: &str) {
        self.send(&format!("STATUS={}", line.replace('\n', " ")));
    }

    /// The configuration is being read again. The manager compares the time with that of its own signal.
    pub fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let microseconds = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1000;
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={microseconds}"));
    }

    /// The end has begun.
    pub fn stopping(&self) {
        self.send("STOPPING=1");
    }

    /// The caller is alive.
    pub fn alive(&self) {
        self.send("WATCHDOG=1");
    }

    fn send(&self, message: &str) {
        // A manager that is gone or full cannot be helped, and the next message may get through.
        drop(self.socket.send(message.as_bytes()));
    }
}

/// The socket `NOTIFY_SOCKET` names.
pub(super) fn address(name: &str) -> io::Result<SocketAddr> {
    match name.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(name),
    }
}

/// How long the process `own` may be silent, if the manager sets a limit.
pub(super) fn watchdog(microseconds: Option<&str>, pid: Option<&str>, own: u32) -> Option<Duration> {
    let is_ours = pid.is_none_or(|pid| pid.is_empty() || pid == own.to_string());
    let limit = microseconds.filter(|_| is_ours).and_then(|text| text.parse().ok());
    limit.filter(|limit| *limit > 0).map(Duration::from_micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 256];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    #[test]
    fn an_abstract_name_and_a_path_are_both_reached() {
        let name = format!("secrets-sync-test-{}", std::process::id());
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let abstract_name = SocketAddr::from_abstract_name(&name).unwrap();
        for (address, variable) in [
            (abstract_name, format!("@{name}")),
            (SocketAddr::from_pathname(&path).unwrap(), path.display().to_string()),
        ] {
            let manager = UnixDatagram::bind_addr(&address).unwrap();
            let variables = Variables { notify_socket: Some(&variable), ..Variables::default() };
            let systemd = Systemd::connect(variables).unwrap().unwrap();
            systemd.status("two\nlines");
            assert_eq!(received(&manager), "STATUS=two lines");
            systemd.reloading();
            assert!(received(&manager).starts_with("RELOADING=1\nMONOTONIC_USEC="));
        }
    }

    #[test]
    fn without_a_manager_there_is_nothing_and_a_wrong_one_is_an_error() {
        assert!(Systemd::connect(Variables::default()).unwrap().is_none());
        let missing = Variables { notify_socket: Some("/nowhere/notify"), ..Variables::default() };
        assert!(Systemd::connect(missing).is_err());
    }

    #[test]
    fn the_watchdog_of_another_process_is_not_ours() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify").display().to_string();
        let _manager = UnixDatagram::bind(&path).unwrap();
        let interval = |usec, pid| {
            let variables =
                Variables { notify_socket: Some(&path), watchdog_usec: Some(usec), watchdog_pid: pid };
            Systemd::connect(variables).unwrap().unwrap().watchdog_interval()
        };
        let own = std::process::id().to_string();
        assert_eq!(interval("3000000", Some(own.as_str())), Some(Duration::from_millis(1500)));
        assert_eq!(interval("3000000", None), Some(Duration::from_millis(1500)));
        assert_eq!(interval("3000000", Some("1")), None);
        assert_eq!((interval("0", None), interval("soon", None)), (None, None));
        assert_eq!(interval("1", None), Some(SHORTEST));
        let longest = interval(&u64::MAX.to_string(), None).unwrap();
        assert!(std::time::Instant::now().checked_add(longest).is_some());
    }
}
