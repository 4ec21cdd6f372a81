//! Which fields a conversion counts on, and the server does not have. No value is looked at.

use std::collections::{BTreeMap, BTreeSet};

use super::Query;
use crate::cli::convert::rendered;
use crate::cli::convert::verify::{self, template};
use crate::cli::output;
use crate::config::env::Env;
use crate::config::provider::SecretRead;
use crate::config::sources::Source;
use crate::convert::{Conversion, ConversionReport, Originals};
use crate::fault::{ExitStatus, Kind};

/// Reads every secret of the configuration, and adds a warning for each field that is used and not there, and for each
/// mount whose KV version is another one. `given` has the versions of the command line, `versions` those of the server.
pub(in crate::cli::convert) fn check(
    query: &Query,
    originals: &Originals,
    given: &[(String, String)],
    versions: &BTreeMap<String, String>,
    conversion: &mut Conversion,
) -> Result<(), ExitStatus> {
    let Conversion { configuration, report } = conversion;
    for (mount, version) in given {
        if let Some(known) = versions.get(mount).filter(|known| *known != version) {
            let what =
                format!("--kv-version {mount}={version}: the server says that the mount is KV {known}");
            report.contradicted("the command line", 1, what);
        }
    }
    let environment = Env::process();
    let variable = |name: &str| environment.value(name).map_or_else(|| verify::variable(name), str::to_owned);
    let Ok(jobs) = rendered::jobs(configuration, variable) else { return Ok(()) };
    // What is issued is not asked for.
    let is_read = |source: &&Source| source.search.is_none() && matches!(source.read, SecretRead::Vault(_));
    let sources = jobs.iter().flat_map(|job| job.secret.sources.all()).filter(is_read);
    let reads: BTreeMap<String, SecretRead> =
        sources.filter_map(|source| Some((verify::path_of(source)?, source.read.clone()))).collect();
    let mut check = FieldCheck { query, reads, versions, known: BTreeMap::new(), report };
    for original in &originals.templates {
        for (number, read) in original.reads.iter().enumerate() {
            let path = template::path_of(read, &variable);
            let place = (original.file.as_str(), original.line);
            check.version(&path, read.is_v2, place);
            for field in original.fields.iter().filter(|field| field.read == number) {
                check.field(&path, &field.name, (&field.place.0, field.place.1))?;
            }
        }
    }
    for original in &originals.secrets {
        for part in &original.parts {
            if let Some((_, Some(property))) = &part.one {
                let first = property.split('.').next().unwrap_or(property);
                check.property(&part.path, [property, first], (&original.file, part.line))?;
            }
        }
    }
    Ok(())
}

/// A file and a line.
type FieldPlace<'p> = (&'p str, u32);

struct FieldCheck<'c> {
    query: &'c Query,
    /// What is read, by mount and key.
    reads: BTreeMap<String, SecretRead>,
    versions: &'c BTreeMap<String, String>,
    /// The fields of each secret; nothing where it could not be read, which is said once.
    known: BTreeMap<String, Option<BTreeSet<String>>>,
    report: &'c mut ConversionReport,
}

impl FieldCheck<'_> {
    /// Compares the version that the use of an answer shows with that of the server.
    fn version(&mut self, path: &str, is_v2: bool, (file, line): FieldPlace<'_>) {
        let Some(SecretRead::Vault(read)) = self.reads.get(path) else { return };
        let shown = if is_v2 { "v2" } else { "v1" };
        if let Some(known) = self.versions.get(&read.mount).filter(|known| *known != shown) {
            let what = format!(
                "{path}: the template uses it as KV {shown}, and the server says that its mount is KV {known}"
            );
            self.report.contradicted(file, line, what);
        }
    }

    fn field(&mut self, path: &str, name: &str, place: FieldPlace<'_>) -> Result<(), ExitStatus> {
        self.property(path, [name, name], place)
    }

    /// A property is a field of that name, or begins with one.
    fn property(
        &mut self,
        path: &str,
        names: [&str; 2],
        (file, line): FieldPlace<'_>,
    ) -> Result<(), ExitStatus> {
        if !self.known.contains_key(path) {
            let Some(read) = self.reads.get(path) else { return Ok(()) };
            let names = match self.query.names(read) {
                Ok(names) => Some(names),
                Err(fault) if is_of_server(fault.kind) => return Err(output::start_error(&fault.into())),
                Err(fault) => {
                    self.report.contradicted(file, line, format!("{path}: {fault}"));
                    None
                }
            };
            self.known.insert(path.to_owned(), names);
        }
        if let Some(Some(fields)) = self.known.get(path) {
            let [name, _] = names;
            if !names.iter().any(|name| fields.contains(*name)) {
                let what = format!("{path} has no field {name:?}: the secret will fail until it is there");
                self.report.contradicted(file, line, what);
            }
        }
        Ok(())
    }
}

/// Whether no other read would succeed either.
fn is_of_server(kind: Kind) -> bool {
    use Kind::{
        CircuitOpen, Login, NoCredentials, NotServing, RateLimited, ServerError, Spent, Timeout, Unreachable,
    };
    matches!(
        kind,
        Login
            | NoCredentials
            | Spent
            | Unreachable
            | Timeout
            | NotServing
            | RateLimited
            | ServerError
            | CircuitOpen
    )
}
