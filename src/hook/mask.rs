//! What a command printed, without what the files of its secrets hold.
//!
//! A text is hidden if a file holds it, as a whole, as a line, or as the value of a line (`NAME=value`, `name: value`);
//! each as it is and in base64. Texts shorter than six bytes would hide half of everything.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};

use crate::printable::Printable;
use crate::regular_file::{self, ReadError};

/// Shorter texts are not hidden.
const LEAST: usize = 6;

/// What is shown in place of what is hidden.
const HIDDEN: &str = "[hidden]";

/// Most bytes that are read of one file: those of the largest that can be configured, and more.
const MOST: usize = 1 << 30;

/// How deep a staged generation is looked into: an output's path has fewer directories.
const DEPTH: usize = 32;

/// `output` as it can be logged; `files` and what lies below `staging` are what must not be seen in it. Blocks.
///
/// # Errors
/// A file cannot be read, so nothing can be shown.
pub(super) fn masked(output: &[u8], files: &[PathBuf], staging: Option<&Path>) -> Result<String, String> {
    let mut mask = Mask { output, is_hidden: vec![false; output.len()] };
    let mut files: BTreeSet<PathBuf> = files.iter().cloned().collect();
    if let Some(staging) = staging {
        list(staging, DEPTH, &mut files).map_err(|error| format!("{}: {error}", staging.display()))?;
    }
    for path in files {
        match regular_file::read(&path, MOST) {
            Ok(content) => mask.hide_content(&content),
            // What is gone is known to nobody here.
            Err(ReadError::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(format!("{}: {error}", path.display())),
        }
    }
    Ok(mask.shown())
}

/// The regular files below `directory`.
fn list(directory: &Path, depth: usize, files: &mut BTreeSet<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() && depth > 0 {
            list(&entry.path(), depth - 1, files)?;
        } else if kind.is_file() {
            files.insert(entry.path());
        }
    }
    Ok(())
}

struct Mask<'o> {
    output: &'o [u8],
    is_hidden: Vec<bool>,
}

impl Mask<'_> {
    fn hide_content(&mut self, content: &[u8]) {
        self.hide(content.trim_ascii());
        for line in content.split(|byte| *byte == b'\n') {
            let line = line.trim_ascii();
            self.hide(line);
            for separator in [b'=', b':'] {
                let value = line.iter().position(|byte| *byte == separator).and_then(|at| line.get(at + 1..));
                self.hide(unquoted(value.unwrap_or_default()));
            }
        }
    }

    /// Hides `text`, and its base64 at each of the three places where a text can begin in a longer one.
    fn hide(&mut self, text: &[u8]) {
        if text.len() < LEAST {
            return;
        }
        self.hide_bytes(text);
        for skipped in 0..3 {
            let whole = text.get(skipped..).unwrap_or_default();
            let whole = whole.get(..whole.len() / 3 * 3).unwrap_or_default();
            self.hide_bytes(BASE64_STANDARD_NO_PAD.encode(whole).as_bytes());
            self.hide_bytes(BASE64_URL_SAFE_NO_PAD.encode(whole).as_bytes());
        }
    }

    /// Hides `text` wherever it is, and what may be a part of it where the output was cut: its end at the beginning, its
    /// beginning at the end.
    fn hide_bytes(&mut self, text: &[u8]) {
        if text.len() < LEAST {
            return;
        }
        let places = self.output.windows(text.len()).enumerate();
        let places: Vec<usize> = places.filter(|(_, part)| *part == text).map(|(at, _)| at).collect();
        for at in places {
            self.cover(at, text.len());
        }
        let longest = text.len().min(self.output.len());
        let (whole, lengths) = (self.output, || (LEAST..=longest).rev());
        if let Some(length) =
            lengths().find(|length| whole.get(..*length).is_some_and(|part| text.ends_with(part)))
        {
            self.cover(0, length);
        }
        let ends =
            |length: &usize| whole.get(whole.len() - length..).is_some_and(|part| text.starts_with(part));
        if let Some(length) = lengths().find(ends) {
            self.cover(whole.len() - length, length);
        }
    }

    fn cover(&mut self, at: usize, length: usize) {
        self.is_hidden.iter_mut().skip(at).take(length).for_each(|byte| *byte = true);
    }

    /// On one line, with everything escaped that a terminal would obey.
    fn shown(&self) -> String {
        let mut shown = String::new();
        let mut rest = self.output;
        for run in self.is_hidden.chunk_by(|one, next| one == next) {
            let (part, behind) = rest.split_at_checked(run.len()).unwrap_or((rest, &[]));
            rest = behind;
            if run.first() == Some(&true) {
                shown.push_str(HIDDEN);
            } else {
                shown.push_str(&String::from_utf8_lossy(part));
            }
        }
        Printable(shown.trim_end()).to_string()
    }
}

