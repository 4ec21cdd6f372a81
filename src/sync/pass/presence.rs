//! Where a secret is read from, and what is on disk before that.

use tokio_util::sync::CancellationToken;

use super::Pass;
use crate::sink::Sink;
use crate::store::gather::SourceStores;
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

    /// Whether all files of the secret are there, also those of another process. What cannot be looked at is not there.
    pub(in crate::sync) async fn has_files(&mut self, stop: &CancellationToken) -> bool {
        let look = |sink: &mut Sink, progress: &PublishProgress<'_>| {
            progress.writes(sink.job());
            let secret = &sink.job().secret;
            let files = secret.files.iter().map(|file| file.placement.target.as_path());
            let directory = secret.directory.iter().map(|directory| directory.path.as_path());
            Ok(files.chain(directory).all(std::path::Path::exists))
        };
        self.publisher.run(true, look, stop).await == Some(Ok(true))
    }
}
