//! `vault:path#key` in variables of containers, as Bank-Vaults' webhook reads it: one dotenv file per container.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::place::{KvPlace, StoreMount};
use super::secret::ConvertedSecret;
use super::stores::ManifestStores;
use crate::config::value::{Node, Scalar};
use crate::convert::dynamic::{self, ConvertedTerms, DynamicSource};
use crate::convert::fields::ObjectFields;
use crate::convert::notation::Notation;
use crate::convert::notation::StoreKey;
use crate::convert::object::{Object, child};
use crate::convert::origin::Origin;
use crate::convert::report::{ConversionReport, FieldOutcome};
use crate::convert::workload::PodTemplate;

/// What all annotations of the webhook begin with, formerly and today.
const PREFIXES: [&str; 2] = ["vault.security.banzaicloud.io/", "secrets-webhook.security.bank-vaults.io/"];

/// The webhook's name of an annotation.
fn annotation_name(key: &str) -> Option<&str> {
    PREFIXES.iter().find_map(|prefix| key.strip_prefix(prefix))
}

/// Reads the variables of all containers of a pod.
pub(super) fn convert(
    object: Object<'_>,
    pod: &PodTemplate<'_>,
    stores: &mut ManifestStores,
    report: &mut ConversionReport,
) -> Vec<ConvertedSecret> {
    let path = pod.path_of("spec");
    let Some(node) = child(pod.node, "spec") else { return Vec::new() };
    let Some(mut spec) = ObjectFields::open(object, node, path, report) else { return Vec::new() };
    let mut containers = spec.children("initContainers", report);
    containers.extend(spec.children("containers", report));
    refuse_whole_secrets(object, pod, report);
    let mut converted = Vec::new();
    let mut described = None;
    for mut container in containers {
        let name = container.text("name", report).unwrap_or("app");
        let variables = container.children("env", report);
        if variables.iter().any(|variable| {
            is_reference(variable.node("value").and_then(|node| node.scalar()).map(Scalar::text))
        }) {
            let store = described.get_or_insert_with(|| store(object, pod, stores, report));
            converted.extend(one_file(object, name, variables, store, report));
        }
    }
    converted
}

/// Annotations that make every field of a secret a variable.
fn refuse_whole_secrets(object: Object<'_>, pod: &PodTemplate<'_>, report: &mut ConversionReport) {
    let entries = pod.annotations().and_then(|node| node.entries()).unwrap_or_default();
    for entry in entries {
        if matches!(annotation_name(&entry.key), Some("vault-from-path" | "vault-env-from-path")) {
            let remedy = "every field becomes a variable: write a secret with this key, and one file with `format: dotenv`";
            let path = format!("{}.{}", pod.path_of("metadata.annotations"), entry.key);
            report.add(&object, &path, entry.position, FieldOutcome::Refused(remedy.to_owned()));
        }
    }
}

/// Refuses the values of a `ConfigMap` or a Secret that name secrets; whether there are any.
pub(super) fn refuse_values(object: &Object<'_>, report: &mut ConversionReport) -> bool {
    if !object.group.is_empty() || !matches!(object.kind, "ConfigMap" | "Secret") {
        return false;
    }
    let mut has_any = false;
    for section in ["data", "stringData"] {
        let entries = child(object.node, section).and_then(Node::entries).unwrap_or_default();
        for entry in entries {
            let Some(text) = entry.node.scalar().map(Scalar::text) else { continue };
            let decoded = if object.kind == "Secret" && section == "data" { decoded(text) } else { None };
            if is_reference(Some(decoded.as_deref().map_or(text, String::as_str))) {
                has_any = true;
                let remedy = "references are read in variables of containers alone: write a secret with this key, and a file of its \
                              field";
                let path = format!("{section}.{}", entry.key);
                report.add(object, &path, entry.position, FieldOutcome::Refused(remedy.to_owned()));
            }
        }
    }
    has_any
}

/// What a Secret holds in base64, where it is text.
fn decoded(text: &str) -> Option<Zeroizing<String>> {
    let bytes = Zeroizing::new(STANDARD.decode(text.trim()).ok()?);
    std::str::from_utf8(&bytes).ok().map(|text| Zeroizing::new(text.to_owned()))
}

/// Whether a value names a secret.
fn is_reference(value: Option<&str>) -> bool {
    value.is_some_and(|value| {
        value.starts_with("vault:") || value.starts_with(">>vault:") || value.contains("${vault:")
    })
}