/// A value without the quotes and the comma of its format.
fn unquoted(value: &[u8]) -> &[u8] {
    let value = value.trim_ascii();
    let value = value.strip_suffix(b",").unwrap_or(value);
    let is_quote = |byte: Option<&u8>| byte.is_some_and(|byte| [b'"', b'\''].contains(byte));
    match value {
        [_, inside @ .., _] if is_quote(value.first()) && is_quote(value.last()) => inside,
        _ => value,
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests write their input")]
mod tests {
    use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE};
    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::*;

    fn with_file(content: &str, output: &str) -> String {
        let home = TempDir::new().unwrap();
        let file = home.path().join("file");
        fs::write(&file, content).unwrap();
        masked(output.as_bytes(), &[file, home.path().join("gone")], None).unwrap()
    }

    #[test]
    fn what_a_file_holds_is_hidden_in_each_shape() {
        for (content, output, shown) in [
            ("hunter2", "bad: hunter2!", "bad: [hidden]!"),
            ("hunter2\n", "hunter2\nhunter2\n", "[hidden]\\n[hidden]"),
            ("first line\nsecond line\n", "a first line b\nsecond line", "a [hidden] b\\n[hidden]"),
            ("DB_PASS=hunter2\n", "got hunter2", "got [hidden]"),
            ("pass: \"hunter2\",", "got hunter2", "got [hidden]"),
            ("short", "short is shown", "short is shown"),
            ("hunter2", "exit\u{1b}[2J", "exit\\u{1b}[2J"),
        ] {
            assert_eq!(with_file(content, output), shown, "{content:?}");
        }
    }

    #[test]
    fn base64_is_hidden_wherever_it_begins() {
        for before in ["", "a", "ab", "abc"] {
            let text = format!("{before}hunter2hunter2~~>>hunter2{before}");
            for encoded in [BASE64_STANDARD.encode(&text), BASE64_URL_SAFE.encode(&text)] {
                let shown = with_file("hunter2hunter2~~>>hunter2", &format!("x {encoded} y"));
                assert!(shown.contains(HIDDEN) && shown.len() < encoded.len(), "{shown}");
            }
        }
    }

    #[test]
    fn a_part_of_a_value_at_the_edge_of_the_output_is_hidden() {
        assert_eq!(
            with_file("0123456789abcdef", "6789abcdef and then 01234567"),
            "[hidden] and then [hidden]"
        );
        assert_eq!(with_file("0123456789abcdef", "89abcdef0123"), "[hidden]0123");
    }

    #[test]
    fn files_of_a_staged_generation_count_and_an_unreadable_one_shows_nothing() {
        let home = TempDir::new().unwrap();
        fs::create_dir_all(home.path().join("..7/deep")).unwrap();
        fs::write(home.path().join("..7/deep/file"), "hunter2").unwrap();
        let staging = home.path().join("..7");
        assert_eq!(masked(b"hunter2", &[], Some(&staging)).unwrap(), HIDDEN);
        assert!(masked(b"hunter2", &[home.path().to_owned()], None).is_err());
        assert!(masked(b"hunter2", &[], Some(&home.path().join("..8"))).is_err());
    }

    proptest! {
        #[test]
        fn no_value_is_left(value in "[a-z]{6,40}", before in "[A-Z ]{0,40}", after in "[A-Z ]{0,40}", cut in 0_usize..40) {
            let output = format!("{before}{value}{after}");
            let output = output.get(cut.min(before.len() + value.len() - LEAST)..).unwrap();
            let shown = with_file(&value, output);
            prop_assert!(shown.contains(HIDDEN) && !shown.replace(HIDDEN, "").contains(char::is_lowercase), "{}", shown);
        }
    }
}
