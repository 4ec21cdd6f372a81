//! A panic whose payload is a value: in a thread, in a task, in a thread of the runtime, and while another unwinds.

use std::env;
use std::panic::{catch_unwind, panic_any};
use std::process::Command;
use std::thread;

use secrets_sync::cli;
use secrets_sync::clock::Clock;
use secrets_sync::telemetry::log::{self, LogStyle};
use tracing::level_filters::LevelFilter;

use crate::daemon::Process;
use crate::marker::{MARKER, keeps_quiet};

/// Set in the process that panics.
const CHILD: &str = "LEAKS_PANICS";

/// Panics when it is dropped during another panic: the process is aborted.
struct Fragile(String);

impl Drop for Fragile {
    fn drop(&mut self) {
        panic_any(self.0.clone());
    }
}

fn payload() -> String {
    format!("{MARKER} of a value")
}

/// What the binary does with panics is set up by its own entry; the arguments of this test are none of its own.
fn panic_in_every_way() {
    cli::main();
    log::start(LevelFilter::TRACE, LogStyle::Json, Clock::system(), None);
    thread::spawn(|| panic_any(payload())).join().unwrap_err();
    catch_unwind(|| assert_eq!(payload(), "")).unwrap_err();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (task, blocking) = runtime.block_on(async {
        let task = tokio::spawn(async { panic_any(payload()) }).await;
        (task.map(|(): ()| ()), tokio::task::spawn_blocking(|| panic_any(payload())).await.map(|(): ()| ()))
    });
    assert!(task.is_err() && blocking.is_err());
    let _dropped_while_unwinding = Fragile(payload());
    panic_any(payload());
}

#[test]
fn a_panic_says_where_it_was_and_not_what_it_held() {
    if env::var_os(CHILD).is_some() {
        return panic_in_every_way();
    }
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "panics::a_panic_says_where_it_was_and_not_what_it_held", "--nocapture"]);
    command.env(CHILD, "1").env("RUST_BACKTRACE", "full");
    let said = Process::start(command).finish().output();
    let places = said.matches("\"place\":\"tests/leaks/panics.rs:").count();
    assert!(places >= 6, "{places} panics were told:\n{said}");
    keeps_quiet("a panic", &said);
}
