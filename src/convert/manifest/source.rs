//! `data` and `dataFrom`: what a secret reads. The notation is ours as well; what changes is where a key lies.

use super::generator;
use super::place::{KvPlace, PlaceError, StoreMount};
use super::stores::ManifestStores;
use crate::convert::fields::ObjectFields;
use crate::convert::notation::Notation;
use crate::convert::notation::StoreKey;
use crate::convert::report::{ConversionReport, FieldOutcome};

/// The sources of one secret.
pub(super) struct SourceConverter<'s> {
    pub(super) stores: &'s mut ManifestStores,
    /// `secretStoreRef` of the secret; without one, the store of its first source.
    pub(super) own: Option<StoreKey>,
    /// The namespace of the manifest.
    pub(super) namespace: Option<String>,
}

/// What one list of sources became.
#[derive(Default)]
pub(super) struct ConvertedSources {
    pub(super) entries: Vec<Notation>,
    /// The `secretKey` of each entry of `data`.
    pub(super) names: Vec<String>,
}

impl SourceConverter<'_> {
    /// `spec.data`.
    pub(super) fn data(
        &mut self,
        spec: &mut ObjectFields<'_>,
        report: &mut ConversionReport,
    ) -> ConvertedSources {
        let mut converted = ConvertedSources::default();
        for mut entry in spec.children("data", report) {
            let name = entry.kept_text("secretKey", report);
            let (store, generated) = self.source_ref(&mut entry, report);
            if generated.is_some() {
                let remedy = "External Secrets reads generators under dataFrom alone: move the entry there";
                entry.note(FieldOutcome::Refused(remedy.to_owned()), report);
            }
            let reference = entry.child("remoteRef", report);
            if reference.is_none() {
                entry.note(FieldOutcome::Refused("the entry has no remoteRef".to_owned()), report);
            }
            let reference = reference.and_then(|fields| self.reference(fields, store.as_ref(), report));
            if let (Some(name), Some(reference)) = (name, reference) {
                let mut map =
                    vec![("secretKey", Notation::text(name)), ("remoteRef", Notation::map(reference))];
                map.extend(self.foreign(store));
                converted.entries.push(Notation::map(map));
                converted.names.push(name.to_owned());
            } else if name.is_none() {
                entry.note(FieldOutcome::Refused("the entry has no secretKey".to_owned()), report);
            }
            entry.finish(report);
        }
        converted
    }

    /// `spec.dataFrom`.
    pub(super) fn data_from(
        &mut self,
        spec: &mut ObjectFields<'_>,
        report: &mut ConversionReport,
    ) -> ConvertedSources {
        let mut converted = ConvertedSources::default();
        for mut entry in spec.children("dataFrom", report) {
            let (store, generated) = self.source_ref(&mut entry, report);
            let mut map: Vec<_> = generated.map(|read| ("vaultDynamic", read)).into_iter().collect();
            if let Some(extract) = entry.child("extract", report) {
                let reference = self.reference(extract, store.as_ref(), report);
                map.extend(reference.map(|reference| ("extract", Notation::map(reference))));
            } else if let Some(find) = entry.child("find", report) {
                let find = self.find(find, store.as_ref(), report);
                map.extend(find.map(|find| ("find", Notation::map(find))));
            } else if !entry.has("sourceRef") {
                entry
                    .note(FieldOutcome::Refused("the entry has neither extract nor find".to_owned()), report);
            }
            let rewrite: Vec<_> = entry
                .children("rewrite", report)
                .into_iter()
                .filter_map(|step| super::rewrite::convert(step, report))
                .collect();
            if !rewrite.is_empty() {
                map.push(("rewrite", Notation::List(rewrite)));
            }
            map.extend(self.foreign(store));
            if map.iter().any(|(key, _)| matches!(*key, "extract" | "find" | "vaultDynamic")) {
                converted.entries.push(Notation::map(map));
            }
            entry.finish(report);
        }
        converted
    }

    /// The store in `sourceRef` of an entry, and the value of `vaultDynamic` where it names a generator. The first store is that
    /// of the secret where it has none.
    fn source_ref(
        &mut self,
        entry: &mut ObjectFields<'_>,
        report: &mut ConversionReport,
    ) -> (Option<StoreKey>, Option<Notation>) {
        let Some(mut source) = entry.child("sourceRef", report) else { return (self.own.clone(), None) };
        let namespace = self.namespace.as_deref();
        let generator = source.child("generatorRef", report);
        let generator = generator.map(|fields| generator::reference(fields, namespace, self.stores, report));
        let store = source.child("storeRef", report);
        source.finish(report);
        let (store, read) = match generator {
            Some(generator) => generator.unzip(),
            None => (store.and_then(|fields| self.stores.reference(fields, namespace, report)), None),
        };
        if let Some(store) = &store {
            self.own.get_or_insert_with(|| store.clone());
        }
        (store, read)
    }

    /// `sourceRef` of an entry whose store is not that of the secret.
    fn foreign(&self, store: Option<StoreKey>) -> Option<(&'static str, Notation)> {
        let store = store.filter(|store| self.own.as_ref() != Some(store))?;
        let reference = Notation::map([("name", Notation::Store(store))]);
        Some(("sourceRef", Notation::map([("storeRef", reference)])))
    }

    /// `remoteRef` or `extract`.
    fn reference(
        &mut self,
        mut fields: ObjectFields<'_>,
        store: Option<&StoreKey>,
        report: &mut ConversionReport,
    ) -> Option<Vec<(&'static str, Notation)>> {
        let place = if let Some(key) = fields.text("key", report) {
            self.place("key", key, store, &mut fields, report)
        } else {
            fields.note(FieldOutcome::Refused("there is no key".to_owned()), report);
            None
        };
        let mut map = place.unwrap_or_default();
        let is_placed = !map.is_empty();
        for key in ["property", "version"] {
            map.extend(fields.kept_text(key, report).map(|text| (key, Notation::text(text))));
        }
        map.extend(strategies(&mut fields, report));
        fields.finish(report);
        is_placed.then_some(map)
    }

    fn find(
        &mut self,
        mut fields: ObjectFields<'_>,
        store: Option<&StoreKey>,
        report: &mut ConversionReport,
    ) -> Option<Vec<(&'static str, Notation)>> {
        let mut map = Vec::new();
        if let Some(path) = fields.text("path", report) {
            let is_root = path.split('/').all(str::is_empty);
            match self.place("path", path, store, &mut fields, report) {
                Some(place) => map.extend(place),
                None if is_root => {}
                None => {
                    fields.finish(report);
                    return None;
                }
            }
        }
        if let Some(mut name) = fields.child("name", report) {
            let regexp = name.kept_text("regexp", report);
            let regexp = regexp.map(|regexp| ("regexp", Notation::AsIs(regexp.to_owned())));
            map.push(("name", Notation::map(regexp)));
            name.finish(report);
        }
        if let Some(mut tags) = fields.child("tags", report) {
            let mut wanted = Vec::new();
            for entry in tags.entries() {
                let text = tags.kept_text(&entry.key, report);
                wanted.extend(text.map(|text| (entry.key.clone().into(), Notation::text(text))));
            }
            if wanted.is_empty() {
                tags.note(FieldOutcome::Dropped("there is no tag in it".to_owned()), report);
            } else {
                map.push(("tags", Notation::Map(wanted)));
            }
        }
        if !fields.has("name") && !fields.has("tags") {
            map.push(("name", Notation::map([("regexp", Notation::as_is(".*"))])));
            let what = "name { regexp: .* }, everything below the path: Vault's provider asks for name or tags, others do not";
            fields.warn(FieldOutcome::Defaulted(what.to_owned()), report);
        }
        map.extend(strategies(&mut fields, report));
        fields.finish(report);
        Some(map)
    }

    /// Where `text`, which stands under `field`, lies: `key` or `path`, and `mountPath`.
    fn place(
        &mut self,
        field: &'static str,
        text: &str,
        store: Option<&StoreKey>,
        fields: &mut ObjectFields<'_>,
        report: &mut ConversionReport,
    ) -> Option<Vec<(&'static str, Notation)>> {
        let (mount, is_v2) = self.stores.mount(store);
        match KvPlace::of(text, mount, is_v2) {
            Ok(KvPlace { mount, key }) => {
                if mount.is_none() && key == text {
                    fields.kept(field, report);
                } else {
                    let mount = mount.as_ref().map(|mount| format!(", mountPath {mount:?}"));
                    fields.mapped(field, format!("{key:?}{}", mount.unwrap_or_default()), report);
                }
                let mut map = vec![(field, Notation::Text(key))];
                if let Some(mount) = mount {
                    map.extend(
                        self.stores.kv_version(&mount).map(|version| ("kvVersion", Notation::text(version))),
                    );
                    map.push(("mountPath", Notation::Text(mount)));
                }
                Some(map)
            }
            Err(PlaceError::Empty) if field == "path" => {
                fields.dropped(field, "the search begins at the mount", report);
                None
            }
            Err(error) => {
                let remedy = match mount {
                    StoreMount::Path(_) => "write the path below the mount",
                    _ => "write mount and path, or give the mount with --mount-path",
                };
                fields.refused(field, format!("{error}: {remedy}"), report);
                None
            }
        }
    }
}

/// The policies of a source; their defaults, which the API server writes back into manifests, are left out.
fn strategies(fields: &mut ObjectFields<'_>, report: &mut ConversionReport) -> Vec<(&'static str, Notation)> {
    let mut map = Vec::new();
    let defaults =
        [("conversionStrategy", "Default"), ("decodingStrategy", "None"), ("nullBytePolicy", "Ignore")];
    for (key, default) in defaults {
        match fields.text(key, report) {
            Some(text) if text == default => fields.dropped(key, "it is the default", report),
            Some(text) => {
                fields.kept(key, report);
                map.push((key, Notation::text(text)));
            }
            None => {}
        }
    }
    match fields.text("metadataPolicy", report) {
        Some("None") => fields.dropped("metadataPolicy", "it is the default", report),
        Some(_) => fields.refused(
            "metadataPolicy",
            "this program reads the fields of a secret, not its custom metadata: put them into the secret",
            report,
        ),
        None => {}
    }
    map
}
