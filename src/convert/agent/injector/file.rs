//! The annotations of one file → a stanza.

use std::collections::{BTreeMap, BTreeSet};

use super::{Annotation, PodAnnotations, is_true};
use crate::convert::agent::AgentContext;
use crate::convert::agent::body::{self, TemplateBody, TextPlace};
use crate::convert::agent::hook::{FileActions, HookCommand};
use crate::convert::agent::stanza::{self, Stanza};
use crate::convert::document::numbered;
use crate::convert::foreign;
use crate::convert::origin::Origin;
use crate::convert::report::{ConversionReport, FieldOutcome};
use crate::convert::text_origin::TextOrigin;
use crate::disk::FileMode;
use crate::template::go::lexer::Delimiters;

/// What an annotation says of a file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum FilePart {
    /// The path of a secret.
    Secret,
    TemplateFile,
    Template,
    Mode,
    Command,
    /// Its name, and perhaps directories in front of it.
    Name,
    Directory,
    Strictness,
    /// Whether capital letters of its name stay.
    Case,
}

/// What the names of annotations begin with; the name of the file is behind it.
const PARTS: [(&str, FilePart); 9] = [
    ("agent-inject-secret-", FilePart::Secret),
    ("agent-inject-template-file-", FilePart::TemplateFile),
    ("agent-inject-template-", FilePart::Template),
    ("agent-inject-perms-", FilePart::Mode),
    ("agent-inject-command-", FilePart::Command),
    ("agent-inject-file-", FilePart::Name),
    ("secret-volume-path-", FilePart::Directory),
    ("error-on-missing-key-", FilePart::Strictness),
    ("preserve-secret-case-", FilePart::Case),
];

impl FilePart {
    /// What an annotation says, and of which file.
    pub(super) fn of(name: &str) -> Option<(Self, &str)> {
        let part = PARTS.iter().find_map(|(start, part)| Some((*part, name.strip_prefix(start)?)));
        part.filter(|(_, file)| !file.is_empty())
    }
}

/// The annotations of one file.
pub(super) struct FileAnnotations<'n> {
    name: &'n str,
    pub(super) parts: BTreeMap<FilePart, Annotation<'n>>,
}

impl<'n> FileAnnotations<'n> {
    pub(super) fn new(name: &'n str) -> Self {
        Self { name, parts: BTreeMap::new() }
    }

    fn take(&mut self, part: FilePart) -> Option<Annotation<'n>> {
        self.parts.remove(&part)
    }
}

/// The text of a template, and where it stands.
struct TemplateText<'t> {
    text: String,
    place: TextPlace<'t>,
}

/// What all files of a pod have in common.
pub(super) struct InjectedFiles<'p, 'n, 'o> {
    pod: &'p PodAnnotations<'n>,
    context: &'p AgentContext<'o>,
    /// Paths of files that others write.
    taken: &'p BTreeSet<String>,
    /// `secret-volume-path`.
    directory: Option<&'n str>,
    keeps_case: bool,
    is_json: bool,
}

const HELM: &str = "this is a source of Helm: render it first, `helm template NAME CHART --values FILE`, and convert what that prints";

const SUBSTITUTION: &str = "this is filled in by Flux or envsubst: render it first, `flux envsubst --strict < FILE`, and convert what \
                            that prints";

/// What is said of a file that the injector's own template writes.
const DEFAULT_TEXT: &str = "written with the injector's own template, which prints every field and its metadata in Go's notation. \
                            `format: json`, or a template of your own, is easier to read for programs";

impl<'p, 'n, 'o> InjectedFiles<'p, 'n, 'o> {
    pub(super) fn read(
        pod: &'p mut PodAnnotations<'n>,
        context: &'p AgentContext<'o>,
        taken: &'p BTreeSet<String>,
        report: &mut ConversionReport,
    ) -> Self {
        let directory = pod.take("secret-volume-path");
        if let Some(directory) = directory {
            pod.mapped(directory, "the directory of the files", report);
        }
        let case = pod.take("preserve-secret-case");
        if let Some(case) = case {
            pod.mapped(case, "the names of the files", report);
        }
        let default = pod.take("agent-inject-default-template");
        if let Some(default) = default {
            pod.mapped(default, "the template of files without one", report);
        }
        Self {
            pod,
            context,
            taken,
            directory: directory.map(|found| found.text),
            keeps_case: case.is_some_and(|found| is_true(found.text)),
            is_json: default.is_some_and(|found| found.text.trim() == "json"),
        }
    }

