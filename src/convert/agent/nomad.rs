//! Jobs of Nomad: the `template` blocks of their tasks.

use super::schedule::AgentSchedule;
use super::{AgentContext, AgentOutput, AgentStore, dropped, expression, hook, stanza};
use crate::config::value::Node;
use crate::convert::fields::ObjectFields;
use crate::convert::notation::Notation;
use crate::convert::object;
use crate::convert::report::{ConversionReport, FieldOutcome};

const OTHERS: &str = "it is Nomad's own matter";

const TOKEN: &str = "Nomad gives each task a token of its own: set VAULT_TOKEN";

/// Converts the templates of a job.
pub(in crate::convert) fn convert(
    file: &str,
    root: &Node,
    context: &AgentContext<'_>,
    output: &mut AgentOutput<'_>,
    report: &mut ConversionReport,
) {
    let Some(mut top) = ObjectFields::open(super::subject(file, root), root, String::new(), report) else {
        return;
    };
    let mut job = NomadJob { store: AgentStore::of_environment(), stanzas: Vec::new(), blocks: 0 };
    for level in top.blocks("job", report) {
        job.labels(level, "job", context, report);
    }
    dropped::rest(top, OTHERS, report);
    if job.blocks == 0 {
        report.refuse_file(file, 1, "nothing here becomes a file: no task has a template");
        return;
    }
    super::add(file, job.stanzas, job.store, &AgentSchedule::usual(), output, report);
}

struct NomadJob {
    store: AgentStore,
    stanzas: Vec<stanza::Stanza>,
    /// How many templates there are.
    blocks: usize,
}

/// Which blocks hold which others. A task may stand in the job itself.
const INNER: [(&str, &str); 3] = [("job", "group"), ("job", "task"), ("group", "task")];

/// Refuses blocks that Nomad repeats, where they would become something.
fn dynamic(block: &mut ObjectFields<'_>, report: &mut ConversionReport) {
    for repeated in block.blocks("dynamic", report) {
        for entry in repeated.entries() {
            if ["group", "task", "template", "vault"].contains(&entry.key.as_str()) {
                let remedy =
                    format!("only Nomad repeats a `dynamic {:?}`: write each block itself", entry.key);
                block.refused("dynamic", remedy, report);
            }
        }
    }
}

impl NomadJob {
    /// The blocks under the labels of `level`.
    fn labels(
        &mut self,
        mut level: ObjectFields<'_>,
        kind: &str,
        context: &AgentContext<'_>,
        report: &mut ConversionReport,
    ) {
        for entry in level.entries() {
            for block in level.blocks(&entry.key, report) {
                self.block(block, kind, context, report);
            }
        }
        dropped::unknown(level, report);
    }

    fn block(
        &mut self,
        mut block: ObjectFields<'_>,
        kind: &str,
        context: &AgentContext<'_>,
        report: &mut ConversionReport,
    ) {
        self.vault(&mut block, report);
        dynamic(&mut block, report);
        for (_, inner) in INNER.iter().filter(|(outer, _)| *outer == kind) {
            for level in block.blocks(inner, report) {
                self.labels(level, inner, context, report);
            }
        }
        if kind == "task" {
            for template in block.blocks("template", report) {
                self.template(template, context, report);
            }
        }
        dropped::rest(block, OTHERS, report);
    }

    fn vault(&mut self, block: &mut ObjectFields<'_>, report: &mut ConversionReport) {
        for mut vault in block.blocks("vault", report) {
            expression::refuse_in(&vault, expression::NOMAD, report);
            if let Some(namespace) = vault.text("namespace", report) {
                self.namespace(namespace, &mut vault, report);
            }
            vault.warn(FieldOutcome::Mapped(TOKEN.to_owned()), report);
            dropped::rest(vault, "Nomad's token is not used", report);
        }
    }

    /// One namespace for all templates of the job.
    fn namespace(&mut self, namespace: &str, vault: &mut ObjectFields<'_>, report: &mut ConversionReport) {
        let value = Notation::text(namespace);
        match self.store.entries.iter().find(|(key, _)| *key == "namespace") {
            Some((_, known)) if *known != value => {
                let remedy =
                    "another task of the job has another namespace: convert each task in a file of its own";
                vault.refused("namespace", remedy, report);
                return;
            }
            Some(_) => {}
            None => self.store.entries.push(("namespace", value)),
        }
        vault.mapped("namespace", "namespace", report);
    }

    fn template(
        &mut self,
        mut block: ObjectFields<'_>,
        context: &AgentContext<'_>,
        report: &mut ConversionReport,
    ) {
        self.blocks += 1;
        if expression::refuse_in(&block, expression::NOMAD, report) {
            return;
        }
        for key in ["destination", "data", "source"] {
            let has_expression = block.text(key, report).is_some_and(|text| text.contains("${"));
            if has_expression && key != "data" {
                block.refused(key, "only Nomad fills in \"${…}\": write the path itself", report);
            }
        }
        if block.text("env", report) == Some("true") {
            block.mapped(
                "env",
                "a file: read it with EnvironmentFile of systemd, or env_file of Compose",
                report,
            );
        } else {
            block.dropped("env", "it is the default", report);
        }
        let mode = block.text("change_mode", report).map(str::to_owned);
        let signal = block.text("change_signal", report).map(str::to_owned);
        let hook = match mode.as_deref() {
            Some("noop") => {
                block.dropped("change_mode", "nothing happens here either", report);
                None
            }
            Some(mode) => {
                let hook = hook::of_task(
                    &task(&block),
                    mode,
                    signal.as_deref(),
                    script(&block),
                    &block.origin().comment(),
                );
                let remedy = hook.remedy.as_deref().unwrap_or_default();
                let to = format!("a hook that is commented out: {remedy}");
                block.changed("change_mode", to, report);
                Some(hook)
            }
            None => {
                block.defaulted("change_mode", "restart in Nomad: nothing is restarted here", report);
                None
            }
        };
        for key in ["change_signal", "change_script", "vault_grace"] {
            dropped::all(&mut block, key, "it belongs to change_mode", false, report);
        }
        if let Some(mut stanza) = stanza::convert(block, context, report) {
            stanza.hooks.extend(hook);
            self.stanzas.push(stanza);
        }
    }
}

/// The task that a template belongs to.
fn task(block: &ObjectFields<'_>) -> String {
    let behind = block.path().rsplit_once(".task").map_or("", |(_, behind)| behind);
    let mut parts = behind.split('.').filter(|part| !part.is_empty() && !part.starts_with('['));
    parts.next().unwrap_or("task").to_owned()
}

/// The program of `change_script`, and its arguments.
fn script(block: &ObjectFields<'_>) -> Vec<String> {
    let Some(script) = block.node("change_script") else { return Vec::new() };
    let script = script.items().and_then(|items| items.first()).unwrap_or(script);
    let command = object::text(script, "command").map(str::to_owned);
    let arguments = object::child(script, "args").and_then(Node::items).unwrap_or_default();
    let arguments = arguments.iter().filter_map(|node| node.scalar()).map(|scalar| scalar.text().to_owned());
    command.into_iter().chain(arguments).collect()
}
