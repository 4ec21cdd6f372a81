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

#[test]
fn a_chain_of_branches_is_bounded_and_does_not_overflow_the_stack() {
    let chain =
        |branches: usize| format!("{{% if 0 %}}{}{{% endif %}}", "{% elif 0 %}a elif".repeat(branches));
    let compile = |source: String| std::thread::spawn(move || Template::compile(&source)).join().unwrap();
    assert!(compile(chain(64)).is_ok());
    for branches in [65, 100_000] {
        let error = compile(chain(branches)).unwrap_err().to_string();
        assert!(error.contains("more than 64 `elif`"), "{error}");
    }
    // What cannot be taken apart is not given to the engine either.
    assert!(compile(chain(100_000) + "{{ 'a").is_err());
}

/// Each wraps a value once more in every round.
#[test]
fn a_value_that_is_nested_ever_deeper_is_refused_and_does_not_overflow_the_stack() {
    let begin = "{% set_global l = [1] %}{% set_global m = {'a': 1} %}{% for i in range(end=100000) %}";
    for wrapped in [
        "{% set_global l = [l] %}",
        "{% set_global l = [0, l, 0] %}",
        "{% set_global l = [l, l] %}",
        "{% set_global m = {'a': m} %}",
        "{% set_global m = {'a': {'a': m?.a}} %}",
        "{% set_global m = {'b': 1, 'a': {'a': m.a}} %}",
        "{% set_global l = [l | default(value=1)] %}",
        "{% set_global l = [x for x in [l]] %}",
        "{% set_global l = [...[l]] %}",
        "{% set_global l = [[l] | first] %}",
        "{% set_global l = [l if true else 1] %}",
        "{% set_global l = [{'a': l}] | group_by(attribute='missing') | default(value=[l]) %}",
        "{% set x = l %}{% set_global l = [x] %}",
    ] {
        let source = format!("{begin}{wrapped}{{% endfor %}}x");
        let template = Template::compile(&source).unwrap();

        let thread = std::thread::Builder::new().stack_size(1024 * 1024);
        let render = move || template.render_in(&Context::new(&secret()), 100, Duration::from_secs(600));
        let error = thread.spawn(render).unwrap().join().unwrap().unwrap_err().to_string();
        assert!(
            error.contains("nested more than 128") || error.contains("no such attribute"),
            "{wrapped}: {error}"
        );
    }
}

/// On as much stack as the threads have that render.
#[test]
fn a_component_that_uses_itself_ends() {
    for source in [
        "{% component c(n) %}{{ <c n={n} /> }}{% endcomponent c %}{{ <c n={1} /> }}",
        "{% component c(n) %}{{ <c n={[n]} /> }}{{ <c n={[n]} /> }}{% endcomponent c %}{{ <c n={1} /> }}",
        "{% component c(n) %}{% if n > 0 %}{{ <c n={n + 1} /> ~ <c n={n + 1} /> }}{% endif %}{% endcomponent c %}{{ <c n={1} /> }}",
    ] {
        let template = Template::compile(source).unwrap();
        let render = move || template.render_in(&Context::new(&secret()), 100, Duration::from_secs(600));
        let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(render).unwrap();
        let error = thread.join().unwrap().unwrap_err().to_string();
        assert!(error.contains("recursion depth") || error.contains("nested more than"), "{source}: {error}");
    }
}
