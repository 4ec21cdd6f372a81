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

/// Path, line, column and text of each expression.
fn expressions_of(root: &Node) -> Vec<(String, u32, u32, String)> {
    let found = expressions(root, "").into_iter();
    found.map(|found| (found.path, found.position.line, found.position.column, found.shown)).collect()
}

#[test]
fn expressions_are_found_and_what_stands_around_them_is_read() {
    let text = "a = var.x\nb = [local.y, \"t\"] c = 1\nd { f = 2 e = file(\"Zq7marker\") }\ng = [for s in var.l : upper(s)]\n\
                h = {\n for k, v in m.n : k => {\n x = v }\n}\ni = \"a\" > 1 ? true : !x # c\nj = (1 +\n 2)\nk = concat(\n <<EOT\nZq7marker\nEOT\n)\n\
                l = 4\nm = 6 / 2\nn = true && x\no = a[0]\np = !q\n";
    let root = parse(text).unwrap();
    let expected = [
        ("a", 1, 5, "var.x"),
        ("b[0]", 2, 6, "local.y"),
        ("d.e", 3, 15, "file(…"),
        ("g", 4, 5, "[for s in var.l : upper(s)]"),
        ("h", 5, 5, "{…"),
        ("i", 9, 5, "…"),
        ("j", 10, 5, "(1 +…"),
        ("k", 12, 5, "concat(…"),
        ("m", 18, 5, "6 / 2"),
        ("n", 19, 5, "true && x"),
        ("o", 20, 5, "a[0]"),
        ("p", 21, 5, "!q"),
    ];
    let expected =
        expected.map(|(path, line, column, shown)| (path.to_owned(), line, column, shown.to_owned()));
    assert_eq!(expressions_of(&root), expected);
    let tree = tree(&root);
    assert_eq!(
        (&tree["b"][1], &tree["c"], &tree["d"]["f"], &tree["l"]),
        (&json!("t"), &json!("1"), &json!("2"), &json!("4"))
    );
    for (open, column) in [("a = file(x\n", 5), ("a = [for x in y\n", 5), ("a = (\n", 5)] {
        let position = parse(open).map(|_| ()).map_err(|error| error.position);
        assert_eq!(position, Err(Position { line: 1, column }), "{open:?}");
    }
}

#[test]
fn texts_of_hcl_2_have_expressions_and_other_escapes() {
    let read = |text: &str| {
        let mut root = parse(text).unwrap();
        read_as_hcl_2(&mut root);
        root
    };
    for (text, expected) in [
        ("$${x} %%{y} $x % $", "${x} %{y} $x % $"),
        ("${NOMAD_TASK_DIR}/a ${attr.kernel.name}", "${NOMAD_TASK_DIR}/a ${attr.kernel.name}"),
        ("${env[\"HOME\"]}", "${env[\"HOME\"]}"),
    ] {
        assert_eq!(tree(&read(&format!("a = <<E\n{text}\nE\n"))), json!({ "a": format!("{expected}\n") }));
    }
    let place = |text: &str| expressions_of(&read(text)).pop();
    for (text, line, column, shown) in [
        ("a = <<E\nx\né ${var.x}\nE\n", 3, 3, "${var.x}"),
        ("b { a = \"${local.x}\" }\n", 1, 9, "${local.x}"),
        ("a = <<E\n${upper(\"Zq7marker\")}\nE\n", 2, 1, "${upper(…"),
        ("a = <<E\n%{ if x }\nE\n", 2, 1, "%{ if x }"),
        ("a = <<E\n${X:-y}\nE\n", 2, 1, "${X:-y}"),
        ("a = <<E\n${x\nE\n", 2, 1, "${x…"),
    ] {
        let found = place(text).map(|(_, line, column, shown)| (line, column, shown));
        assert_eq!(found, Some((line, column, shown.to_owned())), "{text}");
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
