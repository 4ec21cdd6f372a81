//! Names of things in the configuration, each a type of its own so that none is taken for another.

use std::fmt;
use std::sync::Arc;

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
