//! `vaultDynamic`: a path whose answer is a credential with an end, or says when it is read again.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::name::CredentialsName;
use crate::secret::{AnswerParameters, SecretText};

/// What one source asks of a path. Equal ones of a store are one credential, however many secrets have it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct DynamicRead {
    /// A named credential set of the store; `None` is the store's own.
    pub credentials: Option<CredentialsName>,
    /// The namespace, resolved: `None` is the root namespace.
    pub namespace: Option<String>,
    /// The path below `v1/`: no empty, `.` or `..` segment.
    pub path: String,
    /// How it is asked.
    pub method: DynamicMethod,
    /// The parameters by name: of the query for GET, of the body for POST.
    pub parameters: BTreeMap<String, ParameterValue>,
    /// What the answer is.
    pub kind: DynamicKind,
    /// When an issued credential is renewed, replaced and retired; not for [`DynamicKind::Static`] and
    /// [`DynamicKind::Read`].
    pub terms: LeaseTerms,
}

/// `method`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum DynamicMethod {
    /// GET.
    Get,
    /// POST.
    Post,
}

/// `kind`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum DynamicKind {
    /// The answer brings a lease: a login of a database, a key of a cloud.
    Lease,
    /// A role whose password the server rotates: `ttl` says when.
    Static,
    /// A certificate of PKI, which ends by its own dates.
    Certificate,
    /// A certificate of SSH, which ends by its own dates.
    Ssh,
    /// Anything else that leases nothing; read at the `refreshInterval`.
    Read,
}

/// The value of a parameter. No hash has it: equal ones have equal hashes nevertheless.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ParameterValue {
    /// JSON, as it is sent.
    Json(SecretText),
    /// `file`: the text of this file, read each time, without white space at its ends.
    File(PathBuf),
}

/// `lease`: when an issued credential is renewed, replaced and retired.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct LeaseTerms {
    /// `renewAt`: which share of a lease passes before it is renewed.
    pub renew_at: Share,
    /// `reissueAt`: which share of the whole life passes before the next credential is issued.
    pub reissue_at: Share,
    /// `maxAge`: the whole life, where neither the server nor the answer says it.
    pub max_age: Option<Duration>,
    /// `minInterval`: at least this lies between two issues.
    pub min_interval: Duration,
    /// `grace`: how long the credential before lives on after the new one is confirmed.
    pub grace: Duration,
    /// `confirm`: what says that consumers have the new one.
    pub confirm: Confirmation,
    /// `confirmTimeout`: how long that is waited for.
    pub confirm_timeout: Duration,
    /// `retire`: whether the credential before is revoked then; otherwise it is left to its end.
    pub retires: bool,
    /// `onStop`: what a stop does.
    pub on_stop: OnStop,
}

/// A share in thousandths, above 0 and below 1000.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Share(u16);

/// `confirm`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Confirmation {
    /// The hooks of each secret that has the credential have run; where a secret has none, it is published.
    Hooks,
    /// Each secret that has it is published.
    Published,
}

/// `onStop`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum OnStop {
    /// Credentials and the token that issued them live on.
    Keep,
    /// All of them are revoked, and the token too.
    Revoke,
}

impl DynamicRead {
    /// Whether asking makes something, so that it is no read.
    pub fn is_issued(&self) -> bool {
        self.kind.is_issued()
    }

    /// The same without what is done with the answer: what equals it is one credential.
    pub(in crate::config) fn request(&self) -> Self {
        Self { kind: DynamicKind::Lease, terms: LeaseTerms::default(), ..self.clone() }
    }

    /// The parameters as a template of the Agent has them: texts. That of a file is not known.
    pub(crate) fn parameters_as_texts(&self) -> AnswerParameters {
        let text = |value: &ParameterValue| match value {
            ParameterValue::Json(json) => {
                // EXPOSE: JSON becomes the text that it stands for
                let text = serde_json::from_str(json.expose());
                Some(text.map_or_else(|_| json.clone(), SecretText::new))
            }
            ParameterValue::File(_) => None,
        };
        self.parameters.iter().map(|(name, value)| (name.clone(), text(value))).collect()
    }

    /// The files that hold parameters.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.parameters.values().filter_map(|value| match value {
            ParameterValue::File(path) => Some(path.as_path()),
            ParameterValue::Json(_) => None,
        })
    }
}

impl DynamicRead {
    /// The same on the default terms: what is asked of the server, which other terms do not change.
    pub(crate) fn without_terms(&self) -> Self {
        Self { terms: LeaseTerms::default(), ..self.clone() }
    }
}

impl DynamicKind {
    /// All of them, by what the configuration calls them.
    pub(crate) const ALL: [(&str, Self); 5] = [
        ("lease", Self::Lease),
        ("static", Self::Static),
        ("certificate", Self::Certificate),
        ("ssh", Self::Ssh),
        ("read", Self::Read),
    ];

    /// Whether asking makes something, so that it is no read.
    pub fn is_issued(self) -> bool {
        matches!(self, Self::Lease | Self::Certificate | Self::Ssh)
    }
}

impl Share {
    /// `None` unless it is above 0 and below 1.
    pub fn new(share: f64) -> Option<Self> {
        let thousandths = (1..1000u16).min_by(|a, b| {
            let distance = |thousandths: u16| (f64::from(thousandths) / 1000.0 - share).abs();
            distance(*a).total_cmp(&distance(*b))
        });
        thousandths.filter(|_| share > 0.0 && share < 1.0).map(Self)
    }

    /// This share of `whole`.
    pub fn of(self, whole: Duration) -> Duration {
        whole.mul_f64(f64::from(self.0) / 1000.0)
    }
}

impl Default for LeaseTerms {
    fn default() -> Self {
        Self {
            renew_at: Share(650),
            reissue_at: Share(660),
            max_age: None,
            min_interval: Duration::from_secs(30),
            grace: Duration::from_secs(300),
            confirm: Confirmation::Hooks,
            confirm_timeout: Duration::from_secs(600),
            retires: true,
            on_stop: OnStop::Keep,
        }
    }
}

impl Hash for ParameterValue {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::mem::discriminant(self).hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_lies_between_nothing_and_all() {
        for refused in [0.0, -0.5, 1.0, 1.5, f64::NAN, f64::INFINITY] {
            assert_eq!(Share::new(refused), None, "{refused}");
        }
        assert_eq!(Share::new(0.65), Some(LeaseTerms::default().renew_at));
        assert_eq!(Share::new(0.25).unwrap().of(Duration::from_secs(8)), Duration::from_secs(2));
    }

    #[test]
    fn no_parameter_is_shown() {
        let value = ParameterValue::Json(SecretText::new("\"hunter2\"".into()));
        assert!(!format!("{value:?}").contains("hunter2"));
    }
}
