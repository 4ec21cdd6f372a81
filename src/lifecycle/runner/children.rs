//! The children of this process, those included that it got when their parents ended.

use std::fs;

use rustix::process::Pid;

/// The children of all threads. As long as none of them is collected, no number is another process's.
pub(super) fn children() -> Vec<Pid> {
    let Ok(threads) = fs::read_dir("/proc/self/task") else { return Vec::new() };
    let listed = threads.filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("children")).ok());
    listed.flat_map(|listed| numbers(&listed)).collect()
}

fn numbers(listed: &str) -> Vec<Pid> {
    listed.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect()
}