/// The store that the annotations of the pod describe.
fn store(
    object: Object<'_>,
    pod: &PodTemplate<'_>,
    stores: &mut ManifestStores,
    report: &mut ConversionReport,
) -> StoreKey {
    let mut entries = Vec::new();
    let mut comments = vec![format!("from annotations of {} ({})", object.title(), object.file)];
    let has_own = |node: &&Node| {
        node.entries().unwrap_or_default().iter().any(|entry| annotation_name(&entry.key).is_some())
    };
    let of_object = || child(child(object.node, "metadata")?, "annotations").filter(has_own);
    let (node, path) = match pod.annotations().filter(has_own) {
        Some(node) => (Some(node), pod.path_of("metadata.annotations")),
        // Old versions of the webhook read those of a workload, too.
        None => (of_object(), "metadata.annotations".to_owned()),
    };
    if let Some(mut annotations) = node.and_then(|node| ObjectFields::open(object, node, path, report)) {
        for entry in annotations.entries() {
            let Some(name) = annotation_name(&entry.key) else {
                annotations.dropped(&entry.key, "it is not the webhook's", report);
                continue;
            };
            let Some(value) = annotations.text(&entry.key, report) else { continue };
            match name {
                "vault-addr" => {
                    annotations.mapped(&entry.key, "address", report);
                    entries.push(("address", Notation::Text(value.to_owned())));
                }
                "vault-namespace" => {
                    annotations.mapped(&entry.key, "namespace", report);
                    entries.push(("namespace", Notation::Text(value.to_owned())));
                }
                "vault-role" => {
                    comments.push(format!(
                        "logged in with kubernetes, role {value}: needs an AppRole or a token now"
                    ));
                    let to = "a comment: write authMethod: kubernetes with it and a jwtFile, or log in with an AppRole";
                    annotations.changed(&entry.key, to, report);
                }
                "vault-skip-verify" | "vault-tls-secret" => {
                    annotations.lost(&entry.key, "set tlsCACert of the store", report);
                }
                "vault-from-path" | "vault-env-from-path" => {}
                _ => annotations.dropped(&entry.key, "the webhook's own matter", report),
            }
        }
    }
    stores.describe("vault", entries, comments)
}

/// What one reference reads.
enum ReferencedSource {
    Kv(ReferencedKey),
    Dynamic(DynamicSource),
}

/// A secret of KV.
struct ReferencedKey {
    place: KvPlace,
    /// Whether the path has the `data/` of KV v2.
    is_v2: bool,
    version: Option<String>,
}

/// One variable of a dotenv file.
enum EnvLine {
    /// `vault:path#key`.
    Field { name: String, read: ReferencedSource, key: String },
    /// `vault:path#…${.key}…`: the text is a template over the secret.
    Template { name: String, read: ReferencedSource, text: String },
    /// Any other value.
    Text { name: String, text: String },
}

fn one_file(
    object: Object<'_>,
    container: &str,
    variables: Vec<ObjectFields<'_>>,
    store: &StoreKey,
    report: &mut ConversionReport,
) -> Option<ConvertedSecret> {
    let refusals = report.refusals();
    let lines: Vec<_> = variables.into_iter().filter_map(|variable| line(variable, report)).collect();
    if report.refusals() > refusals && !lines.iter().any(|line| !matches!(line, EnvLine::Text { .. })) {
        return None;
    }
    let file = format!("{container}.env");
    let (data, data_from, template) = sources(&lines);
    Some(ConvertedSecret {
        origin: Origin::of(&object, format!("container {container} of {}", object.title())),
        namespace: object.namespace.map(str::to_owned),
        name: format!("{}-{container}", object.name),
        target: object.name.to_owned(),
        store: Some(store.clone()),
        refresh: None,
        interval: None,
        deletes: false,
        data,
        data_from,
        dotenv: template.is_none().then(|| file.clone()),
        templates: template.map(|text| (file, text)).into_iter().collect(),
        fields: Vec::new(),
        has_directory: false,
    })
}

fn line(mut variable: ObjectFields<'_>, report: &mut ConversionReport) -> Option<EnvLine> {
    let name = variable.text("name", report)?.to_owned();
    variable.mapped("name", "a line of the dotenv file", report);
    variable.lost("valueFrom", "it comes from Kubernetes: set the variable where the reader starts", report);
    let Some(value) = variable.text("value", report) else {
        variable.finish(report);
        return None;
    };
    let line = parse(name, value);
    match &line {
        Ok(EnvLine::Field { .. }) => variable.mapped("value", "a field of a secret", report),
        Ok(EnvLine::Template { .. }) => {
            let to =
                "a template. It stands between double quotes: a value with quotes or backslashes needs care";
            variable.changed("value", to, report);
        }
        Ok(EnvLine::Text { .. }) => variable.kept("value", report),
        Err(remedy) => variable.refused("value", *remedy, report),
    }
    variable.finish(report);
    line.ok()
}

