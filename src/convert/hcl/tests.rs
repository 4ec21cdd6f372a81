//! HCL 1: what the Agent's own parser made of the same texts, mistakes and bounds.

use serde_json::{Value as Json, json};

use super::*;

fn tree(node: &Node) -> Json {
    match &node.value {
        Value::Scalar(scalar) => json!(scalar.text()),
        Value::Sequence(items) => items.iter().map(tree).collect(),
        Value::Mapping(entries) => {
            entries.iter().map(|entry| (entry.key.clone(), tree(&entry.node))).collect()
        }
    }
}

fn read(text: &str) -> Json {
    tree(&parse(text).unwrap_or_else(|error| panic!("{text}: {error:?}")))
}

/// What `HashiCorp`'s own parser of HCL 1 made of the same texts.
#[test]
fn texts_mean_what_they_mean_to_the_agent() {
    for (text, expected) in [
        ("a { b = 1 c = 2 }\n", json!({"a": {"b": "1", "c": "2"}})),
        ("a = { b = 1, c = 2, }\n", json!({"a": {"b": "1", "c": "2"}})),
        ("a = 1, b = 2\n", json!({"a": "1", "b": "2"})),
        ("\"a\" = {\n \"b\" = true }\n", json!({"a": {"b": "true"}})),
        ("a\n{\n b = 1\n}\n", json!({"a": {"b": "1"}})),
        ("a =\n 1\n", json!({"a": "1"})),
        ("a.b-c = 1\n", json!({"a.b-c": "1"})),
        ("a \"b\" \"c\" { d = 1 }\n", json!({"a": {"b": {"c": {"d": "1"}}}})),
        ("a { b = 1 }\na { b = 2 }\na { }\n", json!({"a": [{"b": "1"}, {"b": "2"}, {}]})),
        ("a = [{b=1},{b=2}]\n", json!({"a": [{"b": "1"}, {"b": "2"}]})),
        ("a = [\n  # c\n  1, // d\n  2, /* e */\n]\n", json!({"a": ["1", "2"]})),
        ("a = [\"x\", <<EOT\ny\nEOT\n, \"z\"]\n", json!({"a": ["x", "y\n", "z"]})),
        (
            "a = 0600\nb = 0x1f\nc = 1.5\nd = 1e3\ne = -4\n",
            json!({"a": "0600", "b": "0x1f", "c": "1.5", "d": "1e3", "e": "-4"}),
        ),
    ] {
        assert_eq!(read(text), expected, "{text}");
    }
}

#[test]
fn quoted_texts_have_escapes_and_keep_what_stands_in_braces() {
    for (text, expected) in [
        ("a = \"x${ \"q\" }y\\n\"\n", "x${ \"q\" }y\n"),
        ("a = \"$x $${y} \\\"q\\\"\"\n", "$x $${y} \"q\""),
        ("a = \"\\101\\x41\\u0041\"\n", "AAA"),
        ("a = \"{{ with secret \\\"s/d\\\" }}\"\n", "{{ with secret \"s/d\" }}"),
    ] {
        assert_eq!(read(text), json!({ "a": expected }), "{text}");
    }
}

#[test]
fn heredocs_are_kept_to_the_byte() {
    for (text, expected) in [
        ("a = <<EOT\n  x\n  EOT\nb = 1\n", "  x\n  "),
        ("a = <<EOT\n${x} \\n\nEOT\nb = 1\n", "${x} \\n\n"),
        ("a = <<-EOT\n  x\n    y\n  EOT\nb = 1\n", "x\n  y\n"),
        ("a = <<-EOT\n  x\n y\n    EOT\nb = 1\n", "  x\n y\n"),
        ("a = <<-EOT\n\n    x\n\n    EOT\nb = 1\n", "\n    x\n\n"),
        ("a = <<-EOT\n  x\n EOT \n  EOT\nb = 1\n", "  x\n EOT \n"),
        ("a = <<-EOT\n\tx\n\tEOT\nb = 1\n", "x\n"),
        ("a = <<EOT\r\nx\r\nEOT\r\nb = 1\r\n", "x\r\n"),
        ("a = <<EOT\nEOT\nb = 1\n", ""),
    ] {
        assert_eq!(read(text), json!({ "a": expected, "b": "1" }), "{text:?}");
    }
}

#[test]
fn mistakes_have_their_place() {
    for (text, line, column) in [
        ("a \"b\" = 1\n", 1, 7),
        ("a = foo\n", 1, 5),
        ("a = null\n", 1, 5),
        ("a = [1 2]\n", 1, 8),
        ("a = \"x\ny\"\n", 1, 5),
        ("a = \"\\q\"\n", 1, 6),
        ("a = 089\n", 1, 5),
        ("a = \"${x\"\n", 1, 5),
        ("a = <<EOT\nx\n", 1, 5),
        ("a = <<EOT \nx\nEOT\n", 1, 5),
        ("b = 1\n/ b\n", 2, 1),
        ("/* x\n", 1, 1),
        ("5 = 1\n", 1, 1),
        ("a = \"x\" \"y\"\n", 2, 1),
        ("a = 'x'\n", 1, 5),
        ("a = $X\n", 1, 5),
        ("é {\n  b = 1\n", 1, 3),
        ("a = 1\n}\n", 2, 1),
        ("a = [1,\n", 1, 5),
        ("a", 1, 2),
        ("a =", 1, 4),
    ] {
        let position = parse(text).map(|_| ()).map_err(|error| error.position);
        assert_eq!(position, Err(Position { line, column }), "{text:?}");
    }
}

#[test]
fn nodes_know_where_they_stand() {
    let root = parse("a {\n  b \"l\" { }\n  c = <<EOT\ntext\nEOT\n}\n").unwrap();
    let a = root.entries().unwrap().first().unwrap();
    let inner = a.node.entries().unwrap();
    let places: Vec<_> = inner.iter().map(|entry| (entry.position, entry.node.position)).collect();
    let at = |line, column| Position { line, column };
    assert_eq!((a.position, a.node.position), (at(1, 1), at(1, 3)));
    assert_eq!(places, [(at(2, 3), at(2, 5)), (at(3, 3), at(4, 1))]);
}

#[test]
fn depth_is_bounded() {
    for deep in [
        "a { ".repeat(100_000),
        format!("a = {}", "[".repeat(100_000)),
        format!("a {} {{}}", "\"b\" ".repeat(100)),
    ] {
        assert_eq!(parse(&deep).map(|_| ()).map_err(|error| error.message), Err(TOO_DEEP));
    }
    let allowed = format!("{}{}", "a { ".repeat(64), "}".repeat(64));
    assert!(parse(&allowed).is_ok());
}
