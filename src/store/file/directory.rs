//! A directory of secrets: `<key>/` with one file per field, as Docker and Kubernetes mount them, or one file
//! `<key>.yaml`, `.yml`, `.json` or `.env`.
//!
//! Contents are kept byte for byte, a trailing newline too. Names that start with a dot are not fields: Kubernetes
//! keeps its generations under such names, and the links to them are followed. Nothing outside the directory is read.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::read;
use super::{fault, parse_file};
use crate::disk::Stamp;
use crate::fault::Fault;
use crate::secret::Fields;

/// How often a secret whose files change while they are read is read again.
const ATTEMPTS: usize = 3;

/// Suffixes of a key's file.
const SUFFIXES: [&str; 4] = ["yaml", "yml", "json", "env"];

/// One file of a secret: its field, where it really is, and its state. Equal lists before and after reading mean that
/// all contents belong together: a generation that is switched meanwhile shows in the places.
#[derive(PartialEq, Eq)]
struct DirectoryEntry {
    field: String,
    place: PathBuf,
    stamp: Stamp,
}

/// Reads the secret `key` below `root`, at most `limit` bytes in all.
///
/// # Errors
/// There is no such secret, it has several places, a file leads outside, cannot be read or is not text.
pub(super) fn read(root: &Path, key: &str, limit: usize) -> Result<Fields, Fault> {
    if key.split('/').any(|segment| segment.is_empty() || segment.starts_with('.')) {
        return Err(fault::bad_key(key));
    }
    let root = root.canonicalize().map_err(|error| fault::unreadable(root, &error))?;
    for _ in 0..ATTEMPTS {
        let before = entries(&root, key)?;
        let files = files(&root, key)?;
        let fields = match (before.as_slice(), files.as_slice()) {
            ([], []) => return Err(fault::absent(&root, key, &near(&root, key))),
            ([], [(path, place)]) => return parse_file(path, read::stable(place, limit)?.1),
            (_, []) => contents(&before, limit),
            _ => return Err(fault::ambiguous(key, &places(key, !before.is_empty(), &files))),
        };
        if entries(&root, key)? == before {
            return fields;
        }
    }
    Err(fault::unstable(&root.join(key)))
}

/// The secrets and folders directly below the folder `key`, folders with a slash at their end; a directory with files
/// is a secret and may be a folder, too.
///
/// # Errors
/// A link leads outside, or a directory cannot be read.
pub(super) fn list(root: &Path, key: &str) -> Result<Vec<String>, Fault> {
    if !key.is_empty() && key.split('/').any(|segment| segment.is_empty() || segment.starts_with('.')) {
        return Err(fault::bad_key(key));
    }
    let root = root.canonicalize().map_err(|error| fault::unreadable(root, &error))?;
    let Some(folder) = resolve(&root, &root.join(key))?.filter(|place| place.is_dir()) else {
        return Ok(Vec::new());
    };
    let unreadable = |error: io::Error| fault::unreadable(&folder, &error);
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(&folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let Some(name) = name_of_key(&path) else { continue };
        let Some(place) = resolve(&root, &path)? else { continue };
        if !place.is_dir() {
            names.insert(name);
            continue;
        }
        let key = if key.is_empty() { name.clone() } else { format!("{key}/{name}") };
        // A file that is a secret of its own makes none of its directory.
        if entries(&root, &key)?.iter().any(|entry| !is_document(Path::new(&entry.field))) {
            names.insert(name.clone());
        }
        names.insert(format!("{name}/"));
    }
    Ok(names.into_iter().collect())
}

/// The files of the directory `<key>`, by name; none where there is no such directory.
fn entries(root: &Path, key: &str) -> Result<Vec<DirectoryEntry>, Fault> {
    let Some(directory) = resolve(root, &root.join(key))?.filter(|place| place.is_dir()) else {
        return Ok(Vec::new());
    };
    let unreadable = |error: io::Error| fault::unreadable(&directory, &error);
    let mut entries = Vec::new();
    for entry in fs::read_dir(&directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let name = path.file_name().unwrap_or_default();
        if name.as_encoded_bytes().starts_with(b".") {
            continue;
        }
        entries.extend(field(root, &path, name)?);
    }
    entries.sort_by(|a, b| a.field.cmp(&b.field));
    Ok(entries)
}

