//! The fold, and the line of each event.

mod credentials;
mod files;

use std::time::{Duration, SystemTime};

use proptest::prelude::*;

use super::*;
use crate::name::{ChangeNumber, HookName, SecretName};
use crate::render::{CertificateFacts, ChangeReason, Facts};

pub(super) fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds)
}

pub(super) fn fingerprint(content: u8) -> Fingerprint {
    serde_json::from_value(format!("{content:032x}").into()).unwrap()
}

/// A change of "site" with the hook "reload".
pub(super) fn record(change: u64, content: u8) -> ChangeRecord {
    ChangeRecord {
        secret: SecretName::new("site"),
        change: ChangeNumber::new(change),
        version: Some(change),
        revision: None,
        fingerprint: Some(fingerprint(content)),
        request_id: None,
        files: vec!["/secrets/tls.crt".to_owned()],
        facts: None,
        hooks: vec![HookName::new("reload")],
        reason: ChangeReason::Store,
        by: None,
    }
}

fn ran(change: u64, result: HookResult) -> JournalEntry {
    let (hook, secret) = (HookName::new("reload"), SecretName::new("site"));
    let change = ChangeNumber::new(change);
    JournalEntry::Hook(HookRun { hook, secret, change, result, duration_ms: Some(12), reason: None })
}

fn refused(content: u8, result: RefusalResult) -> JournalEntry {
    let (secret, reason) = (SecretName::new("site"), "the issuer is another one".to_owned());
    JournalEntry::Refused(Refusal {
        secret,
        version: None,
        fingerprint: fingerprint(content),
        reason,
        result,
    })
}

pub(super) fn folded(entries: impl IntoIterator<Item = JournalEntry>) -> JournalState {
    let mut state = JournalState::default();
    for (second, entry) in (0..).zip(entries) {
        state.apply(at(second), entry);
    }
    state
}

fn site(state: &JournalState) -> SecretHistory {
    state.secrets[&SecretName::new("site")].clone()
}

fn owed(state: &JournalState) -> Vec<u64> {
    let changes = state.duties.values().flat_map(|duty| duty.secrets.values());
    changes.map(|change| change.get()).collect()
}

#[test]
fn a_hook_is_owed_until_it_has_run_for_the_latest_change() {
    let published = |change| JournalEntry::Published(record(change, 0));
    let mut entries = vec![published(1), ran(1, HookResult::Failed), ran(1, HookResult::Timeout)];
    let state = folded(entries.clone());
    assert_eq!((owed(&state), state.duties[&HookName::new("reload")].since), (vec![1], at(0)));
    entries.extend([published(2), ran(1, HookResult::Ok)]);
    assert_eq!(owed(&folded(entries.clone())), [2], "what ran for an earlier change is not enough");
    entries.push(ran(2, HookResult::Skipped));
    assert!(folded(entries).duties.is_empty());
}

#[test]
fn what_is_dropped_is_not_owed_or_intended() {
    let dropped = |hook: Option<&str>, secret: Option<&str>| {
        let (hook, secret) = (hook.map(HookName::new), secret.map(SecretName::new));
        JournalEntry::Dropped(Dropped {
            hook,
            secret,
            change: None,
            refused: None,
            reason: "it was removed".to_owned(),
        })
    };
    let other = ChangeRecord { secret: SecretName::new("other"), ..record(7, 1) };
    let both = [JournalEntry::Published(record(1, 0)), JournalEntry::Published(other)];
    let after = |entry| folded(both.iter().cloned().chain([entry]));
    assert_eq!(owed(&after(dropped(Some("reload"), Some("site")))), [7]);
    assert!(after(dropped(Some("reload"), None)).duties.is_empty());
    let intended = folded([JournalEntry::Intent(record(1, 0)), dropped(None, Some("site"))]);
    assert_eq!((intended.intents().count(), site(&intended).change), (0, ChangeNumber::new(1)));
}

#[test]
fn published_changes_are_known_by_their_number_and_a_rollback_takes_one_back() {
    let mut entries: Vec<_> = (1..=20).map(|change| JournalEntry::Published(record(change, 0))).collect();
    let rollback = ChangeRecord { reason: ChangeReason::Rollback, ..record(19, 9) };
    entries.push(JournalEntry::Published(rollback));
    let history = site(&folded(entries));
    let earlier: Vec<_> = history.earlier.iter().map(|earlier| earlier.change.get()).collect();
    assert_eq!(earlier, [4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 20]);
    assert_eq!((history.change.get(), history.published.unwrap().change.get()), (20, 19));
}

