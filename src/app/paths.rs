//! Paths that the daemon itself writes to: no secret may, and nothing that is read may be there.

use std::path::{Path, PathBuf};

use crate::config::secret::SecretSpec;
use crate::disk::Location;
use crate::name::SecretName;
use crate::sync::JobWithStores;

/// Why the daemon itself must not write to `path`: a secret does, or it is one of `inputs`. Links do not hide that.
pub(super) fn conflict(path: &Path, jobs: &[JobWithStores], inputs: &[(String, PathBuf)]) -> Option<String> {
    let place = Location::of(path);
    let secret = writer_of(&place, jobs).map(|secret| format!("the secret {secret} writes to that path"));
    let read = || inputs.iter().find(|(_, input)| Location::of(input).is(&place));
    secret.or_else(|| read().map(|(name, _)| format!("that path is {name}")))
}

/// The secret whose file, or whose directory's entry, is at `place`: the two would replace each other again and again.
fn writer_of<'j>(place: &Location, jobs: &'j [JobWithStores]) -> Option<&'j SecretName> {
    let writes = |secret: &SecretSpec| {
        let is_file = secret.files.iter().any(|file| place.is_replaced_at(file.placement.target.as_path()));
        is_file || secret.directory.iter().any(|output| place.is_in(&Location::of(output.path.as_path())))
    };
    jobs.iter().map(|(job, _)| &job.secret).find(|secret| writes(secret)).map(|secret| &secret.name)
}
