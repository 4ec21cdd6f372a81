//! Names of things in the configuration, each a type of its own so that none is taken for another.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! name {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub struct $type(Arc<str>);

        impl $type {
            /// The name as it is written in the configuration; cheap to clone.
            pub fn new(name: &str) -> Self {
                Self(Arc::from(name))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                String::deserialize(from).map(|name| Self::new(&name))
            }
        }
    };
}

name!(
    /// `secrets[].name`: unique, and the label of every log line and metric of that secret.
    SecretName
);
name!(
    /// `secretStore` (called `default`) or a key of `secretStores`.
    StoreName
);
name!(
    /// A key of a store's `credentials`.
    CredentialsName
);
name!(
    /// A key of `hooks`.
    HookName
);

macro_rules! number {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $type(u64);

        impl $type {
            /// The one of this number; 0 stands for none yet.
            pub const fn new(number: u64) -> Self {
                Self(number)
            }

            /// The number.
            pub const fn get(self) -> u64 {
                self.0
            }

            /// The number of the one after this.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(
    /// The number of a change: new content of one secret is its change 1, 2, 3 and so on.
    ChangeNumber
);
number!(
    /// The number of an issued credential: those of one source are 1, 2, 3 and so on.
    CredentialNumber
);

/// The server's name of a lease. It is no secret: only a token with the right policy can do something with it.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(transparent)]
pub struct LeaseId(String);

impl LeaseId {
    /// `None` unless it is one line of text that a path of the API may hold.
    pub fn parse(text: &str) -> Option<Self> {
        let is_plain =
            !text.is_empty() && text.len() <= 1024 && text.bytes().all(|byte| byte.is_ascii_graphic());
        is_plain.then(|| Self(text.to_owned()))
    }

    /// As the server writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for LeaseId {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("is no name of a lease"))
    }
}

impl StoreName {
    /// The name of the store that `secretStore` describes.
    pub fn main() -> Self {
        Self::new("default")
    }
}

impl CredentialsName {
    /// What logs and metrics call the store's own credential set.
    pub fn main() -> Self {
        Self::new("default")
    }
}
