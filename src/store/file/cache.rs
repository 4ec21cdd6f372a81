//! One file, parsed once for all the secrets in it.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use zeroize::Zeroizing;

use super::fault;
use super::read;
use crate::clock::Clock;
use crate::disk::Stamp;
use crate::fault::Fault;
use crate::secret::{Fields, Fingerprint, FingerprintKey};

/// The last state of one file. What it held is wiped when the file changes or goes away.
pub(super) struct Cache {
    entry: Mutex<Option<CachedDocument>>,
    clock: Clock,
}

struct CachedDocument {
    stamp: Stamp,
    /// When the stamp was taken it was too young to tell the content from another.
    was_young: bool,
    content: Fingerprint,
    parsed: Result<Arc<Fields>, Fault>,
}

impl Cache {
    pub(super) fn new(clock: Clock) -> Self {
        Self { entry: Mutex::default(), clock }
    }

    /// The content of the file at `path`, through `parse` where it is not the one of last time. Blocks; readers that
    /// come meanwhile wait, so that a thousand of them parse once.
    ///
    /// # Errors
    /// The file cannot be read, or `parse` failed; that is remembered as well.
    pub(super) fn read(
        &self,
        path: &Path,
        limit: usize,
        key: &FingerprintKey,
        parse: impl Fn(Zeroizing<Vec<u8>>) -> Result<Fields, Fault>,
    ) -> Result<Arc<Fields>, Fault> {
        let mut entry = self.entry.lock().unwrap_or_else(PoisonError::into_inner);
        // Out of its place: whatever fails from here on, what the file held before is not kept.
        let known = entry.take();
        let stamp = read::stamp(path).map_err(|error| fault::unreadable(path, &error))?;
        let known = match known {
            Some(known) if known.stamp == stamp && !known.was_young => {
                let parsed = known.parsed.clone();
                *entry = Some(known);
                return parsed;
            }
            known => known,
        };
        let now = self.clock.now();
        let (stamp, bytes) = read::stable(path, limit)?;
        let content = key.of(&bytes);
        let parsed = match known {
            Some(known) if known.content == content => known.parsed,
            _ => parse(bytes).map(Arc::new),
        };
        *entry =
            Some(CachedDocument { stamp, was_young: stamp.is_young(now), content, parsed: parsed.clone() });
        parsed
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::io::Write;
    use std::time::{Duration, SystemTime};

    use tempfile::NamedTempFile;

    use super::*;
    use crate::fault::Kind;
    use crate::secret::FieldValue;

    struct Lab {
        file: NamedTempFile,
        cache: Cache,
        key: FingerprintKey,
        parsed: Cell<usize>,
    }

    impl Lab {
        /// A file, and a clock that says it was written `age` ago or, where that is 0, in the future.
        fn new(content: &str, age: Duration) -> Self {
            let mut file = NamedTempFile::new().unwrap();
            file.write_all(content.as_bytes()).unwrap();
            let written = file.as_file().metadata().unwrap().modified().unwrap();
            let now = if age.is_zero() { SystemTime::UNIX_EPOCH } else { written + age };
            let key = FingerprintKey::random().unwrap();
            Self { file, cache: Cache::new(Clock::from_fn(move || now)), key, parsed: Cell::new(0) }
        }

        fn read(&self) -> Result<Arc<Fields>, Fault> {
            self.cache.read(self.file.path(), 100, &self.key, |content| {
                self.parsed.set(self.parsed.get() + 1);
                match &content[..] {
                    b"bad" => Err(Fault::new(Kind::BadAnswer, "bad", "good")),
                    content => Ok([(content.len().to_string(), FieldValue::Null)].into_iter().collect()),
                }
            })
        }
    }

    #[test]
    fn a_thousand_reads_of_an_unchanged_file_parse_it_once() {
        for age in [Duration::from_secs(9), Duration::ZERO] {
            let lab = Lab::new("x", age);
            let first = lab.read().unwrap();
            assert!((0..1000).all(|_| Arc::ptr_eq(&first, &lab.read().unwrap())));
            assert_eq!(lab.parsed.get(), 1, "{age:?}");
        }
    }

    #[test]
    fn a_file_that_does_not_parse_is_parsed_once_as_well() {
        let lab = Lab::new("bad", Duration::from_secs(9));
        assert!(lab.read().is_err() && lab.read().is_err());
        assert_eq!(lab.parsed.get(), 1);
    }

    #[test]
    fn a_file_that_grew_is_parsed_again_and_its_old_content_is_dropped() {
        let mut lab = Lab::new("x", Duration::from_secs(9));
        let old = Arc::downgrade(&lab.read().unwrap());
        lab.file.write_all(b"y").unwrap();
        assert_eq!(lab.read().unwrap().names().collect::<Vec<_>>(), ["2"]);
        assert!(old.upgrade().is_none());
    }
}
