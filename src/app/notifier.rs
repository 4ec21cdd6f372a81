//! The service notifier: reports to the service manager what the registry says, whenever the control loop calls it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::lifecycle::Systemd;
use crate::printable::one_line;
use crate::status::{RegistryInner, Snapshot, State, StatusRegistry};

/// Most names in the line of status.
const NAMES: usize = 5;

/// Between two looks at the registry.
const SPACING: Duration = Duration::from_millis(100);

/// Sends to the manager, if there is one.
pub(super) struct ServiceNotifier {
    systemd: Option<Systemd>,
    registry: Arc<StatusRegistry>,
    changes: watch::Receiver<RegistryInner>,
    /// READY was sent. A later failure does not take it back; a reload does while it lasts.
    is_ready: bool,
    status: String,
    next_sign: Option<Instant>,
}

impl ServiceNotifier {
    pub(super) fn new(systemd: Option<Systemd>, registry: Arc<StatusRegistry>) -> Self {
        let next_sign = systemd.as_ref().and_then(Systemd::watchdog_interval).map(|_| Instant::now());
        let changes = registry.changes();
        Self { systemd, registry, changes, is_ready: false, status: String::new(), next_sign }
    }

    /// Sends what has changed since the last call, and a sign of life when one is due.
    pub(super) fn update(&mut self) {
        let Some(systemd) = &self.systemd else { return };
        let snapshot = self.registry.snapshot();
        let line = status_line(&snapshot);
        if line != self.status {
            systemd.status(&line);
            self.status = line;
        }
        if snapshot.ready && !self.is_ready {
            self.is_ready = true;
            systemd.ready();
        }
        if let (Some(due), Some(interval)) = (self.next_sign, systemd.watchdog_interval())
            && due <= Instant::now()
        {
            systemd.alive();
            self.next_sign = Some(Instant::now() + interval);
        }
    }

    /// Returns when [`Self::update`] is due; never without a manager.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped, as long as `update` is called before the next one.
    pub(super) async fn due(&mut self) {
        if self.systemd.is_none() {
            return std::future::pending().await;
        }
        let wake = [self.next_sign, self.registry.next_staleness()].into_iter().flatten().min();
        let due = async {
            match wake {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = due => {}
            () = debounced(&mut self.changes, Instant::now() + SPACING) => {}
        }
    }

    /// A reload begins. Before the first READY the manager is still waiting for the start.
    pub(super) fn reloading(&self) {
        if let Some(systemd) = self.systemd.as_ref().filter(|_| self.is_ready) {
            systemd.reloading();
        }
    }

    /// A reload has ended, well or not: what runs is up.
    pub(super) fn reloaded(&self) {
        if let Some(systemd) = self.systemd.as_ref().filter(|_| self.is_ready) {
            systemd.ready();
        }
    }

    /// The end begins.
    pub(super) fn stopping(&self) {
        if let Some(systemd) = &self.systemd {
            systemd.stopping();
            systemd.status("stopping");
        }
    }
}

/// Waits for a change, and at least until `at`: secrets that sync together are one message. The registry outlives the
/// notifier.
async fn debounced(changes: &mut watch::Receiver<RegistryInner>, at: Instant) {
    if changes.changed().await.is_ok() {
        sleep_until(at).await;
    }
}

/// "3 of 4 secrets synced; 1 failing: tls".
fn status_line(snapshot: &Snapshot) -> String {
    let (synced, count) = (snapshot.synced_count, snapshot.secret_count);
    let in_trouble = |state| !matches!(state, State::Pending | State::Synced);
    let failing = snapshot.secrets.iter().filter(|secret| in_trouble(secret.state));
    let failing: Vec<&str> = failing.map(|secret| secret.name.as_str()).collect();
    if failing.is_empty() {
        return format!("{synced} of {count} secrets synced");
    }
    let named: Vec<&str> = failing.iter().take(NAMES).copied().collect();
    let more = match failing.len() - named.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let named = one_line(&named.join(", "));
    format!("{synced} of {count} secrets synced; {} failing: {named}{more}", failing.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::fault::{Fault, Kind};
    use crate::name::SecretName;
    use crate::status::{SecretEntry, SecretInfo, Success};

    #[test]
    fn the_line_counts_and_names_a_few() {
        let names: Vec<_> = (1..=8).map(|number| SecretName::new(&format!("s{number}"))).collect();
        let entries = names.iter().map(|name| (name.clone(), SecretEntry::new(SecretInfo::of_required("a"))));
        let registry = StatusRegistry::new(entries, Clock::system());
        assert_eq!(status_line(&registry.snapshot()), "0 of 8 secrets synced");
        registry.succeeded(
            &names[0],
            Success { version: None, versions: Vec::new(), created: None, next_try: None },
        );
        registry.failed(&names[1], &Fault::new(Kind::Denied, "", ""), None);
        assert_eq!(status_line(&registry.snapshot()), "1 of 8 secrets synced; 1 failing: s2");
        names[2..].iter().for_each(|name| registry.failed(name, &Fault::new(Kind::Denied, "", ""), None));
        let line = status_line(&registry.snapshot());
        assert_eq!(line, "1 of 8 secrets synced; 7 failing: s2, s3, s4, s5, s6 and 2 more");
    }
}
