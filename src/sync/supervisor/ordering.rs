//! What the supervisor is asked to have its tasks do.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::{Running, Supervisor};
use crate::name::SecretName;
use crate::sync::orders::{OrderReport, Orders, SecretCommand};

impl Supervisor {
    /// Makes all secrets due now; one that is being synced is synced once more afterwards. What was read before is not
    /// good enough for them.
    pub(crate) fn refresh(&self) {
        let mut forgotten = HashSet::new();
        for running in self.running.values() {
            Orders::bump(&running.refresh);
            running.forget_what_was_read(&mut forgotten);
        }
    }

    /// Makes the secrets of these names due now, or all, as [`Self::refresh`] does; for those who wait for the outcome
    /// of these passes.
    ///
    /// # Errors
    /// The first name that no secret has; then nothing was made due.
    pub(crate) fn refresh_and_report(
        &self,
        names: Option<&[SecretName]>,
    ) -> Result<Vec<(SecretName, oneshot::Receiver<OrderReport>)>, SecretName> {
        if let Some(unknown) = names.iter().copied().flatten().find(|name| !self.running.contains_key(*name))
        {
            return Err(unknown.clone());
        }
        let mut forgotten = HashSet::new();
        let asked = self.running.iter().filter(|(name, _)| names.is_none_or(|names| names.contains(name)));
        let place = |(name, running): (&SecretName, &Running)| {
            running.forget_what_was_read(&mut forgotten);
            (name.clone(), Orders::place(&running.refresh, SecretCommand::Read, 0))
        };
        Ok(asked.map(place).collect())
    }

    /// Has one secret do what the user `by` asks for; `None` where there is no such secret.
    pub(crate) fn order(
        &self,
        name: &SecretName,
        command: SecretCommand,
        by: u32,
    ) -> Option<oneshot::Receiver<OrderReport>> {
        let running = self.running.get(name)?;
        running.forget_what_was_read(&mut HashSet::new());
        Some(Orders::place(&running.refresh, command, by))
    }

    /// The names of all secrets, in order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &SecretName> {
        self.running.keys()
    }
}

impl Running {
    /// What its stores remember of earlier reads is no answer any more; each store once.
    fn forget_what_was_read(&self, forgotten: &mut HashSet<*const ()>) {
        let stores = self.stores.borrow();
        for store in stores.iter().filter(|store| forgotten.insert(Arc::as_ptr(store).cast::<()>())) {
            store.forget();
        }
    }
}
