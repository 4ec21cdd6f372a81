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
