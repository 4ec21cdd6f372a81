//! Other tools' files → a configuration, and a report of what became of each field.
//!
//! Files are recognised by their content. All files of one call are converted together, because a manifest may name what
//! another file holds.

mod agent;
mod config_map;
mod detect;
mod document;
mod dynamic;
mod fields;
mod foreign;
mod go_tool;
mod hcl;
mod manifest;
mod notation;
mod object;
mod options;
mod origin;
mod original;
mod print;
mod report;
mod text_origin;
mod workload;
mod yaml_text;

use std::cell::RefCell;
use std::collections::BTreeSet;

use crate::config::value::Node;
use agent::{AgentContext, AgentOutput};
pub use detect::BrokenInput;
use detect::InputKind;
use document::Document;
use foreign::ForeignSource;
use object::Object;
pub use options::{ConvertInput, ConvertOptions, FoundTemplate, TemplateFinder};
pub use original::{
    OriginalEntry, OriginalField, OriginalPart, OriginalRead, OriginalSecret, OriginalTemplate, Originals,
    originals,
};
pub use report::{ConversionReport, ConversionResult, FieldOutcome, ReportLine};
pub use text_origin::TextOrigin;

/// A configuration, and what is said of it.
#[derive(Debug)]
pub struct Conversion {
    /// The text of the configuration; empty where nothing became a secret or a store.
    pub configuration: String,
    /// What became of each field.
    pub report: ConversionReport,
}

/// A file that is YAML.
struct YamlFile<'i> {
    name: &'i str,
    is_named: bool,
    roots: Vec<Node>,
}

/// Converts all files together. Templates that another file names are looked for among the inputs, and then by
/// `templates`.
///
/// # Errors
/// A file is neither YAML nor HCL: the place of the mistake, for each such file.
pub fn convert(
    inputs: &[ConvertInput],
    options: &ConvertOptions,
    templates: &TemplateFinder<'_>,
) -> Result<Conversion, Vec<BrokenInput>> {
    let mut report = ConversionReport::default();
    let mut document = Document::default();
    let (mut files, mut others, mut broken) = (Vec::new(), Vec::new(), Vec::new());
    for input in inputs {
        match detect::detect(input) {
            Ok(InputKind::Yaml(roots)) => {
                files.push(YamlFile { name: &input.name, is_named: input.is_named, roots });
            }
            Ok(InputKind::Foreign(found)) => refuse(&input.name, &found, &mut report),
            Ok(kind) => others.push((input, kind)),
            Err(error) => broken.push(error),
        }
    }
    if !broken.is_empty() {
        return Err(broken);
    }
    convert_all(&files, &others, options, templates, &mut document, &mut report);
    for (origin, reason) in document.take_unusable() {
        report.refuse_origin(&origin, reason);
    }
    let configuration = if document.is_empty() { String::new() } else { document.into_text() };
    if configuration.is_empty() && report.refusals() == 0 {
        let name = inputs.first().map_or("", |input| input.name.as_str());
        report.refuse_file(name, 1, "nothing here becomes a file: no secret of a store is named");
    }
    Ok(Conversion { configuration, report })
}

fn refuse(file: &str, found: &ForeignSource, report: &mut ConversionReport) {
    report.refuse_file(file, found.line, format!("this is {}: {}", found.what, found.remedy));
}

/// Converts manifests and configurations in YAML, then HCL, and then the templates that nothing names.
fn convert_all(
    files: &[YamlFile<'_>],
    others: &[(&ConvertInput, InputKind)],
    options: &ConvertOptions,
    templates: &TemplateFinder<'_>,
    document: &mut Document,
    report: &mut ConversionReport,
) {
    let (objects, configurations) = yaml_subjects(files, report);
    let texts = config_map::texts(&objects, report);
    let used = RefCell::new(BTreeSet::new());
    let base = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
    let find = |path: &str, near: &str| {
        let is_meant = |(input, kind): &&(&ConvertInput, InputKind)| {
            matches!(kind, InputKind::Template) && base(&input.name) == base(path)
        };
        let inputs: Vec<_> = others.iter().filter(is_meant).map(|(input, _)| *input).collect();
        used.borrow_mut().extend(inputs.iter().map(|input| input.name.as_str()));
        let found = |input: &&ConvertInput| FoundTemplate::of_file(input.name.clone(), input.text.clone());
        let found = inputs.iter().map(found).chain(texts.iter().filter_map(|text| text.named(path)));
        let found: Vec<_> = found.collect();
        if found.is_empty() { templates(path, near) } else { found }
    };
    let context = AgentContext { options, templates: &find };
    let (names, paths) = (BTreeSet::new(), BTreeSet::new());
    let mut output = AgentOutput { document, names, paths, output_dir: options.output_dir.clone() };
    manifest::convert(&objects, &texts, &context, &mut output, report);
    for subject in configurations {
        go_tool::convert(subject, output.document, report);
    }
    config_map::convert_agents(&texts, &context, &mut output, report);
    for (input, kind) in others {
        match kind {
            InputKind::Agent(root) => {
                agent::convert(agent::subject(&input.name, root), &context, &mut output, report);
            }
            InputKind::Envconsul(root) => {
                agent::envconsul::convert(&input.name, root, &context, &mut output, report);
            }
            InputKind::Nomad(root) => agent::nomad::convert(&input.name, root, &context, &mut output, report),
            _ => {}
        }
    }
    for (input, kind) in others {
        if !matches!(kind, InputKind::Template) || used.borrow().contains(input.name.as_str()) {
            continue;
        }
        if !input.is_named && !input.text.contains("secret") {
            report.note_file(&input.name, 1, FieldOutcome::Dropped("it reads no secret".to_owned()));
        } else {
            let found = FoundTemplate::of_file(input.name.clone(), input.text.clone());
            agent::convert_template(&input.name, &found, &context, &mut output, report);
        }
    }
    config_map::convert_templates(&texts, &context, &mut output, report);
}

/// The objects of manifests, and the configurations of the Go tool. Anything else is reported.
fn yaml_subjects<'f>(
    files: &'f [YamlFile<'_>],
    report: &mut ConversionReport,
) -> (Vec<Object<'f>>, Vec<Object<'f>>) {
    let (mut objects, mut configurations) = (Vec::new(), Vec::new());
    for YamlFile { name, is_named, roots } in files {
        if roots.is_empty() {
            report.note_file(name, 1, FieldOutcome::Dropped("the file is empty".to_owned()));
        }
        for root in roots {
            if go_tool::is_one(root) {
                configurations.push(go_tool::subject(name, root));
            } else if object::child(root, "secrets").is_some() || object::child(root, "secretStore").is_some()
            {
                let remedy =
                    "this is a configuration of this program already: `secrets-sync validate FILE` checks it";
                report.refuse_file(name, root.position.line, remedy);
            } else {
                match object::objects(name, root) {
                    Ok(found) => objects.extend(found),
                    Err(node) => {
                        let remedy = "this is neither a manifest of Kubernetes nor a configuration: `secrets-sync init` prints a \
                                      first one";
                        if *is_named {
                            report.refuse_file(name, node.position.line, remedy);
                        } else {
                            let reason =
                                "it is neither a manifest of Kubernetes nor a configuration".to_owned();
                            report.note_file(name, node.position.line, FieldOutcome::Dropped(reason));
                        }
                    }
                }
            }
        }
    }
    (objects, configurations)
}
