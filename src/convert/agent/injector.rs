//! Annotations of the agent injector: the files that it would have written into a pod.

mod file;
mod other;
mod store;

use std::collections::{BTreeMap, HashMap};

use super::schedule::{self, AgentSchedule};
use super::{AgentContext, AgentOutput};
use crate::config::value::{MappingEntry, Node};
use crate::convert::object::{Object, child};
use crate::convert::report::{ConversionReport, FieldOutcome};
use crate::convert::workload::PodTemplate;
use file::{FileAnnotations, FilePart, InjectedFiles};

/// What annotations of the injector begin with: those of Vault, and those of OpenBao.
const PREFIXES: [&str; 2] = ["vault.hashicorp.com/", "openbao.openbao.org/"];

/// One annotation, and its text.
#[derive(Clone, Copy)]
struct Annotation<'n> {
    entry: &'n MappingEntry,
    text: &'n str,
}

/// The injector's annotations of one pod.
struct PodAnnotations<'n> {
    object: Object<'n>,
    /// YAML path of the annotations.
    path: String,
    /// Those of the pod as a whole, by name without the prefix.
    of_pod: BTreeMap<&'n str, Annotation<'n>>,
    /// Those of single files, in the order of the manifest.
    of_files: Vec<FileAnnotations<'n>>,
}

/// Converts what the annotations of `pod` ask for. Gives whether there are any.
pub(in crate::convert) fn convert(
    object: Object<'_>,
    pod: &PodTemplate<'_>,
    has_config_map: &dyn Fn(&str) -> bool,
    context: &AgentContext<'_>,
    output: &mut AgentOutput<'_>,
    report: &mut ConversionReport,
) -> bool {
    report_misplaced(&object, pod, report);
    let Some(entries) = pod.annotations().and_then(Node::entries) else { return false };
    if !entries.iter().any(|entry| name_of(&entry.key).is_some()) {
        return false;
    }
    let path = pod.path_of("metadata.annotations");
    let mut annotations = PodAnnotations::read(object, path, entries, report);
    if annotations.is_on(report) && !annotations.has_configuration(has_config_map, report) {
        annotations.convert(context, output, report);
    }
    true
}

/// The name of an annotation of the injector.
fn name_of(key: &str) -> Option<&str> {
    PREFIXES.iter().find_map(|prefix| key.strip_prefix(prefix))
}

/// Annotations of what makes the pods: the injector never sees them.
fn report_misplaced(object: &Object<'_>, pod: &PodTemplate<'_>, report: &mut ConversionReport) {
    if pod.path.is_empty() {
        return;
    }
    let annotations = child(object.node, "metadata").and_then(|metadata| child(metadata, "annotations"));
    for entry in annotations.and_then(Node::entries).unwrap_or_default() {
        if name_of(&entry.key).is_some() {
            let reason = format!(
                "the injector reads the annotations of pods: move it to {}",
                pod.path_of("metadata.annotations")
            );
            let path = format!("metadata.annotations.{}", entry.key);
            report.warn(object, &path, entry.position, FieldOutcome::Dropped(reason));
        }
    }
}

/// What Go reads as true.
fn is_true(text: &str) -> bool {
    matches!(text.trim(), "1" | "t" | "T" | "true" | "TRUE" | "True")
}

impl<'n> PodAnnotations<'n> {
    fn read(
        object: Object<'n>,
        path: String,
        entries: &'n [MappingEntry],
        report: &mut ConversionReport,
    ) -> Self {
        let mut read = Self { object, path, of_pod: BTreeMap::new(), of_files: Vec::new() };
        let mut index = HashMap::new();
        for entry in entries {
            let Some(name) = name_of(&entry.key) else {
                read.say(entry, FieldOutcome::Dropped("it is not the injector's".to_owned()), false, report);
                continue;
            };
            let Some(scalar) = entry.node.scalar() else {
                let reason = format!("this is {}, and a text is expected", entry.node.type_name());
                read.say(entry, FieldOutcome::Refused(reason), false, report);
                continue;
            };
            let annotation = Annotation { entry, text: scalar.text() };
            if annotation.text.trim().is_empty() {
                read.dropped(annotation, "it is empty", report);
                continue;
            }
            let former = match FilePart::of(name) {
                Some((part, file)) => {
                    let at = *index.entry(file).or_insert_with(|| {
                        read.of_files.push(FileAnnotations::new(file));
                        read.of_files.len() - 1
                    });
                    read.of_files.get_mut(at).and_then(|file| file.parts.insert(part, annotation))
                }
                None => read.of_pod.insert(name, annotation),
            };
            if let Some(former) = former {
                read.dropped(former, "it is given twice", report);
            }
        }
        read
    }

    /// Reports one annotation.
    fn say(
        &self,
        entry: &MappingEntry,
        outcome: FieldOutcome,
        is_warning: bool,
        report: &mut ConversionReport,
    ) {
        let path = format!("{}.{}", self.path, entry.key);
        if is_warning {
            report.warn(&self.object, &path, entry.position, outcome);
        } else {
            report.add(&self.object, &path, entry.position, outcome);
        }
    }

    fn mapped(&self, annotation: Annotation<'_>, to: impl Into<String>, report: &mut ConversionReport) {
        self.say(annotation.entry, FieldOutcome::Mapped(to.into()), false, report);
    }

    /// Mapped to something that the operator should look at.
    fn changed(&self, annotation: Annotation<'_>, to: impl Into<String>, report: &mut ConversionReport) {
        self.say(annotation.entry, FieldOutcome::Mapped(to.into()), true, report);
    }

    fn dropped(&self, annotation: Annotation<'_>, reason: impl Into<String>, report: &mut ConversionReport) {
        self.say(annotation.entry, FieldOutcome::Dropped(reason.into()), false, report);
    }

