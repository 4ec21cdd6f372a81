//! Values of the configuration that come out of another notation.

use std::borrow::Cow;

/// Which store a manifest speaks of.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct StoreKey {
    /// `ClusterSecretStore`.
    pub(super) is_cluster: bool,
    /// The namespace of a `SecretStore`, where its manifest has one.
    pub(super) namespace: Option<String>,
    pub(super) name: String,
}

/// One value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Notation {
    /// A text, which the configuration interpolates: `${` in it is written `$${`.
    Text(String),
    /// A text as it is to stand there: a template, a regular expression, a placeholder.
    AsIs(String),
    /// A variable of the environment, by the end of its name (`ROLE_ID`): its beginning is the store's.
    Variable(&'static str),
    /// The same with a default.
    VariableOr(&'static str, &'static str),
    /// The name that a store gets in the configuration.
    Store(StoreKey),
    List(Vec<Self>),
    Map(Vec<(Cow<'static, str>, Self)>),
}

impl Notation {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    pub(super) fn as_is(text: impl Into<String>) -> Self {
        Self::AsIs(text.into())
    }

    /// The store that a `sourceRef` in it names.
    pub(super) fn store(&self) -> Option<&StoreKey> {
        match self {
            Self::Store(key) => Some(key),
            Self::Map(entries) => entries.iter().find_map(|(_, value)| value.store()),
            _ => None,
        }
    }

    /// The same with the names of its variables, which begin with `prefix`.
    pub(super) fn with_variables(self, prefix: &str) -> Self {
        match self {
            Self::Variable(end) => Self::AsIs(format!("${{{prefix}{end}}}")),
            Self::VariableOr(end, default) => Self::AsIs(format!("${{{prefix}{end}:-{default}}}")),
            Self::Map(entries) => {
                let entries = entries.into_iter().map(|(key, value)| (key, value.with_variables(prefix)));
                Self::Map(entries.collect())
            }
            other => other,
        }
    }

    /// A mapping with keys of ours.
    pub(super) fn map(entries: impl IntoIterator<Item = (&'static str, Self)>) -> Self {
        Self::Map(entries.into_iter().map(|(key, value)| (Cow::Borrowed(key), value)).collect())
    }
}
