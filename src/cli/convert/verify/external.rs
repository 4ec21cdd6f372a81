//! Manifests of External Secrets: the Secret that they would make of synthetic answers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::synthetic::{SyntheticSecrets, ValueForm};
use super::template::{located, names};
use super::{ComparedFiles, LIMIT, Unrendered};
use crate::convert::OriginalSecret;
use crate::render::Job;
use crate::secret::{FieldValue, Fields};
use crate::template::go::analysis::GoUses;
use crate::template::go::lexer::Delimiters;
use crate::template::go::parser;
use crate::template::{Context, Dialect, Template, TemplateEngine};

/// Fields of each secret that is read as a whole.
const MORE: [&str; 2] = ["alpha", "z.last"];

/// Adds what the manifests read.
pub(super) fn add_secrets(originals: &[OriginalSecret], secrets: &mut SyntheticSecrets) {
    for original in originals {
        let used: BTreeSet<String> = original.templates.iter().flat_map(|(_, text)| names_in(text)).collect();
        for part in &original.parts {
            let prefix = part.prefix.as_deref().unwrap_or_default();
            let stripped =
                used.iter().filter_map(|name| name.strip_prefix(prefix)).filter(|name| !name.is_empty());
            let property = part.one.as_ref().and_then(|(_, property)| property.clone());
            let mut fields: Vec<String> = MORE.map(str::to_owned).to_vec();
            if part.one.is_none() {
                fields.extend(stripped.map(str::to_owned));
            }
            fields.extend(property);
            secrets.add(&part.path, fields);
        }
    }
}

fn names_in(text: &str) -> Vec<String> {
    let tree = parser::parse(text, &Delimiters::default());
    tree.map(|tree| names(&GoUses::of(&tree))).unwrap_or_default()
}

/// The keys of the Secret, as files of the directory that the configuration writes.
pub(super) fn outputs(
    original: &OriginalSecret,
    jobs: &[Job],
    secrets: &SyntheticSecrets,
    form: ValueForm,
) -> Result<ComparedFiles, Unrendered> {
    let mut fields: BTreeMap<String, String> = BTreeMap::new();
    for part in &original.parts {
        let read = secrets.fields(&part.path, form).ok_or("it reads nothing that is known")?;
        match &part.one {
            None => {
                for (name, value) in read.iter() {
                    let name = match &part.prefix {
                        Some(prefix) => format!("{prefix}{name}"),
                        None => {
                            name.chars().map(|letter| if is_plain(letter) { letter } else { '_' }).collect()
                        }
                    };
                    fields.insert(name, text_of(value)?);
                }
            }
            Some((name, None)) => drop(fields.insert(name.clone(), whole(&read)?)),
            Some((name, Some(property))) => {
                let value = read.value(property).ok_or("a property that is not there")?;
                fields.insert(name.clone(), text_of(value)?);
            }
        }
    }
    let texts: Fields =
        fields.iter().map(|(name, text)| (name.clone(), FieldValue::from(text.as_str()))).collect();
    let mut keys = if original.keeps_fields { fields } else { BTreeMap::new() };
    for (key, text) in &original.templates {
        let dialect = Dialect { engine: TemplateEngine::Go, ..Dialect::default() };
        let template = Template::compile_as(text, dialect).map_err(|error| error.to_string())?;
        let rendered = template.render(&Context::new(&texts), LIMIT).map_err(|error| error.to_string())?;
        // EXPOSE: synthetic values.
        let rendered =
            String::from_utf8(rendered.expose().to_vec()).map_err(|_| "it writes bytes that are no text")?;
        keys.insert(key.clone(), rendered);
    }
    let directory = directory(original, jobs);
    Ok(keys.into_iter().map(|(key, text)| (directory.join(key), text.into_bytes())).collect())
}

/// The directory among those of the original that the configuration writes into; the first where it writes into none.
pub(super) fn directory(original: &OriginalSecret, jobs: &[Job]) -> PathBuf {
    let is_written = |directory: &&String| {
        let path = located(directory);
        let is_it = |path_of: &Path| path_of == path;
        jobs.iter().any(|job| {
            job.secret.directory.as_ref().is_some_and(|directory| is_it(directory.path.as_path()))
                || job
                    .secret
                    .files
                    .iter()
                    .any(|file| file.placement.target.as_path().parent().is_some_and(is_it))
        })
    };
    let found = original.directories.iter().rev().find(is_written).or(original.directories.first());
    located(found.map_or("", String::as_str))
}

fn is_plain(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || "-._".contains(letter)
}

fn text_of(value: &FieldValue) -> Result<String, Unrendered> {
    match value {
        // EXPOSE: synthetic values.
        FieldValue::Text(text) | FieldValue::Number(text) => Ok(text.expose().to_owned()),
        _ => Err("a value that is no text".to_owned()),
    }
}

/// A secret as Go writes JSON: keys sorted, and three signs escaped.
fn whole(fields: &Fields) -> Result<String, Unrendered> {
    let mut entries = Vec::new();
    for (name, value) in fields {
        let text = text_of(value)?;
        let value = if matches!(value, FieldValue::Number(_)) { text } else { json(&text) };
        entries.push(format!("{}:{value}", json(name)));
    }
    Ok(format!("{{{}}}", entries.join(",")))
}

fn json(text: &str) -> String {
    let plain = serde_json::Value::from(text).to_string();
    plain.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}
