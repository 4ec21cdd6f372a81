//! Vault Agent and consul-template: their configurations and templates.

mod body;
mod dropped;
mod env_template;
pub(super) mod envconsul;
mod expression;
mod folded;
mod functions;
mod group;
mod hook;
pub(super) mod injector;
mod login;
pub(super) mod nomad;
mod place;
mod problem;
mod schedule;
mod stanza;
mod store;
mod text;
mod wrapped;
mod written;

use std::collections::BTreeSet;
use std::path::Path;

use crate::config::diagnostic::Position;
use crate::config::value::Node;
use crate::convert::document::{Commented, Document};
use crate::convert::fields::ObjectFields;
use crate::convert::notation::Notation;
use crate::convert::object::Object;
use crate::convert::options::{self, ConvertOptions, FoundTemplate};
use crate::convert::origin::Origin;
use crate::convert::report::{ConversionReport, FieldOutcome};
use crate::template::go::lexer::Delimiters;
use group::SecretReads;
use stanza::Stanza;
pub(super) use text::{ReadCall, TextReads, UsedField, reads};

/// What all configurations of one call have in common.
pub(super) struct AgentContext<'o> {
    pub(super) options: &'o ConvertOptions,
    /// The files that `source` may mean, the likeliest first, by its path and the file that names it.
    pub(super) templates: &'o dyn Fn(&str, &str) -> Vec<FoundTemplate>,
}

/// Where secrets go, and what is taken there.
pub(super) struct AgentOutput<'d> {
    pub(super) document: &'d mut Document,
    /// Names of secrets.
    pub(super) names: BTreeSet<String>,
    /// Paths of files.
    pub(super) paths: BTreeSet<String>,
    /// `--output-dir`.
    pub(super) output_dir: String,
}

