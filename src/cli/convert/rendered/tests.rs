//! The recorded configurations of tests/convert/agent, converted and rendered with the recorded answers: the files are
//! those that Go wrote, to the byte.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value as Json;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::*;
use crate::convert::{ConversionResult, ConvertInput, ConvertOptions, FoundTemplate, convert};
use crate::secret::json;

/// Path and text, or a word of the error.
type Different = Result<(&'static str, &'static str), &'static str>;

/// Where a converted configuration writes something else on purpose: the case, and the files that it writes. Nothing:
/// the secret fails with an error that has the word.
const DIFFERENT: [(&str, Different); 2] = [
    // The Agent writes "<no value>" for a field that is missing.
    ("15-lax-missing", Err("nope")),
    // The variables of a process become the lines of one dotenv file.
    ("22-env-template", Ok(("/secrets/agent.env", "DB_USER=app\n"))),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/convert")
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The configuration that a case becomes, and whether nothing of it was refused.
fn configuration(case: &Path) -> (String, bool) {
    let agent = Zeroizing::new(text(&case.join("agent.hcl")));
    let input = ConvertInput { name: "agent.hcl".to_owned(), text: agent, is_named: true };
    let options = ConvertOptions::default();
    let find = |source: &str, _: &str| {
        let found = case.join(Path::new(source).file_name().unwrap());
        let text = fs::read_to_string(&found).ok().map(Zeroizing::new);
        text.map(|text| FoundTemplate::of_file(found.display().to_string(), text)).into_iter().collect()
    };
    let conversion = convert(&[input], &options, &find).unwrap();
    (conversion.configuration, conversion.report.result() != ConversionResult::Refused)
}

/// The recorded answer of a source.
fn answer(source: &Source) -> Option<SourceAnswer> {
    let all: BTreeMap<String, BTreeMap<String, Box<RawValue>>> =
        serde_json::from_str(&text(&folder().join("data.json"))).unwrap();
    let answer = all.get(source.answer_path().unwrap().as_str())?;
    let data = answer.get("data")?;
    let inner: BTreeMap<String, Box<RawValue>> = serde_json::from_str(data.get()).unwrap();
    let Some(metadata) = inner.get("metadata").filter(|_| source.is_kv2(false)) else {
        let metadata = answer.contains_key("lease_id").then(|| {
            let of_lease = answer.iter().filter(|(name, _)| *name != "data").collect::<BTreeMap<_, _>>();
            SecretText::new(serde_json::to_string(&of_lease).unwrap())
        });
        return Some(SourceAnswer { fields: Arc::new(json::fields(data).unwrap()), metadata });
    };
    let fields = Arc::new(json::fields(inner.get("data").unwrap()).unwrap());
    Some(SourceAnswer { fields, metadata: Some(SecretText::new(metadata.get().to_owned())) })
}

/// Only these exist, as for the recorded texts.
fn variable(name: &str) -> String {
    match name {
        "APP_ENV" => "prod",
        "EMPTY" => "",
        _ if name.ends_with("_ADDR") => "https://localhost:8200",
        _ => "placeholder",
    }
    .to_owned()
}

/// Files by their paths: the text, or an error.
type WrittenTexts = BTreeMap<String, Result<String, String>>;

/// The files of a case by their paths: the text, or the error.
fn written(configuration: &str) -> WrittenTexts {
    let jobs = jobs(configuration, variable).unwrap_or_else(|error| panic!("{error}\n{configuration}"));
    let text = |content: SecretBytes| String::from_utf8(content.expose().to_vec()).unwrap();
    let files = files(&jobs, &answer).into_iter();
    files.map(|file| (file.path.display().to_string(), file.content.map(text))).collect()
}

/// What Go wrote.
fn recorded(case: &Path) -> WrittenTexts {
    let expected: Json = serde_json::from_str(&text(&case.join("expected.json"))).unwrap();
    let file = |file: &Json| {
        let path = file["destination"].as_str().unwrap();
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/secrets/{path}") };
        let error = || file["go_message"].as_str().unwrap_or_default().to_owned();
        (path, file["want"].as_str().map(str::to_owned).ok_or_else(error))
    };
    expected["files"].as_array().unwrap().iter().map(file).collect()
}

/// Errors have words of their own.
fn is_same(written: &WrittenTexts, recorded: &WrittenTexts) -> bool {
    let is_same = |(one, other): (&Result<String, String>, &Result<String, String>)| match (one, other) {
        (Ok(one), Ok(other)) => one == other,
        (one, other) => one.is_err() && other.is_err(),
    };
    written.keys().eq(recorded.keys()) && written.values().zip(recorded.values()).all(is_same)
}

#[test]
fn recorded_configurations_write_what_go_wrote() {
    let entries = fs::read_dir(folder().join("agent")).unwrap().map(|entry| entry.unwrap().path());
    let mut cases: Vec<_> = entries.filter(|path| path.join("agent.hcl").is_file()).collect();
    cases.sort();
    let (mut converted, mut wrong) = (0, Vec::new());
    for case in &cases {
        let name = case.file_name().unwrap().to_str().unwrap();
        let (configuration, is_whole) = configuration(case);
        if !is_whole {
            continue;
        }
        converted += 1;
        let written = written(&configuration);
        let is_right = match DIFFERENT.iter().find(|(known, _)| *known == name) {
            None => is_same(&written, &recorded(case)),
            Some((_, Ok((path, text)))) => {
                written == BTreeMap::from([((*path).to_owned(), Ok((*text).to_owned()))])
            }
            Some((_, Err(word))) => {
                written.values().all(|found| found.as_ref().is_err_and(|error| error.contains(word)))
            }
        };
        if !is_right {
            wrong.push(format!("{name}: {written:?}\nGo: {:?}\n{configuration}", recorded(case)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(converted >= 37, "{converted} of {}", cases.len());
}
