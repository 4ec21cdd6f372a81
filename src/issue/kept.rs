//! What a start would find of issued credentials, for `plan`. Nothing is changed, locked or issued.

use std::path::Path;
use std::time::SystemTime;

use super::seal::SealKey;
use super::sealed::SealedFiles;
use crate::config::provider::vault::dynamic::DynamicRead;
use crate::fault::Fault;
use crate::journal::KnownCredentials;
use crate::name::StoreName;

/// The credentials that a state directory has, with their values.
pub(crate) struct KeptCredentials {
    known: KnownCredentials,
    sealed: SealedFiles,
}

/// A credential that a start would use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct KeptCredential {
    /// When it ends; `None` where that is not known.
    pub(crate) end: Option<SystemTime>,
}

impl KeptCredentials {
    /// Those in `state`; `None` where nothing is kept. Blocks.
    ///
    /// # Errors
    /// A file cannot be read or trusted.
    pub(crate) fn read(state: &Path, key: Option<SealKey>) -> Result<Option<Self>, Fault> {
        let known = KnownCredentials::read(state)?;
        let sealed = SealedFiles::open_to_read(state, key)?;
        Ok(known.zip(sealed).map(|(known, sealed)| Self { known, sealed }))
    }

    /// What a start at `now` would use for `read` of `store`.
    pub(crate) fn current(
        &self,
        store: &StoreName,
        read: &DynamicRead,
        now: SystemTime,
    ) -> Option<KeptCredential> {
        let (source, known) = self.known.current(store, read)?;
        let end = known.times.end().filter(|end| *end > now);
        // Of a lease the journal may not know the last renewal: a start asks the server.
        let lives = end.is_some() || known.times.end().is_none() || known.lease.is_some();
        (lives && !known.is_lost && self.sealed.has(source, known)).then_some(KeptCredential { end })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::clock::Clock;
    use crate::issue::SealedValues;
    use crate::journal::{CredentialTimes, IssuedRecord, Journal, JournalEntry, KnownCredential};
    use crate::name::{CredentialNumber, LeaseId};
    use crate::secret::{FieldValue, Fields, SecretText};
    use crate::testing::dynamic_read;

    /// The paths of these cases: with a lease, which end is noted, whether it was lost, whether its value is kept.
    const CASES: [(&str, bool, i64, bool, bool); 7] = [
        ("living", true, 60, false, true),
        ("noted/early", true, -60, false, true),
        ("endless", false, 0, false, true),
        ("dated", false, 60, false, true),
        ("over", false, -60, false, true),
        ("lost", true, 60, true, true),
        ("valueless", true, 60, false, false),
    ];

    #[tokio::test]
    async fn what_is_dead_over_or_without_a_value_is_none_that_a_start_would_use() {
        let (home, now) = (tempfile::tempdir().unwrap(), Clock::system().now());
        let key = || SealKey::of(&[7; 32]);
        let journal = Journal::open(home.path(), Clock::system()).unwrap();
        let sealed = SealedValues::open(home.path(), key()).unwrap();
        let (store, number) = (StoreName::main(), CredentialNumber::new(1));
        let minutes = Duration::from_secs(60);
        for (path, is_leased, left, is_lost, has_value) in CASES {
            let source = journal.source_id(&store, &dynamic_read(path));
            let life_end = match left {
                0 => None,
                1.. => Some(now + minutes),
                _ => Some(now - minutes),
            };
            let known = KnownCredential {
                number,
                from: now - minutes * 2,
                lease: LeaseId::parse("lease/1").filter(|_| is_leased),
                serial: None,
                is_renewable: is_leased,
                life_seconds: None,
                token: None,
                times: CredentialTimes { life_end, ..CredentialTimes::default() },
                is_lost: false,
            };
            let password = FieldValue::Text(SecretText::new("x".into()));
            let fields: Fields = [("password".to_owned(), password)].into_iter().collect();
            assert!(!has_value || sealed.keep(source, &known, &fields).await);
            journal.append([JournalEntry::Issued(IssuedRecord {
                source,
                credential: known,
                maximum_seconds: None,
            })]);
            journal.append(is_lost.then_some(JournalEntry::Lost { source, number }));
        }
        let ended = CancellationToken::new();
        ended.cancel();
        journal.run(ended).await;
        let kept = KeptCredentials::read(home.path(), key()).unwrap().unwrap();
        let used = |path| kept.current(&store, &dynamic_read(path), now).map(|kept| kept.end.is_some());
        let found = CASES.map(|(path, ..)| (path, used(path)));
        let expected = [Some(true), Some(false), Some(false), Some(true), None, None, None];
        assert_eq!(found.map(|(_, used)| used), expected, "{found:?}");
    }
}
