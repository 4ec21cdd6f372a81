//! Configurations of the Go tool: the files that they would make of synthetic answers.

use super::synthetic::{SyntheticSecrets, ValueForm};
use super::template::{located, names};
use super::{ComparedFiles, LIMIT, Unrendered, normal};
use crate::convert::OriginalEntry;
use crate::template::go::analysis::GoUses;
use crate::template::go::lexer::Delimiters;
use crate::template::go::parser;
use crate::template::{Context, Dialect, Template, TemplateEngine};

/// Adds what the entries read.
pub(super) fn add_secrets(originals: &[OriginalEntry], secrets: &mut SyntheticSecrets) {
    for original in originals {
        let trees =
            original.files.iter().filter_map(|(_, text)| parser::parse(text, &Delimiters::default()).ok());
        let used: Vec<String> = trees.flat_map(|tree| names(&GoUses::of(&tree))).collect();
        secrets.add(&normal(&original.path), used);
    }
}

/// The files of one entry.
pub(super) fn outputs(
    original: &OriginalEntry,
    secrets: &SyntheticSecrets,
    form: ValueForm,
) -> Result<ComparedFiles, Unrendered> {
    let fields = secrets.fields(&normal(&original.path), form).ok_or("it reads nothing that is known")?;
    let mut files = ComparedFiles::new();
    for (path, text) in &original.files {
        let dialect = Dialect { engine: TemplateEngine::Go, ..Dialect::default() };
        let template = Template::compile_as(text, dialect).map_err(|error| error.to_string())?;
        let rendered = template.render(&Context::new(&fields), LIMIT).map_err(|error| error.to_string())?;
        // EXPOSE: synthetic values.
        files.insert(located(path), rendered.expose().to_vec());
    }
    Ok(files)
}
