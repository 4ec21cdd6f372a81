//! The runner of hooks: what its own process needs of the program.

use std::ffi::OsStr;

use crate::lifecycle::runner;

/// Runs this process to its end if `name`, its first argument, says that it is the runner.
pub(crate) fn serve_as_runner(name: &OsStr) -> bool {
    runner::serve(name, |_| Err("there are no hooks yet".to_owned()))
}
