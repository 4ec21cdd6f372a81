//! Templates as users see them.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::secret::Fields;

mod documentation;
mod go;
mod go_certificates;
mod go_runaways;
mod leaks;
mod rewriting;
mod runaways;

/// So many cases; failures are shown, not kept in a file.
fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// What most files of a Compose stack need.
fn secret() -> Fields {
    let list = FieldValue::List(["a", "b"].map(FieldValue::from).to_vec());
    let inner = [("host".to_owned(), "db".into()), ("port".to_owned(), digits("5432"))].into_iter().collect();
    let fields: [(&str, FieldValue); 11] = [
        ("username", "app".into()),
        ("db-password", "it's".into()),
        ("port", digits("5432")),
        ("price", digits("1.10")),
        ("huge", digits("1e400")),
        ("enabled", FieldValue::Bool(true)),
        ("nothing", FieldValue::Null),
        ("empty", "".into()),
        ("hosts", list),
        ("db", FieldValue::Map(inner)),
        ("key", "-----BEGIN-----\r\nabc\n-----END-----\n".into()),
    ];
    fields.map(|(name, value)| (name.to_owned(), value)).into_iter().collect()
}

fn digits(text: &str) -> FieldValue {
    FieldValue::Number(SecretText::new(text.to_owned()))
}

fn try_render(source: &str, fields: &Fields) -> Result<String, RenderError> {
    let template = Template::compile(source).unwrap_or_else(|error| panic!("{source}: {error:?}"));
    let rendered = template.render(&Context::new(fields), 1 << 20)?;
    Ok(String::from_utf8(rendered.expose().to_vec()).unwrap()) // EXPOSE: test
}

fn render(source: &str) -> String {
    try_render(source, &secret()).unwrap_or_else(|error| panic!("{source}: {error}"))
}

fn failure(source: &str) -> String {
    try_render(source, &secret()).expect_err(source).to_string()
}

#[test]
fn fields_are_at_top_level_and_in_data() {
    assert_eq!(render("{{ username }} {{ data.username }} {{ data['db-password'] }}"), "app app it's");
    assert_eq!(render("{{ db.host }}:{{ db.port }} {{ hosts[1] }}"), "db:5432 b");
    assert_eq!(render("{% for k, v in db %}{{ k }}={{ v }} {% endfor %}"), "host=db port=5432 ");
}

#[test]
fn nothing_is_escaped_and_text_stays_byte_for_byte() {
    let fields: Fields = [("x".to_owned(), "<&\"'\r\n\0é>".into())].into_iter().collect();
    assert_eq!(try_render("a\r\n{{ x }}\n", &fields).unwrap(), "a\r\n<&\"'\r\n\0é>\n");
}

#[test]
fn numbers_keep_the_digits_of_the_store() {
    for text in ["12345678901234567890123", "1.10", "1e400", "-0", "5432", "0.5"] {
        let fields: Fields = [("n".to_owned(), digits(text))].into_iter().collect();
        for source in
            ["{{ n }}", "{{ n ~ '' }}", "{{ n | str }}", "{{ [n] | join }}", "{{ n | json_encode }}"]
        {
            assert_eq!(try_render(source, &fields).unwrap(), text, "{source}");
        }
        assert_eq!(try_render("{{ data }}", &fields).unwrap(), format!("{{\"n\":{text}}}"));
    }
}

#[test]
fn ordinary_numbers_can_be_calculated_with() {
    assert_eq!(render("{{ port + 1 }} {{ db.port * 2 }} {{ price | float * 2 }}"), "5433 10864 2.2");
    assert_eq!(render("{{ price is number and port is number and username is not number }}"), "true");
}

