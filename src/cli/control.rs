//! Commands to the running daemon: one request over its control socket, and what it answers.

mod leases;

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::args::{Common, LeasesArgs, OneSecretArgs, RefreshArgs, RollbackArgs, RotateArgs};
use super::output;
use super::setup::Setup;
use crate::admin::control::{
    ANSWER_TIMEOUT, CommandFailure, CommandFailureKind, ControlAnswer, ControlRequest, REQUEST_LIMIT,
    SecretReport, connect, is_trusted, peer,
};
use crate::fault::{ExitStatus, Kind};
use crate::printable::Printable;

/// Longest answer that is read: 10,000 secrets that fail with long messages stay below it.
const ANSWER_LIMIT: u64 = 64 << 20;

/// The daemon answers within its own time, or not at all.
const PATIENCE: Duration = ANSWER_TIMEOUT.saturating_add(Duration::from_secs(10));

/// Has the daemon read secrets now, and prints what became of each.
pub(super) fn refresh(common: &Common, args: &RefreshArgs) -> Result<ExitStatus, ExitStatus> {
    command(common, &ControlRequest::Refresh { secrets: args.secrets.clone() })
}

/// Publishes an earlier change and holds it.
pub(super) fn rollback(common: &Common, args: &RollbackArgs) -> Result<ExitStatus, ExitStatus> {
    command(common, &ControlRequest::Rollback { secret: args.secret.clone(), to: args.to })
}

/// Ends a hold.
pub(super) fn release(common: &Common, args: &OneSecretArgs) -> Result<ExitStatus, ExitStatus> {
    command(common, &ControlRequest::Release { secret: args.secret.clone() })
}

/// Lets content pass that a brake has refused.
pub(super) fn approve(common: &Common, args: &OneSecretArgs) -> Result<ExitStatus, ExitStatus> {
    command(common, &ControlRequest::Approve { secret: args.secret.clone() })
}

/// Issues the next credential of a secret.
pub(super) fn rotate(common: &Common, args: &RotateArgs) -> Result<ExitStatus, ExitStatus> {
    command(common, &ControlRequest::Rotate { secret: args.secret.clone(), now: args.now })
}

/// Shows the credentials that are issued.
pub(super) fn leases(common: &Common, args: &LeasesArgs) -> Result<ExitStatus, ExitStatus> {
    match answer(common, &ControlRequest::Leases)? {
        ControlAnswer::Leases(credentials) => leases::show(&credentials, args.json),
        other => unexpected(&other),
    }
}

/// Sends a request and prints the answer.
fn command(common: &Common, request: &ControlRequest) -> Result<ExitStatus, ExitStatus> {
    match answer(common, request)? {
        ControlAnswer::Done(reports) => shown(&reports),
        other => unexpected(&other),
    }
}

fn answer(common: &Common, request: &ControlRequest) -> Result<ControlAnswer, ExitStatus> {
    let setup = Setup::read(common)?;
    let answer = match setup.settings.control_socket_to_reach() {
        Some(path) => ask(&path, request),
        None => Err(CommandFailure::failed(
            "this command cannot reach the daemon: CONTROL_SOCKET is off",
            "start the daemon and this command without that setting",
        )),
    };
    answer.map_err(|refusal| refused(&refusal))
}

/// The daemon refuses, or answers something else than was asked.
fn unexpected(answer: &ControlAnswer) -> Result<ExitStatus, ExitStatus> {
    match answer {
        ControlAnswer::Refused(refusal) => Err(refused(refusal)),
        ControlAnswer::Done(_) | ControlAnswer::Leases(_) => Err(refused(&of_another_version())),
    }
}

fn of_another_version() -> CommandFailure {
    CommandFailure::failed(
        "the answer of the daemon is not of this version",
        "use the program of the daemon's own version",
    )
}

/// What was done goes to stdout, what was not to stderr.
fn shown(reports: &[SecretReport]) -> Result<ExitStatus, ExitStatus> {
    let mut failures = Vec::new();
    for SecretReport { secret, outcome } in reports {
        match outcome {
            Ok(done) => output::result(&format!("{}: {}", Printable(secret), Printable(done)))?,
            Err(refusal) => {
                output::error(&format!("{secret}: {}", refusal.message), &refusal.hint);
                failures.push(status(&refusal.kind));
            }
        }
    }
    Ok(ExitStatus::of_all(failures))
}

fn refused(refusal: &CommandFailure) -> ExitStatus {
    output::error(&refusal.message, &refusal.hint);
    status(&refusal.kind)
}

fn status(kind: &CommandFailureKind) -> ExitStatus {
    match kind {
        CommandFailureKind::Usage => ExitStatus::Usage,
        CommandFailureKind::Failed => ExitStatus::Failed,
        CommandFailureKind::Sync(_) => kind.of_pass().map_or(ExitStatus::Failed, Kind::exit_status),
    }
}

/// Asks the daemon whose socket is at `path`.
fn ask(path: &Path, request: &ControlRequest) -> Result<ControlAnswer, CommandFailure> {
    let stream = connect(path).map_err(|error| unreachable_daemon(path, &error))?;
    let owner = peer(&stream).map_err(|error| unreachable_daemon(path, &error))?;
    if !is_trusted(owner) {
        let owner = owner.as_raw();
        return Err(CommandFailure::failed(
            format!("the control socket {} is served by user {owner}, not by root or you", path.display()),
            format!("if that is the daemon's user, run the command as it: sudo -u '#{owner}' …"),
        ));
    }
    let line = request.line();
    if line.len() > REQUEST_LIMIT {
        let message = "these are more names than one command takes";
        return Err(CommandFailure::usage(message, "name fewer secrets; without a name all are meant"));
    }
    let answer = exchange(stream, line.as_bytes()).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => CommandFailure::failed(
            format!("the daemon at {} does not answer", path.display()),
            "look at its log; restart it if it hangs",
        ),
        _ => unreachable_daemon(path, &error),
    })?;
    ControlAnswer::parse(&answer).ok_or_else(|| {
        if answer.is_empty() {
            let message =
                "the daemon closed the connection: it is stopping, or has too many commands at once";
            return CommandFailure::failed(message, "run the command again in a moment");
        }
        of_another_version()
    })
}

/// The answer; empty where the daemon closed the connection without one.
fn exchange(mut stream: UnixStream, line: &[u8]) -> io::Result<Vec<u8>> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut answer = Vec::new();
    let exchanged = stream.write_all(line).and_then(|()| stream.take(ANSWER_LIMIT).read_to_end(&mut answer));
    match exchanged {
        Err(error) if matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) => {}
        exchanged => drop(exchanged?),
    }
    Ok(answer)
}

fn unreachable_daemon(path: &Path, error: &io::Error) -> CommandFailure {
    let place = path.display();
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => CommandFailure::failed(
            format!("no daemon answers at {place}"),
            "start it, or give this command the STATUS_FILE or CONTROL_SOCKET that the daemon has",
        ),
        io::ErrorKind::PermissionDenied => CommandFailure::failed(
            format!("the control socket {place} is not open to this user"),
            "run the command as the daemon's user, or as root",
        ),
        io::ErrorKind::WouldBlock => CommandFailure::failed(
            format!("the daemon at {place} takes no commands now"),
            "look at its log; run the command again in a moment",
        ),
        _ => CommandFailure::failed(
            format!("cannot use the control socket {place}: {error}"),
            "look at what is at that path, or set CONTROL_SOCKET as the daemon has it",
        ),
    }
}
