//! YAML, and so JSON, as a tree that remembers where each node stands and how each scalar was written.
//!
//! A deserialiser would be shorter, but it loses what the configuration needs: the raw text of `mode: 0600`, the
//! position of every value, the second of two equal keys. The tree is bounded in depth and in size, aliases expanded.

mod reader;

use std::fmt;

use zeroize::Zeroizing;

pub use super::diagnostic::{Diagnostic, Position};

/// One node.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it starts.
    pub position: Position,
    /// What it is.
    pub value: Value,
}

/// What a node is.
#[derive(Clone, Debug)]
pub enum Value {
    /// A scalar, `null` included.
    Scalar(Scalar),
    /// A sequence.
    Sequence(Vec<Node>),
    /// A mapping in the order of the document, without equal keys, merge keys (`<<`) resolved.
    Mapping(Vec<Entry>),
}

/// One entry of a mapping.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key's text.
    pub key: String,
    /// Where the key stands.
    pub position: Position,
    /// The value.
    pub node: Node,
}

/// A scalar: its text after escapes and folding, and its style. It may hold a secret: `Debug` is redacted and the text
/// is wiped on drop.
#[derive(Clone)]
pub struct Scalar {
    text: Zeroizing<String>,
    style: Style,
}

/// How a scalar was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Style {
    /// Without quotes: the text may also be read as null, boolean or number.
    Plain,
    /// In single or double quotes, or tagged `!!str`.
    Quoted,
    /// `|`; the node's position is that of the first line that is not blank.
    Literal,
    /// `>`.
    Folded,
}

/// Reads one document.
///
/// # Errors
/// Everything that is wrong with the document: a syntax error, or all duplicate keys. No text of a scalar is quoted.
pub fn parse(text: &str) -> Result<Node, Vec<Diagnostic>> {
    match read(text) {
        (Some(root), problems) if problems.is_empty() => Ok(root),
        (_, problems) => Err(problems),
    }
}

/// Reads one document, going on after a mistake that leaves the tree usable: of two equal keys the first counts.
/// Without a root there is at least one problem.
pub(super) fn read(text: &str) -> (Option<Node>, Vec<Diagnostic>) {
    reader::read(text.strip_prefix('\u{feff}').unwrap_or(text))
}

impl Node {
    /// The entries of a mapping.
    pub fn entries(&self) -> Option<&[Entry]> {
        match &self.value {
            Value::Mapping(entries) => Some(entries),
            _ => None,
        }
    }

    /// The items of a sequence.
    pub fn items(&self) -> Option<&[Self]> {
        match &self.value {
            Value::Sequence(items) => Some(items),
            _ => None,
        }
    }

    /// The scalar.
    pub fn scalar(&self) -> Option<&Scalar> {
        match &self.value {
            Value::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }

    /// Whether this is `null`, `~` or nothing at all.
    pub fn is_null(&self) -> bool {
        self.scalar().is_some_and(Scalar::is_null)
    }

    /// The type's name as messages use it.
    pub fn type_name(&self) -> &'static str {
        match &self.value {
            Value::Scalar(scalar) if scalar.is_null() => "nothing",
            Value::Scalar(_) => "a text",
            Value::Sequence(_) => "a list",
            Value::Mapping(_) => "a mapping",
        }
    }
}

impl Scalar {
    fn new(text: String, style: Style) -> Self {
        Self { text: Zeroizing::new(text), style }
    }

    /// The text exactly as written, after escapes and folding. It may be a secret.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// How it was written.
    pub fn style(&self) -> Style {
        self.style
    }

    /// Whether YAML reads it as null.
    pub fn is_null(&self) -> bool {
        self.style == Style::Plain && matches!(self.text(), "" | "~" | "null" | "Null" | "NULL")
    }

    /// What YAML 1.2 reads as a boolean.
    pub fn as_bool(&self) -> Option<bool> {
        match self.text() {
            "true" | "True" | "TRUE" if self.style == Style::Plain => Some(true),
            "false" | "False" | "FALSE" if self.style == Style::Plain => Some(false),
            _ => None,
        }
    }

    /// Whether this is a number that JSON could hold with the very same digits; `0600` and `0x1f` are texts.
    pub fn is_number(&self) -> bool {
        self.style == Style::Plain && is_json_number(self.text())
    }
}

impl fmt::Debug for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scalar(redacted)")
    }
}

fn is_json_number(text: &str) -> bool {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let no_zero_in_front = whole == "0" || !whole.starts_with('0');
    digits(whole)
        && no_zero_in_front
        && fraction.is_none_or(digits)
        && exponent.is_none_or(|exponent| digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::diagnostic::Code;
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
        assert_eq!(x.scalar().unwrap().style(), Style::Quoted);
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
        assert_eq!(b.scalar().unwrap().style(), Style::Literal);
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
        let shown: Vec<_> =
            problems.iter().map(|one| (one.place.path.as_str(), one.message.as_str())).collect();
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
    fn numbers_are_those_of_json() {
        for (text, expected) in
            [("0", true), ("-1.50", true), ("1e9", true), ("0600", false), ("1.", false), (".5", false)]
        {
            assert_eq!(is_json_number(text), expected, "{text}");
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
}