#[test]
fn a_missing_field_is_an_error_that_names_it_and_the_fields_there_are() {
    let all =
        "; the secret has db, db-password, empty, enabled, hosts, huge, key, nothing, port, price, username";
    for (source, place, name) in [
        ("{{ usrname }}", "line 1, column 4", "usrname"),
        ("x\n y={{ data.usrname }}", "line 2, column 7", "data.usrname"),
        ("{{ data['db-pasword'] }}", "line 1, column 4", "data['db-pasword']"),
        ("{{ 'a' ~ usrname ~ 'b' }}", "line 1, column 10", "usrname"),
        ("{{ ('a' ~ data[\"x\"]) | b64_encode }}", "line 1, column 11", "data[\"x\"]"),
        ("{{ usrname | upper }}", "line 1, column 4", "usrname"),
        ("{{ usrname | b64_encode }}", "line 1, column 4", "usrname"),
        ("{{ usrname | json_encode }}", "line 1, column 4", "usrname"),
        ("{{ usrname | str }}", "line 1, column 4", "usrname"),
        ("{{ data?.usrname | str }}", "line 1, column 20", "data?.usrname | str"),
        ("{% set x = usrname %}{{ x }}", "line 1, column 12", "usrname"),
        ("{% set x = data?.usrname %}{{ x }}", "line 1, column 31", "x"),
        ("{% for x in usrname %}{% endfor %}", "line 1, column 13", "usrname"),
        ("{{ usrname + 1 }}", "line 1, column 4", "usrname"),
        ("{{ usrname.inner }}", "line 1, column 4", "usrname"),
    ] {
        assert_eq!(failure(source), format!("{place}: `{name}` is not defined{all}"), "{source}");
    }
}

/// The names within a field are a part of its value.
#[test]
fn a_missing_member_is_an_error_that_names_the_fields_and_nothing_within_them() {
    for (source, start) in [
        ("{{ db.inner.port }}", "line 1, column 7: `inner` is not defined; the secret has db, "),
        ("{{ data.db.hsot }}", "line 1, column 4: `data.db.hsot` is not defined; the secret has db, "),
        (
            "{% if db['hsot'] %}{% endif %}",
            "line 1, column 7: `db['hsot']` is not defined; the secret has db, ",
        ),
        ("{{ db.hsot | upper }}", "line 1, column 4: `db.hsot` is not defined; the secret has db, "),
    ] {
        let error = failure(source);
        assert!(error.starts_with(start) && error.ends_with("price, username"), "{source}: {error}");
    }
}

#[test]
fn what_fails_says_why_without_the_value() {
    for (source, expected) in [
        ("{{ 7 / 0 }}", "cannot divide by 0"),
        ("{{ port // 0 }}", "cannot divide by 0"),
        ("{{ port % 0 }}", "cannot divide by 0"),
        ("{{ port ** port }}", "`port ** port` failed: the result is too large for a whole number"),
        ("{{ username | int }}", "failed: the value is not a whole number, or too large"),
        ("{{ username | abs }}", "this filter can only be used on a number, received `string`"),
        ("{{ port | length }}", "value of type "),
        ("{{ data | get(key='x') }}", "failed: the object has no such key, and there is no `default`"),
        ("{{ hosts['x'] }}", "array index must be an integer, got `string`"),
        ("{{ 1 in port }}", "`in` cannot be used on a container of type `"),
        ("{{ 1.5 is odd }}", "failed: the number is not a whole number"),
    ] {
        let error = try_render(source, &secret()).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains(expected), "{source}: {error}");
    }
}

#[test]
fn the_names_of_fields_are_listed_up_to_twenty() {
    let fields: Fields = (0..25).map(|n| (format!("f{n:02}"), FieldValue::Null)).collect();
    let error = try_render("{{ x }}", &fields).unwrap_err().to_string();
    assert!(error.ends_with("f18, f19 and 5 more"), "{error}");
    let error = try_render("{{ x }}", &Fields::default()).unwrap_err().to_string();
    assert!(error.ends_with("the secret has no fields"), "{error}");
}

