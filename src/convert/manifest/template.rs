//! `target.template`: Go templates, which stay as they are, and the files they become.

use crate::config::value::{Node, Scalar};
use crate::config::yaml;
use crate::convert::fields::ObjectFields;
use crate::convert::object::{self, Object};
use crate::convert::report::{ConversionReport, FieldOutcome};

/// What a template section says.
#[derive(Default)]
pub(super) struct ConvertedTemplate {
    /// Output key and text; the last one of equal keys counts.
    pub(super) entries: Vec<(String, String)>,
    /// Whether the fields that are read become files as well (`mergePolicy: Merge`).
    pub(super) keeps_fields: bool,
}

impl ConvertedTemplate {
    fn put(&mut self, key: &str, text: &str) {
        match self.entries.iter_mut().find(|(known, _)| known == key) {
            Some(entry) => text.clone_into(&mut entry.1),
            None => self.entries.push((key.to_owned(), text.to_owned())),
        }
    }
}

/// Functions that only the engine of version 1 has.
const V1_FUNCTIONS: [&str; 6] =
    ["base64decode", "base64encode", "toBytes", "fromJSON", "pemPrivateKey", "pemCertificate"];

/// Converts the section. `config_maps` are those of the input.
pub(super) fn convert(
    mut section: ObjectFields<'_>,
    config_maps: &[Object<'_>],
    report: &mut ConversionReport,
) -> ConvertedTemplate {
    let mut template = ConvertedTemplate::default();
    let is_v1 = engine_version(&mut section, report);
    if let Some(policy) = section.text("mergePolicy", report) {
        template.keeps_fields = policy == "Merge";
        let to = if template.keeps_fields {
            "the fields become files too"
        } else {
            "only the templates become files"
        };
        section.mapped("mergePolicy", to, report);
    }
    for mut source in section.children("templateFrom", report) {
        template_from(&mut source, config_maps, &mut template, report);
        source.finish(report);
    }
    if let Some(mut data) = section.child("data", report) {
        for entry in data.entries() {
            if let Some(text) = data.kept_text(&entry.key, report) {
                template.put(&entry.key, text);
            }
        }
    }
    if is_v1 {
        refuse_v1(&template, &section, report);
    }
    section.dropped("type", "a file has no type", report);
    metadata(&mut section, report);
    section.finish(report);
    template
}

/// Whether the templates are written for version 1, whose fields are bytes.
fn engine_version(section: &mut ObjectFields<'_>, report: &mut ConversionReport) -> bool {
    match section.text("engineVersion", report) {
        Some("v2") => section.mapped("engineVersion", "engine: go", report),
        Some("v1") => {
            section.changed("engineVersion", "engine: go, in which a field is a text", report);
            return true;
        }
        Some(_) => section.refused("engineVersion", "the versions are v1 and v2", report),
        None => {}
    }
    false
}

fn refuse_v1(template: &ConvertedTemplate, section: &ObjectFields<'_>, report: &mut ConversionReport) {
    let is_used = |name: &&&str| template.entries.iter().any(|(_, text)| has_word(text, name));
    if let Some(name) = V1_FUNCTIONS.iter().find(is_used) {
        let reason = format!(
            "{name:?} is a function of engineVersion v1 alone: move the template to v2 first, as External Secrets asks for too"
        );
        section.note(FieldOutcome::Refused(reason), report);
    }
}

/// Whether a word stands in the text on its own.
fn has_word(text: &str, word: &str) -> bool {
    text.split(|letter: char| !letter.is_ascii_alphanumeric()).any(|found| found == word)
}

fn metadata(section: &mut ObjectFields<'_>, report: &mut ConversionReport) {
    let Some(mut metadata) = section.child("metadata", report) else { return };
    for entry in metadata.entries() {
        let names = entry.node.entries().unwrap_or_default();
        if names.iter().any(|name| name.key.contains("reloader")) {
            let reason = "no Secret is there to be watched: restart the reader of the files by other means";
            metadata.lost(&entry.key, reason, report);
        } else {
            metadata.dropped(&entry.key, "a file has no metadata of Kubernetes", report);
        }
    }
    metadata.finish(report);
}

fn template_from(
    source: &mut ObjectFields<'_>,
    config_maps: &[Object<'_>],
    template: &mut ConvertedTemplate,
    report: &mut ConversionReport,
) {
    match source.text("target", report) {
        None | Some("Data") => source.dropped("target", "it is the default", report),
        Some(_) => {
            for key in ["configMap", "secret", "literal", "target", "valuesDecodingStrategy"] {
                source.dropped(key, "a file has no metadata of Kubernetes", report);
            }
            return;
        }
    }
    match source.text("valuesDecodingStrategy", report) {
        Some("None") => source.dropped("valuesDecodingStrategy", "it is the default", report),
        Some(_) => {
            source.refused("valuesDecodingStrategy", "decode in the template: {{ … | b64dec }}", report);
        }
        None => {}
    }
    source.refused(
        "secret",
        "templates in a Secret cannot be read here: put the text into template.data or a ConfigMap",
        report,
    );
    if let Some(literal) = source.node("literal") {
        match literal.scalar() {
            Some(scalar) => {
                let done = keys_and_values(scalar.text(), template);
                tell("literal", done, source, report);
            }
            None => source.refused("literal", "a text is expected", report),
        }
    }
    if let Some(reference) = source.child("configMap", report) {
        config_map(reference, config_maps, template, report);
    }
}

fn tell(
    key: &str,
    done: Result<(), &'static str>,
    fields: &mut ObjectFields<'_>,
    report: &mut ConversionReport,
) {
    match done {
        Ok(()) => fields.changed(
            key,
            "one template per key. The text is no longer read as YAML after it is rendered: check keys whose value has quotes or \
             line breaks",
            report,
        ),
        Err(reason) => {
            fields.refused(key, format!("{reason}: write each key into template.data"), report);
        }
    }
}

/// Stands around the number of an action while the text around the actions is read as YAML.
const MARK: char = '\u{f8ff}';

/// A text that becomes keys and values once it is rendered: its keys must be there before.
fn keys_and_values(text: &str, template: &mut ConvertedTemplate) -> Result<(), &'static str> {
    const NO_MAPPING: &str = "the text is no mapping of YAML before it is rendered";
    const UNKNOWN: &str = "its keys are not known before it is rendered";
    let (masked, actions) = masked(text).ok_or(NO_MAPPING)?;
    let roots = yaml::documents(&masked).map_err(|_| NO_MAPPING)?;
    let entries = roots.first().and_then(Node::entries).filter(|_| roots.len() == 1).ok_or(NO_MAPPING)?;
    if entries.iter().any(|entry| entry.key.contains(MARK) || entry.node.scalar().is_none()) {
        return Err(UNKNOWN);
    }
    for entry in entries {
        let text = entry.node.scalar().map(Scalar::text).unwrap_or_default();
        template.put(&entry.key, &unmasked(text, &actions));
    }
    Ok(())
}

/// The text with a number in place of each action, and the actions.
fn masked(text: &str) -> Option<(String, Vec<&str>)> {
    if text.contains(MARK) {
        return None;
    }
    let (mut masked, mut actions, mut rest) = (String::with_capacity(text.len()), Vec::new(), text);
    while let Some(start) = rest.find("{{") {
        let (before, from) = rest.split_at(start);
        let end = from.find("}}")? + 2;
        let (action, behind) = from.split_at(end);
        masked.push_str(before);
        masked.push(MARK);
        masked.push_str(&actions.len().to_string());
        masked.push(MARK);
        actions.push(action);
        rest = behind;
    }
    masked.push_str(rest);
    Some((masked, actions))
}

fn unmasked(text: &str, actions: &[&str]) -> String {
    let part = |(n, part): (usize, &str)| match part.parse::<usize>().ok().and_then(|n| actions.get(n)) {
        Some(action) if n % 2 == 1 => (*action).to_owned(),
        _ => part.to_owned(),
    };
    text.split(MARK).enumerate().map(part).collect()
}

fn config_map(
    mut reference: ObjectFields<'_>,
    config_maps: &[Object<'_>],
    template: &mut ConvertedTemplate,
    report: &mut ConversionReport,
) {
    let name = reference.text("name", report).unwrap_or_default();
    let namespace = reference.object().namespace;
    let is_meant = |map: &&Object<'_>| {
        map.name == name && (map.namespace == namespace || map.namespace.is_none() || namespace.is_none())
    };
    let Some(data) = config_maps.iter().find(is_meant).and_then(|map| object::child(map.node, "data")) else {
        let remedy = format!(
            "ConfigMap {name} is not in the input: give its manifest too (of a generator, what `kustomize build` \
                              prints)"
        );
        reference.refused("name", remedy, report);
        reference.dropped("items", "they are items of that ConfigMap", report);
        reference.finish(report);
        return;
    };
    reference.mapped("name", "the texts of the ConfigMap", report);
    for mut item in reference.children("items", report) {
        let key = item.text("key", report).unwrap_or_default();
        let as_keys = item.text("templateAs", report) == Some("KeysAndValues");
        match object::text(data, key) {
            Some(text) if as_keys => {
                let done = keys_and_values(text, template);
                tell("key", done, &mut item, report);
            }
            Some(text) => {
                template.put(key, text);
                item.mapped("key", "an entry of template.data", report);
            }
            None => item.refused("key", format!("ConfigMap {name} has no such key"), report),
        }
        item.mapped("templateAs", "how the item is read", report);
        item.finish(report);
    }
    reference.finish(report);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Result<Vec<(String, String)>, &'static str> {
        let mut template = ConvertedTemplate::default();
        keys_and_values(text, &mut template).map(|()| template.entries)
    }

    #[test]
    fn a_literal_with_plain_keys_is_split() {
        let pair = |key: &str, text: &str| (key.to_owned(), text.to_owned());
        assert_eq!(
            split("user: \"{{ .user }}\"\npass: {{ .a | quote }}\nfile: |\n  a={{ .a }}\n"),
            Ok(vec![
                pair("user", "{{ .user }}"),
                pair("pass", "{{ .a | quote }}"),
                pair("file", "a={{ .a }}\n")
            ])
        );
        assert!(split("{{ range $k, $v := . }}\n{{ $k }}: {{ $v }}\n{{ end }}").is_err());
        assert!(split("'{{ .key }}': x\n").is_err());
        assert!(split("a: {{ .b\n").is_err());
        assert!(split("just text").is_err());
    }

    #[test]
    fn words_are_whole() {
        assert!(has_word("{{ .a|base64decode }}", "base64decode"));
        assert!(!has_word("{{ .xbase64decode }}", "base64decode"));
    }
}