/// The store of one configuration.
#[derive(Default, PartialEq, Eq, Debug)]
pub(super) struct AgentStore {
    pub(super) entries: Vec<(&'static str, Notation)>,
    /// Where it comes from, and what the operator has to know.
    pub(super) comments: Vec<String>,
    /// What is said of times beside it.
    times: schedule::GivenTimes,
}

impl AgentStore {
    /// A store of which only the environment says something.
    pub(super) fn of_environment() -> Self {
        let entries = vec![("address", Notation::Variable("ADDR")), ("token", Notation::Variable("TOKEN"))];
        Self { entries, ..Self::default() }
    }
}

/// Keys at the top without a counterpart, whose absence changes nothing.
const DROPPED: [(&str, &str); 22] = [
    ("pid_file", "systemd and containers know the process"),
    ("log_level", "LOG_LEVEL says it"),
    ("log_format", "LOG_FORMAT says it"),
    ("log_file", "the log goes to stderr"),
    ("log_rotate_bytes", "the log goes to stderr"),
    ("log_rotate_duration", "the log goes to stderr"),
    ("log_rotate_max_files", "the log goes to stderr"),
    ("syslog", "the log goes to stderr"),
    ("telemetry", "docs/observability.md lists the metrics"),
    ("kill_signal", "SIGTERM stops the program"),
    ("reload_signal", "SIGHUP loads the configuration again"),
    ("dump_signal", "there is no such signal"),
    ("max_stale", "Consul is not read"),
    ("consul", "Consul is not read"),
    ("deduplicate", "Consul is not read"),
    ("block_query_wait", "Consul is not read"),
    ("nomad", "Nomad is not read"),
    ("err_on_failed_lookup", "a secret that cannot be read fails, and disturbs no other"),
    ("template_error_fatal", "a secret that cannot be read fails, and disturbs no other"),
    ("wait", "the files of a secret are published together"),
    ("once", "`secrets-sync run --once` reads everything once and exits"),
    ("parse_only", "`secrets-sync validate` checks a configuration"),
];

/// Keys at the top that something may depend on.
const LOST: [(&str, &str); 8] = [
    (
        "listener",
        "no proxy is served: clients of its address need the Agent, or an address and a login of their own",
    ),
    ("cache", "no proxy is served: clients of the Agent need an address and a login of their own"),
    ("api_proxy", "no proxy is served: clients of the Agent need an address and a login of their own"),
    (
        "exec",
        "no process is started or supervised: let systemd or the container start it, with the files in place",
    ),
    ("disable_keep_alives", "connections are managed by the program"),
    ("disable_idle_connections", "connections are managed by the program"),
    ("plugin_directory", "no program is run for a template"),
    ("import_system_roots", "the system's roots are trusted unless tlsCACert says otherwise"),
];

/// Converts the configuration of an Agent or of consul-template, which is the tree of `subject`.
pub(super) fn convert(
    subject: Object<'_>,
    context: &AgentContext<'_>,
    output: &mut AgentOutput<'_>,
    report: &mut ConversionReport,
) {
    if expression::refuse(subject.file, "", subject.node, expression::HCL_1, report) {
        return;
    }
    expression::warn_of_placeholder(&subject, report);
    let Some(mut top) = ObjectFields::open(subject, subject.node, String::new(), report) else { return };
    let has_files = top.has("template") || top.has("env_template");
    let mut store = store::convert(&mut top, report);
    let schedule = schedule::convert(&mut top, std::mem::take(&mut store.times), report);
    for (key, reason) in DROPPED {
        dropped::all(&mut top, key, reason, false, report);
    }
    for (key, reason) in LOST {
        dropped::all(&mut top, key, reason, true, report);
    }
    for key in ["default_left_delimiter", "default_right_delimiter"] {
        top.refused(key, "write left_delimiter and right_delimiter into each template block", report);
    }
    let mut stanzas = Vec::new();
    for block in top.blocks("template", report) {
        stanzas.extend(stanza::convert(block, context, report));
    }
    stanzas.extend(env_template::convert(&mut top, context, report));
    dropped::unknown(top, report);
    if !has_files {
        let remedy = "nothing here becomes a file: there is no template. A proxy, or a sink for a token, is a task for the Agent";
        report.add(&subject, "", subject.position(), FieldOutcome::Refused(remedy.to_owned()));
        return;
    }
    add(subject.file, stanzas, store, &schedule, output, report);
}

/// Converts a template called `name` that no configuration of the input names.
pub(super) fn convert_template(
    name: &str,
    found: &FoundTemplate,
    context: &AgentContext<'_>,
    output: &mut AgentOutput<'_>,
    report: &mut ConversionReport,
) {
    let FoundTemplate { name: file, origin, text } = found;
    let place = body::TextPlace::of_found(found);
    let Some(body) = body::of_text(text, Delimiters::default(), &place, context, report) else {
        return;
    };
    let position = origin.place(Position { line: 1, column: 1 });
    let title = if name == file { String::new() } else { name.to_owned() };
    let origin = Origin { file: file.clone(), title, position };
    let name = name.rsplit('/').next().unwrap_or(name);
    let name = [".ctmpl", ".tpl", ".tmpl"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
    let mode = context.options.mode.clone().unwrap_or_else(|| stanza::MODE.to_owned());
    let stanza = Stanza::of_template(origin, context.options.placed(name), mode, body);
    let outcome = FieldOutcome::Mapped(format!("{}: no configuration names the template", stanza.path));
    report.note_file(file, position.line, outcome);
    add(file, vec![stanza], AgentStore::of_environment(), &schedule::AgentSchedule::usual(), output, report);
}

fn add(
    file: &str,
    stanzas: Vec<Stanza>,
    store: AgentStore,
    schedule: &schedule::AgentSchedule,
    output: &mut AgentOutput<'_>,
    report: &mut ConversionReport,
) {
    let mut kept = Vec::new();
    for stanza in stanzas.into_iter().flat_map(Stanza::files) {
        if options::leads_out(&stanza.path, &output.output_dir) {
            let remedy = format!("{} leads out of --output-dir: write its path without \"..\"", stanza.path);
            report.refuse_origin(&stanza.origin, remedy);
        } else if output.paths.insert(stanza.path.clone()) {
            kept.push(stanza);
        } else {
            let remedy = format!(
                "it writes {}, and another one does so too: give each its own destination",
                stanza.path
            );
            report.refuse_origin(&stanza.origin, remedy);
        }
    }
    if kept.is_empty() {
        return;
    }
    let AgentStore { entries, mut comments, .. } = store;
    comments.insert(0, format!("from {file}"));
    let store = Commented { comments, value: Notation::map(entries) };
    let is_reading = kept.iter().any(|stanza| !stanza.sources.is_empty());
    let left = if is_reading {
        let store = output.document.describe_store("vault", store);
        let reads = SecretReads { store, schedule };
        group::add(kept, &reads, &mut output.names, output.document)
    } else {
        kept
    };
    for stanza in left {
        let remedy = "it reads no secret: only files of secrets are written. Write it with your usual tool";
        report.refuse_origin(&stanza.origin, remedy.to_owned());
    }
}

/// The name of a file without its directory and its ending.
fn stem(file: &str) -> String {
    let stem = Path::new(file).file_stem().map(|stem| stem.to_string_lossy().into_owned());
    stem.unwrap_or_default()
}

/// The configuration as what reports speak of.
pub(super) fn subject<'n>(file: &'n str, root: &'n Node) -> Object<'n> {
    Object { file, node: root, group: "", version: "", kind: "", name: "", namespace: None }
}

#[cfg(test)]
mod tests;