#[test]
fn refused_content_is_remembered_until_it_is_approved_or_the_source_has_something_else() {
    let remembered = refused(2, RefusalResult::Remembered);
    let refused_now = |more: &[JournalEntry]| {
        let entries = [JournalEntry::Published(record(1, 1)), remembered.clone()].into_iter();
        let history = site(&folded(entries.chain(more.iter().cloned())));
        (history.refused.map(|refused| refused.fingerprint), history.approved)
    };
    assert_eq!(refused_now(&[]), (Some(fingerprint(2)), None));
    let repaired = ChangeRecord { reason: ChangeReason::Repair, ..record(2, 1) };
    assert_eq!(refused_now(&[JournalEntry::Published(repaired)]), (Some(fingerprint(2)), None));
    assert_eq!(refused_now(&[JournalEntry::Published(record(2, 3))]), (None, None));
    let approved =
        JournalEntry::Approved { secret: SecretName::new("site"), fingerprint: fingerprint(2), by: 0 };
    assert_eq!(refused_now(std::slice::from_ref(&approved)), (None, Some(fingerprint(2))));
    assert_eq!(refused_now(&[approved, JournalEntry::Published(record(2, 2))]), (None, None), "once");
    let went_back = |content| {
        JournalEntry::Dropped(Dropped {
            hook: None,
            secret: Some(SecretName::new("site")),
            change: None,
            refused: Some(fingerprint(content)),
            reason: String::new(),
        })
    };
    assert_eq!(refused_now(&[went_back(2)]), (None, None));
    assert_eq!(refused_now(&[went_back(3)]), (Some(fingerprint(2)), None), "other content");
}

#[test]
fn secrets_that_left_the_configuration_are_forgotten_when_there_are_many() {
    let journal = Journal::in_memory(FingerprintKey::from_bytes(&[7; 32]), Clock::system());
    let secret = |number: usize| SecretName::new(&format!("s{number:03}"));
    let published = |number| JournalEntry::Published(ChangeRecord { secret: secret(number), ..record(1, 1) });
    let is_configured = |name: &SecretName| *name == secret(3);
    journal.append((0..257).map(published));
    let before = journal.look(JournalState::clone);
    journal.forget_others(is_configured);
    assert_eq!(journal.look(JournalState::clone), before, "256 others may come back");
    journal.append((257..300).map(published));
    let owed = journal.look(|state| state.duties.clone());
    journal.forget_others(is_configured);
    let left = journal.look(JournalState::clone);
    assert_eq!((left.secrets.len(), left.duties), (257, owed));
    assert!(left.secrets.contains_key(&secret(3)) && left.secrets.contains_key(&secret(299)));
    assert!(!left.secrets.contains_key(&secret(0)));
}

#[test]
fn what_a_check_refused_is_known_until_something_is_published() {
    let again = refused(2, RefusalResult::Again);
    let history = site(&folded([again.clone()]));
    assert_eq!((history.unfit, history.refused), (Some(fingerprint(2)), None), "no brake has refused it");
    assert_eq!(site(&folded([again, JournalEntry::Published(record(1, 1))])).unfit, None);
}

#[test]
fn a_rollback_that_an_operator_asked_for_is_a_hold_from_its_publishing_on() {
    let rollback =
        |by| JournalEntry::Published(ChangeRecord { reason: ChangeReason::Rollback, by, ..record(3, 3) });
    let expected = Hold { change: ChangeNumber::new(3), at: at(0), by: 1000 };
    assert_eq!(site(&folded([rollback(Some(1000))])).held, Some(expected));
    assert_eq!(site(&folded([rollback(None)])).held, None);
}

#[test]
fn a_lost_key_forgets_fingerprints_and_nothing_else() {
    let entries = [
        JournalEntry::Published(record(1, 1)),
        JournalEntry::Published(record(2, 2)),
        refused(3, RefusalResult::Remembered),
        JournalEntry::Intent(record(3, 3)),
        JournalEntry::Gap { reason: GapReason::NewKey, lines: None },
    ];
    let state = folded(entries);
    let history = site(&state);
    assert_eq!((history.refused, history.published.unwrap().fingerprint), (None, None));
    assert_eq!(history.earlier[0].fingerprint, None);
    assert_eq!((history.intent.unwrap().fingerprint, owed(&state)), (None, vec![2]));
}

