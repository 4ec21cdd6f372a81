//! A text that is part of every value and credential, in all the forms in which it could get out.

/// Part of every value, token, id and password.
pub(crate) const MARKER: &str = "Zq7marker";

/// A number that is a value.
pub(crate) const NUMBER: &str = "918273645546372819";

/// The marker as base64 has it in the middle of a text at each of the three offsets, in hexadecimal, percent-encoded,
/// and as lists of bytes are printed.
const ENCODED: [&str; 8] = [
    "WnE3bWFya2Vy",
    "pxN21hcmtlc",
    "acTdtYXJrZX",
    "5a71376d61726b6572",
    "5A71376D61726B6572",
    "%5A%71%37%6D",
    "90, 113, 55, 109",
    "90,113,55,109",
];

#[track_caller]
pub(crate) fn keeps_quiet(what: &str, said: &str) {
    for form in [MARKER, NUMBER, "ZQ7MARKER", "zq7marker"].iter().chain(&ENCODED) {
        let line = said.lines().find(|line| line.contains(form));
        assert!(line.is_none(), "{what} says {form}: {}", line.unwrap_or_default());
    }
}