fn parse(name: String, value: &str) -> Result<EnvLine, &'static str> {
    if value.starts_with(">>vault:") {
        return Err("\">>vault:\" writes: this program only reads");
    }
    if value.contains("${vault:") {
        return Err("give the reference a variable of its own, and put the text together in the application");
    }
    let Some(reference) = value.strip_prefix("vault:") else {
        return Ok(EnvLine::Text { name, text: value.to_owned() });
    };
    let (path, rest) = reference.split_once('#').ok_or("it names no key: vault:PATH#KEY")?;
    let (key, version) = match rest.rsplit_once('#') {
        Some((key, version)) if version.bytes().all(|byte| byte.is_ascii_digit()) && !version.is_empty() => {
            (key, Some(version.to_owned()))
        }
        _ => (rest, None),
    };
    let read = source(path, version)?;
    if key.contains("${") {
        return Ok(EnvLine::Template { name, read, text: key.replace("${", "{{ ").replace('}', " }}") });
    }
    Ok(EnvLine::Field { name, read, key: key.to_owned() })
}

/// What is read at a path.
fn source(path: &str, version: Option<String>) -> Result<ReferencedSource, &'static str> {
    let is_v2 = path.contains("/data/");
    let kind = if is_v2 { None } else { dynamic::kind_of(path, [])? };
    if let Some(kind) = kind {
        if version.is_some() {
            return Err("what an engine makes has no versions: leave the number out");
        }
        let path = path.trim_matches('/').replace('$', "$$");
        return Ok(ReferencedSource::Dynamic(DynamicSource { path, kind, parameters: BTreeMap::new() }));
    }
    let place = KvPlace::of(path, StoreMount::InKey, true)
        .map_err(|_| "the path needs a mount and a key below it: vault:MOUNT/data/KEY#FIELD")?;
    Ok(ReferencedSource::Kv(ReferencedKey { place, is_v2, version }))
}

type DotenvSources = (Vec<Notation>, Vec<Notation>, Option<String>);

/// The sources of all lines, and the template that writes them where `format: dotenv` cannot.
fn sources(lines: &[EnvLine]) -> DotenvSources {
    let (mut data, mut data_from, mut template) = (Vec::new(), Vec::new(), String::new());
    for line in lines {
        let (name, value) = match line {
            EnvLine::Field { name, read: ReferencedSource::Kv(read), key } => {
                let mut reference = reference(read);
                reference.push(("property", Notation::text(key)));
                data.push(Notation::map([
                    ("secretKey", Notation::text(name)),
                    ("remoteRef", Notation::map(reference)),
                ]));
                (name, format!("{{{{ {} | quote }}}}", field("", name)))
            }
            EnvLine::Field { name, read: read @ ReferencedSource::Dynamic(_), key } => {
                let alias = alias(read, &mut data_from);
                (name, format!("{{{{ {} | quote }}}}", field(&format!(".{alias}"), key)))
            }
            EnvLine::Template { name, read, text } => {
                let alias = alias(read, &mut data_from);
                (name, format!("\"{{{{ with .{alias} }}}}{text}{{{{ end }}}}\""))
            }
            EnvLine::Text { name, text } => (name, plain(text)),
        };
        for part in [name, "=", &value, "\n"] {
            template.push_str(part);
        }
    }
    let is_field = |line: &EnvLine| matches!(line, EnvLine::Field { read: ReferencedSource::Kv(_), .. });
    let is_plain = lines.iter().all(is_field);
    (data, data_from, (!is_plain).then_some(template))
}

/// The name below which a source stands in `dataFrom`; it is added where it is not there yet.
fn alias(read: &ReferencedSource, data_from: &mut Vec<Notation>) -> String {
    let name = |number: usize| format!("source{number}");
    let known = (1..=data_from.len()).map(name).find(|alias| data_from.contains(&under(alias, read)));
    known.unwrap_or_else(|| {
        let alias = name(data_from.len() + 1);
        data_from.push(under(&alias, read));
        alias
    })
}

/// The entry of `dataFrom` whose fields are below `alias`.
fn under(alias: &str, read: &ReferencedSource) -> Notation {
    let read = match read {
        ReferencedSource::Kv(read) => ("extract", Notation::map(reference(read))),
        ReferencedSource::Dynamic(source) => ("vaultDynamic", source.notation(&ConvertedTerms::default())),
    };
    Notation::map([("as", Notation::text(alias)), read])
}