#[test]
fn a_missing_field_may_be_asked_for() {
    for source in [
        "{{ x | default(value='d') }}",
        "{{ data.x | default(value='d') }}",
        "{{ data['x']?.y?.z | default(value='d') }}",
        "{{ '' ~ x | default(value='d') }}",
        "{% set y = x | default(value='d') %}{{ y }}",
        "{{ data?['x'] or 'd' }}",
        "{{ data?.x or data?.y or 'd' }}",
        "{{ data?.x | default(value='d') }}",
        "{% if data?.x %}no{% else %}d{% endif %}",
        "{% if username in [data?.x] %}no{% else %}d{% endif %}",
        "{% set y = data?.x %}{% if y is defined %}no{% else %}d{% endif %}",
        "{% for y in data?.x or ['d'] %}{{ y }}{% endfor %}",
        "{% if x is defined %}no{% else %}d{% endif %}",
        "{% if x is not defined and data.x is undefined %}d{% endif %}",
        "{% if username and not x is defined %}d{% endif %}",
        "{{ (x) | default(value='d') }}",
        "{{ ((data.x)) | default(value='d') }}",
        "{% if (x) is defined %}no{% else %}d{% endif %}",
        "{% if not (data.x) is not undefined %}d{% endif %}",
        "{{ x ~ '' if x is defined else 'd' }}",
        "{{ 'no' if x is defined and x == 'y' else 'd' }}",
        "{{ [y for y in ['d', 'e'] if y == 'd' and x is undefined] | join }}",
        "{% component c(a) %}{% if a is defined %}no{% else %}d{% endif %}{% endcomponent c %}{{ <c a={data?.x} /> }}",
    ] {
        assert_eq!(render(source), "d", "{source}");
    }
}

#[test]
fn a_missing_field_is_an_error_wherever_it_is_used_and_not_asked_for() {
    for (before, after) in [
        ("{% if ", " %}a{% endif %}"),
        ("{% if not ", " %}a{% endif %}"),
        ("{% if ", " and username %}a{% endif %}"),
        ("{% if username and ", " %}a{% endif %}"),
        ("{% if nothing or ", " %}a{% endif %}"),
        ("{% if ", " or username %}a{% endif %}"),
        ("{% if ", " == 'x' %}a{% endif %}"),
        ("{% if username != ", " %}a{% endif %}"),
        ("{% if username == ", " is defined %}a{% endif %}"),
        ("{% if ", " < 1 %}a{% endif %}"),
        ("{% if ", " in data %}a{% endif %}"),
        ("{% if ", " not in data %}a{% endif %}"),
        ("{% if 'x' in ", " %}a{% endif %}"),
        ("{% if ", " is none %}a{% endif %}"),
        ("{% if ", " is not string %}a{% endif %}"),
        ("{% if ", "|length is odd %}a{% endif %}"),
        ("{% if username is containing(pat=", ") %}a{% endif %}"),
        ("{% if nothing %}{% elif ", " %}a{% endif %}"),
        ("{{ username if ", " else 'z' }}"),
        ("{{ ", " if username else 'z' }}"),
        ("{{ 'z' if nothing else ", " }}"),
        ("{{ ", " or 'd' }}"),
        ("{{ (", ") or 'd' }}"),
        ("{{ username ~ ", " ~ 'd' }}"),
        ("{{ 1 + ", " }}"),
        ("{{ ", " | json_encode }}"),
        ("{{ [", "] | length }}"),
        ("{{ {'k': ", "} | length }}"),
        ("{{ [...", "] | length }}"),
        ("{{ data[", "] }}"),
        ("{{ data?[", "] }}"),
        ("{{ hosts[:", "] }}"),
        ("{{ [1 for x in hosts if ", "] | length }}"),
        ("{{ [", " for x in hosts] | length }}"),
        ("{{ [x for x in ", "] | length }}"),
        ("{{ nothing | default(value=", ") }}"),
        ("{{ username | default(value=", ") }}"),
        ("{{ data | get(key='x', default=", ") }}"),
        ("{{ range(end=", ") | length }}"),
        ("{% set x = ", " %}"),
        ("{% set_global x = ", " %}"),
        ("{% for x in ", " %}{% endfor %}"),
        ("{% for x in hosts if ", " else data %}{% endfor %}"),
        ("{% filter replace(from='a', to=", ") %}a{% endfilter %}"),
        ("{% component c(a) %}{% endcomponent c %}{{ <c a={", "} /> }}"),
        ("{% component c(a) %}{% endcomponent c %}{% <c a={", "}> %}{% </c> %}"),
    ] {
        for name in ["nope", "data.nope", "data['nope']", "db.nope", "hosts[9]", "(data)['nope']"] {
            let source = format!("{before}{name}{after}");
            let place = before.len() + 1;
            let expected = format!("line 1, column {place}: `{name}` is not defined; the secret has db, ");
            let error = failure(&source);
            assert!(error.starts_with(&expected), "{source}: {error}");
        }
    }
    // Here the engine's own error comes first.
    for source in ["{{ -nope }}", "{% if -nope %}{% endif %}", "{% if -data.nope < 1 %}{% endif %}"] {
        let error = try_render(source, &secret()).expect_err(source);
        assert!(matches!(error, RenderError::Undefined { .. }), "{source}: {error}");
    }
}

