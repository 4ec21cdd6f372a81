//! Issued credentials: what a server makes when it is asked, so that asking is no read. One holder per source issues,
//! renews, replaces and retires, and gives every secret that has the source the same credential.

mod holder;
mod holders;
mod kept;
mod machine;
mod others;
mod seal;
mod sealed;
mod tokens;

pub(crate) use holder::{Holder, HolderContext, Rotated};
pub(crate) use holders::Holders;
pub(crate) use kept::{KeptCredential, KeptCredentials};
pub(crate) use others::forget_unconfigured;
pub use seal::SealKey;
#[cfg(fuzzing)]
#[doc(hidden)]
pub use seal::fuzzing;
pub use sealed::SealedValues;
