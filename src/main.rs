//! The binary. Everything is in the library; the exit code is the library's too.

use secrets_sync::cli;
use secrets_sync::fault::ExitStatus;

fn main() -> ExitStatus {
    cli::main()
}
