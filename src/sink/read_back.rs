//! The numbers of generations, and content that was published: an earlier generation, or the files themselves.

use std::path::{Path, PathBuf};

use super::Sink;
use crate::disk::{self, NewFile, Placement, TargetPath};
use crate::fault::{Fault, Kind};
use crate::name::ChangeNumber;
use crate::regular_file;
use crate::render::Rendered;
use crate::secret::SecretBytes;

impl Sink {
    /// New generations have a higher number than `highest`, and readers have had those of `published`.
    pub(crate) fn follow(
        &mut self,
        highest: ChangeNumber,
        published: impl IntoIterator<Item = ChangeNumber>,
    ) {
        let published = published.into_iter().map(ChangeNumber::get).collect();
        self.numbers = (self.numbers.0.max(highest.get()), published);
    }

    /// The generation that readers get, if the secret has generations and there is one.
    ///
    /// # Errors
    /// The link to it cannot be read, or is no such link.
    pub(crate) fn current_generation(&self) -> Result<Option<ChangeNumber>, Fault> {
        let Some(generations) = &self.job.secret.generations else { return Ok(None) };
        disk::current_generation(generations).map(|number| number.map(ChangeNumber::new))
    }

    /// The content of the files in the generation of `change`; for a secret without generations that of its files.
    /// `None` where one of them is not there.
    ///
    /// # Errors
    /// A file cannot be read.
    pub(crate) fn read_back(&self, change: ChangeNumber) -> Result<Option<Rendered>, Fault> {
        let secret = &self.job.secret;
        let mut files = Vec::new();
        for file in &secret.files {
            let Some(read) = self.read_one(&file.placement, change)? else { return Ok(None) };
            files.push(read);
        }
        for placement in self.entries_of_directory(change)? {
            if !files.iter().any(|file| file.placement.target == placement.target) {
                let Some(read) = self.read_one(&placement, change)? else { return Ok(None) };
                files.push(read);
            }
        }
        Ok(Some(Rendered { files, facts: None }))
    }

    /// The highest number below `change` that a generation on disk has.
    pub(crate) fn generation_before(&self, change: ChangeNumber) -> Option<ChangeNumber> {
        let generations = self.job.secret.generations.as_ref()?;
        let earlier =
            disk::generations_there(generations).into_iter().filter(|number| *number < change.get());
        earlier.max().map(ChangeNumber::new)
    }

    fn read_one(&self, placement: &Placement, change: ChangeNumber) -> Result<Option<NewFile>, Fault> {
        let path = self.place_in(placement.target.as_path(), change);
        match regular_file::read(&path, self.job.max_file_size) {
            Ok(content) => {
                let content = SecretBytes::new(content.to_vec());
                Ok(Some(NewFile { placement: placement.clone(), content }))
            }
            Err(error) if error.io_kind() == Some(std::io::ErrorKind::NotFound) => Ok(None),
            Err(error) => Err(unreadable(&path, &error)),
        }
    }

    /// The files in `directory`, by name.
    fn entries_of_directory(&self, change: ChangeNumber) -> Result<Vec<Placement>, Fault> {
        let Some(output) = &self.job.secret.directory else { return Ok(Vec::new()) };
        let path = self.place_in(output.path.as_path(), change);
        let entries = match std::fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(unreadable(&path, &error)),
        };
        let is_ours = |target: &TargetPath| {
            self.job.secret.generations.is_some() || self.known.lock().contains_key(target)
        };
        let mut placements: Vec<_> = entries
            .filter_map(|entry| output.path.entry(entry.ok()?.file_name().to_str()?).ok())
            .filter(is_ours)
            .map(|target| Placement { target, ..output.placement() })
            .collect();
        placements.sort_by(|a, b| a.target.cmp(&b.target));
        Ok(placements)
    }

    /// Where the output at `path` lies in the generation of `change`.
    fn place_in(&self, path: &Path, change: ChangeNumber) -> PathBuf {
        let generations = self.job.secret.generations.as_ref().map(|generations| generations.path.as_path());
        match generations.and_then(|root| Some((root, path.strip_prefix(root).ok()?))) {
            Some((root, below)) => root.join(disk::directory_name(change.get())).join(below),
            None => path.to_owned(),
        }
    }
}

fn unreadable(path: &Path, error: &dyn std::fmt::Display) -> Fault {
    let message = format!("{}: cannot be read: {error}", path.display());
    Fault::new(Kind::Write, message, "look at its owner and mode")
}
