//! Issued credentials: none is forgotten while it may live, and the source of one is known again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::*;
use crate::config::provider::vault::dynamic::{
    DynamicKind, DynamicMethod, DynamicRead, LeaseTerms, ParameterValue,
};
use crate::name::{CredentialNumber, CredentialsName, LeaseId, StoreName};
use crate::secret::SecretText;

fn read() -> DynamicRead {
    let json = |text: &str| ParameterValue::Json(SecretText::new(text.to_owned()));
    DynamicRead {
        credentials: None,
        namespace: None,
        path: "pki/issue/web".to_owned(),
        method: DynamicMethod::Post,
        parameters: BTreeMap::from([("common_name".to_owned(), json("\"a.example\""))]),
        kind: DynamicKind::Certificate,
        terms: LeaseTerms::default(),
    }
}

/// The source of these tests: `fill` makes others.
fn source(fill: u8) -> SourceId {
    format!("{fill:02x}").repeat(16).parse().unwrap()
}

fn number(number: u64) -> CredentialNumber {
    CredentialNumber::new(number)
}

fn issuing(source: SourceId, number: CredentialNumber) -> JournalEntry {
    let (store, path) = (StoreName::main(), "database/creds/app".to_owned());
    JournalEntry::Issuing(IssueIntent { source, number, store, path, secrets: vec![SecretName::new("app")] })
}

fn issued(source: SourceId, number: CredentialNumber) -> JournalEntry {
    let credential = KnownCredential {
        number,
        from: at(1),
        lease: LeaseId::parse(&format!("database/creds/app/{number}")),
        serial: None,
        is_renewable: true,
        life_seconds: Some(60),
        token: Some(Fingerprint::parse("000102030405060708090a0b0c0d0e0f").unwrap()),
        times: CredentialTimes { renew_at: Some(at(40)), life_end: Some(at(61)), token_end: Some(at(50)) },
        is_lost: false,
    };
    JournalEntry::Issued(IssuedRecord { source, credential, maximum_seconds: Some(600) })
}

fn retired(source: SourceId, number: CredentialNumber) -> JournalEntry {
    JournalEntry::Retired(Retirement { source, number, outcome: RetirementOutcome::Revoked })
}

fn lost(source: SourceId, number: CredentialNumber) -> JournalEntry {
    JournalEntry::Lost { source, number }
}

/// Numbers of what lives and of what may have been issued.
fn known(state: &JournalState, source: SourceId) -> (Vec<u64>, Vec<u64>) {
    let history = state.credentials.get(&source).cloned().unwrap_or_default();
    let live = history.live.iter().map(|live| live.number.get()).collect();
    (live, history.open.iter().map(|open| open.number.get()).collect())
}

#[test]
fn a_maximum_that_is_no_longer_known_does_not_come_back() {
    let source = source(1);
    let JournalEntry::Issued(record) = issued(source, number(2)) else { panic!() };
    let unknown = JournalEntry::Issued(IssuedRecord { maximum_seconds: None, ..record });
    let maximum = |entries: Vec<JournalEntry>| folded(entries).credentials[&source].maximum_seconds;
    assert_eq!(maximum(vec![issued(source, number(1))]), Some(600));
    assert_eq!(maximum(vec![issued(source, number(1)), unknown]), None);
}

#[test]
fn what_was_asked_for_is_known_until_it_is_retired() {
    let (source, [one, two]) = (source(1), [number(1), number(2)]);
    let mut entries = vec![issuing(source, one)];
    let after = |entries: &[JournalEntry]| known(&folded(entries.iter().cloned()), source);
    assert_eq!(after(&entries), (vec![], vec![1]));
    entries.extend([issued(source, one), issuing(source, two), issued(source, two)]);
    let state = folded(entries.clone());
    let history = &state.credentials[&source];
    assert_eq!(history.current().map(|current| current.number), Some(two));
    assert_eq!(history.live.iter().map(|live| live.number).collect::<Vec<_>>(), [one, two]);
    assert_eq!((history.asked_at, history.maximum_seconds), (Some(at(2)), Some(600)));
    // A new one that could not be written to its files gives way to the one before.
    entries.push(retired(source, two));
    let history = folded(entries.clone()).credentials[&source].clone();
    assert_eq!((history.current().map(|current| current.number), history.number), (Some(one), two));
    entries.push(retired(source, one));
    assert_eq!(after(&entries), (vec![], vec![]));
}

#[test]
fn a_lost_credential_is_known_as_such_until_another_one_is_there() {
    let source = source(1);
    let mut entries = vec![issued(source, number(1)), lost(source, number(1))];
    let state = folded(entries.clone());
    assert!(state.credentials[&source].current().unwrap().is_lost);
    entries.push(issued(source, number(2)));
    assert_eq!(known(&folded(entries), source), (vec![2], vec![]));
}

