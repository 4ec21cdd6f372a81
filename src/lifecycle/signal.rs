//! Signals → one enum. Handlers are installed by [`Signals::install`], so everything works as PID 1 too, where the
//! kernel drops signals that have none.

use std::io;

use nix::libc::SIGXFSZ;
use nix::sys::signal::{SigSet, Signal as SystemSignal};
use tokio::signal::unix::{self, SignalKind};

/// What an operator asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signal {
    /// SIGTERM or SIGINT.
    Stop,
    /// SIGHUP.
    Reload,
    /// SIGUSR1.
    Refresh,
}

/// Holds back the signals that `run` obeys until [`release_signals`]: one that comes before the handlers are there would
/// end the process, and as PID 1 it would be lost. To be called before any other thread is started.
pub(crate) fn hold_signals() {
    // It fails only for a mask that does not exist.
    let _unchanged = held().thread_block();
}

/// Delivers what has been held back: to the handlers if there are any, else with the usual effect.
pub(crate) fn release_signals() {
    let _unchanged = held().thread_unblock();
}

fn held() -> SigSet {
    [SystemSignal::SIGTERM, SystemSignal::SIGINT, SystemSignal::SIGHUP, SystemSignal::SIGUSR1]
        .into_iter()
        .collect()
}

/// The stream of signals of this process.
pub(crate) struct Signals {
    terminate: unix::Signal,
    interrupt: unix::Signal,
    hangup: unix::Signal,
    user1: unix::Signal,
    /// Nobody waits for it: with a handler, a write beyond `RLIMIT_FSIZE` is an error of that file, not the end.
    _file_size: unix::Signal,
}

impl Signals {
    /// Takes over SIGTERM, SIGINT, SIGHUP and SIGUSR1 for the rest of the process's life, and releases those that were
    /// held back. SIGXFSZ is ignored.
    ///
    /// # Errors
    /// The system refused a handler.
    pub(crate) fn install() -> io::Result<Self> {
        let signals = Self {
            terminate: unix::signal(SignalKind::terminate())?,
            interrupt: unix::signal(SignalKind::interrupt())?,
            hangup: unix::signal(SignalKind::hangup())?,
            user1: unix::signal(SignalKind::user_defined1())?,
            _file_size: unix::signal(SignalKind::from_raw(SIGXFSZ))?,
        };
        release_signals();
        Ok(signals)
    }

    /// The next signal.
    ///
    /// # Cancel safety
    /// No signal is lost when the future is dropped.
    pub(crate) async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::Stop,
            _ = self.interrupt.recv() => Signal::Stop,
            _ = self.hangup.recv() => Signal::Reload,
            _ = self.user1.recv() => Signal::Refresh,
        }
    }

    /// Returns at the next signal to stop; the others are kept until they are asked for.
    ///
    /// # Cancel safety
    /// No signal is lost when the future is dropped.
    pub(crate) async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    use nix::sys::signal::raise;

    use super::*;

    #[tokio::test]
    async fn a_signal_that_comes_before_the_handlers_is_obeyed_when_they_are_there() {
        hold_signals();
        for signal in [SystemSignal::SIGHUP, SystemSignal::SIGUSR1] {
            raise(signal).unwrap();
        }
        let mut signals = Signals::install().unwrap();
        let mut obeyed = [signals.next().await, signals.next().await];
        obeyed.sort_by_key(|signal| *signal as u8);
        assert_eq!(obeyed, [Signal::Reload, Signal::Refresh]);
    }

    #[tokio::test]
    async fn a_file_beyond_the_limit_is_an_error_and_not_the_end() {
        let _signals = Signals::install().unwrap();
        let (soft, hard) = getrlimit(Resource::RLIMIT_FSIZE).unwrap();
        let mut file = tempfile::tempfile().unwrap();
        setrlimit(Resource::RLIMIT_FSIZE, 10, hard).unwrap();
        let written = file.write_all(&[b'x'; 100]);
        setrlimit(Resource::RLIMIT_FSIZE, soft, hard).unwrap();
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }
}
