//! What the commands of the control socket do. Each is begun by the control loop and answered when it is done, outside of
//! the loop.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::admin::control::{
    AnswerFuture, CommandFailure, CommandFailureKind, ControlAnswer, ControlCall, ControlRequest,
    SecretReport,
};
use crate::clock::for_people;
use crate::config::nearest;
use crate::fault::{Fault, Kind};
use crate::issue::Rotated;
use crate::name::{ChangeNumber, SecretName};
use crate::sink::Written;
use crate::status::{SecretStatus, StatusRegistry};
use crate::sync::{OrderFailure, OrderReport, PassSummary, SecretCommand, Supervisor};
use crate::telemetry::event;

/// Begins what `call` asks for. A client that has gone has no answer.
pub(super) fn obey(call: ControlCall, supervisor: &Supervisor) {
    let ControlCall { request, uid, begun } = call;
    let answer = match request {
        ControlRequest::Refresh { secrets } => refresh(&secrets, uid, supervisor),
        ControlRequest::Approve { secret } => order(&secret, SecretCommand::Approve, uid, supervisor),
        ControlRequest::Rollback { secret, to } => {
            let to = to.map(ChangeNumber::new);
            order(&secret, SecretCommand::RollBack { to }, uid, supervisor)
        }
        ControlRequest::Release { secret } => order(&secret, SecretCommand::Release, uid, supervisor),
        ControlRequest::Leases => {
            Box::pin(std::future::ready(ControlAnswer::Leases(supervisor.credentials())))
        }
        ControlRequest::Rotate { secret, now } => rotate(&secret, now, supervisor),
    };
    drop(begun.send(answer));
}

fn refresh(secrets: &[String], uid: u32, supervisor: &Supervisor) -> AnswerFuture {
    let wanted: Vec<SecretName> = secrets.iter().map(|name| SecretName::new(name)).collect();
    let named = (!wanted.is_empty()).then_some(&*wanted);
    match supervisor.refresh_and_report(named) {
        Ok(asked) => {
            event::refresh_requested(named.map(<[_]>::len), Some(uid));
            Box::pin(refreshed(asked, supervisor.registry()))
        }
        Err(unknown) => refused(no_such_secret(&unknown, supervisor)),
    }
}

fn order(secret: &str, command: SecretCommand, uid: u32, supervisor: &Supervisor) -> AnswerFuture {
    let name = SecretName::new(secret);
    match supervisor.order(&name, command, uid) {
        Some(report) => Box::pin(reports(vec![(name, report)], command)),
        None => refused(no_such_secret(&name, supervisor)),
    }
}

fn rotate(secret: &str, now: bool, supervisor: &Supervisor) -> AnswerFuture {
    let name = SecretName::new(secret);
    if !supervisor.names().any(|known| *known == name) {
        return refused(no_such_secret(&name, supervisor));
    }
    let holders = supervisor.holders().clone();
    Box::pin(async move {
        let rotated = holders.rotate(&name, now).await;
        if rotated.is_empty() {
            let message = format!("nothing is issued for the secret {name}: it is read from its store");
            let hint = format!("to read it again: secrets-sync refresh {name}");
            return ControlAnswer::Refused(CommandFailure::usage(message, hint));
        }
        let report = |outcome: Result<Rotated, Fault>| SecretReport {
            secret: name.to_string(),
            outcome: outcome.map(|rotated| rotated_text(&rotated)).map_err(CommandFailure::from),
        };
        ControlAnswer::Done(rotated.into_iter().map(report).collect())
    })
}

/// What a rotation brought, as a part of a sentence.
fn rotated_text(Rotated { path, number, end, waits_for }: &Rotated) -> String {
    let end = end.map(|end| format!(", ends {}", for_people(end))).unwrap_or_default();
    let names: Vec<_> = waits_for.iter().map(SecretName::as_str).collect();
    let waits = match names.len() {
        0 => String::new(),
        _ => format!(", not yet published or confirmed by {}", names.join(", ")),
    };
    format!("issued credential {number} of {path}{end}{waits}")
}

