//! Where a secret is read from, and what is on disk before that.

use tokio_util::sync::CancellationToken;

use super::Pass;
use crate::sink::Sink;
use crate::store::gather::SourceStores;
use crate::store::issuer::FilesThere;
use crate::sync::publisher::PublishProgress;

impl Pass {
    /// Where the secret is read from.
    pub(in crate::sync) fn stores(&self) -> &SourceStores {
        &self.stores
    }

    /// From now on the secret is read from `stores`.
    pub(in crate::sync) fn read_from(&mut self, stores: SourceStores) {
        self.stores = stores;
    }

    /// Which files of the secret are there, also those of another process. What cannot be looked at is not there.
    pub(in crate::sync) async fn files_there(&mut self, stop: &CancellationToken) -> FilesThere {
        let look = |sink: &mut Sink, progress: &PublishProgress<'_>| {
            progress.writes(sink.job());
            let secret = &sink.job().secret;
            let files = secret.files.iter().map(|file| file.placement.target.as_path());
            let directory = secret.directory.iter().map(|directory| directory.path.as_path());
            let (there, missing): (Vec<_>, Vec<_>) = files.chain(directory).partition(|path| path.exists());
            Ok(match (there.is_empty(), missing.is_empty()) {
                (true, _) => FilesThere::None,
                (false, false) => FilesThere::Some,
                (false, true) => FilesThere::All,
            })
        };
        self.publisher.run(true, look, stop).await.and_then(Result::ok).unwrap_or(FilesThere::None)
    }
}
