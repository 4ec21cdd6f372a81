//! HCL of the Agent, of consul-template and of jobs: reading and converting are deterministic and bounded, and every line
//! of the report is about a line of the text.

#![no_main]

use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use secrets_sync::convert::{BrokenInput, Conversion, ConvertInput, ConvertOptions, convert};

fn converted(text: &str) -> Result<Conversion, Vec<BrokenInput>> {
    let options = ConvertOptions::default();
    let input = ConvertInput { name: "agent.hcl".to_owned(), text: text.to_owned().into(), is_named: true };
    convert(&[input], &options, &|_, _| Vec::new())
}

fuzz_target!(|text: &str| {
    let begun = Instant::now();
    let first = converted(text);
    assert!(begun.elapsed() < Duration::from_secs(5), "it ran for {:?}", begun.elapsed());
    let lines = text.split('\n').count();
    match (first, converted(text)) {
        (Ok(first), Ok(second)) => {
            assert_eq!(first.configuration, second.configuration);
            for line in first.report.lines() {
                let at = line.position.line as usize;
                assert!((1..=lines).contains(&at), "line {at} of {lines}");
            }
        }
        (Err(first), Err(second)) => {
            let shown = |broken: &[BrokenInput]| broken.iter().map(ToString::to_string).collect::<Vec<_>>();
            assert_eq!(shown(&first), shown(&second));
            for broken in &first {
                if let BrokenInput::Hcl(_, error) = broken {
                    assert!((1..=lines).contains(&(error.position.line as usize)), "{error:?}");
                }
            }
        }
        _ => panic!("once converted, once not"),
    }
});
