//! envconsul: its `secret` blocks become one dotenv file.

use std::collections::{BTreeMap, BTreeSet};

use super::place::{self, AgentSource, KnownMounts};
use super::schedule::AgentSchedule;
use super::stanza::Stanza;
use super::{AgentContext, AgentOutput, dropped, expression, store};
use crate::config::value::Node;
use crate::convert::fields::ObjectFields;
use crate::convert::report::{ConversionReport, FieldOutcome};
use crate::template::go::lexer::Delimiters;

/// What holds for the names of all variables.
#[derive(Clone, Copy)]
struct NameRules {
    is_upper: bool,
    is_clean: bool,
}

/// Keys at the top that have no meaning here.
const DROPPED: [(&str, &str); 8] = [
    ("pristine", "it is the environment of the process that is no longer started here"),
    ("max_stale", "Consul is not read"),
    ("consul", "Consul is not read"),
    ("kill_signal", "SIGTERM stops the program"),
    ("reload_signal", "SIGHUP loads the configuration again"),
    ("log_level", "LOG_LEVEL says it"),
    ("syslog", "the log goes to stderr"),
    ("pid_file", "systemd and containers know the process"),
];

const EXEC: &str = "no process is started or supervised: let systemd (EnvironmentFile) or the container (env_file) read the dotenv file";

/// Converts a configuration of envconsul.
pub(in crate::convert) fn convert(
    file: &str,
    root: &Node,
    context: &AgentContext<'_>,
    output: &mut AgentOutput<'_>,
    report: &mut ConversionReport,
) {
    if expression::refuse(file, "", root, expression::HCL_1, report) {
        return;
    }
    let Some(mut top) = ObjectFields::open(super::subject(file, root), root, String::new(), report) else {
        return;
    };
    let refusals = report.refusals();
    let mut switch = |key: &str, report: &mut ConversionReport| {
        let is_on = top.text(key, report) == Some("true");
        top.mapped(key, "the names of the variables", report);
        is_on
    };
    let rules = NameRules { is_upper: switch("upcase", report), is_clean: switch("sanitize", report) };
    let store = store::convert(&mut top, report);
    top.refused(
        "prefix",
        "Consul is not read: put the values into the secret, or keep envconsul for them",
        report,
    );
    for key in ["exec", "wait"] {
        dropped::all(&mut top, key, EXEC, key == "exec", report);
    }
    for (key, reason) in DROPPED {
        dropped::all(&mut top, key, reason, false, report);
    }
    let (mut text, mut sources) = (String::new(), BTreeSet::new());
    let mut origin = top.origin();
    for block in top.blocks("secret", report) {
        if sources.is_empty() {
            origin = block.origin();
        }
        if let Some((source, lines)) = secret(block, rules, context, report) {
            text.push_str(&lines);
            sources.insert(source);
        }
    }
    dropped::unknown(top, report);
    if sources.is_empty() || report.refusals() > refusals {
        return;
    }
    let path = context.options.placed(&format!("{}.env", super::stem(file)));
    let mode = context.options.mode.clone().unwrap_or_else(|| "0600".to_owned());
    let stanza = Stanza {
        origin,
        path,
        text,
        delimiters: Delimiters::default(),
        sources,
        variables: BTreeMap::new(),
        mode,
        owner: None,
        group: None,
        hooks: Vec::new(),
        written: Vec::new(),
    };
    super::add(file, vec![stanza], store, &AgentSchedule::usual(), output, report);
}

