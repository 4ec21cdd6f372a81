//! Go templates that run away end in time, within their memory, and without an overflow of the stack.

use super::*;
use crate::template::go_engine;

/// Longer than any of them may take on a slow machine; the limits of steps, items and text end them before.
const TIME: Duration = Duration::from_secs(600);

fn end_of(source: &str) -> Result<SecretBytes, String> {
    let dialect = Dialect { engine: go_engine(source, None), ..Dialect::default() };
    let template = Template::compile_as(source, dialect).map_err(|error| error.to_string())?;
    let fields = secret();
    template.render_in(&Context::new(&fields), 1 << 16, TIME).map_err(|error| error.to_string())
}

#[test]
fn loops_and_large_texts_end_at_their_limits() {
    for (source, words) in [
        ("{{ range until 2000000 }}{{ end }}", "items"),
        ("{{ range until 2000 }}{{ range until 2000 }}{{ end }}{{ end }}", "items"),
        ("{{ range 100000000000 }}{{ end }}", "items"),
        ("{{ $x := \"ab\" }}{{ range until 60 }}{{ $x = print $x $x }}{{ end }}", "more text"),
        ("{{ repeat 1000000000 \"ab\" }}", "more text"),
        ("{{ indent 100000000 \"a\\nb\" }}", "more text"),
        ("{{ printf \"%1000000000d\" 1 }}", "too large"),
        ("{{ range until 100 }}{{ printf \"%1000000d\" 1 }}{{ end }}", "larger than maxFileSize"),
        ("{{ range until 10000 }}xxxxxxxxxx{{ end }}", "larger than maxFileSize"),
        ("{{ $x := list 1 }}{{ range until 40 }}{{ $x = concat $x $x }}{{ end }}", "items"),
        ("{{ seq 1 1000000000 }}", "items"),
        ("{{ splitList \"\" (repeat 2000000 \"a\") | len }}", "items"),
        ("{{ replace \"\" \"aaaaaaaaaaaaaaaa\" (repeat 2000000 \"a\") | len }}", "more text"),
        ("{{ regexMatch \"(a*)*b\" (repeat 10000000 \"a\") }}", "more text"),
    ] {
        let error = end_of(source).map(|_| ()).expect_err(source);
        assert!(error.contains(words), "{source}: {error}");
    }
}

#[test]
fn recursion_ends_before_the_stack_does() {
    let nested = "{{ if true }}".repeat(120);
    let ends = "{{ end }}".repeat(120);
    for source in [
        "{{ define \"r\" }}{{ template \"r\" }}{{ end }}{{ template \"r\" }}".to_owned(),
        "{{ define \"a\" }}{{ template \"b\" . }}{{ end }}{{ define \"b\" }}{{ template \"a\" . }}{{ end }}{{ template \"a\" 1 }}".to_owned(),
        format!("{{{{ define \"r\" }}}}{nested}{{{{ template \"r\" }}}}{ends}{{{{ end }}}}{{{{ template \"r\" }}}}"),
    ] {
        let error = end_of(&source).map(|_| ()).expect_err(&source);
        assert!(error.contains("deep"), "{error}");
    }
    let parentheses = format!("{{{{ {}1{} }}}}", "(".repeat(120), ")".repeat(120));
    assert!(end_of(&parentheses).is_ok());
}

#[test]
fn values_nested_in_each_other_are_dropped_and_refused_without_an_overflow() {
    let wrapped = "{{ $x := list 1 }}{{ range until 100000 }}{{ $x = list $x }}{{ end }}";
    assert!(end_of(wrapped).is_ok());
    for (source, words) in [
        (format!("{wrapped}{{{{ $x }}}}"), "128 levels"),
        (format!("{wrapped}{{{{ toJson $x }}}}"), "128 levels"),
        (format!("{wrapped}{{{{ toYaml $x }}}}"), "128 levels"),
        (format!("{wrapped}{{{{ deepEqual $x $x }}}}"), "128 levels"),
        (format!("{wrapped}{{{{ deepCopy $x }}}}"), "128 levels"),
        ("{{ $d := dict }}{{ $e := set $d \"a\" $d }}".to_owned(), "into itself"),
        ("{{ $d := dict \"a\" 1 }}{{ $e := set $d \"b\" (list (dict \"c\" $d)) }}".to_owned(), "into itself"),
        (format!("{{{{ fromJson \"{}\" }}}}", "[".repeat(10_000)), "no JSON"),
    ] {
        let error = end_of(&source).map(|_| ()).expect_err(&source);
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn a_template_that_is_late_or_not_wanted_ends() {
    let dialect = Dialect { engine: TemplateEngine::Go, ..Dialect::default() };
    let template =
        Template::compile_as("{{ range until 900000 }}{{ $x := print . }}{{ end }}", dialect).unwrap();
    let fields = secret();
    let context = Context::new(&fields);
    let late = template.render_in(&context, 100, Duration::ZERO).unwrap_err();
    assert!(late.to_string().contains("did not finish"), "{late}");
    assert_eq!(until(|| true, || template.render(&context, 100)).unwrap_err(), RenderError::Stopped);
}
