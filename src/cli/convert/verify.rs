//! `--verify`: what the original would write and what the configuration writes, of the same synthetic answers.
//!
//! The original is read by `convert::originals`, which knows nothing of the conversion; its templates are rendered as they
//! stand. Both sides share the interpreter of Go templates, which is compared with Go elsewhere.

mod entries;
mod external;
mod synthetic;
pub(super) mod template;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::rendered::{self, ConvertedFile, SourceAnswer};
use crate::config::provider::SecretRead;
use crate::config::sources::Source;
use crate::convert::{Conversion, ConversionReport, ConversionResult, Originals};
use crate::render::Job;
use crate::secret::SecretText;
use synthetic::{SyntheticSecrets, ValueForm};

/// Most bytes of a file.
const LIMIT: usize = 16 << 20;

/// Files by their paths.
type ComparedFiles = BTreeMap<PathBuf, Vec<u8>>;

/// One side of a comparison that could not be rendered: why.
type Unrendered = String;

/// Compares, and adds a line for each output to the report of `conversion`.
pub(super) fn verify(originals: &Originals, conversion: &mut Conversion) {
    let Conversion { configuration, report } = conversion;
    let is_whole = report.result() != ConversionResult::Refused;
    for (file, line, reason) in &originals.unread {
        report.unverified(file, *line, reason.clone());
    }
    if configuration.is_empty() {
        return;
    }
    let jobs = match rendered::jobs(configuration, variable) {
        Ok(jobs) => jobs,
        Err(reason) => {
            let what = format!("it does not load with synthetic variables: {reason}");
            // A store may need what only its own machine has.
            if reason.starts_with("secrets") {
                report.differs("the configuration", 1, what);
            } else {
                report.unverified("the configuration", 1, what);
            }
            return;
        }
    };
    let mut secrets = SyntheticSecrets::default();
    template::add_secrets(&originals.templates, &mut secrets);
    external::add_secrets(&originals.secrets, &mut secrets);
    entries::add_secrets(&originals.entries, &mut secrets);
    let compared = BTreeSet::new();
    let mut comparison = Comparison { jobs: &jobs, secrets: &secrets, is_whole, compared, report };
    for original in &originals.templates {
        comparison.add(
            (&original.file, original.line),
            &|form| template::outputs(original, &secrets, form),
            false,
        );
    }
    for original in &originals.entries {
        let place = (&*original.file, original.line);
        comparison.add(place, &|form| entries::outputs(original, &secrets, form), true);
    }
    let mut taken = BTreeSet::new();
    for original in &originals.secrets {
        let (place, directory) = ((&*original.file, original.line), external::directory(original, &jobs));
        if !taken.insert(directory) {
            let reason = "another manifest writes the same Secret: the files of one of them lie elsewhere";
            comparison.report.unverified(place.0, place.1, reason.to_owned());
            continue;
        }
        comparison.add(place, &|form| external::outputs(original, &jobs, &secrets, form), true);
    }
    comparison.rest();
}

/// The value of a variable of the environment, on both sides.
pub(super) fn variable(name: &str) -> String {
    match name.rsplit('_').next() {
        Some("ADDR") => "https://localhost:8200".to_owned(),
        Some("MOUNT") => "secret".to_owned(),
        _ => format!("value-of-{name}"),
    }
}

/// Mount and key of a source, and its version, as the original's reads have them.
pub(super) fn path_of(source: &Source) -> Option<String> {
    if let SecretRead::VaultDynamic(read) = &source.read {
        let parameters = read.parameters_as_texts();
        let text = |(name, text): (&'_ String, &'_ Option<SecretText>)| {
            // EXPOSE: the path of synthetic values; parameters of files are never converted.
            text.as_ref().map(|text| (name.clone(), text.expose().to_owned()))
        };
        return Some(template::with_parameters(&normal(&read.path), parameters.iter().filter_map(text)));
    }
    let SecretRead::Vault(read) = &source.read else { return None };
    let path = normal(&format!("{}/{}", read.mount, read.key));
    Some(read.version.map_or_else(|| path.clone(), |version| format!("{path}?version={version}")))
}

/// A path without empty parts.
fn normal(path: &str) -> String {
    path.split('/').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")
}

struct Comparison<'c> {
    jobs: &'c [Job],
    secrets: &'c SyntheticSecrets,
    /// Whether nothing was refused.
    is_whole: bool,
    /// Files and directories that were compared.
    compared: BTreeSet<PathBuf>,
    report: &'c mut ConversionReport,
}

