//! Dotenv files: what is read and written with `format: dotenv` reads the same; an error names a line of the text and
//! shows nothing of it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use secrets_sync::secret::{FieldValue, Fields};
use secrets_sync::store::file::fuzzing::dotenv;
use secrets_sync::template::Format;

fuzz_target!(|text: &str| {
    match dotenv(text) {
        Ok(fields) => check(fields),
        Err((line, _)) => assert!((1..=text.matches('\n').count() + 1).contains(&line), "line {line}"),
    }
});

fn check(fields: Fields) {
    // Names with dots are read and not written; an apostrophe beside a backquote needs the shell's expansion.
    let has_spelling = |(name, value): &(&String, &FieldValue)| match value {
        FieldValue::Text(text) => {
            let text = text.expose();
            name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
                && !text.contains('\0')
                && !text.contains('`')
        }
        _ => panic!("a dotenv file holds texts"),
    };
    let fields: Fields =
        fields.iter().filter(has_spelling).map(|(name, value)| (name.clone(), value.clone())).collect();
    let written = Format::Dotenv.render(&fields, usize::MAX).expect("every one has a spelling");
    let written = std::str::from_utf8(written.expose()).expect("text");
    assert!(dotenv(written) == Ok(fields), "{written:?}");
}