#[test]
fn variables_of_the_template_itself_are_there() {
    for source in [
        "{% set x = '' %}{% if not x %}d{% endif %}",
        "{% for x in [0] %}{% if loop.first and not x %}d{% endif %}{% endfor %}",
        "{% for k, v in {'d': none} %}{% if not v %}{{ k }}{% endif %}{% endfor %}",
        "{% component c(a, b=none) %}{% if a and not b %}d{% endif %}{% endcomponent c %}{{ <c a='x' /> }}",
        "{% component c(a) %}{% if a %}d{% endif %}{% endcomponent c %}{{ <c a={username} /> }}",
        "{% component c(username) %}{% if username %}d{% endif %}{% endcomponent c %}{{ <c username /> }}",
        "{% component c() %}{% if body %}d{% endif %}{% endcomponent c %}{% <c> %}x{% </c> %}",
    ] {
        assert_eq!(render(source), "d", "{source}");
    }
    let shorthand = "{% component c(nope) %}{% if nope %}{% endif %}{% endcomponent c %}{{ <c nope /> }}";
    assert!(failure(shorthand).contains("`nope` is not defined"), "{}", failure(shorthand));
}

#[test]
fn null_is_never_printed() {
    for source in [
        "{{ nothing }}",
        "{{ data.nothing }}",
        "{{ data['nothing'] }}",
        "{{ 'a' ~ nothing }}",
        "{{ nothing | upper }}",
        "{{ nothing | b64_encode }}",
        "{{ nothing | str }}",
        "{{ [username, nothing] | join(sep=',') }}",
        "{% for k, v in data %}{{ k }}={{ v }}{% endfor %}",
        "{{ [] | first }}",
        "{{ none }}",
    ] {
        let error = try_render(source, &secret()).expect_err(source);
        assert!(matches!(error, RenderError::Null { .. }), "{source}: {error}");
    }
    assert_eq!(failure("{{ data.nothing }}"), "line 1, column 4: `data.nothing` is null");
}

