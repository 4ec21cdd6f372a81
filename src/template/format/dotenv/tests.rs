//! Both readers read every value back byte for byte: real shells, and Compose's rules written down again.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

use proptest::prelude::*;

use crate::secret::{FieldValue, Fields};
use crate::template::{Format, RenderError};

type Variables = BTreeMap<String, String>;

fn written(variables: &Variables) -> String {
    in_format(Format::Dotenv, variables)
}

fn in_format(format: Format, variables: &Variables) -> String {
    let fields: Fields = variables.iter().map(|(name, value)| (name.clone(), (&**value).into())).collect();
    let document = format.render(&fields, 1 << 20).unwrap();
    String::from_utf8(document.expose().to_vec()).unwrap() // EXPOSE: test
}

fn line(value: &str) -> String {
    written(&[("A".to_owned(), value.to_owned())].into())
}

/// What `shell` exports after it has sourced `document`.
fn shell_reads(shell: &str, document: &str) -> Variables {
    let mut child = Command::new(shell)
        .args(["-c", "set -a; . /dev/stdin; exec env -0"])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(document.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{document}");
    let pairs = String::from_utf8(output.stdout).unwrap();
    let pairs = pairs.split_terminator('\0').filter_map(|pair| pair.split_once('='));
    pairs
        .filter(|(name, _)| name.starts_with("F_"))
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
}

/// What Compose reads, by the rules of compose-go 2.13: `dotenv/parser.go` and `template/template.go`.
fn compose_reads(mut document: &str) -> Variables {
    let mut variables = Variables::new();
    while let Some((name, rest)) = document.trim_start().split_once('=') {
        let quote = rest.chars().next().filter(|first| matches!(first, '"' | '\''));
        let (value, rest) = if let Some(quote) = quote {
            let (raw, rest) = compose_quoted(rest.split_at(1).1, quote);
            (if quote == '"' { compose_expanded(&compose_unescaped(&raw), &variables) } else { raw }, rest)
        } else {
            let (bare, rest) = rest.split_once('\n').unwrap_or((rest, ""));
            let bare = bare.split(" #").next().unwrap().trim_end();
            (compose_expanded(bare, &variables), rest)
        };
        variables.insert(name.to_owned(), value);
        document = rest;
    }
    variables
}

/// A quoted value and what follows it: a backslash keeps the next character, and goes only before the quote.
fn compose_quoted(text: &str, quote: char) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => {
                let (_, next) = chars.next().expect("an unterminated value");
                if next != quote {
                    value.push('\\');
                }
                value.push(next);
            }
            _ if c == quote => return (value, text.split_at(at + 1).1),
            _ => value.push(c),
        }
    }
    panic!("an unterminated value");
}

/// `\$` becomes `$$`, the usual letters become control characters, `\0` and up to three digits a character.
fn compose_unescaped(text: &str) -> String {
    let mut value = String::new();
    let mut rest = text;
    while let Some((plain, escape)) = rest.split_once('\\') {
        value.push_str(plain);
        let next = escape.chars().next();
        let replacement = match next {
            Some('$') => "$$",
            Some('\\') => "\\",
            Some('"') => "\"",
            Some('n') => "\n",
            Some('r') => "\r",
            Some('t') => "\t",
            Some('a' | 'b' | 'c' | 'f' | 'v' | '0') => panic!("we never write this escape"),
            _ => {
                value.push('\\');
                rest = escape;
                continue;
            }
        };
        value.push_str(replacement);
        rest = escape.split_at(1).1;
    }
    value + rest
}

/// `$$` is a dollar, `$NAME` and `${NAME}` are variables, any other dollar is an error.
fn compose_expanded(text: &str, variables: &Variables) -> String {
    let mut value = String::new();
    let mut rest = text;
    while let Some((plain, after)) = rest.split_once('$') {
        value.push_str(plain);
        rest = if let Some(after) = after.strip_prefix('$') {
            value.push('$');
            after
        } else {
            let (name, after) =
                after.strip_prefix('{').and_then(|name| name.split_once('}')).expect("a stray dollar");
            value.push_str(&variables[name]);
            after
        };
    }
    value + rest
}

/// What `EnvironmentFile=` reads, by the rules of systemd's `parse_env_file_internal` (src/basic/env-file.c): quoted
/// and bare parts follow each other, `\` keeps what it precedes between double quotes if that is one of ``"\`$``.
fn systemd_reads(document: &str) -> Variables {
    let mut variables = Variables::new();
    let mut chars = document.chars().peekable();
    while chars.peek().is_some() {
        let name: String = chars.by_ref().take_while(|c| *c != '=').collect();
        let mut value = String::new();
        while let Some(c) = chars.next().filter(|c| *c != '\n') {
            match c {
                '\'' => value.extend(chars.by_ref().take_while(|c| *c != '\'')),
                '"' => {
                    while let Some(c) = chars.next().filter(|c| *c != '"') {
                        let special = chars.peek().copied().filter(|next| "\"\\`$".contains(*next));
                        value.push(if c == '\\' {
                            special.and_then(|_| chars.next()).unwrap_or(c)
                        } else {
                            c
                        });
                    }
                }
                '\\' => value.extend(chars.next()),
                _ => value.push(c),
            }
        }
        variables.insert(name, value);
    }
    variables
}

