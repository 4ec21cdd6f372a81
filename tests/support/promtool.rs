//! Prometheus' own tool.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Runs promtool with `input`; anything but exit 0 fails the test with what it said.
#[track_caller]
pub(crate) fn promtool(arguments: &[&str], input: &str) {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools/bin/promtool");
    assert!(program.exists(), "promtool is missing at {}: run\n    make tools", program.display());
    let mut command = Command::new(program);
    let command = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("promtool starts");
    // One that does not read its input has ended, and says why.
    drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
    let output = child.wait_with_output().expect("promtool ends");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{arguments:?}: {}\n{}", output.status, String::from_utf8_lossy(&said));
}
