//! `NAME=value` lines that a POSIX shell (`set -a; . file`) and Docker Compose (`env_file`, `--env-file`) read back to
//! the same bytes.
//!
//! The two agree on less than it seems. Compose (compose-go, `dotenv/parser.go`, v2.13) joins no quoted parts, so the
//! shell's `'\''` is out; between apostrophes it takes `\'` for an apostrophe, and between double quotes it knows no
//! `` \` ``. So each value gets the plainest of four spellings that both take for it:
//!
//! 1. bare, if it is made of harmless characters (also what `docker run --env-file` reads);
//! 2. between apostrophes, without any escape;
//! 3. between double quotes, with `\` before `\`, `"` and `$`;
//! 4. with backquotes and an apostrophe: the name is set to one backquote first, and a second line refers to it.
//!    Compose prefers its own environment for `${NAME}`: there such a value needs that name to be unset.

use super::{Unwritable, named_text};
use crate::secret::Fields;
use crate::template::limits::Output;

pub(super) fn write(output: &mut Output, fields: &Fields) -> Result<(), Unwritable> {
    for (name, value) in fields {
        if !is_identifier(name) {
            let cause = "is no name of an environment variable (letters, digits and _, no digit first)";
            return Err(Unwritable::field(name, cause));
        }
        let text = named_text(name, value)?;
        if text.contains('\0') {
            return Err(Unwritable::field(name, "holds a NUL byte, which no environment variable can"));
        }
        write_line(output, name, &text)?;
    }
    Ok(())
}

fn write_line(output: &mut Output, name: &str, text: &str) -> Result<(), Unwritable> {
    if text.chars().all(is_harmless) {
        return push(output, &[name, "=", text, "\n"]);
    }
    if !text.contains('\'') && ends_in_pairs(text) {
        return push(output, &[name, "='", text, "'\n"]);
    }
    if text.contains('`') {
        push(output, &[name, "='`'\n"])?;
    }
    push(output, &[name, "=\""])?;
    for part in text.split_inclusive(['\\', '"', '$', '`']) {
        let plain = part.trim_end_matches(['\\', '"', '$', '`']);
        output.push(plain)?;
        match part.get(plain.len()..) {
            Some("`") => push(output, &["${", name, "}"])?,
            Some(special @ ("\\" | "\"" | "$")) => push(output, &["\\", special])?,
            _ => {}
        }
    }
    push(output, &["\"\n"])
}

fn push(output: &mut Output, parts: &[&str]) -> Result<(), Unwritable> {
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
