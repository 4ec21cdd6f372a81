//! `ExternalSecret` and `ClusterExternalSecret`: what of them becomes a secret of the configuration.

use std::time::Duration;

use super::source::SourceConverter;
use super::stores::ManifestStores;
use super::template::{self, ConvertedTemplate};
use crate::config::duration;
use crate::convert::fields::ObjectFields;
use crate::convert::notation::Notation;
use crate::convert::notation::StoreKey;
use crate::convert::object::Object;
use crate::convert::origin::Origin;
use crate::convert::report::{ConversionReport, FieldOutcome};

/// The shortest interval that a configuration may have.
const SHORTEST: Duration = Duration::from_millis(100);

/// One secret of the configuration.
pub(super) struct ConvertedSecret {
    /// Where it comes from.
    pub(super) origin: Origin,
    pub(super) namespace: Option<String>,
    /// `metadata.name`.
    pub(super) name: String,
    /// The name of the Kubernetes Secret, which becomes the directory of the files.
    pub(super) target: String,
    pub(super) store: Option<StoreKey>,
    pub(super) refresh: Option<String>,
    pub(super) interval: Option<Duration>,
    pub(super) deletes: bool,
    pub(super) data: Vec<Notation>,
    pub(super) data_from: Vec<Notation>,
    pub(super) templates: Vec<(String, String)>,
    /// Fields that become files of their own.
    pub(super) fields: Vec<String>,
    /// A dotenv file of all fields, by its name.
    pub(super) dotenv: Option<String>,
    /// Whether every field becomes a file.
    pub(super) has_directory: bool,
}

impl ConvertedSecret {
    /// The stores it reads from: its own, and those of single sources.
    pub(super) fn stores(&self) -> impl Iterator<Item = &StoreKey> {
        let sources = self.data.iter().chain(&self.data_from).filter_map(Notation::store);
        self.store.iter().chain(sources)
    }
}

