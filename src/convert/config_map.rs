//! `ConfigMap`s: configurations of Agents, and templates, that lie in their keys.

use std::cell::Cell;
use std::path::Path;

use zeroize::Zeroizing;

use super::agent::{self, AgentContext, AgentOutput};
use super::detect;
use super::foreign;
use super::object::{self, Object};
use super::options::FoundTemplate;
use super::report::{ConversionReport, FieldOutcome};
use super::text_origin::TextOrigin;
use crate::config::diagnostic::Position;
use crate::config::value::{MappingEntry, Node};

/// A key of a `ConfigMap` that holds more than data.
pub(super) struct ConfigMapText<'n> {
    pub(super) object: Object<'n>,
    entry: &'n MappingEntry,
    text: &'n str,
    origin: TextOrigin,
    content: ConfigMapContent,
    /// Whether a configuration names it.
    is_named: Cell<bool>,
}

enum ConfigMapContent {
    /// The configuration of an Agent.
    Agent(Node),
    Template,
    /// Something with a mistake, which has its line in the report.
    Refused,
}

/// The injector's configuration of the Agent that stays, and that of the Agent that writes the files before the start.
const STAYS: &str = "config.hcl";
const STARTS: &str = "config-init.hcl";

/// What in all `ConfigMap`s is a configuration or a template.
pub(super) fn texts<'n>(objects: &[Object<'n>], report: &mut ConversionReport) -> Vec<ConfigMapText<'n>> {
    let mut found = Vec::new();
    for object in objects.iter().filter(|object| object.kind == "ConfigMap") {
        let data = object::child(object.node, "data").and_then(Node::entries).unwrap_or_default();
        for entry in data {
            let Some(scalar) = entry.node.scalar() else { continue };
            let (text, origin) = (scalar.text(), TextOrigin::of_node(&entry.node));
            let content = match content(&entry.key, text, origin) {
                Ok(Some(content)) => content,
                Ok(None) => continue,
                Err((position, remedy)) => {
                    let path = format!("data.{}", entry.key);
                    report.add(object, &path, position, FieldOutcome::Refused(remedy));
                    ConfigMapContent::Refused
                }
            };
            let is_named = Cell::new(false);
            found.push(ConfigMapText { object: *object, entry, text, origin, content, is_named });
        }
    }
    found
}

/// What a value is; nothing for data.
fn content(
    key: &str,
    text: &str,
    origin: TextOrigin,
) -> Result<Option<ConfigMapContent>, (Position, String)> {
    let is_template = detect::is_template_name(key) || text.contains("{{") && text.contains("secret \"");
    if detect::is_template_name(key) || !["auto_auth", "template"].iter().any(|word| text.contains(word)) {
        return Ok((is_template && text.contains("secret")).then_some(ConfigMapContent::Template));
    }
    match detect::agent(text) {
        Ok(mut root) => {
            origin.move_tree(&mut root);
            Ok(Some(ConfigMapContent::Agent(root)))
        }
        Err(_) if Path::new(key).extension().is_none_or(|end| end != "hcl") => {
            Ok(is_template.then_some(ConfigMapContent::Template))
        }
        Err(error) => match foreign::recognise_broken(text) {
            Some(found) => {
                let place = origin.place(Position { line: found.line, column: 1 });
                Err((place, format!("this is {}: {}", found.what, found.remedy)))
            }
            None => Err((
                origin.place(error.position),
                format!("{}: {}", detect::NO_CONFIGURATION, error.message),
            )),
        },
    }
}

impl ConfigMapText<'_> {
    /// Whether it is what `agent-configmap: name` means.
    pub(super) fn is_configuration_of(&self, name: &str) -> bool {
        let is_key = [STAYS, STARTS].contains(&self.entry.key.as_str());
        is_key && self.object.name == name && !matches!(self.content, ConfigMapContent::Template)
    }

    /// The template, if `path` may mean it.
    pub(super) fn named(&self, path: &str) -> Option<FoundTemplate> {
        let base = path.rsplit('/').next().unwrap_or(path);
        if !matches!(self.content, ConfigMapContent::Template) || self.entry.key != base {
            return None;
        }
        self.is_named.set(true);
        let text = Zeroizing::new(self.text.to_owned());
        Some(FoundTemplate { name: self.object.file.to_owned(), origin: self.origin, text })
    }

    fn say(&self, outcome: FieldOutcome, report: &mut ConversionReport) {
        report.add(&self.object, &format!("data.{}", self.entry.key), self.entry.position, outcome);
    }
}

/// Converts the configurations. Of the two that the injector takes, the one that stays counts.
pub(super) fn convert_agents(
    texts: &[ConfigMapText<'_>],
    context: &AgentContext<'_>,
    output: &mut AgentOutput<'_>,
    report: &mut ConversionReport,
) {
    for text in texts {
        let ConfigMapContent::Agent(root) = &text.content else { continue };
        let is_same_map = |other: &&ConfigMapText<'_>| std::ptr::eq(other.object.node, text.object.node);
        if text.entry.key == STARTS && texts.iter().filter(is_same_map).any(|other| other.entry.key == STAYS)
        {
            text.say(
                FieldOutcome::Dropped(format!("{STAYS} writes the same files, and more than once")),
                report,
            );
            continue;
        }
        text.say(FieldOutcome::Mapped("the configuration of an Agent".to_owned()), report);
        agent::convert(Object { node: root, ..text.object }, context, output, report);
    }
}

/// Converts the templates that no configuration names.
pub(super) fn convert_templates(
    texts: &[ConfigMapText<'_>],
    context: &AgentContext<'_>,
    output: &mut AgentOutput<'_>,
    report: &mut ConversionReport,
) {
    for text in texts.iter().filter(|text| matches!(text.content, ConfigMapContent::Template)) {
        if text.is_named.get() {
            text.say(FieldOutcome::Mapped("a template that a configuration names".to_owned()), report);
        } else if let Some(found) = text.named(&text.entry.key) {
            agent::convert_template(&text.entry.key, &found, context, output, report);
        }
    }
}

/// Reports the keys of a `ConfigMap` that are data. Gives whether others are there.
pub(super) fn report_data(
    texts: &[ConfigMapText<'_>],
    object: &Object<'_>,
    report: &mut ConversionReport,
) -> bool {
    let own: Vec<_> = texts.iter().filter(|text| std::ptr::eq(text.object.node, object.node)).collect();
    if own.is_empty() {
        return false;
    }
    let data = object::child(object.node, "data").and_then(Node::entries).unwrap_or_default();
    for entry in data.iter().filter(|entry| !own.iter().any(|text| std::ptr::eq(text.entry, *entry))) {
        let reason = "it is no configuration of an Agent, and no template".to_owned();
        report.add(object, &format!("data.{}", entry.key), entry.position, FieldOutcome::Dropped(reason));
    }
    true
}
