//! What the fuzz targets reach of the merging of sources. Exists under `cfg(fuzzing)` only.

use super::merge::find_property;
use crate::config::sources::Property;
use crate::secret::{FieldValue, Fields};

/// What `property` finds in `fields`.
///
/// # Errors
/// Why `property` is refused.
pub fn property(property: &str, fields: &Fields) -> Result<Option<FieldValue>, String> {
    let property = Property::parse(property).map_err(|error| error.to_string())?;
    Ok(find_property(&property, fields))
}