    /// Dropped, and something is different without it.
    fn lost(&self, annotation: Annotation<'_>, reason: impl Into<String>, report: &mut ConversionReport) {
        self.say(annotation.entry, FieldOutcome::Dropped(reason.into()), true, report);
    }

    fn refused(&self, annotation: Annotation<'_>, remedy: impl Into<String>, report: &mut ConversionReport) {
        self.say(annotation.entry, FieldOutcome::Refused(remedy.into()), false, report);
    }

    /// Takes an annotation of the pod, which then needs an outcome.
    fn take(&mut self, name: &str) -> Option<Annotation<'n>> {
        self.of_pod.remove(name)
    }

    /// Drops all that are left.
    fn drop_all(&mut self, reason: &str, is_warning: bool, report: &mut ConversionReport) {
        let of_pod = std::mem::take(&mut self.of_pod).into_values();
        let of_files = std::mem::take(&mut self.of_files).into_iter();
        for annotation in of_pod.chain(of_files.flat_map(|file| file.parts.into_values())) {
            self.say(annotation.entry, FieldOutcome::Dropped(reason.to_owned()), is_warning, report);
        }
    }

    /// Whether the injector does anything with the pod.
    fn is_on(&mut self, report: &mut ConversionReport) -> bool {
        let Some(switch) = self.take("agent-inject") else {
            let path = format!("{}.{}agent-inject", self.path, PREFIXES[0]);
            let outcome = FieldOutcome::Defaulted(
                "true: the injector itself does nothing to a pod without it".to_owned(),
            );
            report.warn(&self.object, &path, self.object.position(), outcome);
            return true;
        };
        if is_true(switch.text) {
            self.mapped(switch, "the files of the pod", report);
            return true;
        }
        self.dropped(switch, "the injector does nothing to this pod", report);
        self.drop_all("agent-inject is false", false, report);
        false
    }

    /// Whether the Agent has a configuration of its own, in a `ConfigMap`.
    fn has_configuration(
        &mut self,
        has_config_map: &dyn Fn(&str) -> bool,
        report: &mut ConversionReport,
    ) -> bool {
        let Some(named) = self.take("agent-configmap") else { return false };
        let name = named.text;
        if has_config_map(name) {
            self.mapped(named, format!("the Agent's configuration in ConfigMap {name}"), report);
        } else {
            let remedy = format!(
                "ConfigMap {name} with config.hcl or config-init.hcl is not in the input: give its manifest too"
            );
            self.refused(named, remedy, report);
        }
        if let Some(once) = self.take("agent-pre-populate-only").filter(|once| is_true(once.text)) {
            let to = "refreshInterval: \"0\", if the configuration in the ConfigMap says exit_after_auth";
            self.mapped(once, to, report);
        }
        for file in std::mem::take(&mut self.of_files) {
            for annotation in file.parts.into_values() {
                self.lost(
                    annotation,
                    "the injector ignores it: the configuration in the ConfigMap counts",
                    report,
                );
            }
        }
        self.drop_all("the configuration in the ConfigMap counts", false, report);
        true
    }

    fn convert(
        mut self,
        context: &AgentContext<'_>,
        output: &mut AgentOutput<'_>,
        report: &mut ConversionReport,
    ) {
        let schedule = self.schedule(report);
        let store = store::convert(&mut self, report);
        let token = self.take("agent-inject-token");
        let writes_token = token.is_some_and(|token| is_true(token.text));
        if let Some(token) = token {
            if writes_token {
                let reason = "no token is written: whatever reads it needs the Agent, or a login of its own";
                self.lost(token, reason, report);
            } else {
                self.dropped(token, "it is the default", report);
            }
        }
        let files = std::mem::take(&mut self.of_files);
        let (is_empty, refusals) = (files.is_empty(), report.refusals());
        let stanzas = InjectedFiles::read(&mut self, context, &output.paths, report).stanzas(files, report);
        let (object, position) = (self.object, self.object.position());
        if is_empty && writes_token {
            let remedy = "nothing here becomes a file: a sink for a token is a task for the Agent".to_owned();
            report.add(&object, &self.path, position, FieldOutcome::Refused(remedy));
        } else if stanzas.is_empty() && report.refusals() == refusals {
            let reason = "no annotation names a secret or a template".to_owned();
            report.warn(&object, &self.path, position, FieldOutcome::Dropped(reason));
        }
        let rest = "the rest of it says how Kubernetes runs the program".to_owned();
        report.add(&object, "", position, FieldOutcome::Dropped(rest));
        other::report(self, report);
        super::add(object.file, stanzas, store, &schedule, output, report);
    }

    fn schedule(&mut self, report: &mut ConversionReport) -> AgentSchedule {
        let interval = self.take("template-static-secret-render-interval");
        let once = self.take("agent-pre-populate-only");
        if let Some(once) = once.filter(|once| is_true(once.text)) {
            let to = "refreshInterval: \"0\"; `secrets-sync run --once` reads everything once and exits";
            self.mapped(once, to, report);
            if let Some(interval) = interval {
                self.dropped(interval, "agent-pre-populate-only is true: there is one read", report);
            }
            return AgentSchedule::once();
        }
        if let Some(once) = once {
            self.dropped(once, "it is the default", report);
        }
        let given = interval.and_then(|interval| match schedule::of_interval(interval.text) {
            Ok(Some(schedule)) => {
                self.mapped(interval, "refreshInterval", report);
                Some(schedule)
            }
            Ok(None) => {
                self.dropped(interval, "it means the default", report);
                None
            }
            Err(remedy) => {
                self.refused(interval, remedy, report);
                None
            }
        });
        given.unwrap_or_else(AgentSchedule::usual)
    }
}

#[cfg(test)]
mod tests;
