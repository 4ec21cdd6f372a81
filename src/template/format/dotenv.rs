//! `NAME=value` lines that a POSIX shell (`set -a; . file`) and one more reader read back to the same bytes: Docker
//! Compose (`env_file`, `--env-file`), or systemd (`EnvironmentFile=`). All three agree but for values with a backquote
//! that need double quotes: systemd knows no `${NAME}`, and Compose no `` \` ``.
//!
//! The shell and Compose agree on less than it seems. Compose (compose-go, `dotenv/parser.go`, v2.13) joins no quoted parts, so the
//! shell's `'\''` is out; between apostrophes it takes `\'` for an apostrophe, and between double quotes it knows no
//! `` \` ``. So each value gets the plainest of four spellings that both take for it:
//!
//! 1. bare, if it is made of harmless characters (also what `docker run --env-file` reads);
//! 2. between apostrophes, without any escape;
//! 3. between double quotes, with `\` before `\`, `"` and `$`;
//! 4. with backquotes and an apostrophe: the name is set to one backquote first, and a second line refers to it.
//!    Compose prefers its own environment for `${NAME}`: there such a value needs that name to be unset.

use zeroize::Zeroizing;

use super::{Unwritable, named_text};
use crate::secret::{FieldValue, Fields};
use crate::template::limits::BoundedOutput;

/// Who reads the file besides the shell.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum DotenvReader {
    Compose,
    Systemd,
}

pub(super) fn write(
    output: &mut BoundedOutput,
    fields: &Fields,
    reader: DotenvReader,
) -> Result<(), Unwritable> {
    for (name, value) in fields {
        write_line(output, name, &variable(name, value)?, reader)?;
    }
    Ok(())
}

/// The text of a field that an environment variable can have.
pub(super) fn variable(name: &str, value: &FieldValue) -> Result<Zeroizing<String>, Unwritable> {
    if !is_identifier(name) {
        let cause = "is no name of an environment variable (letters, digits and _, no digit first)";
        return Err(Unwritable::field(name, cause));
    }
    let text = named_text(name, value)?;
    if text.contains('\0') {
        return Err(Unwritable::field(name, "holds a NUL byte, which no environment variable can"));
    }
    Ok(text)
}

fn write_line(
    output: &mut BoundedOutput,
    name: &str,
    text: &str,
    reader: DotenvReader,
) -> Result<(), Unwritable> {
    if text.chars().all(is_harmless) {
        return push(output, &[name, "=", text, "\n"]);
    }
    if !text.contains('\'') && ends_in_pairs(text) {
        return push(output, &[name, "='", text, "'\n"]);
    }
    if text.contains('`') && reader == DotenvReader::Compose {
        push(output, &[name, "='`'\n"])?;
    }
    push(output, &[name, "=\""])?;
    for part in text.split_inclusive(['\\', '"', '$', '`']) {
        let plain = part.trim_end_matches(['\\', '"', '$', '`']);
        output.push(plain)?;
        match part.get(plain.len()..) {
            Some("`") if reader == DotenvReader::Compose => push(output, &["${", name, "}"])?,
            Some(special @ ("\\" | "\"" | "$" | "`")) => push(output, &["\\", special])?,
            _ => {}
        }
    }
    push(output, &["\"\n"])
}

fn push(output: &mut BoundedOutput, parts: &[&str]) -> Result<(), Unwritable> {
    Ok(parts.iter().try_for_each(|part| output.push(part))?)
}

fn is_identifier(name: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    name.bytes().all(is_part) && name.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}

fn is_harmless(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_./:@%+,=-".contains(c)
}

/// Whether Compose would not take the apostrophe after `text` for an escaped one: it reads backslashes in pairs.
fn ends_in_pairs(text: &str) -> bool {
    text.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 0
}

#[cfg(test)]
mod tests;
