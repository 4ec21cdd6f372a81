//! Go templates against what Go itself printed: the cases were recorded with Go 1.19.8, sprig 3.2.3 and yaml.v2.

use serde_json::value::RawValue;
use std::collections::BTreeMap;

use super::super::{Context, Dialect, Template, TemplateEngine};
use crate::secret::{AnswerPath, Answers, FieldValue, Fields, SecretText};

const CASES: [&str; 4] = [
    include_str!("go/templates.jsonl"),
    include_str!("go/more.jsonl"),
    include_str!("go/mixed.jsonl"),
    include_str!("go/parsed.jsonl"),
];

/// What is different on purpose; docs/templates.md has the same list. A missing field, `<no value>` and `%!…` in a
/// result are errors everywhere, and are not listed.
const DIFFERENT: &[(&str, &[&str])] = &[
    ("a missing field is an error, in `if` too", &["control/if missing, lax"]),
    (
        "numbers out of JSON text keep their digits",
        &[
            "helper/parseJSON",
            "helper/parseJSON range",
            "helper/helper-1774",
            "helper/helper-1775",
            "helper/helper-1777",
            "helper/helper-1783",
            "sprig/sprig-2001",
            "eso/eso-2151",
            "eso/eso-2272",
            "eso/eso-2274",
            "eso/eso-2323",
        ],
    ),
    ("what would change at each look, or write, is refused", &["helper/timestamp", "pki/writeToFile"]),
    (
        "`#` for numbers with a fraction, and complex numbers",
        &["printf/printf-330", "printf/printf-337", "literal/literal-502"],
    ),
    (
        "an answer is not printed as a whole: it names the request",
        &["literal/literal-534", "path/path-1701", "path/path-1702"],
    ),
    (
        "`range` over a number, and `else with`, came with later versions of Go",
        &["control/control-557", "control/control-572"],
    ),
    ("`js` of null would print its `<no value>`", &["syntax/syntax-675"]),
    (
        "the Agent's `add` takes all whole numbers; the recorded stand-in took one type",
        &["helper/helper-1830"],
    ),
    ("base64 that is none is an error, and not the value", &["sprig/sprig-1988", "eso/eso-2125"]),
    ("a wrong regular expression is an error, and not false", &["sprig/sprig-2010", "eso/eso-2169"]),
    (
        "the functions for maps take the fields too",
        &["eso/eso-2277", "eso/eso-2278", "eso/eso-2279", "eso/eso-2326", "eso/eso-2327"],
    ),
];

#[derive(serde::Deserialize)]
struct Case {
    group: String,
    name: String,
    template: String,
    left: Option<String>,
    right: Option<String>,
    want: Option<String>,
    go_message: Option<String>,
}

/// A JSON value as the store reads it: numbers keep their digits.
fn field(raw: &RawValue) -> FieldValue {
    let text = raw.get();
    match text.as_bytes()[0] {
        b'{' => FieldValue::Map(members(text).into_iter().map(|(name, raw)| (name, field(raw))).collect()),
        b'[' => {
            let items: Vec<&RawValue> = serde_json::from_str(text).unwrap();
            FieldValue::List(items.into_iter().map(field).collect())
        }
        b'"' => FieldValue::from(&*serde_json::from_str::<String>(text).unwrap()),
        b't' => FieldValue::Bool(true),
        b'f' => FieldValue::Bool(false),
        b'n' => FieldValue::Null,
        _ => FieldValue::Number(SecretText::new(text.to_owned())),
    }
}

fn members(text: &str) -> BTreeMap<String, &RawValue> {
    serde_json::from_str(text).unwrap()
}

/// Everything in `data.json`.
fn answers() -> Answers {
    let mut answers = Answers::default();
    for (path, raw) in members(include_str!("go/data.json")) {
        let names = [
            ("request_id", "RequestID"),
            ("lease_id", "LeaseID"),
            ("lease_duration", "LeaseDuration"),
            ("renewable", "Renewable"),
            ("data", "Data"),
        ];
        let parts = members(raw.get());
        let part = |(from, to): &(&str, &str)| Some(((*to).to_owned(), field(parts.get(*from)?)));
        let answer = FieldValue::Map(names.iter().filter_map(part).collect());
        let path = match path.strip_prefix("secret/data/") {
            Some(key) => AnswerPath::kv2("secret", key, None),
            None => AnswerPath::plain(&path),
        };
        answers.insert(path, answer);
    }
    answers
}

/// The fields of `secret/data/app/db` as External Secrets has them.
fn texts() -> Fields {
    let answer = members(include_str!("go/data.json"))["secret/data/app/db"];
    let data = members(members(members(answer.get())["data"].get())["data"].get());
    let text = |raw: &RawValue| match field(raw) {
        FieldValue::Text(text) => FieldValue::Text(text),
        FieldValue::Null => FieldValue::from(""),
        _ => {
            let compact: serde_json::Value = serde_json::from_str(raw.get()).unwrap();
            let is_number = compact.is_number();
            let escaped =
                compact.to_string().replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026");
            FieldValue::from(if is_number { raw.get() } else { &*escaped })
        }
    };
    data.into_iter().map(|(name, raw)| (name, text(raw))).collect()
}

