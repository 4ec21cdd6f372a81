//! What is known of a recovery: how long it took, how much of that the machine had no processor for it, and, of one that
//! comes late, what the daemon said of the secrets and of their store.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use secrets_sync::clock::rfc3339;

use crate::daemon::Process;
use crate::fake;

/// Secrets that are shown, the lines of each, and those about the store.
const SECRETS_SHOWN: usize = 3;
const LINES_OF_A_SECRET: usize = 6;
const LINES_OF_THE_STORE: usize = 30;

/// A line of a reload or of a hook may name all secrets.
const LONGEST_LINE: usize = 2_000;

/// What lines about logins, tokens, the breaker and hooks have in them, and those about lines that are lost.
const OF_THE_STORE: [&str; 6] = ["circuit breaker", "log", "token", "\"hook\":", "lost", "suspend"];

/// The time after a fault until everything is right again.
pub(crate) struct Recovery {
    began: SystemTime,
    start: Instant,
    /// What the server and the daemon had waited for a processor before.
    waited: [Duration; 2],
    looked: Instant,
    longest_gap: Duration,
}

/// How long a recovery has lasted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Lasted {
    /// Without the time in which the daemon or the server could have run and had no processor.
    pub(crate) net: Duration,
    pub(crate) whole: Duration,
}

impl Recovery {
    pub(crate) fn begin(daemon: &Process) -> Self {
        let now = Instant::now();
        let waited = waited(daemon);
        Self { began: SystemTime::now(), start: now, waited, looked: now, longest_gap: Duration::ZERO }
    }

    pub(crate) fn look(&mut self, daemon: &Process) -> Lasted {
        let now = Instant::now();
        self.longest_gap = self.longest_gap.max(now - self.looked);
        self.looked = now;
        let whole = now - self.start;
        let waited =
            waited(daemon).into_iter().zip(self.waited).map(|(now, before)| now.saturating_sub(before));
        // Of the two that waited longer: both together may wait for longer than there was time.
        Lasted { net: whole.saturating_sub(waited.max().unwrap_or_default()), whole }
    }

    /// When it began, how busy the machine was, and the last lines about the secrets `names` and about their store since the
    /// beginning of the fault, which had lasted for `lasting`.
    pub(crate) fn tell(&self, lasting: Duration, names: &[String], daemon: &Process) -> String {
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let mut text = format!(
            "    the fault ended at {}; at most {} ms between two looks; load {}\n",
            rfc3339(self.began),
            self.longest_gap.as_millis(),
            load.trim()
        );
        let since = format!("{{\"ts\":\"{}", rfc3339(self.began - lasting));
        let log = daemon.stderr();
        let lines = log.lines().filter(|line| *line >= since.as_str() && line.len() < LONGEST_LINE);
        // Nobody listens at the further store, which says so all the time.
        let lines: Vec<_> = lines.filter(|line| !line.contains("\"store\":\"far\"")).collect();
        let mut add = |what: &str, most: usize, is_about: &dyn Fn(&str) -> bool| {
            let about: Vec<_> = lines.iter().filter(|line| is_about(line)).collect();
            text += &format!("    {what}, the last of {} lines:\n", about.len());
            for line in about.iter().rev().take(most).rev() {
                text += &format!("      {line}\n");
            }
        };
        for name in names.iter().take(SECRETS_SHOWN) {
            let (quoted, place) = (format!("\"{name}\""), place_of(name));
            add(name, LINES_OF_A_SECRET, &|line| line.contains(&quoted) || line.contains(&place));
        }
        add("the store", LINES_OF_THE_STORE, &|line| {
            let is_request = line.contains("\"msg\":\"request\"");
            let is_known = OF_THE_STORE.iter().any(|word| line.contains(word));
            if is_request { line.contains("/v1/auth/") } else { is_known && !line.contains("\"secret\":") }
        });
        text
    }
}

/// How the place of a request for the secret ends.
fn place_of(name: &str) -> String {
    match name.strip_prefix("issued-") {
        Some(source) => format!("/v1/database/creds/{source}\""),
        None => format!("/v1/secret/data/{}\"", name.trim_start_matches('s').parse().unwrap_or(0_usize)),
    }
}

/// How long the server's thread and the daemon's main thread have waited for a processor since they began.
fn waited(daemon: &Process) -> [Duration; 2] {
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten().map(|entry| entry.path());
    let is_server = |path: &PathBuf| {
        fs::read_to_string(path.join("comm")).is_ok_and(|name| name.trim_end() == fake::THREAD)
    };
    let server = threads.filter(is_server).last();
    let waited = |path: PathBuf| waited_by(&fs::read_to_string(path.join("schedstat")).ok()?);
    [server, Some(format!("/proc/{}", daemon.pid()).into())]
        .map(|path| path.and_then(waited).unwrap_or_default())
}

/// The second number of `schedstat`, in nanoseconds. A kernel without it says nothing: then the whole time counts.
fn waited_by(schedstat: &str) -> Option<Duration> {
    schedstat.split_whitespace().nth(1)?.parse().ok().map(Duration::from_nanos)
}
