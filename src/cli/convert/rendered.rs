//! What the files of a converted configuration hold, given the answers of its sources: nothing is read or written.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::Config;
use crate::config::diagnostic::{Code, Diagnostic};
use crate::config::env::Env;
use crate::config::sources::Source;
use crate::render::{self, Job};
use crate::secret::{Fields, SecretBytes, SecretText};

/// What relative paths of the configuration start at.
const DIRECTORY: &str = "/";

/// One file, with its content or the reason why there is none.
pub(super) struct ConvertedFile {
    pub(super) path: PathBuf,
    pub(super) content: Result<SecretBytes, String>,
}

/// What a source answers.
#[derive(Clone)]
pub(super) struct SourceAnswer {
    pub(super) fields: Arc<Fields>,
    /// The `metadata` of KV version 2, as JSON.
    pub(super) metadata: Option<SecretText>,
}

/// The jobs of a configuration whose variables are those of `variable`. Owners and files are those of the machine that will
/// run it, so they are left out.
pub(super) fn jobs(text: &str, variable: impl Fn(&str) -> String) -> Result<Vec<Job>, String> {
    let names = text.split("${").skip(1).filter_map(|rest| rest.split([':', '}']).next());
    let env = Env::from_pairs(names.map(|name| (name, variable(name))));
    let parse = |text: &str| Config::parse(text, "", &env, Path::new(DIRECTORY));
    let parsed = parse(text).or_else(|report| {
        let is_elsewhere = |found: &&Diagnostic| matches!(found.code, Code::BadOwner | Code::UnreadableFile);
        let elsewhere = report.diagnostics.iter().filter(is_elsewhere);
        let lines: Vec<_> = elsewhere.filter_map(|found| found.place.position).map(|at| at.line).collect();
        let number = |index: usize| u32::try_from(index + 1).unwrap_or(u32::MAX);
        let kept = text.lines().enumerate().map(|(index, line)| {
            if lines.contains(&number(index)) { "\n".to_owned() } else { format!("{line}\n") }
        });
        parse(&kept.collect::<String>())
    });
    match parsed {
        Ok(loaded) => Ok(Job::all(loaded.config)),
        Err(report) => {
            let error = report.first_error().map(|error| format!("{}: {}", error.place.path, error.message));
            Err(error.unwrap_or_default())
        }
    }
}

/// The files of all jobs, in their order.
pub(super) fn files(jobs: &[Job], answer: &dyn Fn(&Source) -> Option<SourceAnswer>) -> Vec<ConvertedFile> {
    jobs.iter().flat_map(|job| files_of(job, answer)).collect()
}

fn files_of(job: &Job, answer: &dyn Fn(&Source) -> Option<SourceAnswer>) -> Vec<ConvertedFile> {
    let answers: Option<Vec<SourceAnswer>> = job.secret.sources.all().map(answer).collect();
    let rendered = answers.ok_or_else(|| "a source has no answer".to_owned()).and_then(|answers| {
        let (fields, metadata): (Vec<_>, Vec<_>) =
            answers.into_iter().map(|answer| (answer.fields, answer.metadata)).unzip();
        render::render_sources(job, &fields, &metadata).map_err(|fault| fault.to_string())
    });
    match rendered {
        Ok(rendered) => rendered
            .files
            .into_iter()
            .map(|file| ConvertedFile {
                path: file.placement.target.as_path().to_path_buf(),
                content: Ok(file.content),
            })
            .collect(),
        Err(reason) => job
            .secret
            .files
            .iter()
            .map(|file| ConvertedFile {
                path: file.placement.target.as_path().to_path_buf(),
                content: Err(reason.clone()),
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests;
