//! Converted secrets and stores → entries of the configuration.

use super::layout::{self, SecretPlace};
use super::secret::ConvertedSecret;
use super::store::ConvertedStore;
use crate::convert::agent::AgentOutput;
use crate::convert::document::Commented;
use crate::convert::notation::Notation;
use crate::convert::options::ConvertOptions;
use crate::convert::report::{ConversionReport, FieldOutcome};

/// A secret as an entry.
pub(super) fn secret(secret: ConvertedSecret, place: &SecretPlace, options: &ConvertOptions) -> Commented {
    let mut entries = vec![("name", Notation::text(&place.name))];
    entries.extend(secret.store.map(|key| ("store", Notation::Store(key))));
    entries.extend(secret.refresh.map(|text| ("refreshInterval", Notation::Text(text))));
    if secret.deletes {
        entries.push(("deletionPolicy", Notation::text("delete")));
    }
    for (key, list) in [("data", secret.data), ("dataFrom", secret.data_from)] {
        if !list.is_empty() {
            entries.push((key, Notation::List(list)));
        }
    }
    let directory = format!("{}/{}", options.output_dir.trim_end_matches('/'), place.directory);
    let mode = || options.mode.as_ref().map(|mode| ("mode", Notation::text(mode)));
    let file = |name: &str, content: (&'static str, &str)| {
        let path = ("path", Notation::text(format!("{directory}/{name}")));
        Notation::map([path, (content.0, Notation::text(content.1))].into_iter().chain(mode()))
    };
    let templated = secret.templates.iter().map(|(key, _)| file(key, ("key", key)));
    let fields = secret.fields.iter().map(|name| file(name, ("field", name)));
    let dotenv = secret.dotenv.iter().map(|name| file(name, ("format", "dotenv")));
    let files: Vec<_> = templated.chain(fields).chain(dotenv).collect();
    if !secret.templates.is_empty() {
        let data = secret.templates.into_iter().map(|(key, text)| (key.into(), Notation::AsIs(text)));
        let template = [("engine", Notation::text("go")), ("data", Notation::Map(data.collect()))];
        entries.push(("template", Notation::map(template)));
    }
    if !files.is_empty() {
        entries.push(("files", Notation::List(files)));
    }
    if secret.has_directory {
        let keys = [("path", Notation::text(directory.clone()))];
        entries.push(("directory", Notation::map(keys.into_iter().chain(mode()))));
    }
    Commented { comments: vec![secret.origin.comment()], value: Notation::map(entries) }
}

/// Adds everything to the configuration.
pub(super) fn add(
    secrets: Vec<ConvertedSecret>,
    stores: Vec<ConvertedStore>,
    options: &ConvertOptions,
    output: &mut AgentOutput<'_>,
    report: &mut ConversionReport,
) {
    for ConvertedStore { key, comments, entries, .. } in stores {
        output.document.add_store(key, Commented { comments, value: Notation::map(entries) });
    }
    let places = layout::places(&secrets);
    for (one, place) in secrets.into_iter().zip(&places) {
        if let Some(renamed) = &place.renamed {
            let outcome = FieldOutcome::Mapped(renamed.clone());
            report.warn_origin(&one.origin, outcome);
        }
        output.names.insert(place.name.clone());
        output.document.add_interval(one.interval);
        let origins = vec![one.origin.clone()];
        output.document.add_secret(secret(one, place, options), origins);
    }
}
