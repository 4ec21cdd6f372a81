//! Issued credentials: what a server makes when it is asked, so that asking is no read. One holder per source issues,
//! renews, replaces and retires, and gives every secret that has the source the same credential.

#[allow(dead_code, unused_imports, reason = "the composition that makes them comes next")]
mod holder;
#[allow(dead_code, reason = "the composition that makes them comes next")]
mod holders;
#[allow(dead_code, unused_imports, reason = "the composition that makes them comes next")]
mod machine;
mod seal;
mod sealed;

#[allow(unused_imports, reason = "the composition that makes them comes next")]
pub(crate) use holder::{Holder, HolderContext, Rotated};
#[allow(unused_imports, reason = "the composition that makes them comes next")]
pub(crate) use holders::Holders;
pub use seal::SealKey;
#[cfg(fuzzing)]
#[doc(hidden)]
pub use seal::fuzzing;
pub use sealed::SealedValues;