impl Comparison<'_> {
    /// Compares with the first form of values that the original can render. `is_all`: whether the configuration must write
    /// nothing else into the directories of these files.
    fn add(
        &mut self,
        (file, line): (&str, u32),
        original: &dyn Fn(ValueForm) -> Result<ComparedFiles, Unrendered>,
        is_all: bool,
    ) {
        let mut first = None;
        for form in ValueForm::ALL {
            match original(form) {
                Ok(outputs) => return self.compare((file, line), &outputs, form, is_all),
                Err(reason) => drop(first.get_or_insert(reason)),
            }
        }
        let reason =
            format!("no synthetic value has the form that the original needs: {}", first.unwrap_or_default());
        self.report.unverified(file, line, reason);
    }

    fn compare(&mut self, (file, line): (&str, u32), outputs: &ComparedFiles, form: ValueForm, is_all: bool) {
        let mut converted = BTreeMap::new();
        for job in self.jobs.iter().filter(|job| writes_any(job, outputs)) {
            // The files of an Agent's secret may need values of different forms.
            let parts = if is_all { vec![job.clone()] } else { single_files(job, outputs) };
            for ConvertedFile { path, content } in
                rendered::files(&parts, &|source| self.answer(source, form))
            {
                converted.insert(path, content);
            }
        }
        for (path, expected) in outputs {
            let shown = path.display();
            self.compared.insert(path.clone());
            let found = converted.remove(path);
            match found {
                None if !self.is_whole => {
                    self.report.unverified(file, line, format!("{shown}: it was not converted"));
                }
                None => self.report.differs(
                    file,
                    line,
                    format!("{shown}: no file of the configuration has this path"),
                ),
                Some(Err(reason)) => {
                    self.report.differs(
                        file,
                        line,
                        format!("{shown}: the original writes it, and the configuration fails: {reason}"),
                    );
                }
                Some(Ok(content)) => {
                    // EXPOSE: synthetic values.
                    match difference(expected, content.expose()) {
                        None => self.report.verified(
                            file,
                            line,
                            format!("{shown}: equal, {} bytes", expected.len()),
                        ),
                        Some(what) => self.report.differs(file, line, format!("{shown}: {what}")),
                    }
                }
            }
        }
        for path in converted.into_keys().filter(|_| is_all) {
            self.report.differs(file, line, format!("{}: the original writes no such file", path.display()));
        }
    }

    /// Names what the configuration writes and nothing was compared with.
    fn rest(&mut self) {
        for job in self.jobs {
            let files = job.secret.files.iter().map(|file| file.placement.target.as_path());
            let directory = job.secret.directory.as_ref().map(|directory| directory.path.as_path());
            let is_left = |path: &&Path| !self.compared.iter().any(|known| known.starts_with(path));
            let left: Vec<_> =
                files.chain(directory).filter(is_left).map(|path| path.display().to_string()).collect();
            if !left.is_empty() {
                let reason = format!("{} of secret {}: not compared", left.join(", "), job.secret.name);
                self.report.unverified("the configuration", 1, reason);
            }
        }
    }

    fn answer(&self, source: &Source, form: ValueForm) -> Option<SourceAnswer> {
        let fields = self.secrets.fields(&path_of(source)?, form)?;
        let version = if let SecretRead::Vault(read) = &source.read { read.version } else { None };
        let metadata = |_| SecretText::new(format!("{{\"version\":{}}}", version.unwrap_or(1)));
        Some(SourceAnswer {
            fields,
            metadata: Some(source).filter(|source| source.is_kv2(true)).map(metadata),
        })
    }
}

fn writes_any(job: &Job, outputs: &ComparedFiles) -> bool {
    let is_in = |path: &Path| outputs.contains_key(path);
    let directory = job.secret.directory.as_ref().map(|directory| directory.path.as_path());
    job.secret.files.iter().any(|file| is_in(file.placement.target.as_path()))
        || directory.is_some_and(|directory| outputs.keys().any(|path| path.parent() == Some(directory)))
}

/// A job for each file that is among `outputs`.
fn single_files(job: &Job, outputs: &ComparedFiles) -> Vec<Job> {
    let meant = job.secret.files.iter().filter(|file| outputs.contains_key(file.placement.target.as_path()));
    let single = |file: &crate::config::secret::FileSpec| {
        let mut secret = (*job.secret).clone();
        secret.files = vec![file.clone()];
        Job { secret: secret.into(), ..job.clone() }
    };
    meant.map(single).collect()
}

/// The first line that differs.
fn difference(expected: &[u8], found: &[u8]) -> Option<String> {
    if expected == found {
        return None;
    }
    let lines = |bytes: &[u8]| -> Vec<String> {
        bytes
            .split_inclusive(|byte| *byte == b'\n')
            .map(|line| String::from_utf8_lossy(line).into_owned())
            .collect()
    };
    let (expected, found) = (lines(expected), lines(found));
    let count = expected.len().max(found.len());
    let number = (0..count).find(|number| expected.get(*number) != found.get(*number)).unwrap_or_default();
    let shown = |lines: &[String]| lines.get(number).map_or("nothing".to_owned(), |line| format!("{line:?}"));
    Some(format!(
        "line {}: the original writes {}, the configuration {}",
        number + 1,
        shown(&expected),
        shown(&found)
    ))
}

#[cfg(test)]
mod tests;
