//! The signals that a hook may send.

use std::fmt;

use rustix::process::Signal;
use serde::{Deserialize, Serialize};

/// A signal that asks a program for something.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ProcessSignal {
    /// Reload, by custom.
    Hup,
    /// Interrupt.
    Int,
    /// Quit.
    Quit,
    /// Terminate.
    Term,
    /// The program's own meaning.
    Usr1,
    /// The program's own meaning.
    Usr2,
    /// The size of the window changed; some servers take it for something else.
    Winch,
}

impl ProcessSignal {
    /// Every signal, by its name in the configuration.
    pub const NAMES: [(&str, Self); 7] = [
        ("HUP", Self::Hup),
        ("INT", Self::Int),
        ("QUIT", Self::Quit),
        ("TERM", Self::Term),
        ("USR1", Self::Usr1),
        ("USR2", Self::Usr2),
        ("WINCH", Self::Winch),
    ];

    pub(super) fn number(self) -> Signal {
        match self {
            Self::Hup => Signal::HUP,
            Self::Int => Signal::INT,
            Self::Quit => Signal::QUIT,
            Self::Term => Signal::TERM,
            Self::Usr1 => Signal::USR1,
            Self::Usr2 => Signal::USR2,
            Self::Winch => Signal::WINCH,
        }
    }
}

impl fmt::Display for ProcessSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::NAMES.iter().find(|(_, signal)| signal == self).map(|(name, _)| *name);
        f.write_str(name.unwrap_or_default())
    }
}
