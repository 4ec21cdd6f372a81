//! Other tools' files → a configuration, and a report of what became of each field.
//!
//! Files are recognised by their content. All files of one call are converted together, because a manifest may name what
//! another file holds.

mod document;
mod fields;
mod foreign;
mod go_tool;
mod manifest;
mod notation;
mod object;
mod options;
mod print;
mod report;
mod yaml_text;

use crate::config::diagnostic::Report;
use crate::config::value::Node;
use crate::config::yaml;
use document::Document;
use foreign::ForeignSource;
use object::Object;
pub use options::{ConvertInput, ConvertOptions};
pub use report::{ConversionReport, ConversionResult, FieldOutcome, ReportLine};

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

/// Converts all files together.
///
/// # Errors
/// A file is no YAML: the place of the mistake, for each such file.
pub fn convert(inputs: &[ConvertInput], options: &ConvertOptions) -> Result<Conversion, Vec<Report>> {
    let mut report = ConversionReport::default();
    let (mut files, mut broken) = (Vec::new(), Vec::new());
    for ConvertInput { name, text, is_named } in inputs {
        match yaml::documents(text) {
            Ok(roots) => match foreign_documents(text, &roots) {
                Some(found) => refuse(name, &found, &mut report),
                None => files.push(YamlFile { name, is_named: *is_named, roots }),
            },
            Err(diagnostics) => match foreign::recognise_broken(text) {
                Some(found) => refuse(name, &found, &mut report),
                None => broken.push(Report { file: name.clone(), diagnostics }),
            },
        }
    }
    if !broken.is_empty() {
        return Err(broken);
    }
    let mut document = Document::default();
    convert_yaml(&files, options, &mut document, &mut report);
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

/// What a text that is YAML is instead of manifests or a configuration.
fn foreign_documents(text: &str, roots: &[Node]) -> Option<ForeignSource> {
    let is_ours = |root: &Node| {
        object::child(root, "kind").is_some()
            || go_tool::is_one(root)
            || object::child(root, "secretStore").is_some()
    };
    if roots.iter().any(is_ours)
        || roots.iter().any(|root| object::objects("", root).is_ok_and(|found| !found.is_empty()))
    {
        return None;
    }
    let services = roots.iter().find_map(|root| object::child(root, "services"));
    let composed = services.filter(|services| services.entries().is_some());
    foreign::recognise(text).or_else(|| foreign::compose(composed?.position.line))
}

fn convert_yaml(
    files: &[YamlFile<'_>],
    options: &ConvertOptions,
    document: &mut Document,
    report: &mut ConversionReport,
) {
    let (mut objects, mut configurations): (Vec<Object<'_>>, Vec<Object<'_>>) = (Vec::new(), Vec::new());
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
    manifest::convert(&objects, options, document, report);
    for subject in configurations {
        go_tool::convert(subject, document, report);
    }
}
