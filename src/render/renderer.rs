//! One secret's fields → the content of each of its files. Values live only from here to the write.

use std::cell::OnceCell;
use std::sync::Arc;

use crate::config::secret::{Content, Decoding, DirectorySpec, FileSpec};
use crate::disk::{NewFile, Placement, TargetPath};
use crate::fault::{Fault, Kind};
use crate::secret::{Answers, FieldValue, Fields, SecretBytes, SecretText};
use crate::template::{self, Context, RenderError, field_list, field_text};

use super::merge::merge;
use super::{Facts, Job, looked_up};

/// Every file of one secret, complete.
#[derive(Debug)]
pub struct Rendered {
    /// `files` in the order of the configuration, then the entries of `directory` by name.
    pub files: Vec<NewFile>,
    /// What they are like; `None` where nobody asks.
    pub facts: Option<Facts>,
}

/// Renders every output of `job` in memory. A file may be empty: every field a template prints is there and not null,
/// so an empty one is what the operator and the store say.
///
/// Blocks its thread; each template ends within `template::RENDER_TIME_LIMIT`, with the exceptions named there.
///
/// # Errors
/// A template failed, a field is missing, or an output may not be written (too large, bad base64, bad file name).
pub fn render(job: &Job, fields: &Fields) -> Result<Rendered, Fault> {
    render_with(job, fields, Answers::none())
}

/// Renders every output of `job` from the fields of its sources; `metadata` has what the store says of each.
///
/// # Errors
/// Those of [`render`], and of joining the sources.
pub(crate) fn render_sources(
    job: &Job,
    answers: &[Arc<Fields>],
    metadata: &[Option<SecretText>],
) -> Result<Rendered, Fault> {
    let sources = &job.secret.sources;
    let fields = merge(sources, answers)?;
    if !job.looks_up() {
        return render(job, &fields);
    }
    render_with(job, &fields, &looked_up::answers(sources, answers, metadata))
}

fn render_with(job: &Job, fields: &Fields, answers: &Answers) -> Result<Rendered, Fault> {
    refuse_nothing(job, fields)?;
    let renderer = Renderer { fields, answers, limit: job.max_file_size, context: OnceCell::new() };
    let files = job.secret.files.iter().map(|file| renderer.file(file));
    let mut files = files.collect::<Result<Vec<_>, _>>()?;
    if let Some(directory) = &job.secret.directory {
        for (name, value) in fields {
            let entry = renderer.entry(directory, name, value)?;
            if files.iter().any(|file| file.placement.target == entry.placement.target) {
                return Err(bad_entry(
                    directory,
                    name,
                    "would be written to a file that `files` names as well",
                ));
            }
            files.push(entry);
        }
    }
    let facts = job.secret.needs_journal().then(|| Facts::of_fields(fields));
    Ok(Rendered { files, facts })
}

/// A secret without fields would empty its documents and its directory; who wants that deletes the secret.
fn refuse_nothing(job: &Job, fields: &Fields) -> Result<(), Fault> {
    let secret = &job.secret;
    let writes_all = |file: &FileSpec| matches!(file.content, Content::Format(_));
    if !fields.is_empty() || !(secret.directory.is_some() || secret.files.iter().any(writes_all)) {
        return Ok(());
    }
    let message =
        format!("the secret {} has no fields: its `format` or `directory` would be empty", secret.name);
    Err(Fault::new(Kind::Output, message, "write a field into the secret, or delete it"))
}

struct Renderer<'f> {
    fields: &'f Fields,
    /// What `secret` of a Go template looks into.
    answers: &'f Answers,
    /// Most bytes of one file.
    limit: usize,
    /// Made for the first template and shared by all.
    context: OnceCell<Context<'f>>,
}

impl Renderer<'_> {
    fn file(&self, file: &FileSpec) -> Result<NewFile, Fault> {
        let FileSpec { placement, content, decoding, check: _ } = file;
        let content = self.decoded(&placement.target, content, *decoding)?;
        Ok(NewFile { placement: placement.clone(), content })
    }

    fn entry(&self, directory: &DirectorySpec, name: &str, value: &FieldValue) -> Result<NewFile, Fault> {
        let cannot = |error| bad_entry(directory, name, &format!("cannot name a file: it {error}"));
        let target = directory.path.entry(name).map_err(cannot)?;
        let content = field_bytes(value).map_err(|_| bad_entry(directory, name, "is null"))?;
        let content = self.bounded(content).map_err(|error| failed(&target, &error))?;
        Ok(NewFile { placement: Placement { target, ..directory.placement() }, content })
    }

    fn decoded(
        &self,
        target: &TargetPath,
        content: &Content,
        decoding: Decoding,
    ) -> Result<SecretBytes, Fault> {
        let decoded = match decoding {
            Decoding::None => self.content(target, content, self.limit)?,
            Decoding::Base64 => {
                // Four characters for three bytes, and line breaks.
                let encoded = self.content(target, content, self.limit.saturating_mul(2))?;
                template::decode_base64(&encoded).map_err(|error| {
                    let remedy = "remove `decoding: base64`, or store the content as base64";
                    Fault::new(error.kind(), at(target, &error), remedy)
                })?
            }
        };
        self.bounded(decoded).map_err(|error| failed(target, &error))
    }

    fn content(&self, target: &TargetPath, content: &Content, limit: usize) -> Result<SecretBytes, Fault> {
        let rendered = match content {
            Content::Template(template) => template
                .render(self.context.get_or_init(|| Context::with_answers(self.fields, self.answers)), limit),
            Content::Field(name) => return self.field(target, name),
            Content::Format(format) => format.render(self.fields, limit),
        };
        rendered.map_err(|error| failed(target, &error))
    }

    fn field(&self, target: &TargetPath, name: &str) -> Result<SecretBytes, Fault> {
        let Some(value) = self.fields.value(name) else {
            let cause = format!("there is no field `{name}`; {}", field_list(self.fields.names()));
            return Err(Fault::new(
                Kind::Template,
                at(target, &cause),
                "correct `field`, or add it to the secret",
            ));
        };
        field_bytes(value).map_err(|error| {
            Fault::new(
                Kind::Template,
                at(target, &format!("field `{name}`: {error}")),
                "set the field in the secret, or write the file with a template that has a default",
            )
        })
    }

    fn bounded(&self, content: SecretBytes) -> Result<SecretBytes, RenderError> {
        if content.len() > self.limit {
            Err(RenderError::TooLarge { limit: self.limit })
        } else {
            Ok(content)
        }
    }
}

/// The content of a file that holds one field.
fn field_bytes(value: &FieldValue) -> Result<SecretBytes, RenderError> {
    match value {
        FieldValue::Bytes(bytes) => Ok(bytes.clone()),
        value => field_text(value).map(SecretBytes::from),
    }
}

fn failed(target: &TargetPath, error: &RenderError) -> Fault {
    Fault::new(error.kind(), at(target, error), error.remedy())
}

fn at(target: &TargetPath, cause: &dyn std::fmt::Display) -> String {
    format!("{}: {cause}", target.as_path().display())
}

fn bad_entry(directory: &DirectorySpec, name: &str, cause: &str) -> Fault {
    let message = at(&directory.path, &format!("field `{}` {cause}", name.escape_debug()));
    Fault::new(
        Kind::Output,
        message,
        "name the fields you need under `files`, or rename the field in the secret",
    )
}

#[cfg(test)]
mod tests;
