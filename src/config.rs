//! The configuration: a file and the environment, compiled once into types that cannot hold a wrong value.
//!
//! `source` reads the file, `yaml` makes a tree with positions of it, `interpolate` fills `${NAME}`, `compile` turns all
//! of it into a [`Config`] or into a [`diagnostic::Report`] that holds every mistake of the file.
//! What is here can be compared (`PartialEq`): a reload asks each secret whether it changed.

mod compile;
pub mod diagnostic;
pub mod duration;
pub mod env;
mod excerpt;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
pub mod hook;
mod interpolate;
mod keys;
mod limits;
mod loader;
pub mod origin;
pub mod provider;
mod reference;
mod schema;
pub mod secret;
pub mod settings;
pub mod size;
pub mod source;
pub mod sources;
pub mod value;
pub mod yaml;

#[cfg(test)]
mod tests;

pub use compile::Config;
pub(crate) use compile::suggest::nearest;
pub use limits::Limits;
pub use loader::Loaded;
pub(crate) use loader::Loader;
pub(crate) use reference::{ReferenceRow, ReferenceTable, plain, reference};
pub(crate) use schema::{EDITOR_LINE, schema};
