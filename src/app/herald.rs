//! The herald: tells the service manager what the board says. It speaks from within the loop that obeys signals and
//! drives the supervisor, so a loop that hangs falls silent, and the manager's watchdog notices.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::lifecycle::Systemd;
use crate::printable::one_line;
use crate::status::{Board, Sheet, Snapshot, State};

/// Most names in the line of status.
const NAMES: usize = 5;

/// Between two looks at the board.
const SPACING: Duration = Duration::from_millis(100);

/// Speaks to the manager, if there is one.
pub(super) struct Herald {
    systemd: Option<Systemd>,
    board: Arc<Board>,
    changes: watch::Receiver<Sheet>,
    /// READY has been said. A later failure does not take it back; a reload does for its time.
    is_ready: bool,
    status: String,
    next_sign: Option<Instant>,
}

impl Herald {
    pub(super) fn new(systemd: Option<Systemd>, board: Arc<Board>) -> Self {
        let next_sign = systemd.as_ref().and_then(Systemd::watchdog_interval).map(|_| Instant::now());
        let changes = board.changes();
        Self { systemd, board, changes, is_ready: false, status: String::new(), next_sign }
    }

    /// Speaks while `work` goes on. `work` is dropped only when it has ended.
    pub(super) async fn meanwhile<T>(&mut self, work: impl Future<Output = T>) -> T {
        let Some(systemd) = &self.systemd else { return work.await };
        let mut work = std::pin::pin!(work);
        loop {
            tell(systemd, &self.board.snapshot(), &mut self.is_ready, &mut self.status);
            if let (Some(due), Some(interval)) = (self.next_sign, systemd.watchdog_interval())
                && due <= Instant::now()
            {
                systemd.alive();
                self.next_sign = Some(Instant::now() + interval);
            }
            let stale = self.board.next_staleness();
            let wake = [self.next_sign, stale].into_iter().flatten().min();
            let due = async {
                match wake {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = due => {}
                () = settled(&mut self.changes, Instant::now() + SPACING) => {}
            }
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

/// Waits for a change, and not less than until `at`: secrets that sync together are told of together. The board
/// outlives the herald, so there is always somebody to wait for.
async fn settled(changes: &mut watch::Receiver<Sheet>, at: Instant) {
    if changes.changed().await.is_ok() {
        sleep_until(at).await;
    }
}

/// Says what has changed since it was said last.
fn tell(systemd: &Systemd, snapshot: &Snapshot, is_ready: &mut bool, status: &mut String) {
    let line = status_line(snapshot);
    if line != *status {
        systemd.status(&line);
        *status = line;
    }
    if snapshot.ready && !*is_ready {
        *is_ready = true;
        systemd.ready();
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
    use crate::status::{Entry, Facts, Success};

    #[test]
    fn the_line_counts_and_names_a_few() {
        let names: Vec<_> = (1..=8).map(|number| SecretName::new(&format!("s{number}"))).collect();
        let entries = names.iter().map(|name| (name.clone(), Entry::new(Facts::of_required("a"))));
        let board = Board::new(entries, Clock::system());
        assert_eq!(status_line(&board.snapshot()), "0 of 8 secrets synced");
        board.succeeded(&names[0], Success { version: None, next_try: None });
        board.failed(&names[1], &Fault::new(Kind::Denied, "", ""), None);
        assert_eq!(status_line(&board.snapshot()), "1 of 8 secrets synced; 1 failing: s2");
        names[2..].iter().for_each(|name| board.failed(name, &Fault::new(Kind::Denied, "", ""), None));
        let line = status_line(&board.snapshot());
        assert_eq!(line, "1 of 8 secrets synced; 7 failing: s2, s3, s4, s5, s6 and 2 more");
    }
}