#[test]
fn a_renewal_moves_the_end_which_is_the_earlier_one_of_lease_and_token() {
    let source = source(1);
    let times = CredentialTimes { renew_at: None, life_end: Some(at(99)), token_end: Some(at(120)) };
    let renewed = JournalEntry::Renewed { source, number: number(1), times };
    let before = folded([issued(source, number(1))]);
    assert_eq!(before.credentials[&source].current().unwrap().times.end(), Some(at(50)));
    let after = folded([issued(source, number(1)), renewed]);
    assert_eq!(after.credentials[&source].current().unwrap().times.end(), Some(at(99)));
}

#[test]
fn a_source_has_one_name_in_each_run_and_each_part_of_it_is_another_name() {
    let key = FingerprintKey::from_bytes(&[7; 32]);
    let of = |read: &DynamicRead| SourceId::of(&key, &StoreName::main(), read);
    let parameters = |name: &str, value| BTreeMap::from([(name.to_owned(), value)]);
    let file = |path: &str| ParameterValue::File(PathBuf::from(path));
    let json = |text: &str| ParameterValue::Json(SecretText::new(text.to_owned()));
    let named = |name: &str| Some(CredentialsName::new(name));
    let others = [
        read(),
        DynamicRead { credentials: named("a"), ..read() },
        DynamicRead { namespace: Some("a".to_owned()), ..read() },
        DynamicRead { path: "pki/issue/other".to_owned(), ..read() },
        DynamicRead { method: DynamicMethod::Get, ..read() },
        DynamicRead { parameters: BTreeMap::new(), ..read() },
        DynamicRead { parameters: parameters("common_name", json("\"b\"")), ..read() },
        DynamicRead { parameters: parameters("common_name", json("/b")), ..read() },
        DynamicRead { parameters: parameters("common_name", file("/b")), ..read() },
        DynamicRead { parameters: parameters("other", file("/b")), ..read() },
    ];
    let mut distinct: BTreeSet<SourceId> = others.iter().map(of).collect();
    assert_eq!(distinct.len(), others.len());
    assert!(distinct.insert(SourceId::of(&key, &StoreName::new("b"), &read())), "another store");
    assert!(distinct.insert(SourceId::of(
        &FingerprintKey::from_bytes(&[8; 32]),
        &StoreName::main(),
        &read()
    )));
    let terms = LeaseTerms { grace: Duration::ZERO, ..LeaseTerms::default() };
    assert_eq!(of(&DynamicRead { terms, ..read() }), of(&read()), "other terms are no other source");
    let name = of(&read());
    assert_eq!(
        name.to_string(),
        "c003ab93d29f59e5fb5fcb8ec1ee38a8",
        "it must be the same in the next version"
    );
    assert_eq!(name.to_string().parse::<SourceId>().ok(), Some(name));
    for wrong in ["", "../../../../../../etc/shadow/000", "C003AB93D29F59E5FB5FCB8EC1EE38A8"] {
        assert!(wrong.parse::<SourceId>().is_err(), "{wrong}");
    }
}

#[test]
fn lines_of_credentials_have_stable_names_and_read_back() {
    let id = "01".repeat(16);
    let (source, one) = (source(1), number(1));
    let times = CredentialTimes { life_end: Some(at(9)), ..CredentialTimes::default() };
    let expected = [
        (
            issuing(source, one),
            format!(
                "{{\"event\":\"issuing\",\"source\":\"{id}\",\"number\":1,\"store\":\"default\",\
                \"path\":\"database/creds/app\",\"secrets\":[\"app\"]}}"
            ),
        ),
        (
            issued(source, one),
            format!(
                "{{\"event\":\"issued\",\"source\":\"{id}\",\"number\":1,\"from\":\"2023-11-14T22:13:21.000Z\",\
                \"lease\":\"database/creds/app/1\",\"is_renewable\":true,\"life_seconds\":60,\
                \"token\":\"000102030405060708090a0b0c0d0e0f\",\"renew_at\":\"2023-11-14T22:14:00.000Z\",\"life_end\":\"2023-11-14T22:14:21.000Z\",\
                \"token_end\":\"2023-11-14T22:14:10.000Z\",\"maximum_seconds\":600}}"
            ),
        ),
        (
            JournalEntry::Renewed { source, number: one, times },
            format!(
                "{{\"event\":\"renewed\",\"source\":\"{id}\",\"number\":1,\
                \"life_end\":\"2023-11-14T22:13:29.000Z\"}}"
            ),
        ),
        (lost(source, one), format!("{{\"event\":\"lost\",\"source\":\"{id}\",\"number\":1}}")),
        (
            retired(source, one),
            format!("{{\"event\":\"retired\",\"source\":\"{id}\",\"number\":1,\"outcome\":\"revoked\"}}"),
        ),
    ];
    for (entry, text) in expected {
        assert_eq!(serde_json::to_string(&entry).unwrap(), text);
        let line = Line { seq: 7, ts: at(0), entry, prev: LineHash::default() };
        let text = serde_json::to_string(&line).unwrap();
        assert_eq!(serde_json::from_str::<Line>(&text).unwrap(), line, "{text}");
    }
}

