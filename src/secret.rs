//! Secret values: types that cannot be printed, are wiped when dropped, and are read only through `expose()`.
//!
//! Every call of `expose()` carries an `// EXPOSE:` comment with its reason; `tests/architecture` looks for it.

mod answers;
mod fields;
mod fingerprint;
pub(crate) mod json;
mod stack;
mod text;

pub use answers::{AnswerParameters, AnswerPath, AnswerQuery, Answers};
pub use fields::{FieldValue, Fields};
pub use fingerprint::{Fingerprint, FingerprintKey};
pub(crate) use stack::{HANDLING, RENDERING, wipe_stack};
pub use text::{SecretBytes, SecretText};
