//! Templates that would never end, or fill the memory, end by themselves.

use super::*;

/// How `source` is refused by a limit other than time, however slow the machine is.
fn refused(source: &str) -> String {
    let template = Template::compile(source).unwrap();
    let error = template.render_in(&Context::new(&secret()), 1 << 16, Duration::from_secs(600)).unwrap_err();
    error.to_string()
}

#[test]
fn nested_loops_end() {
    for source in [
        "{% for a in range(end=100000) %}{% for b in range(end=100000) %}{% endfor %}{% endfor %}",
        "{% set r = range(end=100000) %}{% for a in r %}{% for b in r %}{% endfor %}{% endfor %}",
        "{% set r = range(end=100000) %}{% set x = [[b for b in r] for a in r] %}",
        "{% set x = [range(end=100000) for a in range(end=100000)] %}",
        "{% set_global l = [1] %}{% for a in range(end=100) %}{% set_global l = [...l, ...l] %}{% endfor %}",
        "{{ range(end=99999999999) }}",
        "{% for a in range(end=1000) %}{% set x = key | split(pat='') %}{% for b in range(end=100) %}{% set y = [...x] %}{% endfor %}{% endfor %}",
    ] {
        assert!(refused(source).contains("more than 1000000 items"), "{source}");
    }
}

#[test]
fn doubling_a_text_ends() {
    for source in [
        "{% set_global a = 'x' %}{% for i in range(end=64) %}{% set_global a = a ~ a %}{% endfor %}",
        "{% set_global a = 'xx' %}{% for i in range(end=64) %}{% set_global a = a | replace(from='x', to=a) %}{% endfor %}",
        "{% set_global a = 'x' %}{% for i in range(end=64) %}{% set_global a = [a, a] | join(sep=a) %}{% endfor %}",
        "{% set_global a = '\\n' %}{% for i in range(end=64) %}{% set_global a = a | indent(width=1000, first=true, blank=true) | replace(from=' ', to='\\n') %}{% endfor %}",
        "{% set_global l = [1] %}{% for i in range(end=40) %}{% set_global l = [l, l] %}{% endfor %}{{ l | json_encode | length }}",
    ] {
        assert!(refused(source).contains("handles more text than a file could hold"), "{source}");
    }
}

#[test]
fn printing_for_ever_ends() {
    let source = "{% for i in range(end=100000) %}{{ username }}{% endfor %}";
    assert!(refused(source).contains("larger than maxFileSize (65536 bytes)"));
}

#[test]
fn a_rendering_that_ends_too_late_is_refused() {
    for source in ["{{ username }}", "no code at all"] {
        let template = Template::compile(source).unwrap();
        let error = template.render_in(&Context::new(&secret()), 100, Duration::ZERO).unwrap_err();
        assert!(matches!(error, RenderError::TooMuch(_)), "{error}");
    }
}

#[test]
fn deep_sources_are_refused_and_do_not_overflow_the_stack() {
    for source in [
        format!("{{{{ {}1{} }}}}", "(".repeat(100_000), ")".repeat(100_000)),
        "{% if 1 %}".repeat(10_000),
        format!("{{{{ {} }}}}", "[".repeat(10_000)),
        format!("{{{{ 1{} }}}}", " ~ 1".repeat(10_000)),
    ] {
        assert!(Template::compile(&source).is_err());
    }
}
