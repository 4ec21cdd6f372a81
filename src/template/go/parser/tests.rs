//! Tests of the parser.

use super::super::lexer::Delimiters;
use super::*;

fn error(source: &str) -> CompileError {
    parse(source, &Delimiters::default()).expect_err(source)
}

#[test]
fn what_go_refuses_is_refused_with_its_place() {
    for (source, column, words) in [
        ("{{ }}", 4, "a value is missing"),
        ("{{ $x }}", 4, "the variable $x is not defined"),
        ("{{ \"a\" | \"b\" }}", 10, "only a function"),
        ("a{{ end }}", 5, "without a block"),
        ("{{ if true }}a", 4, "`if` has no `end`"),
        ("{{ if true }}{{ else }}b{{ else }}c{{ end }}", 28, "`else` follows `else`"),
        ("{{ break }}", 4, "outside of `range`"),
        ("{{ 1.x }}", 4, "is no number"),
        ("{{ \"a\".x }}", 4, "a constant has no fields"),
        ("{{ (1 | ) }}{{ if }}{{ end }}", 19, "a value is missing"),
        ("{{ template x }}", 13, "a name in quotes"),
        ("{{ $a, $b := 1 }}", 4, "too many variables"),
        ("{{ if true }}{{ define \"x\" }}{{ end }}{{ end }}", 17, "`define` cannot be here"),
        ("{{ range $x := .a }}{{ end }}{{ $x }}", 33, "not defined"),
        ("{{ define \"x\" }}a{{ end }}{{ define \"x\" }}b{{ end }}", 37, "defined twice"),
        ("{{ \"\\z\" }}", 4, "an escape"),
    ] {
        let error = error(source);
        assert_eq!((error.line, error.column), (Some(1), Some(column)), "{source} {error}");
        assert!(error.message.contains(words), "{source} {error}");
    }
}

#[test]
fn a_template_has_limits() {
    let nested = |depth: usize| format!("{}{}", "{{ if true }}".repeat(depth), "{{ end }}".repeat(depth));
    parse(&nested(DEPTH_LIMIT), &Delimiters::default()).unwrap();
    assert!(error(&nested(DEPTH_LIMIT + 1)).message.contains("128 deep"));
    let parentheses = format!("{{{{ {}1{} }}}}", "(".repeat(10_000), ")".repeat(10_000));
    assert!(error(&parentheses).message.contains("128 deep"));
    assert!(error(&"{{ 1 }}".repeat(MOST_NODES)).message.contains("parts"));
    let chain = format!("{{{{ if 1 }}}}{}{{{{ end }}}}", "{{ else if 1 }}".repeat(4_000));
    parse(&chain, &Delimiters::default()).unwrap();
}

#[test]
fn a_definition_sees_no_outer_variable() {
    let message = error("{{ $x := 1 }}{{ define \"d\" }}{{ $x }}{{ end }}").message;
    assert!(message.contains("$x is not defined"), "{message}");
    parse("{{ $x := 1 }}{{ define \"d\" }}{{ $ }}{{ end }}{{ $x }}", &Delimiters::default()).unwrap();
}
