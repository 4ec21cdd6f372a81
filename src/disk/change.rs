//! What publishing does to a file, and how a file differs from what is wanted.

use std::fmt;

/// What happens to one file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// It was not there.
    Created,
    /// It held something else.
    Replaced,
    /// It held the right content; mode or owner were wrong.
    Repaired(Drift),
    /// It is as wanted, and keeps inode and times.
    Unchanged,
    /// It is not wanted any more.
    Removed,
}

impl Change {
    /// Whether readers see other content.
    pub(crate) fn is_of_content(self) -> bool {
        matches!(self, Self::Created | Self::Replaced | Self::Removed)
    }
}

/// What mode and owner were where they were wrong; `None` where they were right or nothing is asked.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Drift {
    /// Permission bits found.
    pub mode: Option<u32>,
    /// User id found.
    pub user: Option<u32>,
    /// Group id found.
    pub group: Option<u32>,
}

impl Drift {
    /// Whether the owner is as wanted.
    pub(super) fn is_of_mode_only(self) -> bool {
        self.user.is_none() && self.group.is_none()
    }
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            self.mode.map(|mode| format!("mode was {mode:04o}")),
            self.user.map(|user| format!("owner was {user}")),
            self.group.map(|group| format!("group was {group}")),
        ];
        f.write_str(&parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}
