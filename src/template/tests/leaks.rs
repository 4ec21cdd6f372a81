//! No error, however it arises, holds a value.

use super::*;

/// The value of every field.
const MARKER: &str = "hunter2Marker";

/// And of those that are numbers, which the engine quotes in other errors.
const NUMBER: &str = "98765432109876543210987654321";

fn fields() -> Fields {
    let (big, exact) = (digits(NUMBER), digits(&NUMBER.repeat(2)));
    let object = FieldValue::Map([(MARKER.to_owned(), MARKER.into())].into_iter().collect());
    let json = format!("{{\"{MARKER}\": 1}}");
    [("v", MARKER.into()), ("big", big), ("exact", exact), ("object", object), ("json", json.as_str().into())]
        .map(|(name, value)| (name.to_owned(), value))
        .into_iter()
        .collect()
}

/// Expressions that fail, with every operator and filter there is.
fn failing() -> Vec<String> {
    let mut sources: Vec<String> = [
        "{{ v | int }}",
        "{{ v | float }}",
        "{{ v | int(base=99) }}",
        "{{ v | abs }}",
        "{{ v | round }}",
        "{{ v | get(key=v) }}",
        "{{ data | get(key='none' ~ v) }}",
        "{{ v | nth(n=v) }}",
        "{{ [v] | nth(n=v) }}",
        "{{ v | round(method=v) }}",
        "{{ 1.5 | round(method=v) }}",
        "{{ v + 1 }}",
        "{{ v * v }}",
        "{{ -v }}",
        "{{ v < 1 }}",
        "{{ v in 1 }}",
        "{{ v.x.y }}",
        "{{ v['x'] }}",
        "{{ data[v].x }}",
        "{{ v[1:v] }}",
        "{{ throw(message=v) }}",
        "{{ throw(message='x ' ~ v) }}",
        "{{ range(end=v) }}",
        "{{ v | b64_decode }}",
        "{{ v | json_decode }}",
        "{{ v | quote(style=v) }}",
        "{{ v | indent(indentation=v) }}",
        "{{ v | indent(width=v) }}",
        "{{ v | truncate(length=v) }}",
        "{{ v is divisible_by(divisor=2) }}",
        "{{ v is odd }}",
        "{{ 1 is containing(pat=v) }}",
        "{{ v | split(pat=1, x=v) }}",
        "{{ v | join }}",
        "{{ v | sort }}",
        "{{ [v, 1] | sort }}",
        "{{ [v] | sort(attribute=v) }}",
        "{{ [v] | group_by(attribute=v) }}",
        "{{ v | pluralize }}",
        "{{ v | keys }}",
        "{{ [...v] }}",
        "{{ {...v} }}",
        "{{ v() }}",
        "{% for a, b in v %}{% endfor %}",
        "{% for a in 1 %}{{ v }}{% endfor %}",
        "{{ v ~ missing }}",
        "{{ v | default(value=missing, boolean=v) }}",
        "{{ big ** big }}",
        "{{ big * big }}",
        "{{ big | int / 0 }}",
        "{% component c(a: Integer) %}{{ a }}{% endcomponent c %}{{ <c a={v} /> }}",
        "{% component c(a) %}{{ a | int }}{% endcomponent c %}{{ <c a={v} /> }}",
        "{{ v | replace(from='a', to=none) }}",
        "{{ exact + 1 }}",
        "{{ exact | int }}",
        "{{ big | truncate(length=big) }}",
        "{{ data }}{{ missing }}",
        "{{ object.nope }}",
        "{{ object.nope | upper }}",
        "{{ object[v].x }}",
        "{{ (json | json_decode).nope }}",
        "{% set o = json | json_decode %}{{ o.nope }}",
        "{% set o = json | json_decode %}{{ o.nope.x }}",
        "{% for k, x in object %}{{ x.nope }}{% endfor %}",
        "{% for k, x in object %}{{ object[k ~ k].x }}{% endfor %}",
        "{{ object | get(key='nope') }}",
        "{{ [object] | sort(attribute='nope') }}",
        "{{ {...object}.nope }}",
        "{% component c(a: Integer) %}{{ a }}{% endcomponent c %}{{ <c {...object} /> }}",
    ]
    .map(str::to_owned)
    .to_vec();
    let filters = engine::FILTERS.iter().copied().chain(filters::names());
    sources.extend(filters.flat_map(|filter| {
        ["v", "data", "[v]", "big", "1"].map(|value| format!("{{{{ {value} | {filter} }}}}{{{{ missing }}}}"))
    }));
    sources
}

#[test]
fn no_error_of_a_template_holds_a_value() {
    let fields = fields();
    for source in failing() {
        let Ok(template) = Template::compile(&source) else { continue };
        let Err(error) = template.render(&Context::new(&fields), 1 << 20) else { continue };
        let shown = format!("{error} {error:?} {}", error.remedy());
        for value in [MARKER, NUMBER, &MARKER.to_lowercase(), &MARKER.to_uppercase()] {
            assert!(!shown.contains(value), "{source}: {shown}");
        }
    }
}

#[test]
fn the_failing_templates_do_fail() {
    let fields = fields();
    for source in failing() {
        let Ok(template) = Template::compile(&source) else { continue };
        assert!(template.render(&Context::new(&fields), 1 << 20).is_err(), "{source}");
    }
}

#[test]
fn no_error_of_a_format_holds_a_value() {
    for value in [FieldValue::Null, FieldValue::from(&*format!("{MARKER}\0"))] {
        for name in ["ok", "not ok"] {
            let fields: Fields = [(name.to_owned(), value.clone())].into_iter().collect();
            for format in [Format::Dotenv, Format::Json, Format::Yaml, Format::Properties] {
                for limit in [3, 1000] {
                    let Err(error) = format.render(&fields, limit) else { continue };
                    let shown = format!("{error} {error:?}");
                    assert!(!shown.contains(MARKER), "{shown}");
                }
            }
        }
    }
}

#[test]
fn no_error_of_a_format_holds_a_name_within_a_field() {
    let long = MARKER.repeat(100);
    let inner = FieldValue::Map([(long, FieldValue::Null)].into_iter().collect());
    for value in [inner.clone(), FieldValue::List(vec![inner])] {
        let fields: Fields = [("field".to_owned(), value)].into_iter().collect();
        let error = Format::Yaml.render(&fields, 1 << 20).unwrap_err().to_string();
        assert!(error.starts_with("field `field` has or holds a longer name"), "{error}");
    }
}

#[test]
fn debug_of_what_holds_values_shows_none() {
    let fields: Fields = [("v".to_owned(), MARKER.into())].into_iter().collect();
    let context = Context::new(&fields);
    let rendered = Template::compile("{{ v }}").unwrap().render(&context, 100).unwrap();
    let shown = format!("{context:?} {rendered:?} {:?}", field_text(&MARKER.into()));
    assert!(!shown.contains(MARKER), "{shown}");
}
