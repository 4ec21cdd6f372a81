//! What the kernel is asked for at the very start: private memory, open files, no new privileges, no swap.

use std::io;

use crate::config::settings::Settings;
use crate::lifecycle;
use crate::telemetry::event;

/// What the kernel refused; there is no log yet.
pub(super) struct Hardening {
    private: nix::Result<()>,
    files: nix::Result<()>,
    privileges: nix::Result<()>,
    locked: io::Result<()>,
}

impl Hardening {
    pub(super) fn apply(settings: &Settings) -> Self {
        lifecycle::create_privately();
        Self {
            private: lifecycle::keep_private(),
            files: lifecycle::allow_many_files(),
            privileges: lifecycle::refuse_new_privileges(),
            locked: if settings.lock_memory { lifecycle::lock_memory() } else { Ok(()) },
        }
    }

    /// Writes what was refused to the log.
    pub(super) fn report(self) {
        if let Err(error) = self.private {
            event::memory_not_private(error.desc());
        }
        if let Err(error) = self.files {
            event::few_files(error.desc());
        }
        if let Err(error) = self.privileges {
            event::privileges_not_refused(error.desc());
        }
        if let Err(error) = self.locked {
            event::memory_not_locked(&error.to_string());
        }
    }
}
