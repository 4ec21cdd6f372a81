//! Go templates of both dialects: compiling and rendering are deterministic and bounded, and no error shows a value.

#![no_main]

use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use secrets_sync::secret::{AnswerPath, Answers, FieldValue};
use secrets_sync::template::fuzzing::render;
use secrets_sync::template::{Context, Dialect, RenderError, Template, TemplateEngine};
use secrets_sync_fuzz::{MARKER, assert_hides, fields, names, parts};

const LIMIT: usize = 4096;
const TIME: Duration = Duration::from_millis(100);

fuzz_target!(|input: &str| {
    let [source, json] = parts(input);
    let mut fields = fields(json).unwrap_or_default();
    fields.insert("marked".to_owned(), FieldValue::from(format!("{MARKER} {MARKER}").as_str()));
    let mut answers = Answers::default();
    let data = [("Data".to_owned(), FieldValue::Map(fields.clone()))];
    answers.insert(AnswerPath::plain("kv/app"), FieldValue::Map(data.into_iter().collect()));
    let context = Context::with_answers(&fields, &answers);
    for engine in [TemplateEngine::Go, TemplateEngine::ConsulTemplate] {
        let dialect = Dialect { engine, ..Dialect::default() };
        let compile = || Template::compile_as(source, dialect.clone());
        let template = match (compile(), compile()) {
            (Ok(template), Ok(_)) => template,
            (Err(first), Err(second)) => {
                assert_eq!(first, second);
                continue;
            }
            _ => panic!("once compiled, once not"),
        };
        let begun = Instant::now();
        let first = render(&template, &context, LIMIT, TIME);
        assert!(begun.elapsed() < Duration::from_secs(5), "it ran for {:?}", begun.elapsed());
        match (first, render(&template, &context, LIMIT, TIME)) {
            (Ok(first), Ok(second)) => {
                assert!(first.len() <= LIMIT);
                assert!(first == second, "two renderings differ");
            }
            (Err(first), second) => {
                assert_hides(&first, &format!("{source}{}", names(&fields)));
                let ran_out = |error: &RenderError| matches!(error, RenderError::TooMuch(_));
                assert!(ran_out(&first) || second.is_err_and(|second| ran_out(&second) || second == first));
            }
            (Ok(_), Err(second)) => {
                assert!(matches!(second, RenderError::TooMuch(_)), "once rendered, once not")
            }
        }
    }
});
