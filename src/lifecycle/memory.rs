//! What the kernel may do with this process's memory, which holds secrets.

use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};

/// Turns core dumps off and keeps other processes of the same user from reading this one's memory.
///
/// # Errors
/// The kernel refused; the process can go on, less private.
pub fn keep_private() -> nix::Result<()> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    prctl::set_dumpable(false)
}

#[cfg(test)]
mod tests {
    use nix::sys::resource::getrlimit;

    use super::*;

    #[test]
    fn there_is_no_core_dump() {
        keep_private().unwrap();
        assert_eq!(getrlimit(Resource::RLIMIT_CORE).unwrap(), (0, 0));
        assert!(!prctl::get_dumpable().unwrap());
    }
}
