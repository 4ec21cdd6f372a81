//! Stores: where secrets come from. One trait, an adapter per provider, and layers around it, outermost first:
//! `single_flight` (one request for many readers) → `limit` (concurrency, `Retry-After`) → adapter. The vault adapter has a
//! `breaker` around each of its requests.

pub(crate) mod breaker;
pub mod build;
#[cfg(test)]
pub(crate) mod fake;
pub mod file;
pub(crate) mod gather;
pub mod issuer;
pub mod limit;
#[cfg(test)]
mod memory;
mod search;
mod single_flight;
pub mod vault;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::config::provider::SecretRead;
use crate::fault::{Fault, Kind};
use crate::secret::{Fields, Fingerprint, FingerprintKey, SecretText};

/// Where secrets come from. Implementations never repeat a failed request: retry is `sync::policy`'s.
#[async_trait]
pub trait Store: Send + Sync {
    /// Reads one secret. `known` is the revision that the caller has: a secret that still has it comes without fields,
    /// and its answer is not taken apart.
    ///
    /// # Errors
    /// A fault whose text holds no value, whatever the store answered.
    ///
    /// # Cancel safety
    /// Dropping the future abandons the request and nothing else.
    async fn fetch(&self, read: &SecretRead, known: Option<Revision>) -> Result<Fetched, Fault>;

    /// What a fetch needs besides its own request, such as a login. Done before the fetch takes its turn, so that a
    /// login that hangs holds up the secrets that wait for it and no others.
    ///
    /// # Errors
    /// As for [`Store::fetch`].
    async fn prepare(&self, _: &SecretRead) -> Result<(), Fault> {
        Ok(())
    }

    /// Returns when the outcome of a fetch at `read_at` is outdated: what made it fail with `failure` may be over, such as
    /// a credential file that has changed, or what it brought may be the value of another secret, because answers were
    /// mixed up on the way. By default it never does.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    async fn outdated(&self, _: &SecretRead, _read_at: Instant, _failure: Option<Kind>) {
        std::future::pending::<()>().await;
    }

    /// The place that `read` is read from, as a name that changes when the place is made again, empty. Right after a
    /// fetch that said "absent", it is the place of that answer. By default there is only one place.
    ///
    /// # Errors
    /// As for [`Store::fetch`]; a place that may not be looked up is a fault as well.
    async fn place(&self, _read: &SecretRead) -> Result<String, Fault> {
        Ok(String::new())
    }

    /// The names directly below the folder `read`, those of folders with a slash at their end; none where there is no such
    /// folder.
    ///
    /// # Errors
    /// As for [`Store::fetch`]; a store that cannot list is a fault, too.
    async fn list(&self, _read: &SecretRead) -> Result<Vec<String>, Fault> {
        Err(unsearchable())
    }

    /// What the operator has written down about a secret, beside its fields.
    ///
    /// # Errors
    /// As for [`Store::list`].
    async fn tags(&self, _read: &SecretRead) -> Result<BTreeMap<String, String>, Fault> {
        Err(unsearchable())
    }

    /// Who owns what is issued here, where asking is no read.
    fn owner(&self) -> Option<&dyn issuer::CredentialOwner> {
        None
    }

    /// From now on `fetch` gives nothing that was read before: the operator has asked for a refresh.
    fn forget(&self) {}
}

fn unsearchable() -> Fault {
    let remedy = "write an \"extract\" for each secret";
    Fault::new(Kind::BadRequest, "secrets of this store cannot be searched for", remedy)
}

/// One secret as read.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The fields; shared, because one answer may serve several secrets. `None`: unchanged since the revision that the
    /// caller has.
    pub fields: Option<Arc<Fields>>,
    /// What the store says of them beside, JSON: the `metadata` of KV version 2 as it came, or of an issued credential its
    /// lease. `None` with unchanged fields.
    pub metadata: Option<SecretText>,
    /// When this version was written, where the store says so: with unchanged fields too.
    pub created: Option<SystemTime>,
    /// Equal revisions mean equal fields and metadata.
    pub revision: Revision,
    /// How long it stays right, where the store says so.
    pub life: Life,
    /// The server's own name of its answer, where it gives one: its audit log has the same.
    pub request_id: Option<RequestId>,
    /// Of a large answer, held until its fields are written: no other large answer of the server is read meanwhile.
    pub turn: Option<Arc<OwnedSemaphorePermit>>,
}

/// How long what was read stays right: when `sync::policy` reads again at the latest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Life {
    /// Until it is changed in the store.
    Open,
    /// It ends at this moment, and the store has nothing to follow it yet: a planned deletion.
    Until(Instant),
    /// The store replaces it at this moment: a rotation.
    Next(Instant),
}

impl Life {
    /// What two of them are together: the earlier end.
    fn shorter(self, other: Self) -> Self {
        let end = |life| match life {
            Self::Open => None,
            Self::Until(at) | Self::Next(at) => Some(at),
        };
        match (end(self), end(other)) {
            (Some(own), Some(others)) if others < own => other,
            (None, Some(_)) => other,
            _ => self,
        }
    }
}

/// What a server calls one of its answers.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// A UUID; anything else is none. The audit stream shows it, and a token or a value must not pass for one.
    pub fn parse(text: &str) -> Option<Self> {
        let is_hyphen = |at: usize| matches!(at, 8 | 13 | 18 | 23);
        let fits =
            |(at, byte): (usize, u8)| if is_hyphen(at) { byte == b'-' } else { byte.is_ascii_hexdigit() };
        let is_one = text.len() == 36 && text.bytes().enumerate().all(fits);
        is_one.then(|| Self(Arc::from(text)))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What tells one state of a secret from another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Revision {
    /// The store's own version number, and the fingerprint of what it sent, because a mount that was deleted and made
    /// again starts to count at 1 again.
    Version(u64, Fingerprint),
    /// A keyed fingerprint of what was read, for stores that do not count.
    Content(Fingerprint),
}

impl Revision {
    /// The revision of several reads together, each with a name of its own where their number may change.
    fn of_all<'n>(revisions: impl Iterator<Item = (&'n str, Self)>, key: &FingerprintKey) -> Self {
        let mut all = String::new();
        for (name, revision) in revisions {
            let (Self::Version(_, print) | Self::Content(print)) = revision;
            // Writing to a string does not fail.
            writeln!(all, "{name:?} {:?} {print}", revision.version()).ok();
        }
        Self::Content(key.of(all.as_bytes()))
    }

    /// The store's version number, where it has one.
    pub fn version(self) -> Option<u64> {
        match self {
            Self::Version(number, _) => Some(number),
            Self::Content(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_is_short_and_plain() {
        let id = "3a6e4ba1-6f1c-7b5e-2d5b-0e3f0f9a2c11";
        assert_eq!(RequestId::parse(id).map(|id| id.as_str().to_owned()).as_deref(), Some(id));
        let token = "hvs.CAESIJ0123456789abcdefABCDEF01234567";
        let shifted = "3a6e4ba16-f1c-7b5e-2d5b-0e3f0f9a2c11";
        for text in ["", "a b", "a\nb", "\"", "ü", &"a".repeat(65), &"a".repeat(36), token, shifted] {
            assert_eq!(RequestId::parse(text), None, "{text:?}");
        }
    }
}