fn assert_reads_back(variables: &Variables) {
    let document = written(variables);
    let for_systemd = in_format(Format::DotenvSystemd, variables);
    assert_eq!(&systemd_reads(&for_systemd), variables, "systemd: {for_systemd}");
    assert_eq!(&shell_reads("sh", &for_systemd), variables, "sh: {for_systemd}");
    for shell in ["sh", "bash"] {
        assert_eq!(&shell_reads(shell, &document), variables, "{shell}: {document}");
    }
    assert_eq!(&compose_reads(&document), variables, "Compose: {document}");
}

#[test]
fn every_odd_value_reads_back() {
    let values = [
        "",
        " ",
        "a b",
        " lead",
        "trail ",
        "\t",
        "it's",
        "\"",
        "`id`",
        "$HOME",
        "${HOME}",
        "$$",
        "$(id)",
        "\\",
        "\\\\",
        "a\\",
        "'\\",
        "`'",
        "`'\\",
        "'`$\"\\`",
        "#",
        "a #b",
        "a#b",
        "line\nline\n",
        "\r\n",
        "\r",
        "!x",
        "~",
        "*",
        "a=b",
        "=",
        "é€😀",
        "\u{feff}",
        "\u{85}\u{a0}",
        "\\n",
        "\\0101",
        "\\$",
        "$\\`'",
        "{}",
        "%s",
        "a;b&c|d",
        "-n",
        "\x01\x7f",
        "${X:-y}`'",
        "\\\n'",
    ];
    let variables =
        values.iter().enumerate().map(|(index, value)| (format!("F_{index}"), (*value).to_owned()));
    assert_reads_back(&variables.collect());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_value_reads_back(values in proptest::collection::vec("[\\PC\n\r\t]{0,8}|['\"`$\\\\{}#\n\r a0n=]{0,12}", 1..40)) {
        let values = values.into_iter().enumerate();
        assert_reads_back(&values.map(|(index, value)| (format!("F_{index}"), value)).collect());
    }
}

#[test]
fn the_plainest_spelling_is_used() {
    assert_eq!(line("5432"), "A=5432\n");
    assert_eq!(line("postgres://app:x@db/app"), "A=postgres://app:x@db/app\n");
    assert_eq!(line(""), "A=\n");
    assert_eq!(line("two words $x"), "A='two words $x'\n");
    assert_eq!(line("it's $5"), "A=\"it's \\$5\"\n");
    assert_eq!(line("it's `x`"), "A='`'\nA=\"it's ${A}x${A}\"\n");
}

#[test]
fn values_that_are_no_text_are_json_or_refused() {
    let number = FieldValue::Number(crate::secret::SecretText::new("1e400".to_owned()));
    let fields: Fields =
        [("L", FieldValue::List(vec!["a".into()])), ("N", number), ("T", FieldValue::Bool(true))]
            .map(|(name, value)| (name.to_owned(), value))
            .into_iter()
            .collect();
    let document = Format::Dotenv.render(&fields, 100).unwrap();
    assert_eq!(document.expose(), b"L='[\"a\"]'\nN=1e400\nT=true\n"); // EXPOSE: test
}

#[test]
fn what_no_environment_can_hold_is_refused_by_name() {
    for (name, value, cause) in [
        (
            "db-password",
            "x".into(),
            "is no name of an environment variable (letters, digits and _, no digit first)",
        ),
        ("1A", "x".into(), "is no name of an environment variable (letters, digits and _, no digit first)"),
        ("", "x".into(), "is no name of an environment variable (letters, digits and _, no digit first)"),
        ("A", FieldValue::Null, "is null, which this format cannot hold"),
        ("A", "a\0b".into(), "holds a NUL byte, which no environment variable can"),
    ] {
        let fields: Fields = [(name.to_owned(), value)].into_iter().collect();
        let error = Format::Dotenv.render(&fields, 100).unwrap_err();
        assert_eq!(error, RenderError::Field { name: name.to_owned(), cause });
    }
}

#[test]
fn a_document_that_is_too_large_is_refused() {
    let fields: Fields = [("A".to_owned(), "123456".into())].into_iter().collect();
    assert_eq!(Format::Dotenv.render(&fields, 8), Err(RenderError::TooLarge { limit: 8 }));
    assert!(Format::Dotenv.render(&fields, 9).is_ok());
}
