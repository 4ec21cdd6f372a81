//! The words of a snapshot, and that it reads back.

use super::*;
use crate::name::{CredentialNumber, LeaseId, SecretName, StoreName};
use crate::status::{CredentialState, CurrentCredential};

fn snapshot(now: SystemTime) -> Snapshot {
    let secret = SecretStatus {
        name: "a".to_owned(),
        store: "default".to_owned(),
        path: "secret/a".to_owned(),
        state: State::Failing,
        required: true,
        version: Some(3),
        sources: Vec::new(),
        last_success: None,
        next_try: Some(now),
        change: None,
        changed_at: None,
        change_state: None,
        available_version: None,
        refused: None,
        held: None,
        certificates: Vec::new(),
        source_created: None,
        failures: 2,
        last_error: Some(LastError {
            kind: "absent".to_owned(),
            message: "nothing at secret/a".to_owned(),
            remedy: "write it".to_owned(),
            at: now,
        }),
        hooks_owed: Vec::new(),
        files: vec!["/secrets/a".into()],
    };
    Snapshot::new(now, false, vec![secret], Vec::new())
}

#[test]
fn json_reads_back_as_the_same_snapshot() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_250);
    let snapshot = snapshot(now);
    let json = serde_json::to_string(&snapshot).unwrap();
    assert_eq!(serde_json::from_str::<Snapshot>(&json).unwrap(), snapshot);
    assert!(json.contains(r#""heartbeat":"2023-11-14T22:13:20.250Z""#), "{json}");
}

#[test]
fn the_reason_names_the_secret_and_its_cause() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let reason = snapshot(now).unready_reason(now).unwrap();
    assert_eq!(reason, "a has not synced: nothing at secret/a");
}

#[test]
fn one_line_names_a_few_and_counts_the_rest() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let mut all = snapshot(now);
    all.pending = (0..100).map(|n| format!("s{n}")).collect();
    let reason = all.unready_reason(now).unwrap();
    assert!(
        reason.starts_with("s0 has not synced yet; s1")
            && reason.ends_with(" more")
            && reason.len() < 2 * REASONS,
        "{reason}"
    );
}

#[test]
fn the_summary_of_page_and_status_counts_as_people_do() {
    let mut all = snapshot(SystemTime::UNIX_EPOCH);
    all.pending = ["s1", "s10", "s11", "s2", "s3", "s4"].map(str::to_owned).to_vec();
    all.stale = vec!["old".to_owned()];
    assert_eq!(all.waiting_for().unwrap(), "waiting for s1, s2, s3, s4, s10 and 1 more; too old: old");
    all.stopping = true;
    assert_eq!(all.waiting_for(), None);
}

#[test]
fn a_reason_is_one_line_and_never_empty() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let mut odd = snapshot(now);
    odd.secrets[0].last_error.as_mut().unwrap().message = "no\nsuch \x1b[31mk\u{202e}ey".to_owned();
    assert_eq!(odd.unready_reason(now).unwrap(), r"a has not synced: no such \u{1b}[31mk\u{202e}ey");
    odd.pending.clear();
    assert_eq!(odd.unready_reason(now).unwrap(), "the daemon does not say why");
}

#[test]
fn who_keeps_it_from_being_ready_is_named_with_the_cause() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let mut snapshot = snapshot(now);
    let cause = |snapshot: &Snapshot| {
        snapshot.unready().into_iter().map(|one| (one.state, one.cause)).collect::<Vec<_>>()
    };
    assert_eq!(cause(&snapshot), [(State::Failing, "absent: nothing at secret/a".to_owned())]);
    let secret = &mut snapshot.secrets[0];
    (secret.state, secret.last_success) = (State::Stale, Some(now));
    let expected = "older than its maxStaleness; absent: nothing at secret/a";
    assert_eq!(cause(&snapshot), [(State::Stale, expected.to_owned())]);
    snapshot.secrets[0].state = State::Degraded;
    assert_eq!(cause(&snapshot), []);
}

