//! Texts, and the trees or the mistakes they are.

use proptest::prelude::*;

use super::*;

fn child<'a>(node: &'a Node, key: &str) -> &'a Node {
    &node.entries().unwrap().iter().find(|entry| entry.key == key).unwrap().node
}

fn text(node: &Node) -> &str {
    node.scalar().unwrap().text()
}

fn codes(text: &str) -> Vec<(Code, u32, u32)> {
    let of = |one: &Diagnostic| {
        let position = one.place.position.unwrap();
        (one.code, position.line, position.column)
    };
    parse(text).unwrap_err().iter().map(of).collect()
}

#[test]
fn keeps_the_raw_text_and_the_place_of_a_scalar() {
    let root = parse("a: 0600\nb:\n  - x: 'it''s'\n").unwrap();
    assert_eq!(text(child(&root, "a")), "0600");
    let x = child(&child(&root, "b").items().unwrap()[0], "x");
    assert_eq!((text(x), x.position), ("it's", Position { line: 3, column: 8 }));
    assert_eq!(x.scalar().unwrap().style(), NodeStyle::Quoted);
}

#[test]
fn reads_json_crlf_and_a_byte_order_mark() {
    let root = parse("\u{feff}{\"a\": [1, null, \"x\"],\r\n \"b\": true}\r\n").unwrap();
    assert!(child(&root, "a").items().unwrap()[1].is_null());
    assert_eq!(child(&root, "b").scalar().unwrap().as_bool(), Some(true));
    assert_eq!(child(&root, "b").position, Position { line: 2, column: 7 });
    let root = parse("a: |\r\n  one\r\n  two\r\n").unwrap();
    assert_eq!(text(child(&root, "a")), "one\ntwo\n");
}

#[test]
fn nothing_is_null() {
    for (source, key) in [("a:", "a"), ("a: ~", "a"), ("a: null", "a")] {
        assert!(child(&parse(source).unwrap(), key).is_null(), "{source}");
    }
    assert!(!child(&parse("a: ''").unwrap(), "a").is_null());
    assert!(parse("").unwrap().is_null() && parse("# only a comment\n").unwrap().is_null());
}

#[test]
fn a_literal_block_knows_where_its_content_starts() {
    let root = parse("a:\n  b: |\n\n     one\n     two\n").unwrap();
    let b = child(child(&root, "a"), "b");
    assert_eq!((text(b), b.position), ("\none\ntwo\n", Position { line: 4, column: 6 }));
    assert_eq!(b.scalar().unwrap().style(), NodeStyle::Literal);
}

#[test]
fn a_stream_has_documents_with_their_own_budgets_and_anchors() {
    let stream = "---\na: &x 1\n---\n# nothing\n---\nb: 2\n...\n---\nc: 3\n";
    let roots = documents(stream).unwrap();
    let keys: Vec<_> = roots.iter().map(|root| root.entries().unwrap()[0].key.as_str()).collect();
    assert_eq!(keys, ["a", "b", "c"]);
    assert_eq!(roots[1].position, Position { line: 6, column: 1 });
    let heavy = format!("a: [{}]\n", "x, ".repeat(BUDGET / 2 + 1));
    assert!(documents(&format!("{heavy}---\n{heavy}")).is_ok());
    let problems = documents("a: &x 1\n---\nb: *x\n").unwrap_err();
    assert_eq!(problems[0].place.position, Some(Position { line: 3, column: 4 }));
    assert_eq!(documents("kind: [\n---\na: 1\n").unwrap_err()[0].code, Code::YamlSyntax);
    assert!(documents("").unwrap().is_empty());
}

#[test]
fn aliases_and_merge_keys_are_resolved_and_explicit_keys_win() {
    let root = parse("base: &b {x: 1, y: 2}\none: {<<: *b, x: 3}\ntwo:\n  <<: [{x: 7}, *b]\n").unwrap();
    assert_eq!(text(child(child(&root, "one"), "x")), "3");
    assert_eq!(text(child(child(&root, "one"), "y")), "2");
    assert_eq!(text(child(child(&root, "two"), "x")), "7");
    assert_eq!(codes("a: {<<: text}"), [(Code::YamlSyntax, 1, 9)]);
}

#[test]
fn every_duplicate_key_is_reported_with_both_places() {
    let problems = parse("a: 1\nb: {c: 1, c: 2}\na: 3\na: 4\n").unwrap_err();
    let shown: Vec<_> = problems.iter().map(|one| (one.place.path.as_str(), one.message.as_str())).collect();
    assert_eq!(
        shown,
        [
            ("b.c", "\"c\" is there already, in line 2, column 5"),
            ("a", "\"a\" is there already, in line 1, column 1"),
            ("a", "\"a\" is there already, in line 1, column 1"),
        ]
    );
    assert_eq!(problems[2].place.position, Some(Position { line: 4, column: 1 }));
}

