//! Files of other tools: converting is deterministic, every line of the report has its place in the input, and what is
//! printed loads.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use secrets_sync::config::Config;
use secrets_sync::config::diagnostic::{Code, Severity};
use secrets_sync::config::env::Env;
use secrets_sync::convert::{Conversion, ConvertInput, ConvertOptions, FoundTemplate, convert};
use secrets_sync_fuzz::parts;

fn converted(texts: [&str; 2]) -> Option<Conversion> {
    let input = |(name, text): (&str, &str)| ConvertInput {
        name: name.to_owned(),
        text: text.to_owned().into(),
        is_named: true,
    };
    let inputs = ["input", "input.ctmpl"].into_iter().zip(texts).map(input);
    let inputs: Vec<_> = inputs.filter(|input| !input.text.is_empty()).collect();
    let options = ConvertOptions::default();
    let find =
        |_: &str, _: &str| vec![FoundTemplate::of_file("other.ctmpl".to_owned(), texts[1].to_owned().into())];
    convert(&inputs, &options, &find).ok()
}

fuzz_target!(|input: &str| {
    let texts = parts::<2>(input);
    let (Some(first), second) = (converted(texts), converted(texts)) else { return };
    let second = second.expect("it was converted once");
    assert!(first.configuration == second.configuration, "two conversions differ");
    assert_eq!(first.report.to_text(true), second.report.to_text(true));
    let lines = input.lines().count() + 2;
    for line in first.report.lines() {
        assert!((1..=lines).contains(&(line.position.line as usize)), "{line:?}");
    }
    let names = first.configuration.split("${").skip(1).filter_map(|rest| rest.split([':', '}']).next());
    let env = Env::from_pairs(names.map(|name| (name, "placeholder")));
    if let Err(report) = Config::parse(&first.configuration, "", &env, Path::new("/")) {
        // Stores are for the operator to complete, and owners are those of the machine.
        for error in report.diagnostics {
            let is_left = error.code.severity() != Severity::Error
                || error.code == Code::BadOwner
                || !["secrets[", "hooks"].iter().any(|start| error.place.path.starts_with(start));
            assert!(is_left || first.configuration.is_empty(), "{} {}", error.place.path, error.message);
            assert!(error.code != Code::YamlSyntax || first.configuration.is_empty(), "{}", error.message);
        }
    }
});