#[test]
fn problems_come_first_required_ones_before_optional_ones_and_numbers_count() {
    let now = SystemTime::UNIX_EPOCH;
    let one = snapshot(now).secrets.remove(0);
    let secret = |name: &str, state, required| {
        let last_success = (state != State::Failing).then_some(now);
        SecretStatus { name: name.to_owned(), state, required, last_success, ..one.clone() }
    };
    let all = Snapshot::new(
        now,
        false,
        vec![
            secret("optional", State::Failing, false),
            secret("s10", State::Synced, true),
            secret("s2", State::Synced, true),
            secret("s2b", State::Synced, true),
            secret("required", State::Failing, true),
            secret("kept", State::Degraded, true),
        ],
        Vec::new(),
    );
    let names: Vec<_> = all.problems_first().iter().map(|secret| secret.name.as_str()).collect();
    assert_eq!(names, ["required", "kept", "optional", "s2", "s2b", "s10"]);
    assert_eq!(all.in_sync(), "3 of 6 secrets synced");
}

#[test]
fn an_old_heartbeat_is_not_ready_whatever_the_file_says() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let ready = Snapshot::new(now, false, Vec::new(), Vec::new());
    assert_eq!(ready.unready_reason(now + Duration::from_secs(29)), None);
    assert!(ready.unready_reason(now + Duration::from_secs(30)).unwrap().contains("last heartbeat 30 s ago"));
    assert_eq!(ready.unready_reason(now - Duration::from_secs(29)), None);
    assert!(ready.unready_reason(now - Duration::from_secs(30)).unwrap().contains("in the future"));
}

/// A ready snapshot at 1000 s of a secret whose credential was issued then for a hundred seconds.
fn issued(state: CredentialState, seconds: u64) -> Snapshot {
    let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
    let secret = SecretStatus {
        state: State::Synced,
        last_success: Some(start),
        last_error: None,
        ..snapshot(start).secrets.remove(0)
    };
    let current = CurrentCredential {
        number: CredentialNumber::new(1),
        lease: LeaseId::parse("database/creds/app/x"),
        serial: None,
        issued_at: start,
        renew_at: None,
        reissue_at: None,
        near_end: Some(start + Duration::from_secs(90)),
        end: Some(start + Duration::from_secs(100)),
    };
    let credential = CredentialStatus {
        secrets: vec![SecretName::new("a")],
        store: StoreName::main(),
        path: "database/creds/app".to_owned(),
        state,
        current: Some(current),
        waits_for: Vec::new(),
        last_error: None,
        problems: Vec::new(),
        draining: Vec::new(),
        unanswered: 0,
    };
    Snapshot::new(start + Duration::from_secs(seconds), false, vec![secret], vec![credential])
}

#[test]
fn a_credential_that_is_lost_or_ends_without_a_successor_is_not_ready() {
    let reason = |snapshot: &Snapshot| snapshot.unready_reason(snapshot.heartbeat);
    assert_eq!(reason(&issued(CredentialState::Held, 90)), None);
    let dying = issued(CredentialState::Ageing, 91);
    assert_eq!(
        reason(&dying).unwrap(),
        "a: the credential of database/creds/app ends in 9 s and has no successor"
    );
    assert_eq!(dying.unready().first().map(|unready| unready.secret), Some("a"));
    assert_eq!(dying.waiting_for().unwrap(), "without a working credential: a");
    let gone = issued(CredentialState::Held, 200);
    assert_eq!(
        reason(&gone).unwrap(),
        "a: the credential of database/creds/app has ended, and there is no other"
    );
    // Files may hold the one before, which lives.
    assert_eq!(reason(&issued(CredentialState::Lost, 1)), None);
}

#[test]
fn a_status_of_an_earlier_version_has_no_credentials() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
    let text = serde_json::to_string(&snapshot(now)).unwrap();
    assert!(!text.contains("credentials") && !text.contains("expiring"), "{text}");
    assert_eq!(serde_json::from_str::<Snapshot>(&text).unwrap().credentials, []);
    let text = serde_json::to_string(&issued(CredentialState::Held, 1)).unwrap();
    assert_eq!(serde_json::from_str::<Snapshot>(&text).unwrap(), issued(CredentialState::Held, 1));
}
