//! Every `format:` there is: another reader gets the same values; the limit holds.

#![no_main]

use libfuzzer_sys::fuzz_target;
use secrets_sync::secret::Fields;
use secrets_sync::store::file::fuzzing::{document, dotenv};
use secrets_sync::template::{Format, field_text};
use secrets_sync_fuzz::{fields, has_plain_numbers, json_object};
use serde_json::Value;

const ROOM: usize = 1 << 20;

fuzz_target!(|input: &str| {
    let Some(fields) = fields(input) else { return };
    let all = [
        Format::Dotenv,
        Format::DotenvRaw,
        Format::DotenvSystemd,
        Format::Json,
        Format::Yaml,
        Format::Properties,
    ];
    for format in all {
        let Ok(written) = format.render(&fields, ROOM) else { continue };
        let text = std::str::from_utf8(written.expose()).expect("text");
        assert!(format.render(&fields, text.len()).is_ok_and(|same| same == written), "it fits exactly");
        assert!(text.is_empty() || format.render(&fields, text.len() - 1).is_err(), "one byte less does not");
        match format {
            Format::Dotenv if !text.contains('`') => {
                assert_eq!(texts(&dotenv(text).expect("ours")), texts(&fields))
            }
            Format::Dotenv => {}
            Format::DotenvRaw => assert_eq!(raw_lines(text), texts(&fields)),
            Format::DotenvSystemd => {
                let written = |name: &String| text.contains(&format!("{name}="));
                assert!(fields.iter().all(|(name, _)| written(name)), "{text:?}");
            }
            Format::Json => check_json(&fields, text),
            Format::Yaml => check_yaml(&fields, text),
            Format::Properties => assert_eq!(properties(text), texts(&fields)),
        }
    }
});

fn texts(fields: &Fields) -> Vec<(String, String)> {
    let text = |field| field_text(field).expect("no null is written").expose().to_owned();
    fields.iter().map(|(name, field)| (name.clone(), text(field))).collect()
}

/// What a reader makes of it that takes each line as it is.
fn raw_lines(text: &str) -> Vec<(String, String)> {
    let line = |line: &str| {
        let (name, value) = line.split_once('=').expect("a name");
        (name.to_owned(), value.to_owned())
    };
    text.split_terminator('\n').map(line).collect()
}

fn check_json(fields: &Fields, text: &str) {
    // A number beyond `f64`, such as 1e999, is JSON all the same, but this reader refuses it.
    if fields.iter().all(|(_, field)| has_plain_numbers(field)) {
        assert_eq!(serde_json::from_str::<Value>(text).expect("JSON"), json_object(fields));
    }
    assert!(secrets_sync_fuzz::fields(text).as_ref() == Some(fields), "digits changed");
}

fn check_yaml(fields: &Fields, text: &str) {
    assert!(document(text).is_ok_and(|read| read == *fields), "{text:?}");
    if fields.iter().all(|(_, field)| has_plain_numbers(field)) {
        let other: Value = serde_yaml::from_str(text).unwrap_or_else(|error| panic!("{error}: {text:?}"));
        assert_eq!(other, json_object(fields));
    }
}

/// What `java.util.Properties.load` makes of `text`, as its documentation tells it.
fn properties(text: &str) -> Vec<(String, String)> {
    text.lines()
        .map(|line| {
            let end = separator(line);
            let (name, rest) = line.split_at(end);
            let rest = rest.trim_start_matches(' ');
            let value = rest.strip_prefix(['=', ':']).unwrap_or(rest);
            (unescaped(name), unescaped(value.trim_start_matches(' ')))
        })
        .collect()
}

fn separator(line: &str) -> usize {
    let mut escaped = false;
    let ends = |(_, c): &(usize, char)| {
        let ends = !escaped && "=: ".contains(*c);
        escaped = !escaped && *c == '\\';
        ends
    };
    line.char_indices().find(ends).map_or(line.len(), |(at, _)| at)
}

fn unescaped(text: &str) -> String {
    let mut units: Vec<u16> = Vec::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        assert!(c.is_ascii() && !c.is_control());
        let unit = match (c, if c == '\\' { rest.next() } else { None }) {
            (_, None) => c as u16,
            (_, Some('u')) => {
                let digits: String = rest.by_ref().take(4).collect();
                u16::from_str_radix(&digits, 16).expect("four digits")
            }
            (_, Some('n')) => 10,
            (_, Some('r')) => 13,
            (_, Some('t')) => 9,
            (_, Some('f')) => 12,
            (_, Some(other)) => other as u16,
        };
        units.push(unit);
    }
    String::from_utf16(&units).expect("whole characters")
}
