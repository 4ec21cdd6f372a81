//! The binary. Everything is in the library; the exit code is the library's too.

use std::alloc::System;

use secrets_sync::cli;
use secrets_sync::fault::ExitStatus;
use zeroizing_alloc::ZeroAlloc;

/// Wipes every block that is given back: values also pass through buffers of hyper, rustls, serde and the template
/// engine, which do not wipe theirs. What it costs is in docs/security.md.
#[global_allocator]
static WIPED: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> ExitStatus {
    cli::main()
}
