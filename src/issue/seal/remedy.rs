//! What to do about a file that holds no key. It may be the key all the same, damaged or in another form, and what it
//! sealed opens with nothing else. So every command writes to a file of another name, and over none (`set -C`).

use std::io::ErrorKind;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::LENGTH;
use crate::printable::shell_word;
use crate::regular_file::ReadError;

/// What to do about a file that cannot be read.
pub(super) fn unreadable(path: &Path, error: &ReadError) -> String {
    match error {
        ReadError::Io(error) if error.kind() == ErrorKind::NotFound => absent(path),
        ReadError::TooLarge(_) => unknown(path),
        _ => error.remedy(&path.display().to_string()),
    }
}

/// What to do about a file with another number of bytes than a key has.
pub(super) fn wrong_content(path: &Path, content: &[u8]) -> String {
    let (file, text) = (shell_word(path), content.strip_suffix(b"\n").unwrap_or(content));
    let take = |what: &str, command: &str| {
        format!("{what}: {}, and set STATE_KEY_FILE to that file", made(command, &beside(path)))
    };
    if content.get(LENGTH..).is_some_and(|rest| !rest.is_empty() && rest.trim_ascii().is_empty()) {
        take("a newline seems to follow the key; take what is before it", &format!("head -c {LENGTH} {file}"))
    } else if text.len() == 2 * LENGTH && text.iter().all(u8::is_ascii_hexdigit) {
        let decode = format!("tr a-f A-F < {file} | basenc --base16 -d");
        take("it seems to be the key as hexadecimal text; decode it", &decode)
    } else if is_base64(text) {
        take("it seems to be the key as base64 text; decode it", &format!("base64 -d {file}"))
    } else {
        unknown(path)
    }
}

fn is_base64(text: &[u8]) -> bool {
    STANDARD.decode(text).map(Zeroizing::new).is_ok_and(|key| key.len() == LENGTH)
}

fn absent(path: &Path) -> String {
    let missing = path.parent().filter(|directory| !directory.exists());
    let first = missing.map(|directory| format!("mkdir -p {} && ", shell_word(directory)));
    format!(
        "check the path and its mount; only if no key was ever made, make one: {}{}",
        first.unwrap_or_default(),
        made(&random(), &shell_word(path))
    )
}

fn unknown(path: &Path) -> String {
    format!(
        "look for the right file; only if there is none, make a key beside it: {}, and set STATE_KEY_FILE to that \
         file: what the old key sealed is issued again",
        made(&random(), &beside(path))
    )
}

fn random() -> String {
    format!("head -c {LENGTH} /dev/urandom")
}

/// A command whose output other users cannot read, and that no file is lost for.
fn made(command: &str, file: &str) -> String {
    format!("(umask 077; set -C; {command} > {file})")
}

fn beside(path: &Path) -> String {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    shell_word(Path::new(&name))
}
