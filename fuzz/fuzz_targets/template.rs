//! Templates: compiling and rendering are deterministic and bounded, an undefined name is always an error, and no error
//! shows a value.

#![no_main]

use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use secrets_sync::secret::{FieldValue, Fields, SecretBytes};
use secrets_sync::template::fuzzing::render;
use secrets_sync::template::{Context, RenderError, Template};
use secrets_sync_fuzz::{MARKER, assert_hides, fields, names, parts};

const LIMIT: usize = 4096;
const TIME: Duration = Duration::from_millis(100);

/// A name that no field and, unless the input holds it, no template has.
const NOWHERE: &str = "no_such_field_zq";

fuzz_target!(|input: &str| {
    let [source, json] = parts(input);
    let mut fields = fields(json).unwrap_or_default();
    fields.insert("marked".to_owned(), FieldValue::from(format!("{MARKER} {MARKER}").as_str()));
    let template = match (Template::compile(source), Template::compile(source)) {
        (Ok(template), Ok(_)) => template,
        (Err(first), Err(second)) => return assert_eq!(first, second),
        _ => panic!("once compiled, once not"),
    };
    let context = Context::new(&fields);
    let begun = Instant::now();
    let first = render(&template, &context, LIMIT, TIME);
    assert!(begun.elapsed() < Duration::from_secs(5), "it ran for {:?}", begun.elapsed());
    match (first, render(&template, &context, LIMIT, TIME)) {
        (Ok(first), Ok(second)) => {
            assert!(first.len() <= LIMIT);
            assert!(first == second, "two renderings differ");
            check_strict(source, &fields, &context);
        }
        (Err(first), second) => {
            assert_hides(&first, &format!("{source}{}", names(&fields)));
            assert_hides(&first.remedy(), source);
            assert!(ran_out(&Err(first.clone())) || ran_out(&second) || second == Err(first));
        }
        (Ok(_), second) => assert!(ran_out(&second), "once rendered, once not"),
    }
});

/// Time alone may pass differently from one rendering to the next.
fn ran_out(rendered: &Result<SecretBytes, RenderError>) -> bool {
    matches!(rendered, Err(RenderError::TooMuch(_)))
}

/// What rendered well does not any more when it also prints what is not there.
fn check_strict(source: &str, fields: &Fields, context: &Context) {
    if source.contains(NOWHERE) || fields.value(NOWHERE).is_some() {
        return;
    }
    let Ok(stricter) = Template::compile(&format!("{source}\n{{{{ {NOWHERE} }}}}")) else { return };
    let rendered = render(&stricter, context, LIMIT, TIME);
    assert!(rendered.is_err(), "{NOWHERE} rendered to {rendered:?}");
}