/// The field in the file at `path`; nothing for a directory, which is part of other keys.
fn field(root: &Path, path: &Path, name: &OsStr) -> Result<Option<DirectoryEntry>, Fault> {
    let missing = || fault::unreadable(path, &io::Error::from(io::ErrorKind::NotFound));
    let place = resolve(root, path)?.ok_or_else(missing)?;
    let facts = place.metadata().map_err(|error| fault::unreadable(path, &error))?;
    if facts.is_dir() {
        return Ok(None);
    }
    let field =
        name.to_str().ok_or_else(|| fault::not_text(&format!("the name of {}", path.display())))?.to_owned();
    Ok(Some(DirectoryEntry { field, place, stamp: Stamp::from(&facts) }))
}

/// The files that could hold all of `key`, and where they lead.
fn files(root: &Path, key: &str) -> Result<Vec<(PathBuf, PathBuf)>, Fault> {
    let mut found = Vec::new();
    for suffix in SUFFIXES {
        let path = root.join(format!("{key}.{suffix}"));
        if let Some(place) = resolve(root, &path)? {
            found.push((path, place));
        }
    }
    Ok(found)
}

fn contents(entries: &[DirectoryEntry], limit: usize) -> Result<Fields, Fault> {
    let mut left = limit;
    let mut fields = Fields::default();
    for DirectoryEntry { field, place, .. } in entries {
        let (_, content) = read::stable(place, left)?;
        left = left.saturating_sub(content.len());
        fields.insert(field.clone(), read::value(content));
    }
    Ok(fields)
}

/// Where `path` leads; nothing where it does not exist.
///
/// # Errors
/// It leads out of `root`, or cannot be followed.
fn resolve(root: &Path, path: &Path) -> Result<Option<PathBuf>, Fault> {
    match path.canonicalize() {
        Ok(place) if place.starts_with(root) => Ok(Some(place)),
        Ok(_) => Err(fault::outside(path, root)),
        Err(error) if [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory].contains(&error.kind()) => {
            Ok(None)
        }
        Err(error) => Err(fault::unreadable(path, &error)),
    }
}

fn places(key: &str, directory: bool, files: &[(PathBuf, PathBuf)]) -> Vec<String> {
    let directory = directory.then(|| format!("{key}/"));
    let suffixes = files.iter().filter_map(|(path, _)| path.extension());
    directory
        .into_iter()
        .chain(suffixes.map(|suffix| format!("{key}.{}", suffix.to_string_lossy())))
        .collect()
}

/// The keys that stand beside the first segment of `key` that does not exist.
fn near(root: &Path, key: &str) -> Vec<String> {
    let (mut level, mut reached) = (root.to_owned(), String::new());
    for segment in key.split('/') {
        let deeper = level.join(segment);
        if !deeper.is_dir() {
            break;
        }
        level = deeper;
        reached = format!("{reached}{segment}/");
    }
    let entries = fs::read_dir(&level).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut keys: Vec<_> =
        entries.filter_map(|path| name_of_key(&path)).map(|name| format!("{reached}{name}")).collect();
    keys.sort();
    keys.dedup();
    keys
}

/// Whether a file of this name holds all of a secret.
fn is_document(path: &Path) -> bool {
    path.extension().is_some_and(|suffix| SUFFIXES.iter().any(|known| suffix == *known))
}

fn name_of_key(path: &Path) -> Option<String> {
    let name = match (path.is_dir(), is_document(path)) {
        (true, _) => path.file_name(),
        (false, true) => path.file_stem(),
        _ => None,
    };
    name.and_then(OsStr::to_str).filter(|name| !name.starts_with('.')).map(str::to_owned)
}
