//! Templates of the Agent as they stand: what they write of synthetic answers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::synthetic::{SyntheticSecrets, ValueForm};
use super::{ComparedFiles, Unrendered, normal, variable};
use crate::convert::{OriginalRead, OriginalTemplate};
use crate::secret::{AnswerPath, Answers, FieldValue, Fields, SecretText};
use crate::template::go::analysis::GoUses;
use crate::template::go::lexer::Delimiters;
use crate::template::go::parser;
use crate::template::{Context, Dialect, Template, TemplateEngine};

/// Most bytes of a file.
const LIMIT: usize = 16 << 20;

/// Signs around and between the arguments of `writeToFile`, which no synthetic value has.
const BEGIN: char = '\u{1}';
const NEXT: char = '\u{2}';
const END: char = '\u{3}';

/// Fields that every secret has besides those that a template names.
const MORE: [&str; 2] = ["alpha", "z.last"];

/// The fields that `pkiCert` prints.
const PKI: [&str; 3] = ["certificate", "private_key", "issuing_ca"];

/// Adds what the templates read.
pub(super) fn add_secrets(templates: &[OriginalTemplate], secrets: &mut SyntheticSecrets) {
    for template in templates {
        let names = uses(template).map(|uses| names(&uses)).unwrap_or_default();
        for read in &template.reads {
            let all = names.iter().cloned().chain(MORE.map(str::to_owned));
            let of_pki = if read.is_certificate { &PKI[..] } else { &[] };
            let all = all.chain(of_pki.iter().map(|name| (*name).to_owned()));
            secrets.add(&path_of(read, &variable), all);
        }
    }
}

/// The files that a template writes: its own, and those of `writeToFile`.
pub(super) fn outputs(
    template: &OriginalTemplate,
    secrets: &SyntheticSecrets,
    form: ValueForm,
) -> Result<ComparedFiles, Unrendered> {
    let engine = TemplateEngine::ConsulTemplate;
    let variables = template.variables.iter().map(|name| (name.clone(), variable(name))).collect();
    let dialect =
        Dialect { engine, delimiters: template.delimiters.clone(), vars: std::sync::Arc::new(variables) };
    let compiled = Template::compile_as(&marked(template)?, dialect).map_err(|error| error.to_string())?;
    let mut answers = Answers::default();
    for read in &template.reads {
        let fields =
            secrets.fields(&path_of(read, &variable), form).ok_or("it reads nothing that is known")?;
        let path = asked(read, &variable);
        let path = match parameters(read, &variable) {
            none if none.is_empty() => AnswerPath::plain(&path),
            some => {
                let text = |(name, value)| (name, Some(SecretText::new(value)));
                AnswerPath::with_parameters(&path, some.into_iter().map(text).collect())
            }
        };
        answers.insert(path, answer(&fields, read));
    }
    let fields = Fields::default();
    let rendered = compiled.render(&Context::with_answers(&fields, &answers), LIMIT);
    let rendered = rendered.map_err(|error| error.to_string())?;
    // EXPOSE: synthetic values.
    let text =
        String::from_utf8(rendered.expose().to_vec()).map_err(|_| "it writes bytes that are no text")?;
    written(&text, &template.path, template)
}

fn uses(template: &OriginalTemplate) -> Option<GoUses> {
    let delimiters = template.delimiters.clone().map(|(left, right)| Delimiters { left, right });
    Some(GoUses::of(&parser::parse(&template.text, &delimiters.unwrap_or_default()).ok()?))
}

/// Every word that may be the name of a field.
pub(super) fn names(uses: &GoUses) -> Vec<String> {
    let parts = uses.fields.iter().flat_map(|field| field.name.split('.'));
    let parts = parts.filter(|part| !["Data", "data", "metadata"].contains(part)).map(str::to_owned);
    let keys = uses.calls.iter().filter(|call| call.name == "index").flat_map(|call| call.arguments.clone());
    parts.chain(keys.flatten()).collect()
}

/// The path of a call as the Agent asks for it.
fn asked(read: &OriginalRead, variable: &dyn Fn(&str) -> String) -> String {
    joined(&read.path, variable)
}

fn joined(pieces: &[Result<String, String>], variable: &dyn Fn(&str) -> String) -> String {
    pieces.iter().map(|piece| piece.as_ref().map_or_else(|name| variable(name), Clone::clone)).collect()
}