fn render(case: &Case) -> Result<String, String> {
    let is_eso = case.group == "eso";
    let vars = [("APP_ENV", "prod"), ("EMPTY", "")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    let dialect = Dialect {
        engine: if is_eso { TemplateEngine::Go } else { TemplateEngine::ConsulTemplate },
        delimiters: case.left.clone().zip(case.right.clone()),
        vars: std::sync::Arc::new(vars.into_iter().collect()),
    };
    let template = Template::compile_as(&case.template, dialect).map_err(|error| error.to_string())?;
    let (fields, answers) = (if is_eso { texts() } else { Fields::default() }, answers());
    let rendered = template.render(&Context::with_answers(&fields, &answers), 1 << 20);
    let rendered = rendered.map_err(|error| error.to_string())?;
    Ok(String::from_utf8_lossy(rendered.expose()).into_owned()) // EXPOSE: test
}

fn cases() -> impl Iterator<Item = Case> {
    CASES.iter().flat_map(|cases| cases.lines()).map(|line| serde_json::from_str(line).unwrap())
}

#[test]
fn everything_is_printed_as_go_prints_it() {
    let known: Vec<&str> = DIFFERENT.iter().flat_map(|(_, names)| names.iter().copied()).collect();
    let mut differing = Vec::new();
    let mut count = 0;
    for case in cases() {
        count += 1;
        let is_refused = |want: &String| want.contains("<no value>") || want.contains("%!");
        let want = case.want.clone().filter(|want| !is_refused(want));
        let got = render(&case);
        let is_right = match (&want, &got) {
            (Some(want), Ok(got)) => want == got,
            (None, Err(_)) => true,
            _ => false,
        };
        let name = format!("{}/{}", case.group, case.name);
        if !is_right {
            let Case { template, go_message, .. } = case;
            assert!(
                known.contains(&&*name),
                "{name}\n  {template}\n  want {want:?} {go_message:?}\n  got  {got:?}"
            );
            differing.push(name);
        }
    }
    assert_eq!(
        differing.len(),
        known.len(),
        "a difference that is none any more: {known:?} and {differing:?}"
    );
    assert!(count > 3_100, "{count} cases");
}

#[test]
fn an_error_names_the_place_the_field_and_the_fields_there_are() {
    let answers = answers();
    let fields: Fields =
        [("user", "app"), ("pass", "hunter2")].map(|(k, v)| (k.to_owned(), v.into())).into_iter().collect();
    for (engine, source, message) in [
        (
            TemplateEngine::Go,
            "a\n  {{ .usr }}",
            "line 2, column 6: `.usr` is not there: no entry \"usr\"; the secret has pass, user",
        ),
        (
            TemplateEngine::ConsulTemplate,
            "{{ with secret \"kv1/app\" }}{{ .Data.usr }}{{ end }}",
            "line 1, column 31: `.Data.usr` is not there: no entry \"usr\"; the secret has data, pass, user",
        ),
        (
            TemplateEngine::ConsulTemplate,
            "{{ with secret \"kv1/app\" }}{{ .data }}{{ end }}",
            "line 1, column 31: `.data`: there is no \"data\" here, only .RequestID, .LeaseID, .LeaseDuration, .Renewable, \
             .Data, .Warnings",
        ),
        (
            TemplateEngine::ConsulTemplate,
            "{{ secret \"kv1/other\" }}",
            "line 1, column 4: `secret`: no source of this secret reads this path",
        ),
        (
            TemplateEngine::Go,
            "{{ .user.x }}",
            "line 1, column 4: `.user.x`: a value of type string has no \"x\"",
        ),
        (
            TemplateEngine::Go,
            "{{ printf \"%d\" .pass }}",
            "line 1, column 4: `printf` cannot print a value of type string with `%d`",
        ),
    ] {
        let dialect = Dialect { engine, ..Dialect::default() };
        let template = Template::compile_as(source, dialect).unwrap();
        let error = template.render(&Context::with_answers(&fields, &answers), 1 << 10).unwrap_err();
        assert_eq!(error.to_string(), message, "{source}");
    }
}

#[test]
fn a_function_that_is_not_there_is_an_error_at_once() {
    for (engine, source, message) in [
        (
            TemplateEngine::Go,
            "{{ .x | uper }}",
            "there is no function `uper` for `engine: go`; did you mean `upper`?",
        ),
        (
            TemplateEngine::ConsulTemplate,
            "{{ .x | default \"d\" }}",
            "there is no function `default` for `engine: consul-template`; the Agent calls it `sprig_default`",
        ),
        (
            TemplateEngine::Go,
            "{{ .x | toJSON }}",
            "there is no function `toJSON` for `engine: go`; did you mean `toJson`?",
        ),
        (TemplateEngine::Go, "{{ bcrypt .x }}", "the function `bcrypt` is refused: the file would differ"),
        (TemplateEngine::ConsulTemplate, "{{ key \"a\" }}", "the function `key` is refused: it asks Consul"),
        (
            TemplateEngine::Go,
            "{{ env \"HOME\" }}",
            "the function `env` is refused: a template reads nothing from outside",
        ),
        (
            TemplateEngine::Go,
            "{{ if false }}{{ randAlpha 3 }}{{ end }}",
            "the function `randAlpha` is refused",
        ),
    ] {
        let dialect = Dialect { engine, ..Dialect::default() };
        let error = Template::compile_as(source, dialect).unwrap_err();
        assert!(error.message.starts_with(message), "{error}");
    }
}
