//! Each row of the table of states, and the machine against a model of a server.

mod beside;
mod model;
mod pauses;
mod restarts;
mod rows;
mod spread;
mod tokens;

use crate::secret::Fingerprint;

/// What a token is known by.
fn token(number: u64) -> Fingerprint {
    Fingerprint::parse(&format!("{number:032x}")).unwrap()
}
