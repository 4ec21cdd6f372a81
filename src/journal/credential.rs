//! Issued credentials in the journal: what is issued, lives and is retired. A lease has its name here, never its value.

use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::clock::as_rfc3339;
use crate::config::provider::vault::dynamic::{DynamicMethod, DynamicRead, ParameterValue};
use crate::name::{CredentialNumber, LeaseId, SecretName, StoreName};
use crate::secret::{Fingerprint, FingerprintKey};

/// Most issues of one source whose answer never came that are remembered.
const OPEN: usize = 64;

/// What is issued, wherever it is used: it names the source in the journal and its sealed file. `Display` is 32
/// hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SourceId(Fingerprint);

/// A credential is about to be asked for. This line is on disk before the request.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct IssueIntent {
    /// Of what.
    pub source: SourceId,
    /// The number that it will have.
    pub number: CredentialNumber,
    /// The store that issues.
    pub store: StoreName,
    /// The path that is asked.
    pub path: String,
    /// The secrets that use it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretName>,
}

/// A credential was issued. This line is on disk before a secret can have it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct IssuedRecord {
    /// Of what.
    pub source: SourceId,
    /// What it is.
    #[serde(flatten)]
    pub credential: KnownCredential,
    /// How long a credential of this role can live with all its renewals, in seconds, where that was known then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximum_seconds: Option<u64>,
}

/// A credential without its value.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct KnownCredential {
    /// Its number.
    pub number: CredentialNumber,
    /// When it was issued.
    #[serde(with = "as_rfc3339")]
    pub from: SystemTime,
    /// Its lease, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<LeaseId>,
    /// The serial number of a certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// Whether its lease can be renewed.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_renewable: bool,
    /// How long it would live without a renewal, in seconds, by the first answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub life_seconds: Option<u64>,
    /// By what the token that issued it is known again, where its lease ends with that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Fingerprint>,
    /// Its times.
    #[serde(flatten)]
    pub times: CredentialTimes,
    /// Whether the server has forgotten it before its end.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_lost: bool,
}

/// When a credential is renewed and ends. A renewal without a line of its own has moved them to a later time.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct CredentialTimes {
    /// When it is renewed next.
    #[serde(with = "as_rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub renew_at: Option<SystemTime>,
    /// When its lease or its certificate ends.
    #[serde(with = "as_rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub life_end: Option<SystemTime>,
    /// When the token that issued it ends, and its lease with it.
    #[serde(with = "as_rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub token_end: Option<SystemTime>,
}

/// A credential is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Retirement {
    /// Of what.
    pub source: SourceId,
    /// Which.
    pub number: CredentialNumber,
    /// How.
    pub outcome: RetirementOutcome,
}

/// How a credential was retired.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RetirementOutcome {
    /// The server has revoked it, or did not know it any more.
    Revoked,
    /// Its end had come.
    Ended,
    /// It is left to live until its end.
    Left,
    /// The server refused to issue it: there never was one.
    NotIssued,
}

/// What is known of the credentials of one source.
#[derive(Clone, Default, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct CredentialHistory {
    /// The highest number that was issued or asked for; 0 before the first.
    pub number: CredentialNumber,
    /// The store that issues.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<StoreName>,
    /// The path that was asked last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The secrets that used it then.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretName>,
    /// When a credential was asked for last.
    #[serde(with = "as_rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub asked_at: Option<SystemTime>,
    /// Credentials that were asked for and may have been issued.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub open: Vec<OpenIssue>,
    /// Those that live, by number: the last is the current one, those before it are to be retired.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub live: Vec<KnownCredential>,
    /// How long a credential of this role can live with all its renewals, in seconds, as the last one showed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maximum_seconds: Option<u64>,
}

/// A credential that was asked for, where it is not known whether it was issued.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OpenIssue {
    /// Its number.
    pub number: CredentialNumber,
    /// When it was asked for.
    #[serde(with = "as_rfc3339")]
    pub at: SystemTime,
}

impl SourceId {
    /// The source that `read` is in `store`. `lease` and `kind` are no part of it: another `grace` is no other source.
    pub(super) fn of(key: &FingerprintKey, store: &StoreName, read: &DynamicRead) -> Self {
        let method = match read.method {
            DynamicMethod::Get => "GET",
            DynamicMethod::Post => "POST",
        };
        let credentials = read.credentials.as_ref().map_or("", |name| name.as_str());
        let namespace = read.namespace.as_deref().unwrap_or_default();
        let head = [store.as_str(), credentials, namespace, &read.path, method].map(str::as_bytes);
        let parameters = read.parameters.iter().flat_map(|(name, value)| {
            let (kind, value) = match value {
                // EXPOSE: a keyed fingerprint is all that leaves.
                ParameterValue::Json(json) => ("json", json.expose().as_bytes()),
                ParameterValue::File(path) => ("file", path.as_os_str().as_encoded_bytes()),
            };
            [name.as_bytes(), kind.as_bytes(), value]
        });
        Self(key.of_pieces(head.into_iter().chain(parameters)))
    }
}

impl fmt::Display for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for SourceId {
    type Err = NoSourceId;

    fn from_str(text: &str) -> Result<Self, NoSourceId> {
        Fingerprint::parse(text).map(Self).ok_or(NoSourceId)
    }
}

/// The text is not what `Display` of a [`SourceId`] writes.
#[derive(Clone, Copy, Debug)]
pub struct NoSourceId;

impl CredentialTimes {
    /// When it ends; `None` where nothing says so.
    pub fn end(&self) -> Option<SystemTime> {
        self.life_end.into_iter().chain(self.token_end).min()
    }
}

impl CredentialHistory {
    /// The credential that secrets have, or will have next.
    pub fn current(&self) -> Option<&KnownCredential> {
        self.live.last()
    }

    pub(super) fn issuing(&mut self, at: SystemTime, intent: IssueIntent) {
        let IssueIntent { number, store, path, secrets, .. } = intent;
        self.number = self.number.max(number);
        (self.store, self.path, self.secrets) = (Some(store), Some(path), secrets);
        self.asked_at = Some(at);
        self.open.retain(|open| open.number != number);
        self.open.push(OpenIssue { number, at });
        let beyond = self.open.len().saturating_sub(OPEN);
        self.open.drain(..beyond);
    }

    pub(super) fn issued(&mut self, IssuedRecord { credential, maximum_seconds, .. }: IssuedRecord) {
        self.number = self.number.max(credential.number);
        self.maximum_seconds = maximum_seconds;
        self.open.retain(|open| open.number != credential.number);
        // What is lost is known only for as long as nothing replaces it.
        self.live.retain(|live| live.number != credential.number && !live.is_lost);
        let place = self.live.partition_point(|live| live.number < credential.number);
        self.live.reserve_exact(1);
        self.live.insert(place, credential);
    }

    pub(super) fn renewed(&mut self, number: CredentialNumber, times: CredentialTimes) {
        self.of_number(number).into_iter().for_each(|live| live.times = times);
    }

    pub(super) fn lost(&mut self, number: CredentialNumber) {
        self.of_number(number).into_iter().for_each(|live| live.is_lost = true);
    }

    pub(super) fn retired(&mut self, number: CredentialNumber) {
        self.open.retain(|open| open.number != number);
        self.live.retain(|live| live.number != number);
    }

    fn of_number(&mut self, number: CredentialNumber) -> Option<&mut KnownCredential> {
        self.live.iter_mut().find(|live| live.number == number)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference to the field")]
fn is_false(is: &bool) -> bool {
    !is
}