/// What a call sends.
fn parameters(read: &OriginalRead, variable: &dyn Fn(&str) -> String) -> BTreeMap<String, String> {
    let arguments = read.arguments.iter().map(|argument| joined(argument, variable));
    let pair = |argument: String| {
        let (name, value) = argument.split_once('=')?;
        Some((name.trim().to_owned(), value.trim().to_owned()))
    };
    arguments.filter_map(pair).collect()
}

/// Mount and key, without the `data` of KV version 2; behind them the version, or what is sent.
pub(in crate::cli::convert) fn path_of(read: &OriginalRead, variable: &dyn Fn(&str) -> String) -> String {
    let asked = asked(read, variable);
    let (path, query) = asked.split_once('?').map_or((asked.as_str(), ""), |(path, query)| (path, query));
    let path = normal(path);
    let path = if read.is_v2 { path.replacen("/data/", "/", 1) } else { path };
    let parameters = parameters(read, variable);
    if !parameters.is_empty() {
        return with_parameters(&path, parameters.into_iter());
    }
    if query.is_empty() { path } else { format!("{path}?{query}") }
}

/// A path, and what is sent along.
pub(super) fn with_parameters(path: &str, parameters: impl Iterator<Item = (String, String)>) -> String {
    parameters.fold(path.to_owned(), |text, (name, value)| format!("{text}?{name}={value}"))
}

/// What Vault answers.
fn answer(fields: &Fields, read: &OriginalRead) -> FieldValue {
    let map = |entries: Vec<(&str, FieldValue)>| {
        FieldValue::Map(entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    };
    let fields = FieldValue::Map(fields.clone());
    let version = asked(read, &variable)
        .split_once("?version=")
        .map_or("1".to_owned(), |(_, version)| version.to_owned());
    let metadata = map(vec![("version", FieldValue::Number(SecretText::new(version)))]);
    let data = if read.is_v2 { map(vec![("data", fields), ("metadata", metadata)]) } else { fields };
    map(vec![("Data", data)])
}

/// The text, in which `writeToFile` prints its arguments between signs.
fn marked(template: &OriginalTemplate) -> Result<String, Unrendered> {
    let uses = uses(template).ok_or("it does not compile")?;
    let mut calls: Vec<_> = uses.calls.iter().filter(|call| call.name == "writeToFile").collect();
    calls.sort_by_key(|call| call.at);
    let (mut text, mut from) = (String::new(), 0);
    for call in calls {
        let before = vec!["%s"; call.arguments.len().saturating_sub(1)].join(&NEXT.to_string());
        text.push_str(template.text.get(from..call.at).unwrap_or_default());
        text.extend([
            "printf `",
            &BEGIN.to_string(),
            &before,
            &NEXT.to_string(),
            "%v",
            &END.to_string(),
            "`",
        ]);
        from = call.at + "writeToFile".len();
    }
    text.push_str(template.text.get(from..).unwrap_or_default());
    Ok(text)
}

/// Does what the Agent does with the writes in `text`, one after the other.
fn written(text: &str, path: &str, template: &OriginalTemplate) -> Result<ComparedFiles, Unrendered> {
    let (mut outputs, mut own, mut rest) = (ComparedFiles::new(), String::new(), text);
    while let Some((before, behind)) = rest.split_once(BEGIN) {
        let (arguments, after) = behind.split_once(END).ok_or("a value has a sign that ends a file")?;
        own.push_str(before);
        rest = after;
        let arguments: Vec<_> = arguments.split(NEXT).collect();
        let (file, flags, content) = match arguments.as_slice() {
            [file, _, _, _, content] => (file, "", content),
            [file, _, _, _, flags, content] => (file, *flags, content),
            _ => return Err("`writeToFile` has other arguments".to_owned()),
        };
        let content = if flags.contains("newline") { format!("{content}\n") } else { (*content).to_owned() };
        let output = outputs.entry(located(&template.placed(file))).or_default();
        if !flags.contains("append") {
            output.clear();
        }
        output.extend_from_slice(content.as_bytes());
    }
    own.push_str(rest);
    outputs.insert(located(path), own.into_bytes());
    Ok(outputs)
}

/// Where a path of the configuration leads.
pub(super) fn located(path: &str) -> PathBuf {
    Path::new("/").join(path.strip_prefix("./").unwrap_or(path))
}