    /// The stanzas of all files; those of which something is refused are left out.
    pub(super) fn stanzas(
        &self,
        files: Vec<FileAnnotations<'n>>,
        report: &mut ConversionReport,
    ) -> Vec<Stanza> {
        let workload = self.workload();
        let own = |directory: &str, file: &str| self.context.options.placed(&format!("{directory}/{file}"));
        let names: Vec<_> = files.iter().map(|file| self.file_name(file)).collect();
        let is_free = |directory: &str| !names.iter().any(|name| self.taken.contains(&own(directory, name)));
        let directory = numbered(&workload, is_free);
        if directory != workload {
            let outcome = FieldOutcome::Mapped(format!(
                "another object writes into {workload}: the files of this one lie in {directory}"
            ));
            report.warn(&self.pod.object, "", self.pod.object.position(), outcome);
        }
        let stanza =
            |(file, name): (FileAnnotations<'n>, String)| self.stanza(file, &name, &directory, report);
        files.into_iter().zip(names).filter_map(stanza).collect()
    }

    /// A directory for the files of the pod: the name of what makes it.
    fn workload(&self) -> String {
        let object = &self.pod.object;
        let metadata = crate::convert::object::child(object.node, "metadata");
        let generated = metadata.and_then(|metadata| crate::convert::object::text(metadata, "generateName"));
        let name = if object.name.is_empty() { generated.unwrap_or_default() } else { object.name };
        let letter = |letter: char| {
            if letter.is_ascii_alphanumeric() || "._-".contains(letter) { letter } else { '-' }
        };
        let name: String = name.trim_end_matches('-').chars().map(letter).collect();
        if name.trim_matches(['.', '-']).is_empty() { object.kind.to_lowercase() } else { name }
    }

    /// The name of a file, below its directory.
    fn file_name(&self, file: &FileAnnotations<'_>) -> String {
        if let Some(named) = file.parts.get(&FilePart::Name) {
            return named.text.trim_matches('/').to_owned();
        }
        let own = file.parts.get(&FilePart::Case).map(|case| is_true(case.text));
        if own.unwrap_or(self.keeps_case) { file.name.to_owned() } else { file.name.to_lowercase() }
    }

    fn stanza(
        &self,
        mut file: FileAnnotations<'n>,
        name: &str,
        directory: &str,
        report: &mut ConversionReport,
    ) -> Option<Stanza> {
        let pod = self.pod;
        let refusals = report.refusals();
        let found = [FilePart::Secret, FilePart::Template, FilePart::TemplateFile];
        let Some(first) = found.iter().find_map(|part| file.parts.get(part).copied()) else {
            let reason =
                format!("the injector ignores it: there is no annotation agent-inject-secret-{}", file.name);
            for annotation in file.parts.into_values() {
                pod.lost(annotation, reason.clone(), report);
            }
            return None;
        };
        for annotation in file.parts.values() {
            self.refuse_marks(*annotation, report);
        }
        let path = self.path(&mut file, name, directory, first, report);
        let mode = self.mode(&mut file, report);
        let body = self.body(&mut file, report);
        if let Some(strictness) = file.take(FilePart::Strictness) {
            if is_true(strictness.text) {
                pod.mapped(strictness, "it is always so", report);
            } else {
                pod.dropped(strictness, stanza::LAX, report);
            }
        }
        let annotation = first.entry.key.rsplit('/').next().unwrap_or_default();
        let title = format!("{annotation} of {}", pod.object.title());
        let origin = Origin { file: pod.object.file.to_owned(), title, position: first.entry.position };
        let mut actions = FileActions::default();
        if let Some(command) = file.take(FilePart::Command) {
            let words = [command.text.to_owned()];
            let path = path.as_deref().unwrap_or(name);
            let hook = HookCommand { words: &words, path, origin: &origin.comment(), timeout: None };
            pod.changed(command, hook.add_to(&mut actions), report);
        }
        let stanza = Stanza::of_template(origin, path?, mode?, body?).with_actions(actions);
        (report.refusals() == refusals).then_some(stanza)
    }

    /// Marks of tools that fill in manifests: a path or a name with one is none yet. Templates are looked at as such.
    fn refuse_marks(&self, annotation: Annotation<'_>, report: &mut ConversionReport) {
        let is_template = annotation.text.contains('\n') || annotation.text.contains("{{");
        if foreign::is_helm(annotation.text) {
            self.pod.refused(annotation, HELM, report);
        } else if !is_template && annotation.text.contains("${") {
            self.pod.refused(annotation, SUBSTITUTION, report);
        }
    }

    fn path(
        &self,
        file: &mut FileAnnotations<'_>,
        name: &str,
        directory: &str,
        first: Annotation<'_>,
        report: &mut ConversionReport,
    ) -> Option<String> {
        let pod = self.pod;
        let (named, own) = (file.take(FilePart::Name), file.take(FilePart::Directory));
        if let Some(case) = file.take(FilePart::Case) {
            pod.mapped(case, "the name of the file", report);
        }
        if name.split('/').any(|part| matches!(part, "" | "." | "..")) {
            let remedy = "the name of the file leads out of its directory: name a file below it";
            pod.refused(named.unwrap_or(first), remedy, report);
            if let Some(own) = own {
                pod.dropped(own, "the file is refused", report);
            }
            return None;
        }
        let volume = own.map(|own| own.text).or(self.directory);
        let below = |directory: &str| self.context.options.placed(&format!("{directory}/{name}"));
        let path = below(volume.map_or(directory, |volume| volume.trim_end_matches('/')));
        let free = if self.taken.contains(&path) { below(directory) } else { path.clone() };
        if free != path {
            let to = format!("path: {free}, because another object writes {path}");
            pod.changed(own.or(named).unwrap_or(first), to, report);
        } else if let Some(own) = own {
            pod.mapped(own, format!("the directory of {free}"), report);
        }
        if let Some(named) = named.filter(|_| free == path || own.is_some()) {
            pod.mapped(named, format!("path: {free}"), report);
        }
        Some(free)
    }

    fn mode(&self, file: &mut FileAnnotations<'_>, report: &mut ConversionReport) -> Option<String> {
        let annotation = file.take(FilePart::Mode);
        match (&self.context.options.mode, annotation) {
            (Some(mode), Some(annotation)) => {
                self.pod.mapped(annotation, format!("{mode}: --mode says so"), report);
                Some(mode.clone())
            }
            (Some(mode), None) => Some(mode.clone()),
            (None, None) => Some(stanza::MODE.to_owned()),
            (None, Some(annotation)) => match FileMode::parse(annotation.text.trim()) {
                Ok(mode) => {
                    self.pod.mapped(annotation, "mode", report);
                    Some(mode.to_string())
                }
                Err(error) => {
                    let remedy =
                        format!("the mode {error}: correct it there, or give all files one with --mode");
                    self.pod.refused(annotation, remedy, report);
                    None
                }
            },
        }
    }

    /// The text of the file, and what it reads.
    fn body(&self, file: &mut FileAnnotations<'n>, report: &mut ConversionReport) -> Option<TemplateBody> {
        let pod = self.pod;
        let secret = file.take(FilePart::Secret);
        let named = file.take(FilePart::TemplateFile);
        let template = file.take(FilePart::Template);
        if let Some(secret) = secret.filter(|_| template.is_some() || named.is_some()) {
            pod.mapped(secret, "the template says what is read", report);
        }
        let found;
        let text = match (template, named) {
            (Some(template), named) => {
                if let Some(named) = named {
                    pod.dropped(named, "the text in agent-inject-template counts", report);
                }
                pod.mapped(template, "the template of the file", report);
                TemplateText { text: template.text.to_owned(), place: self.place(template) }
            }
            (None, Some(named)) => {
                found = (self.context.templates)(named.text, pod.object.file);
                let Some(first) = found.first() else {
                    let remedy = format!(
                        "{:?} is not in the input: name its directory with --template-dir, or put the text into \
                         agent-inject-template",
                        named.text
                    );
                    pod.refused(named, remedy, report);
                    return None;
                };
                pod.mapped(named, format!("the text of {}", first.name), report);
                TemplateText { text: first.text.to_string(), place: TextPlace::of_found(first) }
            }
            (None, None) => {
                let secret = secret?;
                let text = default_text(secret.text, self.is_json);
                let origin = TextOrigin::at(secret.entry.node.position);
                let place = TextPlace { origin, ..self.place(secret) };
                let body = body::of_text(&text, Delimiters::default(), &place, self.context, report)?;
                pod.changed(secret, DEFAULT_TEXT, report);
                return Some(body);
            }
        };
        body::of_text(&text.text, Delimiters::default(), &text.place, self.context, report)
    }

    fn place(&self, annotation: Annotation<'n>) -> TextPlace<'n> {
        TextPlace {
            file: self.pod.object.file,
            object: self.pod.object.title(),
            path: format!("{}.{}", self.pod.path, annotation.entry.key),
            origin: TextOrigin::of_node(&annotation.entry.node),
        }
    }
}

/// What the injector writes for a secret without a template.
fn default_text(path: &str, is_json: bool) -> String {
    let open = format!("{{{{ with secret {path:?} }}}}");
    if is_json {
        format!("{open}{{{{ .Data | toJSON }}}}\n{{{{ end }}}}")
    } else {
        format!("{open}{{{{ range $k, $v := .Data }}}}{{{{ $k }}}}: {{{{ $v }}}}\n{{{{ end }}}}{{{{ end }}}}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_annotations_say_what_they_are_for() {
        for (name, part, file) in [
            ("agent-inject-secret-app.env", Some(FilePart::Secret), "app.env"),
            ("agent-inject-template-file-x", Some(FilePart::TemplateFile), "x"),
            ("agent-inject-template-x-y", Some(FilePart::Template), "x-y"),
            ("secret-volume-path-x", Some(FilePart::Directory), "x"),
            ("secret-volume-path", None, ""),
            ("agent-inject-secret-", None, ""),
            ("agent-inject-token", None, ""),
        ] {
            let found = FilePart::of(name);
            assert!(found.map(|(part, _)| part) == part, "{name}");
            assert_eq!(found.map_or("", |(_, file)| file), file, "{name}");
        }
    }
}
