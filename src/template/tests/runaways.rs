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

/// A list of one value in two, as deep as `depth`: 2^depth values to compare, and a few to hold.
const NESTED: &str = "{% set_global a = [1, 2] %}{% set_global b = [1, 2] %}\
                      {% for i in range(end=40) %}{% set_global a = [a, a] %}{% set_global b = [b, b] %}{% endfor %}";

#[test]
fn comparing_lists_that_hold_themselves_many_times_ends() {
    for source in [
        "{% if a == b %}{% endif %}",
        "{% if a < b %}{% endif %}",
        "{% if a >= b and true %}{% endif %}",
        "{% if a in b %}{% endif %}",
        "{% if a not in [b] %}{% endif %}",
        "{% if [a, 1] == [b, 1] %}{% endif %}",
        "{{ [1 for i in [1] if a == b] }}",
        "{% for i in [1] if a == b else [2] %}{% endfor %}",
        "{% if a is containing(pat=b) %}{% endif %}",
        "{{ [a, b] | sort | length }}",
        "{{ [{'k': a}, {'k': b}] | sort(attribute='k') | length }}",
        "{{ [a, b] | unique | length }}",
    ] {
        let error = refused(&format!("{NESTED}{source}"));
        assert!(error.contains("compares more than 10000000 values"), "{source}: {error}");
    }
}

/// `v` is a list of so many numbers, as JSON.
fn rendered_with_a_list(numbers: usize, source: &str) -> Result<String, String> {
    let list: Vec<_> = (0..numbers).map(|number| (number * 7919 % numbers).to_string()).collect();
    let text = format!("[{}]", list.join(","));
    let fields: Fields = [("v".to_owned(), text.as_str().into())].into_iter().collect();
    let template = Template::compile(source).unwrap();
    let rendered = template.render_in(&Context::new(&fields), 1 << 20, Duration::from_secs(600));
    // EXPOSE: test
    rendered.map(|text| String::from_utf8(text.expose().to_vec()).unwrap()).map_err(|error| error.to_string())
}

/// With one comparison for each two items these would take hours.
#[test]
fn a_large_list_is_sorted_and_its_doubles_are_found_in_time() {
    for (source, expected) in [
        ("{{ v | json_decode | unique | length }}", "40000"),
        (
            "{% set l = v | json_decode | sort %}{{ l | first }} {{ l[20000] }} {{ l | last }}",
            "0 20000 39999",
        ),
        ("{% set l = v | json_decode %}{{ [{'k': 1}, {'k': 2}] | group_by(attribute='k') | length }}", "2"),
    ] {
        assert_eq!(rendered_with_a_list(40_000, source).as_deref(), Ok(expected), "{source}");
    }
}

#[test]
fn lists_that_are_too_large_are_refused() {
    for source in [
        "{% set l = v | json_decode %}{% for i in range(end=100) %}{% set x = l[:] %}{% endfor %}",
        "{% set l = v | json_decode %}{% for i in range(end=100) %}{% set x = (l)[1:] | length %}{% endfor %}",
        "{% set l = v | json_decode %}{% for i in range(end=100) %}{% set x = l | reverse %}{% endfor %}",
        "{% set l = v | json_decode %}{% for i in range(end=100) %}{% set x = l | unique %}{% endfor %}",
        "{% for i in range(end=100) %}{% set x = v | json_decode %}{% endfor %}",
    ] {
        let error = rendered_with_a_list(20_000, source).unwrap_err();
        assert!(error.contains("more than 1000000 items"), "{source}: {error}");
    }
}

/// No variable is read, nothing is printed: only the round itself can ask for the time.
#[test]
fn a_loop_that_does_nothing_with_variables_ends_in_time() {
    let long = "x".repeat(1 << 10);
    for body in [
        format!("{{% if 'y' in '{long}' %}}{{% endif %}}"),
        format!("{{% if '{long}' is ending_with(pat='y') %}}{{% endif %}}"),
        "{% set x = [1 for j in [1]] %}".to_owned(),
        "{% <c> %}{% </c> %}".to_owned(),
    ] {
        let component = "{% component c() %}{% endcomponent c %}";
        let source = format!("{component}{{% for i in range(end=900000) %}}{body}{{% endfor %}}");
        let template = Template::compile(&source).unwrap();
        let begun = std::time::Instant::now();
        let limit = Duration::from_millis(20);
        let error = template.render_in(&Context::new(&secret()), 100, limit).unwrap_err();
        assert!(error.to_string().contains("did not finish"), "{body}: {error}");
        // The list of the range itself is made before the first round.
        assert!(begun.elapsed() < Duration::from_secs(5), "{body}: {:?}", begun.elapsed());
    }
}

