//! Two outputs must not meet: neither on one path, nor one below the other. Nor may an output replace what is read.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::context::CompileContext;
use crate::config::diagnostic::{Code, Diagnostic, Place};
use crate::disk::{self, Location, TargetPath};

/// Every path that any secret writes, in the order of the file.
#[derive(Default)]
pub(super) struct Outputs {
    outputs: Vec<ConfiguredOutput>,
    secret: usize,
}

struct ConfiguredOutput {
    target: TargetPath,
    kind: OutputKind,
    secret: usize,
    place: Place,
}

/// What is written at a path.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum OutputKind {
    File,
    Directory,
    /// The directory of `generations`.
    Generations,
}

impl Outputs {
    /// What is added from now on belongs to the next secret.
    pub(super) fn begin_secret(&mut self) {
        self.secret += 1;
    }

    pub(super) fn add(&mut self, target: TargetPath, kind: OutputKind, place: Place) {
        self.outputs.push(ConfiguredOutput { target, kind, secret: self.secret, place });
    }

    /// Reports every output that meets an earlier one, or a file that the program reads.
    pub(super) fn check(&self, context: &mut CompileContext<'_>) {
        self.check_inputs(context);
        let mut first = HashMap::<&Path, &ConfiguredOutput>::with_capacity(self.outputs.len());
        for output in &self.outputs {
            match first.get(output.target.as_path()) {
                // A secret may have the directory of its generations filled.
                Some(earlier) if output.is_of_generations_with(earlier) => {}
                Some(earlier) => context.push(output.duplicates(earlier)),
                None => drop(first.insert(output.target.as_path(), output)),
            }
        }
        for inner in &self.outputs {
            let above = inner.target.as_path().ancestors().skip(1).find_map(|path| first.get(path));
            context.report.diagnostics.extend(above.and_then(|outer| inner.is_below(outer)));
        }
        self.check_aliases(context);
        self.check_generations(context);
    }

    /// Reports outputs that the generations of their secret could not hold.
    fn check_generations(&self, context: &mut CompileContext<'_>) {
        let roots = self.outputs.iter().filter(|output| output.kind == OutputKind::Generations);
        let roots: HashMap<usize, &ConfiguredOutput> = roots.map(|root| (root.secret, root)).collect();
        for output in self.outputs.iter().filter(|output| output.kind != OutputKind::Generations) {
            let Some(root) = roots.get(&output.secret) else { continue };
            let below = output.target.as_path().strip_prefix(root.target.as_path());
            let (message, hint) = match below {
                Err(_) => {
                    let message = format!(
                        "this lies outside the directory of {}, which holds all outputs",
                        root.name()
                    );
                    (message, "move it there, or leave \"generations\" out")
                }
                Ok(below) if below.iter().any(|name| name.as_bytes().starts_with(b"..")) => {
                    let message = "a part of it begins with \"..\", as the names of generations do";
                    (message.to_owned(), "choose another name")
                }
                Ok(_) => continue,
            };
            context.push(Diagnostic::new(Code::PathConflict, output.place.clone(), message).hint(hint));
        }
    }

    /// Reports outputs that meet through a symlink or a bind mount. Where a symlink of another user is on the way it is a
    /// warning: that user must not be able to have the next reload refused.
    fn check_aliases(&self, context: &mut CompileContext<'_>) {
        let mut looked_at = HashMap::<&Path, Option<(u64, u64)>>::new();
        let mut identity = |path| *looked_at.entry(path).or_insert_with(|| disk::identity(path));
        let mut entries = HashMap::<((u64, u64), &OsStr), &ConfiguredOutput>::new();
        let mut directories = HashMap::<(u64, u64), &ConfiguredOutput>::new();
        for output in &self.outputs {
            let path = output.target.as_path();
            let (Some(above), Some(name)) = (path.parent(), path.file_name()) else { continue };
            let own = identity(path).filter(|_| output.kind != OutputKind::File);
            let Some(parent) = identity(above) else { continue };
            let around =
                |outer: &&ConfiguredOutput| outer.secret != output.secret && outer.target.as_path() != above;
            let meets = [
                Some(*entries.entry((parent, name)).or_insert(output)),
                own.map(|own| *directories.entry(own).or_insert(output)),
                directories.get(&parent).copied().filter(around),
            ];
            if let Some(other) = meets.into_iter().flatten().find(|other| other.target != output.target) {
                let message =
                    format!("through a symlink or a mount, this path leads to {} too", other.name());
                let is_ours = |output: &ConfiguredOutput| disk::has_own_symlinks(output.target.directory());
                let code =
                    if is_ours(output) && is_ours(other) { Code::DuplicatePath } else { Code::SameFile };
                let conflict = Diagnostic::new(code, output.place.clone(), message);
                context.push(conflict.hint("give each output its own path"));
            }
        }
    }

    /// Neither an output nor a file in a `directory`, whose names come from the store, may replace what is read, whatever
    /// it is called here: a configuration is often reached through symlinks.
    fn check_inputs(&self, context: &mut CompileContext<'_>) {
        let inputs: Vec<_> =
            context.inputs.iter().map(|(name, path)| (name, Location::of(path.as_path()))).collect();
        for output in &self.outputs {
            let target = output.target.as_path();
            let directory = (output.kind == OutputKind::Directory).then(|| Location::of(target));
            let is_inside =
                |input: &Location| directory.as_ref().is_some_and(|directory| input.is_in(directory));
            if let Some((name, _)) = inputs.iter().find(|(_, input)| is_inside(input)) {
                let message =
                    format!("{name} lies in this directory, where a field of its name would overwrite it");
                let conflict = Diagnostic::new(Code::PathConflict, output.place.clone(), message);
                context.report.push(conflict.hint("give the secret a directory of its own"));
            }
            if let Some((name, _)) = inputs.iter().find(|(_, input)| input.is_replaced_at(target)) {
                let message = format!("this is the path of {name}, which would be overwritten");
                context.report.push(Diagnostic::new(Code::PathConflict, output.place.clone(), message));
            }
        }
    }
}

impl ConfiguredOutput {
    fn is_of_generations_with(&self, other: &Self) -> bool {
        let kinds = [self.kind, other.kind];
        self.secret == other.secret
            && kinds.contains(&OutputKind::Generations)
            && kinds.contains(&OutputKind::Directory)
    }

    fn duplicates(&self, earlier: &Self) -> Diagnostic {
        let message = format!("this is the path of {} too", earlier.name());
        Diagnostic::new(Code::DuplicatePath, self.place.clone(), message)
            .hint("give each output its own path")
    }

    /// A secret may put a file into its own directory.
    fn is_below(&self, outer: &Self) -> Option<Diagnostic> {
        let is_inside = match outer.kind {
            OutputKind::File => false,
            OutputKind::Directory => self.kind != OutputKind::Directory,
            OutputKind::Generations => true,
        };
        if is_inside && self.secret == outer.secret {
            return None;
        }
        let message = match outer.kind {
            OutputKind::File => format!("{} is a file and cannot be the parent of this path", outer.name()),
            OutputKind::Generations => {
                format!("this lies in the directory of {}, which is that secret's alone", outer.name())
            }
            OutputKind::Directory => format!(
                "this lies in the directory of {}, which holds only the fields of that secret",
                outer.name()
            ),
        };
        Some(Diagnostic::new(Code::PathConflict, self.place.clone(), message).hint("choose a path elsewhere"))
    }

    fn name(&self) -> String {
        let line =
            self.place.position.map(|position| format!(" (line {})", position.line)).unwrap_or_default();
        format!("{}{line}", self.place.path)
    }
}