/// The outcomes of a refresh. A secret whose hooks have not confirmed a new credential in time is none that succeeded.
async fn refreshed(
    asked: Vec<(SecretName, oneshot::Receiver<OrderReport>)>,
    registry: Arc<StatusRegistry>,
) -> ControlAnswer {
    let mut answer = reports(asked, SecretCommand::Read).await;
    let ControlAnswer::Done(reports) = &mut answer else { return answer };
    for SecretStatus { name, last_error, .. } in registry.snapshot().secrets {
        let Some(error) = last_error.filter(|error| error.kind == Kind::NotConfirmed.as_str()) else {
            continue;
        };
        if let Some(report) =
            reports.iter_mut().find(|report| report.secret == name && report.outcome.is_ok())
        {
            let kind = CommandFailureKind::Sync(error.kind);
            report.outcome = Err(CommandFailure { kind, message: error.message, hint: error.remedy });
        }
    }
    answer
}

/// The outcomes, in the order of the names.
async fn reports(
    asked: Vec<(SecretName, oneshot::Receiver<OrderReport>)>,
    command: SecretCommand,
) -> ControlAnswer {
    let mut reports = Vec::with_capacity(asked.len());
    for (name, report) in asked {
        let outcome = match report.await {
            Ok(Ok(summary)) => Ok(done_text(command, &summary)),
            Ok(Err(OrderFailure::Pass(fault))) => Err(fault.into()),
            Ok(Err(OrderFailure::NotPossible { message, hint })) => {
                Err(CommandFailure::failed(message, hint))
            }
            Err(_) => Err(CommandFailure::failed(
                format!("the configuration of {name} was changed meanwhile, or the daemon stops"),
                "run the command again",
            )),
        };
        reports.push(SecretReport { secret: name.to_string(), outcome });
    }
    ControlAnswer::Done(reports)
}

/// What a command did, as a part of a sentence.
fn done_text(command: SecretCommand, summary: &PassSummary) -> String {
    let pass = summary_text(summary);
    match (command, summary.change) {
        (SecretCommand::RollBack { .. }, Some(change)) => {
            format!("change {change} is published and held: {pass}")
        }
        (SecretCommand::RollBack { .. }, None) | (SecretCommand::Read, _) => pass,
        (SecretCommand::Approve, _) => format!("approved: {pass}"),
        (SecretCommand::Release, _) => format!("released: {pass}"),
    }
}

/// What a pass did, as a part of a sentence.
fn summary_text(PassSummary { version, written, change: _ }: &PassSummary) -> String {
    let Written { changed, repaired, removed, unchanged: _ } = *written;
    let counts = [(changed, "changed"), (repaired, "repaired"), (removed, "removed")];
    let done: Vec<_> = counts
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {} {what}", if count == 1 { "file" } else { "files" }))
        .collect();
    let done = if done.is_empty() { "unchanged".to_owned() } else { done.join(", ") };
    version.map_or(done.clone(), |version| format!("{done}, version {version}"))
}

fn refused(refusal: CommandFailure) -> AnswerFuture {
    Box::pin(std::future::ready(ControlAnswer::Refused(refusal)))
}

fn no_such_secret(unknown: &SecretName, supervisor: &Supervisor) -> CommandFailure {
    let names = supervisor.names().map(SecretName::as_str);
    let hint = match nearest(unknown.as_str(), names) {
        Some(name) => format!("did you mean {name}? `secrets-sync status` shows the names"),
        None => "`secrets-sync status` shows the names".to_owned(),
    };
    CommandFailure::usage(format!("no secret is called {unknown}"), hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_is_described_by_what_it_did() {
        let text = |version, changed, repaired, removed| {
            let written = Written { changed, repaired, removed, unchanged: 9 };
            summary_text(&PassSummary { version, written, change: None })
        };
        assert_eq!(text(None, 0, 0, 0), "unchanged");
        assert_eq!(text(Some(7), 1, 0, 0), "1 file changed, version 7");
        assert_eq!(text(Some(7), 2, 1, 3), "2 files changed, 1 file repaired, 3 files removed, version 7");
    }
}