#[test]
fn null_may_be_asked_for() {
    for source in [
        "{{ nothing or 'd' }}",
        "{{ nothing | default(value='d') }}",
        "{% if nothing is none %}d{% endif %}",
        "{% if not nothing %}d{% endif %}",
        "{{ 'no' if nothing else 'd' }}",
    ] {
        assert_eq!(render(source), "d", "{source}");
    }
    assert_eq!(render("{{ {'a': nothing} | json_encode }}"), r#"{"a":null}"#);
}

/// The filters of the engine that are ours because of what they cost do what the engine's do.
#[test]
fn replaced_filters_do_what_the_engine_does() {
    let mut engine = tera::Tera::new();
    engine.autoescape_on(Vec::<&str>::new());
    let fields: Fields = [
        ("text", "  don't STOP ß <a href=\"x&y\">it's</a>\r\nnow\n"),
        ("list", r#"[3, 1, 2.0, 2, 1, 1.0, "x"]"#),
    ]
    .map(|(name, value)| (name.to_owned(), value.into()))
    .into_iter()
    .collect();
    let context = Context::new(&fields);
    for expression in [
        "text | upper",
        "text | lower",
        "text | capitalize",
        "text | title",
        "text | escape",
        "text | escape_html",
        "text | escape_xml",
        "text | newlines_to_br",
        "text | trim",
        "text | trim_start",
        "text | trim_end",
        "text | trim(pat=' ')",
        "text | trim_end(pat='\n')",
        "text | truncate(length=5)",
        "text | reverse",
        "text | truncate(length=7, end='')",
        "text | truncate(length=700)",
        "text | wordcount",
        "'' | capitalize",
        "[3, 1, 2.0, 2, -1, 1.5] | sort | join(sep=' ')",
        "['b', 'a', 'ä'] | sort | join",
        "[true, false] | sort | join",
        "[[2], [1, 2], [1]] | sort | last | join",
        "[none, 2, none, 1] | sort | first",
        "[] | sort | length",
        "[{'k': 2}, {'k': 1}] | sort(attribute='k') | first | get(key='k')",
        "[1, 1.0, '1', 2, true, 'a', 'a', 0, -0.0] | unique | length",
        "[[1, 2], [1.0, 2], {'a': 1, 'b': [2]}, {'b': [2.0], 'a': 1}, none, none] | unique | length",
        "{'b': 1, 'a': 2} | keys | join",
        "{'b': 1, 'a': 2} | values | join",
        "{'b': 1} | pairs | first | join",
        "[1, 2, 3] | reverse | join",
        "[1, 2.0] is containing(pat=2)",
        "{'a': 1} is containing(pat='a')",
        "{'a': 1} is containing(pat='b')",
        "text is containing(pat='STOP')",
        "text is starting_with(pat='  d')",
        "text is ending_with(pat='x')",
    ] {
        let source = format!("{{{{ {expression} }}}}");
        let expected = engine.render_str(&source, context.engine(), false).unwrap();
        assert_eq!(try_render(&source, &fields).unwrap(), expected, "{expression}");
    }
    for expression in
        ["[1, 'a'] | sort", "[{'a': 1}, {'a': 2}] | sort", "[{'a': 1}] | sort(attribute='b')", "1 | keys"]
    {
        let source = format!("{{{{ {expression} }}}}");
        assert!(engine.render_str(&source, context.engine(), false).is_err(), "{expression}");
        assert!(try_render(&source, &fields).is_err(), "{expression}");
    }
}

#[test]
fn an_empty_field_is_a_value() {
    assert_eq!(render("[{{ empty }}]{{ empty | default(value='d') }}{{ empty or 'e' }}"), "[]e");
    assert_eq!(render("{{ empty | default(value='d', boolean=true) }}"), "d");
}

#[test]
fn objects_and_lists_print_as_json() {
    assert_eq!(
        render("{{ db }} {{ hosts }} {{ 'x' ~ db }}"),
        r#"{"host":"db","port":5432} ["a","b"] x{"host":"db","port":5432}"#
    );
}

#[test]
fn odd_names_are_reached_through_data() {
    let names = ["data", "__tera_context", "loop", "true", "a b", "", "é", "x-y", "not"];
    let fields: Fields = names.map(|name| (name.to_owned(), name.into())).into_iter().collect();
    for name in names {
        assert_eq!(try_render(&format!("{{{{ data['{name}'] }}}}"), &fields).unwrap(), name);
    }
    assert!(try_render("{{ data }}", &fields).unwrap().starts_with(r#"{"":"","__tera_context":"#));
}

#[test]
fn components_of_the_template_itself_work() {
    let source = "{% component line(name, value) %}{{ name }}={{ value }}{% endcomponent line %}\
                  {{ <line name='a' value={username ~ port} /> }};{% <wrap> %}{{ username }}{% </wrap> %}\
                  {% component wrap() %}[{{ body }}]{% endcomponent wrap %}";
    assert_eq!(render(source), "a=app5432;[app]");
}

#[test]
fn tags_of_the_engine_work() {
    assert_eq!(render("{% set x %}a{{ username }}{% endset %}{{ x | upper }}"), "AAPP");
    assert_eq!(
        render("{% filter indent(width=2, first=true) %}{{ key }}{% endfilter %}"),
        "  -----BEGIN-----\r\n  abc\n  -----END-----\n"
    );
    assert_eq!(
        render("{%- for h in hosts -%} {{ h }}{% if not loop.last %},{% endif %} {%- endfor -%}"),
        "a,b"
    );
    assert_eq!(
        render("{{ [h ~ port for h in hosts if h != 'b'] | join }}{{ [...hosts, 'c'] | length }}"),
        "a54323"
    );
    assert_eq!(render("{% raw %}{{ x }}{% endraw %}{# {{ x }} #}"), "{{ x }}");
    assert_eq!(render("{{ {'b': 1, 'a': db.host ~ '!'} | json_encode }}"), r#"{"b":1,"a":"db!"}"#);
}

#[test]
fn failures_tell_place_and_cause() {
    for (source, error) in [
        ("{{ 'x' | b64_decode }}", "line 1, column 10: `b64_decode` got text that is not base64"),
        (
            "{{ '/w==' | b64_decode }}",
            "line 1, column 13: `b64_decode` decodes to bytes that are not text: write them with `field` and `decoding: base64`",
        ),
        ("{{ '{' | from_json }}", "line 1, column 10: `from_json` got text that is not JSON"),
        ("{{ 'a' | quote(styl='yaml') }}", "line 1, column 10: `quote` has no argument `styl`"),
        (
            "{{ 'a' | quote(style='perl') }}",
            "line 1, column 10: `quote` knows the styles go, shell, json and yaml",
        ),
        ("{{ 'a' | replace(from='a') }}", "line 1, column 10: `replace` needs the argument `to`"),
        (
            "{{ 'a' | replace(from='a', to=data?.x) }}",
            "line 1, column 10: `replace` got an argument `to` that is not defined",
        ),
        ("\n{{ throw(message='no ' ~ username) }}", "line 2, column 4: the template says so"),
        ("{{ throw(message='set it') }}", "line 1, column 4: the template says: set it"),
        (
            "{{ username | int }}",
            "line 1, column 15: `int` failed: the value is not a whole number, or too large",
        ),
        (
            "{{ username + 1 }}",
            "line 1, column 4: `+` requires both operands to be numbers, found `string` and `i64`",
        ),
        (
            "{{ hosts | nth(n='x') }}",
            "line 1, column 4: invalid type for the value, expected `usize` but got `string`",
        ),
        ("{{ range(end=0, step_by=0) }}", "line 1, column 4: `range` would never reach its end"),
    ] {
        assert_eq!(failure(source), error, "{source}");
    }
}

#[test]
fn output_larger_than_the_limit_is_refused() {
    let template = Template::compile("{{ username }}é").unwrap();
    let fields = secret();
    let context = Context::new(&fields);
    assert_eq!(template.render(&context, 5).unwrap().len(), 5);
    let error = template.render(&context, 4).unwrap_err();
    assert_eq!(error, RenderError::TooLarge { limit: 4 });
    assert_eq!(error.kind(), crate::fault::Kind::Output);
}

#[test]
fn templates_are_equal_by_source() {
    let [a, b, c] = ["{{ a }}", "{{ a }}", "{{ b }}"].map(|source| Template::compile(source).unwrap());
    assert_eq!(a, b);
    assert_ne!(a, c);
    assert_eq!(format!("{a:?}"), r#"Template("{{ a }}")"#);
}

#[test]
fn every_rendering_is_the_same() {
    let source = "{{ data }}{% for k in data | keys %}{{ k }}{% endfor %}{{ [{'k': 'b'}, {'k': 'a'}] | group_by(attribute='k') }}";
    let mut fields = secret();
    fields.insert("nothing".to_owned(), "x".into());
    let first = try_render(source, &fields).unwrap();
    for _ in 0..20 {
        assert_eq!(try_render(source, &fields).unwrap(), first);
    }
    assert!(first.ends_with(r#"{"b":[{"k":"b"}],"a":[{"k":"a"}]}"#), "{first}");
}