/// Ten components, each of which uses the next one 32 times: 2^50 uses that write nothing.
#[test]
fn components_that_use_each_other_many_times_end_in_time() {
    let component = |level: usize| {
        let uses = format!("{{% <c{0}> %}}{{% </c{0}> %}}", level + 1).repeat(32);
        format!("{{% component c{level}() %}}{uses}{{% endcomponent c{level} %}}")
    };
    let source: String = (0..10).map(component).collect();
    let source = source + "{% component c10() %}{% endcomponent c10 %}{% <c0> %}{% </c0> %}";
    let template = Template::compile(&source).unwrap();
    let error = template.render_in(&Context::new(&secret()), 100, Duration::from_millis(20)).unwrap_err();
    assert!(error.to_string().contains("did not finish"), "{error}");
}

/// What a `set` or a filter captures is no output yet, so no limit of a file holds it.
#[test]
fn text_that_is_captured_again_and_again_is_refused() {
    let text = "x".repeat(1 << 12);
    for source in [
        format!("{{% set x %}}{{% for i in range(end=100000) %}}{text}{{% endfor %}}{{% endset %}}"),
        format!("{{% filter upper %}}{{% for i in range(end=100000) %}}{text}{{% endfor %}}{{% endfilter %}}"),
        format!("{{% component c() %}}{text}{{% endcomponent c %}}{{% set x = [<c /> for i in range(end=100000)] %}}"),
        "{% set_global a = '&' %}{% for i in range(end=100000) %}{% set_global a = a | escape_html %}{% endfor %}"
            .to_owned(),
        "{% set_global a = 'ab' %}{% for i in range(end=64) %}{% set_global a = a | truncate(length=1, end=a) %}{% set_global a = a | replace(from='a', to='aa') %}{% endfor %}"
            .to_owned(),
    ] {
        let error = refused(&source);
        assert!(error.contains("more text than a file could hold"), "{error}: {source:.60}");
    }
}

#[test]
fn a_rendering_ends_when_it_is_not_wanted_any_more() {
    let template =
        Template::compile("{% for a in range(end=900000) %}{% set x = username %}{% endfor %}").unwrap();
    let fields = secret();
    let context = Context::new(&fields);
    let asked = std::rc::Rc::new(std::cell::Cell::new(0));
    let count = std::rc::Rc::clone(&asked);
    let stopped = move || {
        count.set(count.get() + 1);
        count.get() > 1000
    };
    let result = until(stopped, || template.render(&context, 100));
    assert_eq!(result, Err(RenderError::Stopped));
    assert!(asked.get() < 1100, "{}", asked.get());
    assert!(Template::compile("{{ username }}").unwrap().render(&context, 100).is_ok(), "only inside");
}

#[test]
fn a_source_of_many_raw_blocks_is_read_once() {
    for source in [
        "{% raw %}".repeat(20_000),
        "{% raw %}x{% endraw %}".repeat(20_000),
        "{% raw %}x{% endraw ".repeat(20_000),
        "{#".repeat(20_000),
        "{# #}".repeat(20_000),
        "{{ 'a".repeat(20_000),
    ] {
        let begun = std::time::Instant::now();
        drop(Template::compile(&source));
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}: {source:.20}", begun.elapsed());
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
fn a_number_that_is_none_is_not_printed() {
    let template = Template::compile("{{ 1.5 | round(precision=400) }}").unwrap();
    let error = template.render(&Context::new(&secret()), 1000).unwrap_err().to_string();
    assert!(error.contains("infinite or none"), "{error}");
}

#[test]
fn the_code_of_a_template_is_bounded_and_its_text_is_not() {
    let error = Template::compile(&"{{ a }}".repeat(40_000)).unwrap_err().to_string();
    assert!(error.contains("128 KiB"), "{error}");
    Template::compile(&format!("{}{{{{ a }}}}", "x".repeat(1 << 20))).unwrap();
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