/// A field of a Go template, below `map`: strict where its name allows a dot in front of it.
fn field(map: &str, name: &str) -> String {
    let is_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    if name.chars().all(is_word) && !name.starts_with(|letter: char| letter.is_ascii_digit()) {
        format!("{map}.{name}")
    } else {
        format!("index {} {name:?}", if map.is_empty() { "." } else { map })
    }
}

/// A value that is no secret, as a line of a dotenv file has it.
fn plain(text: &str) -> String {
    let is_word = |letter: char| letter.is_ascii_alphanumeric() || "_./:@,+=-".contains(letter);
    match text {
        _ if !text.is_empty() && text.chars().all(is_word) => text.to_owned(),
        _ if !text.contains(['`', '\r']) => format!("{{{{ `{text}` | quote }}}}"),
        _ => format!("{{{{ {text:?} | quote }}}}"),
    }
}

fn reference(read: &ReferencedKey) -> Vec<(&'static str, Notation)> {
    let ReferencedKey { place, is_v2, version } = read;
    let mut map = vec![("key", Notation::text(&place.key))];
    map.extend(place.mount.as_ref().map(|mount| ("mountPath", Notation::text(mount))));
    if !is_v2 {
        map.push(("kvVersion", Notation::text("v1")));
    }
    map.extend(version.as_ref().map(|version| ("version", Notation::text(version))));
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pairs: &[(&str, &str)]) -> DotenvSources {
        let lines: Vec<_> =
            pairs.iter().map(|(name, value)| parse((*name).to_owned(), value).ok().unwrap()).collect();
        sources(&lines)
    }

    #[test]
    fn fields_alone_need_no_template() {
        let (data, data_from, template) = lines(&[("A", "vault:secret/data/app/db#user#2")]);
        let reference = Notation::map([
            ("key", Notation::text("app/db")),
            ("mountPath", Notation::text("secret")),
            ("version", Notation::text("2")),
            ("property", Notation::text("user")),
        ]);
        assert_eq!(data, [Notation::map([("secretKey", Notation::text("A")), ("remoteRef", reference)])]);
        assert_eq!((data_from, template), (Vec::new(), None));
    }

    #[test]
    fn texts_and_other_values_need_one() {
        let (_, data_from, template) = lines(&[
            ("A", "vault:secret/data/app/db#user"),
            ("DSN", "vault:secret/data/app/db#pg://${.user}:${.pass | urlquery}@db"),
            ("PLAIN", "1"),
            ("TEXT", "it is \"x\""),
        ]);
        assert_eq!(data_from.len(), 1);
        assert_eq!(
            template.as_deref(),
            Some(
                "A={{ .A | quote }}\n\
                 DSN=\"{{ with .source1 }}pg://{{ .user }}:{{ .pass | urlquery }}@db{{ end }}\"\n\
                 PLAIN=1\nTEXT={{ `it is \"x\"` | quote }}\n"
            )
        );
    }

    #[test]
    fn what_is_issued_stands_below_a_name_of_its_own() {
        let (data, data_from, template) = lines(&[
            ("USER", "vault:database/creds/app#username"),
            ("PASSWORD", "vault:/database/creds/app#password"),
            ("KEY", "vault:database/static-creds/app#last-rotated"),
            ("HOST", "vault:secret/data/app/db#host"),
        ]);
        let read = |path: &str, kind: Option<&'static str>| {
            let retire = || ("lease", Notation::map([("retire", Notation::as_is("false"))]));
            let kind = kind.map_or_else(retire, |kind| ("kind", Notation::text(kind)));
            Notation::map([("path", Notation::as_is(path)), kind])
        };
        let expected = [
            ("source1", read("database/creds/app", None)),
            ("source2", read("database/static-creds/app", Some("static"))),
        ];
        let expected = expected
            .map(|(alias, read)| Notation::map([("as", Notation::text(alias)), ("vaultDynamic", read)]));
        assert_eq!((data.len(), data_from.as_slice()), (1, &expected[..]));
        assert_eq!(
            template.as_deref(),
            Some(
                "USER={{ .source1.username | quote }}\nPASSWORD={{ .source1.password | quote }}\nKEY={{ index .source2 \"last-rotated\" | quote }}\nHOST={{ .HOST | quote }}\n"
            )
        );
    }

    #[test]
    fn what_writes_or_has_no_parameters_is_refused() {
        for value in [
            ">>vault:pki/issue/web#certificate",
            "vault:pki/issue/web#certificate",
            "vault:database/creds/app#password#2",
            "a ${vault:x#y} b",
            "vault:secret#x",
        ] {
            assert!(parse("A".to_owned(), value).is_err(), "{value}");
        }
    }
}
