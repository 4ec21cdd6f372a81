//! What other configurations have left in the state directory: histories in the journal, and what is sealed.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::holder::Holder;
use super::holders::may_live;
use super::sealed::{SealedName, remove_others};
use crate::journal::{CredentialHistory, Journal, OpenIssue, SourceId};
use crate::name::CredentialsName;
use crate::store::issuer::TokenOrigin;

/// How long nobody knows whether what was asked for and had no answer lives: after that it counts as over.
const UNANSWERED: Duration = Duration::from_secs(24 * 3600);

/// Forgets at a start what is over of sources that no one of `configured` is: in `journal`, and of what is sealed in `state`.
/// What may live is kept until a later start, because its source may come back. Blocks.
pub(crate) fn forget_unconfigured(
    journal: &Journal,
    state: &Path,
    configured: &[Arc<Holder>],
    now: SystemTime,
) {
    let sources: BTreeSet<SourceId> = configured.iter().map(|holder| holder.source(journal)).collect();
    journal.forget_credentials(|source, history| !sources.contains(source) && is_over(history, now));
    let known: BTreeSet<SourceId> = journal.look(|state| state.credentials.keys().copied().collect());
    let main = CredentialsName::main();
    let set_of = |holder: &Arc<Holder>| {
        let (store, set) = holder.credential_set();
        journal.fingerprint_of(&TokenOrigin::pieces_of_set(store.as_str(), set.unwrap_or(&main).as_str()))
    };
    let sets: BTreeSet<_> = configured.iter().map(set_of).collect();
    // The history of a source does not say which credential set has issued for it.
    let is_any_other = !known.is_subset(&sources);
    remove_others(state, |name| match name {
        SealedName::Value(source) => known.contains(&source),
        SealedName::Token(set) => is_any_other || sets.contains(&set),
    });
}

fn is_over(history: &CredentialHistory, now: SystemTime) -> bool {
    // A clock that was set back makes nothing old.
    let is_old = |open: &OpenIssue| now.duration_since(open.at).is_ok_and(|age| age > UNANSWERED);
    !history.live.iter().any(|known| may_live(known, now)) && history.open.iter().all(is_old)
}