#[test]
fn a_hold_lasts_until_it_is_released() {
    let (secret, change) = (SecretName::new("site"), ChangeNumber::new(3));
    let held = JournalEntry::Held { secret: secret.clone(), change, by: 1000 };
    let expected = Hold { change, at: at(0), by: 1000 };
    assert_eq!(site(&folded([held.clone()])).held, Some(expected));
    assert_eq!(site(&folded([held, JournalEntry::Released { secret, by: 0 }])).held, None);
}

#[test]
fn a_line_has_stable_names_and_reads_back() {
    let facts = Facts {
        fields: vec!["crt".to_owned()],
        blank: Vec::new(),
        certificates: vec![CertificateFacts { file: "/c".to_owned(), issuer: "CN=a".to_owned(), end: at(9) }],
    };
    let entry = JournalEntry::Published(ChangeRecord { facts: Some(facts), ..record(3, 10) });
    let line = Line { seq: 7, ts: at(0), entry, prev: LineHash::of(b"abc") };
    let text = serde_json::to_string(&line).unwrap();
    let expected = "{\"seq\":7,\"ts\":\"2023-11-14T22:13:20.000Z\",\"event\":\"published\",\"secret\":\"site\",\
        \"change\":3,\"version\":3,\"fingerprint\":\"0000000000000000000000000000000a\",\
        \"files\":[\"/secrets/tls.crt\"],\"facts\":{\"fields\":[\"crt\"],\"certificates\":[{\"file\":\"/c\",\
        \"issuer\":\"CN=a\",\"end\":\"2023-11-14T22:13:29.000Z\"}]},\"hooks\":[\"reload\"],\"reason\":\"store\",\
        \"prev\":\"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"}";
    assert_eq!(text, expected);
    assert_eq!(serde_json::from_str::<Line>(&text).unwrap(), line);
    let later = text.replace("\"published\"", "\"of-later\"");
    assert_eq!(serde_json::from_str::<Line>(&later).unwrap().entry, JournalEntry::Unknown);
    for broken in [text.replace("0a\"", "0A\""), text.replace("ba78", "ba7"), text.replace("ba78", "+a78")] {
        assert!(serde_json::from_str::<Line>(&broken).is_err(), "{broken}");
    }
}

#[test]
fn every_event_reads_back() {
    let (secret, hook) = (SecretName::new("site"), HookName::new("reload"));
    let change = ChangeNumber::new(1);
    let entries = [
        JournalEntry::Snapshot {
            state: folded([JournalEntry::Intent(record(1, 1)), JournalEntry::Published(record(1, 1))]),
        },
        JournalEntry::Intent(record(1, 1)),
        ran(1, HookResult::Failed),
        JournalEntry::Confirmed { secret: secret.clone(), change, hook },
        JournalEntry::RolledBack { secret: secret.clone(), change, reason: "x".to_owned(), by: Some(0) },
        refused(1, RefusalResult::Remembered),
        JournalEntry::Approved { secret: secret.clone(), fingerprint: fingerprint(1), by: 0 },
        JournalEntry::Held { secret: secret.clone(), change, by: 0 },
        JournalEntry::Released { secret: secret.clone(), by: 0 },
        JournalEntry::Dropped(Dropped {
            hook: None,
            secret: Some(secret),
            change: None,
            refused: Some(fingerprint(1)),
            reason: "x".to_owned(),
        }),
        JournalEntry::Gap { reason: GapReason::TornLine, lines: Some(1) },
    ];
    for entry in entries {
        let text = serde_json::to_string(&entry).unwrap();
        assert_eq!(serde_json::from_str::<JournalEntry>(&text).unwrap(), entry, "{text}");
    }
}

/// What a daemon does next with one of two secrets that share two hooks.
#[derive(Clone, Debug)]
enum Step {
    Publish(usize),
    Run(usize, HookResult),
    Drop(usize),
    Snapshot,
}

fn step() -> impl Strategy<Value = Step> {
    let result = prop_oneof![Just(HookResult::Ok), Just(HookResult::Skipped), Just(HookResult::Failed)];
    prop_oneof![
        3 => (0..2_usize).prop_map(Step::Publish),
        3 => (0..2_usize, result).prop_map(|(hook, result)| Step::Run(hook, result)),
        1 => (0..2_usize).prop_map(Step::Drop),
        1 => Just(Step::Snapshot),
    ]
}