/// Converts one object. Nothing where it writes nothing, or where too little of it can be read.
pub(super) fn convert(
    object: Object<'_>,
    stores: &mut ManifestStores,
    config_maps: &[Object<'_>],
    report: &mut ConversionReport,
) -> Option<ConvertedSecret> {
    let mut top = super::top(object, report)?;
    let spec = top.child("spec", report);
    top.finish(report);
    let Some(mut spec) = spec else {
        let outcome = FieldOutcome::Refused("the object has no spec".to_owned());
        report.add(&object, "spec", object.position(), outcome);
        return None;
    };
    if object.kind != "ClusterExternalSecret" {
        return convert_spec(object, object.name, spec, stores, config_maps, report);
    }
    let name = spec.text("externalSecretName", report).unwrap_or(object.name);
    spec.mapped("externalSecretName", "the secret's name", report);
    for key in
        ["namespaceSelector", "namespaceSelectors", "namespaces", "externalSecretMetadata", "refreshTime"]
    {
        spec.dropped(key, "namespaces have no meaning on a host: the secret is written once", report);
    }
    let inner = spec.child("externalSecretSpec", report);
    spec.finish(report);
    convert_spec(object, name, inner?, stores, config_maps, report)
}

fn convert_spec(
    object: Object<'_>,
    name: &str,
    mut spec: ObjectFields<'_>,
    stores: &mut ManifestStores,
    config_maps: &[Object<'_>],
    report: &mut ConversionReport,
) -> Option<ConvertedSecret> {
    let refusals = report.refusals();
    let refresh = refresh(&mut spec, report);
    spec.lost("syncWindows", "this program reads at each interval, at any time of the day", report);
    let namespace = object.namespace.map(str::to_owned);
    let reference = spec.child("secretStoreRef", report);
    let own = reference.and_then(|fields| stores.reference(fields, namespace.as_deref(), report));
    let target = target(&mut spec, name, config_maps, report);
    let mut sources = SourceConverter { stores, own, namespace };
    let data = sources.data(&mut spec, report);
    let data_from = sources.data_from(&mut spec, report);
    let store = sources.own.clone();
    if data.entries.is_empty() && data_from.entries.is_empty() && report.refusals() == refusals {
        spec.note(
            FieldOutcome::Refused("there is neither data nor dataFrom: nothing is read".to_owned()),
            report,
        );
    }
    spec.finish(report);
    let target = target?;
    if report.refusals() > refusals {
        return None;
    }
    let (refresh, interval) = if target.is_immutable { (Some("0".to_owned()), None) } else { refresh };
    let ConvertedTemplate { entries: templates, keeps_fields } = target.template;
    let writes_fields = templates.is_empty() || keeps_fields;
    let has_directory = writes_fields && !data_from.entries.is_empty();
    if has_directory && keeps_fields && !templates.is_empty() {
        let to = "files beside the directory of all fields. A field with the name of a templated key makes the secret fail, where \
                  External Secrets wrote the template";
        report.warn(
            &object,
            "spec.target.template.mergePolicy",
            object.position(),
            FieldOutcome::Mapped(to.to_owned()),
        );
    }
    let is_templated = |name: &String| templates.iter().any(|(key, _)| key == name);
    let fields = data.names.into_iter().filter(|name| writes_fields && !has_directory && !is_templated(name));
    let fields: Vec<_> = fields.collect();
    for key in fields.iter().chain(templates.iter().map(|(key, _)| key)).filter(|key| !names_file(key)) {
        let outcome = FieldOutcome::Refused(format!("the key {key:?} cannot name a file: rename it"));
        report.add(&object, "spec", object.position(), outcome);
    }
    if report.refusals() > refusals {
        return None;
    }
    Some(ConvertedSecret {
        origin: Origin::of(&object, object.title()),
        namespace: object.namespace.map(str::to_owned),
        name: name.to_owned(),
        target: target.name,
        store,
        refresh,
        interval,
        deletes: target.deletes,
        data: data.entries,
        data_from: data_from.entries,
        fields,
        templates,
        dotenv: None,
        has_directory,
    })
}

/// What `target` says.
struct Target {
    name: String,
    deletes: bool,
    is_immutable: bool,
    template: ConvertedTemplate,
}

/// `target`; nothing where External Secrets writes nothing.
fn target(
    spec: &mut ObjectFields<'_>,
    name: &str,
    config_maps: &[Object<'_>],
    report: &mut ConversionReport,
) -> Option<Target> {
    let mut found = Target {
        name: name.to_owned(),
        deletes: false,
        is_immutable: false,
        template: ConvertedTemplate::default(),
    };
    let Some(mut target) = spec.child("target", report) else {
        spec.defaulted("target.name", format!("{name:?}, as metadata.name"), report);
        return Some(found);
    };
    match target.text("name", report).filter(|name| !name.is_empty()) {
        Some(name) => {
            target.mapped("name", "the directory of the files", report);
            name.clone_into(&mut found.name);
        }
        None => target.defaulted("name", format!("{name:?}, as metadata.name"), report),
    }
    let writes = creation_policy(&mut target, report);
    found.deletes = deletion_policy(&mut target, report);
    if let Some(text) = target.text("immutable", report) {
        found.is_immutable = text == "true";
        if found.is_immutable {
            target.changed(
                "immutable",
                "refreshInterval: \"0\": it is read once, and again at the next start",
                report,
            );
        } else {
            target.dropped("immutable", "it is the default", report);
        }
    }
    target.refused("manifest", "this program writes files, and no objects of Kubernetes", report);
    if let Some(section) = target.child("template", report) {
        found.template = template::convert(section, config_maps, report);
    }
    target.finish(report);
    check_name(&found.name, spec, report);
    writes.then_some(found)
}

/// The name of the target and its keys become names of directories and files.
fn check_name(name: &str, spec: &ObjectFields<'_>, report: &mut ConversionReport) {
    if !names_file(name) {
        let outcome = FieldOutcome::Refused(format!("{name:?} cannot name a directory"));
        report.add(spec.object(), &spec.path_of("target.name"), spec.position(), outcome);
    }
}

/// Whether `name` is one part of a path.
fn names_file(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains(['/', '\0'])
}

/// Whether anything is written.
fn creation_policy(target: &mut ObjectFields<'_>, report: &mut ConversionReport) -> bool {
    const KEY: &str = "creationPolicy";
    match target.text(KEY, report) {
        Some("Owner" | "Orphan") => {
            target.dropped(KEY, "files stay when their secret leaves the configuration", report);
        }
        Some("Merge") => {
            target.changed(KEY, "the files are written even if nothing else has made the directory", report);
        }
        Some("CreateOrMerge") => target.mapped(KEY, "files beside those that are there", report),
        Some("None") => {
            target.changed(KEY, "nothing: External Secrets writes nothing either", report);
            return false;
        }
        Some(_) => {
            target.refused(KEY, "the policies are Owner, Orphan, Merge, CreateOrMerge and None", report);
        }
        None => {}
    }
    true
}

/// Whether files are removed with their source.
fn deletion_policy(target: &mut ObjectFields<'_>, report: &mut ConversionReport) -> bool {
    const KEY: &str = "deletionPolicy";
    match target.text(KEY, report) {
        Some("Retain") => target.mapped(KEY, "deletionPolicy, which is retain by default", report),
        Some("Delete") => {
            let to = "deletionPolicy: delete. The files are removed when every source is gone; one that is gone among others makes \
                      the secret fail, and the files stay";
            target.mapped(KEY, to, report);
            return true;
        }
        Some("Merge") => {
            target.lost(
                KEY,
                "files are not removed when single sources are gone: the secret fails, and they stay",
                report,
            );
        }
        Some(_) => target.refused(KEY, "the policies are Retain, Delete and Merge", report),
        None => {}
    }
    false
}

/// `refreshInterval` as the configuration has it, and its length.
fn refresh(spec: &mut ObjectFields<'_>, report: &mut ConversionReport) -> (Option<String>, Option<Duration>) {
    const KEY: &str = "refreshInterval";
    let once = || (Some("0".to_owned()), None);
    match spec.text("refreshPolicy", report) {
        Some("Periodic") => spec.dropped("refreshPolicy", "it is the default", report),
        Some(policy @ ("CreatedOnce" | "OnChange")) => {
            spec.mapped(
                "refreshPolicy",
                "refreshInterval: \"0\": read once, and again at the next start or reload",
                report,
            );
            spec.dropped(KEY, format!("{policy} does not look at it"), report);
            return once();
        }
        Some(_) => {
            spec.refused("refreshPolicy", "the policies are Periodic, CreatedOnce and OnChange", report);
        }
        None => {}
    }
    let Some(text) = spec.text(KEY, report) else {
        if !spec.has(KEY) {
            spec.defaulted(KEY, "1h, which is our default too", report);
        }
        return (None, None);
    };
    let length = match duration::parse(text) {
        Ok(length) => length,
        Err(duration::DurationError::Negative) => Duration::ZERO,
        Err(error) => {
            spec.refused(KEY, format!("not a duration of Go: {error}"), report);
            return (None, None);
        }
    };
    if length.is_zero() {
        spec.mapped(KEY, "\"0\": read once, and again at the next start", report);
        return once();
    }
    if length < SHORTEST {
        spec.changed(KEY, "100ms, which is the shortest interval", report);
        return (Some("100ms".to_owned()), Some(SHORTEST));
    }
    spec.kept(KEY, report);
    (Some(text.to_owned()), Some(length))
}
