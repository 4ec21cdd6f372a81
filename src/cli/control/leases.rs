//! What `leases` prints.

use std::time::SystemTime;

use crate::cli::output;
use crate::clock::for_people;
use crate::fault::ExitStatus;
use crate::name::{LeaseId, SecretName};
use crate::printable::one_line;
use crate::status::{CredentialStatus, CurrentCredential, DrainingCredential};

/// Prints the credentials, as JSON or for people.
pub(super) fn show(credentials: &[CredentialStatus], is_json: bool) -> Result<ExitStatus, ExitStatus> {
    if is_json {
        output::json(&serde_json::to_value(credentials).unwrap_or_default())?;
    } else if credentials.is_empty() {
        output::result("the daemon issues no credentials")?;
    } else {
        for line in credentials.iter().flat_map(lines) {
            output::result(&line)?;
        }
    }
    Ok(ExitStatus::Success)
}

/// One source: the source, the credential in use, and those that are to be retired.
fn lines(status: &CredentialStatus) -> Vec<String> {
    let CredentialStatus { secrets, store, path, state, current, waits_for, draining, unanswered } = status;
    let mut lines = vec![format!("{path} ({store}): {}, for {}", state.as_str(), names(secrets))];
    lines.extend(current.iter().map(in_use));
    lines.extend((!waits_for.is_empty()).then(|| format!("  waits for {}", names(waits_for))));
    lines.extend(draining.iter().map(before_it));
    let answers = if *unanswered == 1 { "a request" } else { "requests" };
    lines.extend(
        (*unanswered > 0).then(|| {
            format!("  {answers} without an answer ({unanswered}): what it made lives until its end")
        }),
    );
    lines.iter().map(|line| one_line(line)).collect()
}

fn in_use(current: &CurrentCredential) -> String {
    let CurrentCredential { number, lease, serial, issued_at, renew_at, reissue_at, end, .. } = current;
    let serial = serial.as_ref().map(|serial| format!("serial {serial}"));
    let parts = [
        Some(format!("  credential {number}")),
        named(lease.as_ref()),
        serial,
        Some(format!("issued {}", for_people(*issued_at))),
        at("renewed", *renew_at),
        at("next one issued", *reissue_at),
        at("ends", *end),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn before_it(draining: &DrainingCredential) -> String {
    let DrainingCredential { number, lease, retire_at, end } = draining;
    let retired = match retire_at {
        Some(at) => format!("retired {}", for_people(*at)),
        None => "retired when the next one is confirmed".to_owned(),
    };
    let parts = [
        Some(format!("  before it: credential {number}")),
        named(lease.as_ref()),
        Some(retired),
        at("ends", *end),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn named(lease: Option<&LeaseId>) -> Option<String> {
    lease.map(|lease| format!("lease {lease}"))
}

fn at(what: &str, time: Option<SystemTime>) -> Option<String> {
    time.map(|time| format!("{what} {}", for_people(time)))
}

fn names(secrets: &[SecretName]) -> String {
    secrets.iter().map(SecretName::as_str).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_source_is_shown_with_what_is_in_use_and_what_goes() {
        let text = "{\"secrets\":[\"app\",\"job\"],\"store\":\"default\",\"path\":\"database/creds/app\",\
            \"state\":\"confirming\",\"current\":{\"number\":3,\"lease\":\"database/creds/app/x\",\
            \"issued_at\":\"2026-11-28T20:00:00Z\",\"renew_at\":\"2026-11-28T20:40:00Z\",\
            \"reissue_at\":\"2026-11-28T21:00:00Z\",\"end\":\"2026-11-28T21:30:00Z\"},\
            \"waits_for\":[\"job\"],\"draining\":[{\"number\":2,\"lease\":\"database/creds/app/w\"},\
            {\"number\":1,\"retire_at\":\"2026-11-28T20:05:00Z\"}],\"unanswered\":1}";
        let status: CredentialStatus = serde_json::from_str(text).unwrap();
        let expected = [
            "database/creds/app (default): confirming, for app, job",
            "  credential 3, lease database/creds/app/x, issued 2026-11-28 20:00:00 UTC, renewed 2026-11-28 \
             20:40:00 UTC, next one issued 2026-11-28 21:00:00 UTC, ends 2026-11-28 21:30:00 UTC",
            "  waits for job",
            "  before it: credential 2, lease database/creds/app/w, retired when the next one is confirmed",
            "  before it: credential 1, retired 2026-11-28 20:05:00 UTC",
            "  a request without an answer (1): what it made lives until its end",
        ];
        assert_eq!(lines(&status), expected);
    }
}
