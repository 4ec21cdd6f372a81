//! What `history` shows of issued credentials.

use std::collections::BTreeMap;

use crate::clock::for_people;
use crate::journal::{CredentialTimes, IssuedRecord, JournalEntry, Retirement, SourceId};
use crate::name::SecretName;

/// Who uses the credentials of each source, by the lines that were read so far.
#[derive(Default)]
pub(super) struct CredentialUsers(BTreeMap<SourceId, Vec<SecretName>>);

impl CredentialUsers {
    /// The secrets that the credential of this line belongs to.
    pub(super) fn of(&mut self, entry: &JournalEntry) -> Vec<String> {
        let source = match entry {
            JournalEntry::Snapshot { state } => {
                self.0.extend(state.credentials.iter().map(|(id, known)| (*id, known.secrets.clone())));
                return Vec::new();
            }
            JournalEntry::Issuing(intent) => {
                self.0.insert(intent.source, intent.secrets.clone());
                intent.source
            }
            JournalEntry::Issued(IssuedRecord { source, .. })
            | JournalEntry::Renewed { source, .. }
            | JournalEntry::Lost { source, .. }
            | JournalEntry::Retired(Retirement { source, .. }) => *source,
            _ => return Vec::new(),
        };
        self.0.get(&source).into_iter().flatten().map(ToString::to_string).collect()
    }
}

/// The parts of the last column, for the events of credentials.
pub(super) fn details(entry: &JournalEntry) -> Vec<Option<String>> {
    let credential = |number| Some(format!("credential {number}"));
    match entry {
        JournalEntry::Issuing(intent) => {
            vec![credential(intent.number), Some(format!("of {}, store {}", intent.path, intent.store))]
        }
        JournalEntry::Issued(IssuedRecord { credential: known, .. }) => vec![
            credential(known.number),
            known.lease.as_ref().map(|lease| format!("lease {lease}")),
            known.serial.as_ref().map(|serial| format!("serial {serial}")),
            until(&known.times),
        ],
        JournalEntry::Renewed { number, times, .. } => vec![credential(*number), until(times)],
        JournalEntry::Lost { number, .. } => vec![credential(*number)],
        JournalEntry::Retired(Retirement { number, outcome, .. }) => {
            vec![credential(*number), Some(super::plain(outcome))]
        }
        _ => Vec::new(),
    }
}

fn until(times: &CredentialTimes) -> Option<String> {
    times.end().map(|end| format!("ends {}", for_people(end)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_a_credential_is_shown_with_the_secrets_that_use_it() {
        let source = "ab".repeat(16);
        let entry = |text: String| serde_json::from_str::<JournalEntry>(&text).unwrap();
        let issuing = entry(format!(
            "{{\"event\":\"issuing\",\"source\":\"{source}\",\"number\":3,\"store\":\"default\",\
            \"path\":\"database/creds/app\",\"secrets\":[\"app\",\"job\"]}}"
        ));
        let issued = entry(format!(
            "{{\"event\":\"issued\",\"source\":\"{source}\",\"number\":3,\"from\":\"2026-11-28T20:00:00Z\",\
            \"lease\":\"database/creds/app/x\",\"life_end\":\"2026-11-28T21:00:00Z\"}}"
        ));
        let retired = entry(format!(
            "{{\"event\":\"retired\",\"source\":\"{source}\",\"number\":2,\"outcome\":\"not-issued\"}}"
        ));
        let mut users = CredentialUsers::default();
        assert!(users.of(&issued).is_empty());
        for line in [&issuing, &issued, &retired] {
            assert_eq!(users.of(line), ["app", "job"]);
        }
        let shown = |entry| details(entry).into_iter().flatten().collect::<Vec<_>>().join(", ");
        assert_eq!(shown(&issuing), "credential 3, of database/creds/app, store default");
        assert_eq!(shown(&issued), "credential 3, lease database/creds/app/x, ends 2026-11-28 21:00:00 UTC");
        assert_eq!(shown(&retired), "credential 2, not-issued");
    }
}
