//! `generations` of a secret.

use std::time::Duration;

use super::conflicts::{OutputKind, Outputs};
use super::context::CompileContext;
use super::local_path::unexpanded;
use super::outputs;
use super::section::Section;
use super::text::Text;
use crate::config::diagnostic::{Code, Diagnostic};
use crate::config::keys::{KeySet, KeySpec, KeyType};
use crate::config::secret::{DirectorySpec, FileSpec};
use crate::disk::{FileMode, Generations, Owner, Placement, TargetPath};

pub(super) static KEYS: KeySet = KeySet::new(
    "secrets[].generations",
    &[&[
        KeySpec::needed(
            "path",
            KeyType::LocalPath,
            "a directory that is this secret's alone and holds all of its outputs, directly or below",
        ),
        KeySpec::new(
            "keep",
            KeyType::Integer,
            "`1`",
            "how many replaced generations stay: they hold old values, at most 100",
        ),
        KeySpec::new(
            "grace",
            KeyType::Duration,
            "`1m`",
            "how long a replaced generation stays at least, for readers that have it open",
        ),
        KeySpec::new(
            "directoryMode",
            KeyType::Mode,
            "`0750`",
            "of each generation, and of `path` when it is made",
        ),
        KeySpec::new("owner", KeyType::Text, "that of the files, where all have one", "of each generation"),
        KeySpec::new("group", KeyType::Text, "that of the files, where all have one", "of each generation"),
    ]],
);

const KEEP: usize = 1;
const MOST_KEPT: usize = 100;
const GRACE: Duration = Duration::from_secs(60);

pub(super) fn compile(
    secret: &Section<'_>,
    files: &[FileSpec],
    directory: Option<&DirectorySpec>,
    written: &mut Outputs,
    context: &mut CompileContext<'_>,
) -> Option<Generations> {
    let key = "generations";
    let node = secret.node(key)?;
    if let Some(file) = files.iter().find(|file| file.placement.in_place) {
        let path = file.placement.target.as_path().display();
        let message = format!("with `inPlace`, {path} is rewritten and cannot be switched with the others");
        let conflict = Diagnostic::new(Code::ConflictingKeys, secret.place_of(key), message);
        context.push(conflict.hint("leave \"inPlace\" out, and mount the directory instead of the file"));
    }
    let (of_user, of_group) = common_owner(files, directory);
    if node.scalar().is_some() {
        let path = path(secret, key, written, context)?;
        let owner = Owner { user: of_user, group: of_group };
        return Some(Generations {
            path,
            keep: KEEP,
            grace: GRACE,
            directory_mode: FileMode::DIRECTORY,
            owner,
        });
    }
    let mut section = secret.child(key, context)?;
    if !section.has("path") {
        section.missing("path", "the directory that holds all outputs of this secret", context);
    }
    let path = path(&section, "path", written, context);
    let keep = keep(&section, context).unwrap_or(KEEP);
    let grace = section.duration("grace", context).unwrap_or(GRACE);
    let directory_mode = outputs::mode(&mut section, "directoryMode", (FileMode::DIRECTORY, 0o111), context);
    let Owner { user, group } = outputs::owner(&mut section, context);
    section.finish(context);
    let owner = Owner { user: user.or(of_user), group: group.or(of_group) };
    Some(Generations { path: path?, keep, grace, directory_mode, owner })
}

fn path(
    section: &Section<'_>,
    key: &'static str,
    written: &mut Outputs,
    context: &mut CompileContext<'_>,
) -> Option<TargetPath> {
    let base = context.working_directory;
    let parse = |text: &Text<'_>| match unexpanded(text) {
        Some(reason) => Err(reason.to_owned()),
        None => TargetPath::parse_directory(&text.value, base).map_err(|error| error.to_string()),
    };
    let path = section.parsed_text(key, (Code::BadPath, "the path of a directory"), parse, context)?;
    written.add(path.clone(), OutputKind::Generations, section.place_of(key));
    Some(path)
}

fn keep(section: &Section<'_>, context: &mut CompileContext<'_>) -> Option<usize> {
    let number = |text: &str| text.parse().map_err(|_| "");
    let keep = section.parsed("keep", (Code::BadValue, "a whole number"), number, context)?;
    if keep > MOST_KEPT {
        let message = format!("at most {MOST_KEPT} are possible");
        context.push(Diagnostic::new(Code::OutOfRange, section.place_of("keep"), message));
    }
    Some(keep)
}

/// User and group that all outputs are given: as with all parents that are made for files, who owns them must get there.
fn common_owner(files: &[FileSpec], directory: Option<&DirectorySpec>) -> (Option<u32>, Option<u32>) {
    let of_files = files.iter().map(|FileSpec { placement: Placement { owner, .. }, .. }| *owner);
    let owners: Vec<Owner> = of_files.chain(directory.map(|output| output.owner)).collect();
    let common = |part: fn(&Owner) -> Option<u32>| {
        let first = owners.first().and_then(part);
        first.filter(|_| owners.iter().all(|owner| part(owner) == first))
    };
    (common(|owner| owner.user), common(|owner| owner.group))
}
