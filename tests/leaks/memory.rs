//! What the memory of a running daemon holds: all that a core would. Dumps are off and stay off; the test reads the
//! memory as root, which nothing can be kept from.

use std::fmt;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;

/// All memory that a process can write to, at one moment.
pub(crate) struct Memory(Vec<Region>);

struct Region {
    name: String,
    /// Bytes that are no UTF-8 are replaced: the standard library searches text fast also where tests are not optimised.
    content: String,
}

/// One place where a text was found, and what lies around it, to find out whose buffer it is.
pub(crate) struct Place(String);

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Memory {
    /// Reads the memory of `pid` as it is now.
    pub(crate) fn of(pid: u32) -> Self {
        let memory =
            File::open(format!("/proc/{pid}/mem")).expect("run this test as root: it reads a core's content");
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
        Self(maps.lines().filter_map(|line| Region::read(&memory, line)).collect())
    }

    /// Every place that holds `text`.
    pub(crate) fn places(&self, text: &str) -> Vec<Place> {
        self.0.iter().flat_map(|region| region.places(text)).collect()
    }

    /// Every place that holds one of `texts`.
    pub(crate) fn any(&self, texts: &[String]) -> Vec<Place> {
        texts.iter().flat_map(|text| self.places(text)).collect()
    }
}

impl Region {
    /// `None` for what nobody has written to, and for a region that has gone in the meantime.
    fn read(memory: &File, line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let (range, rights) = (words.next().unwrap(), words.next().unwrap());
        let name = format!("{range} {}", words.nth(3).unwrap_or("anonymous"));
        let (start, end) = range.split_once('-').unwrap();
        let start = u64::from_str_radix(start, 16).unwrap();
        let length = u64::from_str_radix(end, 16).unwrap() - start;
        let mut content = vec![0; usize::try_from(length).unwrap()];
        let is_read = rights.starts_with("rw") && memory.read_exact_at(&mut content, start).is_ok();
        is_read.then(|| Self { name, content: String::from_utf8_lossy(&content).into_owned() })
    }

    fn places(&self, text: &str) -> Vec<Place> {
        let place = |(at, _): (usize, &str)| {
            let bytes = self.content.as_bytes();
            let around = &bytes[at.saturating_sub(80)..(at + text.len() + 40).min(bytes.len())];
            Place(format!("{}: {}", self.name, String::from_utf8_lossy(around).escape_debug()))
        };
        self.content.match_indices(text).map(place).collect()
    }
}
