//! What the fuzz targets reach of the system's own files: their parsers without the files. Exists under `cfg(fuzzing)`
//! only.

use super::owner;

/// The id of `name` in a database such as `/etc/passwd`.
pub fn id(database: &str, name: &str) -> Option<u32> {
    owner::find(database, name)
}