#[test]
fn a_lease_that_no_server_writes_makes_a_line_a_damaged_one() {
    let text = serde_json::to_string(&issued(source(1), number(1))).unwrap();
    assert!(serde_json::from_str::<JournalEntry>(&text).is_ok());
    for name in ["", "a b", "a\\nb"] {
        let forged = text.replace("database/creds/app/1", name);
        assert!(serde_json::from_str::<JournalEntry>(&forged).is_err(), "{forged}");
    }
}

#[test]
fn a_state_of_an_earlier_version_has_no_credentials() {
    let state: JournalState = serde_json::from_str("{\"secrets\":{\"site\":{\"change\":3}}}").unwrap();
    assert!(state.credentials.is_empty() && state.secrets.len() == 1);
}

#[test]
fn a_lost_key_of_fingerprints_forgets_no_credential() {
    let gap = JournalEntry::Gap { reason: GapReason::NewKey, lines: None };
    let state = folded([issued(source(1), number(1)), issuing(source(1), number(2)), gap]);
    assert_eq!(known(&state, source(1)), (vec![1], vec![2]));
}

/// What the owner of two sources does next.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Ask(usize),
    Answer(usize),
    Retire(usize, usize),
    Lose(usize),
    Snapshot,
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        4 => (0..2_usize).prop_map(Deed::Ask),
        4 => (0..2_usize).prop_map(Deed::Answer),
        3 => (0..2_usize, 0..3_usize).prop_map(|(source, which)| Deed::Retire(source, which)),
        1 => (0..2_usize).prop_map(Deed::Lose),
        1 => Just(Deed::Snapshot),
    ]
}

/// The lines of these deeds, and after each of them what may live at the server by what the owner did.
fn deeds(deeds: &[Deed]) -> Vec<(JournalEntry, [BTreeSet<u64>; 2])> {
    let mut state = JournalState::default();
    let (mut asked, mut open, mut live) =
        ([0; 2], [const { Vec::<u64>::new() }; 2], [const { Vec::<u64>::new() }; 2]);
    let (mut lost_ones, mut lines) = ([const { Vec::<u64>::new() }; 2], Vec::new());
    for deed in deeds {
        let id = |index: usize| source(u8::try_from(index).unwrap());
        let entry = match *deed {
            Deed::Ask(index) => {
                asked[index] += 1;
                open[index].push(asked[index]);
                issuing(id(index), number(asked[index]))
            }
            Deed::Answer(index) => {
                let Some(next) = open[index].pop() else { continue };
                live[index].push(next);
                lost_ones[index].clear();
                issued(id(index), number(next))
            }
            Deed::Retire(index, which) => {
                let all: Vec<u64> = live[index].iter().chain(&open[index]).copied().collect();
                let Some(gone) = all.get(which).copied() else { continue };
                live[index].retain(|number| *number != gone);
                open[index].retain(|number| *number != gone);
                retired(id(index), number(gone))
            }
            Deed::Lose(index) => {
                let Some(gone) = live[index].iter().max().copied() else { continue };
                live[index].retain(|number| *number != gone);
                lost_ones[index].push(gone);
                lost(id(index), number(gone))
            }
            Deed::Snapshot => JournalEntry::Snapshot { state: state.clone() },
        };
        state.apply(at(0), entry.clone());
        let all = |index: usize| {
            let all = open[index].iter().chain(&live[index]).chain(&lost_ones[index]);
            all.copied().collect::<BTreeSet<u64>>()
        };
        lines.push((entry, [all(0), all(1)]));
    }
    lines
}

proptest! {
    #[test]
    fn under_any_cut_every_credential_that_may_live_is_in_the_fold(done in prop::collection::vec(deed(), 0..32)) {
        let lines = deeds(&done);
        for cut in 0..=lines.len() {
            let state = folded(lines[..cut].iter().map(|(entry, _)| entry.clone()));
            let Some((_, expected)) = lines[..cut].last() else { continue };
            for (index, expected) in expected.iter().enumerate() {
                let (live, open) = known(&state, source(u8::try_from(index).unwrap()));
                prop_assert!(live.is_sorted());
                let known: BTreeSet<u64> = live.into_iter().chain(open).collect();
                prop_assert_eq!(&known, expected);
            }
        }
    }

    #[test]
    fn a_snapshot_has_all_credentials(done in prop::collection::vec(deed(), 0..24)) {
        let state = folded(deeds(&done).into_iter().map(|(entry, _)| entry));
        let text = serde_json::to_string(&JournalEntry::Snapshot { state: state.clone() }).unwrap();
        prop_assert_eq!(folded([serde_json::from_str(&text).unwrap()]), state);
    }
}
