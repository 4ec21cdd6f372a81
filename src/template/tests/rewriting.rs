//! The stricter source means what the operator wrote, and nothing the engine is given makes it panic.

use super::*;

/// Expressions that the engine accepts, mostly, of variables that are all there.
fn expressions() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("username"),
        Just("port"),
        Just("'a~b'"),
        Just("\"}}\""),
        Just("`x`"),
        Just("7"),
        Just("1.5"),
        Just("data['db-password']"),
        Just("db.host"),
        Just("hosts[0]"),
        Just("data.port"),
        Just("true"),
    ]
    .prop_map(str::to_owned);
    leaf.prop_recursive(4, 24, 3, |inner| {
        let operators = ["~", "~", "~", "+", "-", "*", "//", "%", "**", "==", "<", "and", "or", "in"];
        let pair = (inner.clone(), inner.clone());
        prop_oneof![
            (inner.clone(), proptest::sample::select(operators.to_vec()), inner.clone())
                .prop_map(|(a, operator, b)| format!("{a} {operator} {b}")),
            pair.clone().prop_map(|(a, b)| format!("{a}~{b}")),
            inner.clone().prop_map(|a| format!("({a})")),
            inner.clone().prop_map(|a| format!("{a} | str")),
            pair.clone().prop_map(|(a, b)| format!("{a} | replace(from='a', to={b})")),
            pair.clone().prop_map(|(a, b)| format!("[{a}, {b}] | join(sep='-')")),
            pair.clone().prop_map(|(a, b)| format!("[{a} ~ x for x in {b} if x] | join(sep='+')")),
            (inner.clone(), pair).prop_map(|(a, (b, c))| format!("{a} if {b} else {c}")),
            inner.clone().prop_map(|a| format!("(not {a})")),
            inner.clone().prop_map(|a| format!("-{a}")),
            inner.clone().prop_map(|a| format!("{{'k': {a}, ...db}} | get(key='k')")),
            inner.prop_map(|a| format!("({a} is string)")),
        ]
    })
}

fn templates() -> impl Strategy<Value = String> {
    (expressions(), 0..5).prop_map(|(expression, place)| match place {
        0 => format!("a {{{{ {expression} }}}} b"),
        1 => format!("a {{{{-{expression}-}}}} b"),
        2 => format!("{{% set v = {expression} %}}{{{{ v }}}}"),
        3 => format!("{{% if {expression} %}}y{{% else %}}n{{% endif %}}"),
        _ => format!("{{% for v in {expression} %}}{{{{ loop.index ~ v }}}}{{% endfor %}}"),
    })
}

/// What the engine makes of the operator's own source, with our filters; the inner error is one of the source.
fn unchanged(source: &str, context: &Context) -> Result<Result<String, ()>, ()> {
    let mut output = Vec::new();
    match engine::engine().render_str_to(source, context.engine(), false, &mut output) {
        Ok(()) => Ok(Ok(String::from_utf8(output).unwrap())),
        Err(error) if matches!(error.kind(), tera::ErrorKind::SyntaxError(_)) => Err(()),
        Err(_) => Ok(Err(())),
    }
}

proptest! {
    #![proptest_config(cases(1500))]

    #[test]
    fn a_strict_source_renders_as_the_operators_own(source in templates()) {
        let fields = secret();
        let context = Context::new(&fields);
        let compiled = Template::compile(&source);
        let Ok(own) = unchanged(&source, &context) else { return Ok(()) };
        prop_assert!(compiled.is_ok(), "{source} {compiled:?}");
        let strict = compiled.unwrap().render(&context, 1 << 20);
        match (own, strict) {
            (own, Ok(strict)) => {
                let strict = String::from_utf8(strict.expose().to_vec()).unwrap(); // EXPOSE: test
                prop_assert_eq!(own, Ok(strict), "{}", source);
            }
            (Err(()), Err(_)) | (Ok(_), Err(RenderError::Undefined { .. } | RenderError::Null { .. })) => {}
            // `1.5 ** 5432`: the engine prints it, and ours has no text for it.
            (Ok(own), Err(_)) if own.contains("inf") || own.contains("NaN") => {}
            (Ok(own), Err(error)) => prop_assert!(false, "{source} gave {own}, and now {error}"),
        }
    }

    #[test]
    fn no_source_makes_the_engine_panic(parts in proptest::collection::vec(proptest::sample::select(SOUP.to_vec()), 0..24)) {
        for joined in [parts.concat(), parts.join(" "), format!("{{{{ {} }}}}", parts.join(" "))] {
            if let Ok(template) = Template::compile(&joined) {
                template.render_in(&Context::new(&secret()), 1000, Duration::from_millis(100)).ok();
            }
        }
    }
}

const SOUP: &[&str] = &[
    "{{",
    "}}",
    "{%",
    "%}",
    "{#",
    "#}",
    "{{-",
    "-}}",
    "-",
    "a",
    "username",
    "db.host",
    "|",
    "upper",
    "int",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "~",
    "+",
    "**",
    "\"x\"",
    "'",
    "`",
    "\\",
    "for",
    "in",
    "if",
    "else",
    "endif",
    "endfor",
    "set",
    "endset",
    "=",
    "==",
    "<",
    ">",
    "/",
    ",",
    ":",
    "...",
    "raw",
    "endraw",
    "filter",
    "endfilter",
    "component",
    "endcomponent",
    "c",
    "loop.index",
    "is",
    "not",
    "defined",
    "and",
    "or",
    "none",
    "1",
    "9223372036854775807",
    ".",
    "?.",
    "?[",
    "@",
    "!",
    "é",
    "\n",
    "range(end=3)",
    "break",
    "continue",
];
