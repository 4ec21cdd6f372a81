//! What the fuzz targets reach of the system's own files: their parsers without the files. Exists under `cfg(fuzzing)`
//! alone.

use std::ffi::OsStr;

use super::{mounts, owner};

/// The id of `name` in a database such as `/etc/passwd`.
pub fn id(database: &str, name: &str) -> Option<u32> {
    owner::find(database, name)
}

/// Whether a table such as `/proc/self/mountinfo` holds `path` as a mount point.
pub fn is_mounted(table: &[u8], path: &OsStr) -> bool {
    mounts::holds(table, path)
}