#[test]
fn a_template_without_quotes_is_explained() {
    let problems = parse("template: {{ user }}\n").unwrap_err();
    assert_eq!(problems[0].code, Code::YamlSyntax);
    assert!(problems[0].hint.contains("'{{ name }}'"), "{problems:?}");
}

#[test]
fn a_second_document_is_an_error() {
    assert_eq!(codes("a: 1\n---\nb: 2\n"), [(Code::YamlSyntax, 2, 1)]);
    assert!(parse("---\na: 1\n...\n").is_ok());
}

#[test]
fn syntax_errors_have_a_place() {
    assert_eq!(codes("a: [1, 2\n")[0].0, Code::YamlSyntax);
    assert_eq!(codes("a:\n\tb: 2\n")[0].1, 2);
    assert_eq!(codes("a: *nowhere\n")[0], (Code::YamlSyntax, 1, 4));
    assert_eq!(codes("a: !vault x\n")[0].0, Code::YamlSyntax);
}

#[test]
fn an_alias_to_what_holds_it_is_an_error() {
    assert_eq!(codes("a: &x [1, *x]\n"), [(Code::YamlSyntax, 1, 11)]);
}

#[test]
fn a_bomb_of_aliases_stops_at_the_budget() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let line = format!("a{level}: &a{level} [{}]\n", vec![format!("*a{}", level - 1); 10].join(", "));
        bomb.push_str(&line);
    }
    assert_eq!(codes(&bomb)[0].0, Code::YamlLimit);
    let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(1 << 20), vec!["*a"; 1000].join(","));
    assert_eq!(codes(&long)[0].0, Code::YamlLimit);
}

#[test]
fn deep_nesting_is_an_error_and_not_a_crash() {
    assert_eq!(codes(&"[".repeat(100_000))[0].0, Code::YamlLimit);
    let block: Vec<_> = (0..1000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    assert_eq!(codes(&block.concat())[0].0, Code::YamlLimit);
}

#[test]
fn a_mapping_of_many_keys_is_not_quadratic() {
    let many: Vec<_> = (0..100_000).map(|n| format!("k{n}: v\n")).collect();
    assert_eq!(parse(&many.concat()).unwrap().entries().unwrap().len(), 100_000);
}

#[test]
fn debug_shows_no_text() {
    assert!(!format!("{:?}", parse("a: hunter2").unwrap()).contains("hunter2"));
}

#[test]
fn text_with_tags_weighs_more_than_plain_text() {
    let document = |text: &str| format!("a: '{}'\n", text.repeat(5 << 20 >> 3));
    assert!(parse(&document("12345678")).is_ok());
    assert_eq!(codes(&document("{{ abc}}")), [(Code::YamlLimit, 1, 4)]);
}

#[test]
fn a_key_that_is_indented_too_far_is_named_with_both_columns() {
    for (source, place, columns) in [
        (
            "secrets:\n  - name: a\n     key: b\n",
            (Code::YamlSyntax, 3, 6),
            "column 6, and the one above in column 5",
        ),
        ("a:\n  b: c\n\n   d: e\n", (Code::YamlSyntax, 4, 4), "column 4, and the one above in column 3"),
    ] {
        assert_eq!(codes(source), [place], "{source}");
        assert!(parse(source).unwrap_err()[0].message.contains(columns), "{source}");
    }
    let left = "a:\n  b: c\n d: e\n";
    assert_eq!(codes(left), [(Code::YamlSyntax, 3, 2)]);
    assert!(parse(left).unwrap_err()[0].message.contains("begins in column 2"));
    // Not the indentation: the text holds a colon.
    assert_eq!(codes("a: b: c\n"), [(Code::YamlSyntax, 1, 5)]);
}

#[test]
fn numbers_are_those_of_json() {
    for (text, expected) in
        [("0", true), ("-1.50", true), ("1e9", true), ("0600", false), ("1.", false), (".5", false)]
    {
        assert_eq!(Scalar::new(text.to_owned(), NodeStyle::Plain).is_number(), expected, "{text}");
    }
}

proptest! {
    #[test]
    fn never_panics(text in "[ -~\n\t]{0,200}") {
        drop(parse(&text));
    }

    #[test]
    fn a_json_string_is_read_as_it_is(text in any::<String>()) {
        let source = serde_json::json!({ "a": text }).to_string();
        let root = parse(&source).unwrap();
        prop_assert_eq!(child(&root, "a").scalar().unwrap().text(), text);
    }
}
