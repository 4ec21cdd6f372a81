//! What the fuzz targets reach of the configuration beside its public types: parsers that are private to everybody
//! else. Exists only under `cfg(fuzzing)`.

use super::env::Env;
use super::interpolate;
use super::provider::vault::address;
use crate::net::Address;

/// `${NAME}` filled in: the text, or every reason why not.
///
/// # Errors
/// The words an operator would read.
pub fn interpolate(text: &str, env: &Env) -> Result<String, Vec<String>> {
    let words = |errors: Vec<interpolate::InterpolateError>| errors.iter().map(ToString::to_string).collect();
    interpolate::interpolate(text, env).map(|filled| filled.text.into_owned()).map_err(words)
}

/// The address of a store, and whether secrets would cross a network in the clear.
///
/// # Errors
/// The words an operator would read.
pub fn address(text: &str) -> Result<(Address, bool), String> {
    let address = address::parse(text).map_err(|error| format!("{error}; {}", error.hint()))?;
    let is_exposed = address::is_exposed(&address);
    Ok((address, is_exposed))
}