const SECRETS: [&str; 2] = ["a", "b"];
const HOOKS: [&str; 2] = ["x", "y"];

/// The lines of a daemon that does `steps`. A run is for what is owed at that moment.
fn journal_of(steps: &[Step]) -> Vec<JournalEntry> {
    let (mut entries, mut state) = (Vec::new(), JournalState::default());
    let mut numbers = [0; 2];
    for step in steps {
        let new: Vec<JournalEntry> = match step {
            Step::Publish(secret) => {
                numbers[*secret] += 1;
                let secret_name = SecretName::new(SECRETS[*secret]);
                let hooks = HOOKS.map(HookName::new).to_vec();
                let record = ChangeRecord { secret: secret_name, hooks, ..record(numbers[*secret], 0) };
                vec![JournalEntry::Intent(record.clone()), JournalEntry::Published(record)]
            }
            Step::Run(hook, result) => {
                let hook = HookName::new(HOOKS[*hook]);
                let run = |(secret, change): (&SecretName, &ChangeNumber)| {
                    let (hook, secret, change) = (hook.clone(), secret.clone(), *change);
                    JournalEntry::Hook(HookRun {
                        hook,
                        secret,
                        change,
                        result: *result,
                        duration_ms: None,
                        reason: None,
                    })
                };
                state.duties.get(&hook).iter().flat_map(|duty| duty.secrets.iter().map(run)).collect()
            }
            Step::Drop(hook) => {
                let hook = Some(HookName::new(HOOKS[*hook]));
                vec![JournalEntry::Dropped(Dropped {
                    hook,
                    secret: None,
                    change: None,
                    refused: None,
                    reason: String::new(),
                })]
            }
            Step::Snapshot => vec![JournalEntry::Snapshot { state: state.clone() }],
        };
        for entry in &new {
            state.apply(at(0), entry.clone());
        }
        entries.extend(new);
    }
    entries
}

/// Whether `hook` may still have to run for `secret` after `lines`, found without the fold.
fn may_be_owed(lines: &[JournalEntry], hook: &HookName, secret: &SecretName) -> bool {
    let settles = |entry: &&JournalEntry| match entry {
        JournalEntry::Intent(record) | JournalEntry::Published(record) => record.secret == *secret,
        JournalEntry::Hook(run) => run.result.is_done() && run.hook == *hook && run.secret == *secret,
        JournalEntry::Dropped(dropped) => dropped.hook.as_ref() == Some(hook),
        _ => false,
    };
    matches!(lines.iter().rev().find(settles), Some(JournalEntry::Intent(_) | JournalEntry::Published(_)))
}

proptest! {
    #[test]
    fn under_any_cut_every_owed_hook_is_in_the_fold(steps in prop::collection::vec(step(), 0..24)) {
        let lines = journal_of(&steps);
        for cut in 0..=lines.len() {
            let state = folded(lines[..cut].iter().cloned());
            for (hook, secret) in HOOKS.iter().flat_map(|hook| SECRETS.iter().map(move |secret| (hook, secret))) {
                let (hook, secret) = (HookName::new(hook), SecretName::new(secret));
                let is_owed = state.duties.get(&hook).is_some_and(|duty| duty.secrets.contains_key(&secret));
                let is_open = state.intents().any(|intent| intent.secret == secret && intent.hooks.contains(&hook));
                prop_assert_eq!(is_owed || is_open, may_be_owed(&lines[..cut], &hook, &secret));
            }
        }
    }

    #[test]
    fn a_snapshot_stands_for_the_lines_before_it(steps in prop::collection::vec(step(), 0..16), cut in 0..32_usize) {
        let lines = journal_of(&steps);
        let at_once = |entries: Vec<JournalEntry>| {
            let mut state = JournalState::default();
            for entry in entries {
                state.apply(at(0), entry);
            }
            state
        };
        let (before, after) = lines.split_at(cut.min(lines.len()));
        let text = serde_json::to_string(&JournalEntry::Snapshot { state: at_once(before.to_vec()) }).unwrap();
        let snapshot = serde_json::from_str(&text).unwrap();
        let resumed = [snapshot].into_iter().chain(after.iter().cloned()).collect();
        prop_assert_eq!(at_once(resumed), at_once(lines));
    }
}
