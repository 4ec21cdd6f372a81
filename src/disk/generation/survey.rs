//! What a switch would do, found out without doing it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use super::Generations;
use super::judge::judge;
use super::layout::{below, target};
use super::look::Found;
use crate::disk::access::check_directory;
use crate::disk::directory::Directory;
use crate::disk::survey::Survey;
use crate::disk::{NewFile, Placement, TargetPath};
use crate::fault::Fault;

/// Looks at the target of each file without touching it; reads at most `limit` bytes of what is there.
pub(crate) fn survey_generation(
    generations: &Generations,
    files: &[NewFile],
    limit: usize,
    now: SystemTime,
) -> Vec<Result<Survey, Fault>> {
    let looked = look(generations, now);
    let one = |file: &NewFile| {
        let path = below(generations.path.as_path(), &file.placement.target)?;
        let Some((root, found)) = looked.as_ref().map_err(Clone::clone)? else { return Ok(Survey::NOTHING) };
        let judged = judge(root, found, file, &path, None)?;
        let Some(existing) = judged.existing else {
            return Ok(Survey { change: judged.change, ..Survey::NOTHING });
        };
        Ok(Survey {
            change: judged.change,
            drift: existing.drift(&file.placement, judged.unasked),
            size: Some(existing.size()),
            content: existing.content(limit),
        })
    };
    files.iter().map(one).collect()
}

/// The outputs that a removal would take away, with their sizes in bytes.
///
/// # Errors
/// The directory cannot be read.
pub(crate) fn survey_generation_removal(
    generations: &Generations,
    now: SystemTime,
) -> Result<Vec<(TargetPath, u64)>, Fault> {
    let Some((root, found)) = look(generations, now)? else { return Ok(Vec::new()) };
    let size = |link: &PathBuf| {
        let target = target(root.path(), link)?;
        let size = target.as_path().metadata().map_or(0, |facts| facts.len());
        Some((target, size))
    };
    Ok(found.links.iter().filter_map(size).collect())
}

/// Whether the file could be published in a generation now.
///
/// # Errors
/// The first reason against it.
pub(crate) fn check_generation(generations: &Generations, placement: &Placement) -> Result<(), Fault> {
    check_directory(&Placement { target: generations.path.clone(), ..placement.clone() })
}

fn look(generations: &Generations, now: SystemTime) -> Result<Option<(Arc<Directory>, Found)>, Fault> {
    let Some(root) = Directory::open(generations.path.as_path())?.map(Arc::new) else { return Ok(None) };
    let found = Found::look(&root, generations, None, now)?;
    Ok(Some((root, found)))
}
