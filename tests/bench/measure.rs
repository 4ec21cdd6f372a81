//! One run of one contender, and what the kernel says about it.

use std::fs;
use std::path::PathBuf;
use std::process::Child;
use std::time::{Duration, Instant};

use crate::Result;
use crate::contender::{Contender, Workload, files};

/// Nothing that is measured takes nearly as long.
const PATIENCE: Duration = Duration::from_secs(60);
/// Small against the fastest run; one `stat` per look.
const LOOK: Duration = Duration::from_micros(250);
/// The unit of `utime` and `stime` in /proc: fixed at 100 a second on every Linux this runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// A process at work. Dropping it ends the process and removes its files.
pub(crate) struct Run {
    child: Child,
    started: Instant,
    missing: Vec<PathBuf>,
    output: PathBuf,
}

impl Run {
    pub(crate) fn start(contender: Contender, work: &Workload) -> Result<Self> {
        let output = work.home.join("output");
        fs::create_dir(&output)?;
        let mut command = contender.prepare(work, &output)?;
        let missing = files(work, &output);
        let started = Instant::now();
        Ok(Self { child: command.spawn()?, started, missing, output })
    }

    /// Waits until the last file is there; returns the time since the start. Both contenders rename complete files
    /// into place.
    pub(crate) fn synced(&mut self) -> Result<Duration> {
        while let Some(file) = self.missing.last() {
            if file.exists() {
                self.missing.pop();
                continue;
            }
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("it ended before {} was there: {status}", file.display()).into());
            }
            if self.started.elapsed() > PATIENCE {
                return Err(format!("{} is still missing", file.display()).into());
            }
            std::thread::sleep(LOOK);
        }
        Ok(self.started.elapsed())
    }

    pub(crate) fn resident_megabytes(&self) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        let kibibytes: f64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kibibytes * 1024.0 / 1e6)
    }

    /// The share of one core that the process uses from now for `time`.
    pub(crate) fn processor_share(&self, time: Duration) -> Result<f64> {
        let (before, since) = (self.processor_seconds()?, Instant::now());
        std::thread::sleep(time);
        Ok((self.processor_seconds()? - before) / since.elapsed().as_secs_f64())
    }

    fn processor_seconds(&self) -> Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The name in brackets may hold anything; the state behind it is field 3, utime and stime are 14 and 15.
        let (_, fields) = stat.rsplit_once(')').ok_or("no name in stat")?;
        let ticks: f64 =
            fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
        Ok(ticks / TICKS_PER_SECOND)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // The process is ours and has nothing to lose. What cannot be removed goes with the bench's directory.
        drop(self.child.kill().and_then(|()| self.child.wait()));
        drop(fs::remove_dir_all(&self.output));
    }
}

/// The middle of an odd number of values.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