/// The source of one block, and the lines of its variables.
fn secret(
    mut block: ObjectFields<'_>,
    rules: NameRules,
    context: &AgentContext<'_>,
    report: &mut ConversionReport,
) -> Option<(AgentSource, String)> {
    let path = block.text("path", report)?.trim_matches('/').to_owned();
    let mounts =
        KnownMounts { path: context.options.mount_path.as_deref(), versions: &context.options.kv_versions };
    // envconsul asks the server for the version of the mount.
    let placed = match place::of_path(&path, &mounts) {
        Ok(placed) => placed,
        Err(message) => {
            block.refused("path", message, report);
            return None;
        }
    };
    block.mapped("path", "a source", report);
    for doubt in placed.doubts {
        block.warn(FieldOutcome::Mapped(doubt), report);
    }
    let naming = naming(&mut block, &path, report)?;
    let is_v2 = matches!(&placed.source, AgentSource::Kv(source) if source.is_v2);
    let data = if is_v2 { ".Data.data" } else { ".Data" };
    let mut lines = format!("{{{{ with secret {path:?} }}}}");
    let mut keys = block.blocks("key", report);
    if keys.is_empty() {
        let name = naming.format("{{ key }}").replace('%', "%%").replace("{{ key }}", "%s");
        let arguments = " $k".repeat(name.matches("%s").count());
        let name = format!("{{{{ printf {name:?}{arguments}{} }}}}", pipes(rules));
        lines = format!("{lines}{{{{ range $k, $v := {data} }}}}{name}={{{{ $v }}}}\n{{{{ end }}}}");
    }
    for key in &mut keys {
        let name = key.text("name", report).unwrap_or_default().to_owned();
        key.mapped("name", "a variable", report);
        let own = format_of(key, report).ok()?;
        let naming = VariableNaming { format: own.or_else(|| naming.format.clone()), ..naming.clone() };
        let variable = static_name(&naming.format(&name), rules);
        lines = format!("{lines}{variable}={{{{ index {data} {name:?} }}}}\n");
    }
    for key in keys {
        dropped::unknown(key, report);
    }
    lines.push_str("{{ end }}");
    let to = "lines of one dotenv file. Values stand there without quotes, so check values with line breaks, quotes or \"#\"";
    block.warn(FieldOutcome::Mapped(to.to_owned()), report);
    dropped::unknown(block, report);
    Some((placed.source, lines))
}

/// How fields become names: envconsul puts the prefix first, and the format around that.
#[derive(Clone)]
struct VariableNaming {
    prefix: String,
    /// With `{{ key }}` for the name so far.
    format: Option<String>,
}

impl VariableNaming {
    fn format(&self, key: &str) -> String {
        let Self { prefix, format } = self;
        let key = format!("{prefix}{key}");
        format.as_ref().map_or_else(|| key.clone(), |format| format.replace("{{ key }}", &key))
    }
}

/// How the names of the fields of one block are made; nothing where they cannot be.
fn naming(block: &mut ObjectFields<'_>, path: &str, report: &mut ConversionReport) -> Option<VariableNaming> {
    let format = format_of(block, report).ok()?;
    let has_no_prefix = block.text("no_prefix", report).map(|text| text == "true");
    let prefix = block.text("prefix", report).map(str::to_owned);
    for key in ["no_prefix", "prefix"] {
        block.mapped(key, "the names of the variables", report);
    }
    if has_no_prefix.is_none() && prefix.is_none() {
        block.defaulted("no_prefix", "names begin with the path, as envconsul has it", report);
    }
    let of_path = || if has_no_prefix == Some(true) { String::new() } else { format!("{}_", clean(path)) };
    Some(VariableNaming { prefix: prefix.unwrap_or_else(of_path), format })
}

/// `format` of a block, with `{{ key }}` for each of its actions.
///
/// # Errors
/// It is refused.
fn format_of(block: &mut ObjectFields<'_>, report: &mut ConversionReport) -> Result<Option<String>, ()> {
    let Some(text) = block.text("format", report).filter(|text| !text.is_empty()) else { return Ok(None) };
    let mut parts = text.split("{{");
    let mut format = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once("}}") {
            Some((action, rest)) if action.trim() == "key" => {
                format.push_str("{{ key }}");
                format.push_str(rest);
            }
            _ => {
                let remedy = "only `{{ key }}` is read in a format: write a `key` block with `name` and `format` for each field";
                block.refused("format", remedy, report);
                return Err(());
            }
        }
    }
    block.mapped("format", "the names of the variables", report);
    Ok(Some(format))
}

fn pipes(rules: NameRules) -> String {
    let mut pipes = String::new();
    if rules.is_clean {
        pipes.push_str(" | regexReplaceAll \"[^a-zA-Z0-9_]\" \"_\"");
    }
    if rules.is_upper {
        pipes.push_str(" | toUpper");
    }
    pipes
}

fn static_name(name: &str, rules: NameRules) -> String {
    let name = if rules.is_clean { clean(name) } else { name.to_owned() };
    if rules.is_upper { name.to_uppercase() } else { name }
}

fn clean(text: &str) -> String {
    text.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' }).collect()
}

#[cfg(test)]
mod tests;
