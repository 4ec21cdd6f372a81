//! What `leases` prints.

use std::time::SystemTime;

use crate::cli::output;
use crate::clock::for_people;
use crate::fault::ExitStatus;
use crate::printable::one_line;
use crate::status::CredentialStatus;

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
    let CredentialStatus { store, path, state, current, draining, .. } = status;
    let mut lines = vec![format!("{path} ({store}): {}, for {}", state.for_people(), status.names())];
    lines.extend(current.iter().map(|current| {
        let issued = ("issued", Some(current.issued_at));
        with_times(format!("  {}", current.identity()), [issued].into_iter().chain(current.plan()))
    }));
    lines.extend(status.notes().map(|note| format!("  {note}")));
    lines.extend(
        draining.iter().map(|old| with_times(format!("  before it: {}", old.identity()), old.plan())),
    );
    lines.iter().map(|line| one_line(line)).collect()
}

fn with_times(identity: String, times: impl Iterator<Item = (&'static str, Option<SystemTime>)>) -> String {
    times.fold(identity, |line, (what, at)| match at {
        Some(at) => format!("{line}, {what} {}", for_people(at)),
        None => format!("{line}, {what}"),
    })
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
            {\"number\":1,\"retire_at\":\"2026-11-28T20:05:00Z\"},\
            {\"number\":0,\"left_to_end\":true,\"end\":\"2026-11-28T21:00:00Z\"}],\"unanswered\":1}";
        let status: CredentialStatus = serde_json::from_str(text).unwrap();
        let expected = [
            "database/creds/app (default): confirming, for app, job",
            "  credential 3, lease database/creds/app/x, issued 2026-11-28 20:00:00 UTC, is renewed 2026-11-28 \
             20:40:00 UTC, is replaced 2026-11-28 21:00:00 UTC, ends 2026-11-28 21:30:00 UTC",
            "  not yet published or confirmed by job",
            "  1 request may have issued something unknown, which lives until its end",
            "  before it: credential 2, lease database/creds/app/w, is retired when the next one is confirmed",
            "  before it: credential 1, is retired 2026-11-28 20:05:00 UTC",
            "  before it: credential 0, is left to its end, ends 2026-11-28 21:00:00 UTC",
        ];
        assert_eq!(lines(&status), expected);
    }
}
