//! One run of one contender, and what the kernel says about it.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Child;
use std::time::{Duration, Instant};

use crate::Result;
use crate::contender::{Contender, STATUS_FILE, Workload, files};

/// Nothing that is measured takes nearly as long.
const PATIENCE: Duration = Duration::from_secs(60);
/// Small against the fastest run; one `stat` per look.
const LOOK: Duration = Duration::from_micros(250);

/// A process at work. Dropping it ends the process and removes its files.
pub(crate) struct Run {
    child: Child,
    started: Instant,
    missing: Vec<PathBuf>,
    output: PathBuf,
    status_file: PathBuf,
}

impl Run {
    pub(crate) fn start(contender: Contender, work: &Workload) -> Result<Self> {
        let output = work.home.join("output");
        fs::create_dir(&output)?;
        let mut command = contender.prepare(work, &output)?;
        let missing = files(work, &output);
        let started = Instant::now();
        let status_file = work.home.join(STATUS_FILE);
        Ok(Self { child: command.spawn()?, started, missing, output, status_file })
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

    /// The fastest of `count` answers of its `/metrics`: others wait for a core that somebody else has.
    pub(crate) fn scrape_seconds(&self, count: usize) -> Result<f64> {
        let status: serde_json::Value = serde_json::from_str(&fs::read_to_string(&self.status_file)?)?;
        let address = status.pointer("/daemon/listen").and_then(|text| text.as_str()).ok_or("no listen")?;
        let mut fastest = f64::INFINITY;
        for _ in 0..count {
            let (begun, mut answer) = (Instant::now(), String::new());
            let mut stream = TcpStream::connect(address)?;
            stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")?;
            stream.read_to_string(&mut answer)?;
            if !answer.contains("secrets_sync_secret_info{") {
                return Err("the metrics hold no secret".into());
            }
            fastest = fastest.min(begun.elapsed().as_secs_f64());
        }
        Ok(fastest)
    }

    /// Nanoseconds on a core, of all threads: the ticks of `stat` are too coarse for a process that does nothing.
    fn processor_seconds(&self) -> Result<f64> {
        let mut seconds = 0.0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let schedstat = fs::read_to_string(thread?.path().join("schedstat"))?;
            let nanoseconds: f64 = schedstat.split_whitespace().next().ok_or("no schedstat")?.parse()?;
            seconds += nanoseconds / 1e9;
        }
        Ok(seconds)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // The process is ours and has nothing to lose. What cannot be removed goes with the bench's directory.
        drop(self.child.kill().and_then(|()| self.child.wait()));
        drop(fs::remove_dir_all(&self.output));
    }
}

/// One `run --once`: its wall time and processor time. Its files are removed.
pub(crate) fn once(work: &Workload) -> Result<(Duration, Duration)> {
    let output = work.home.join("output");
    fs::create_dir(&output)?;
    let mut command = Contender::SecretsSync.prepare(work, &output)?;
    let (before, started) = (children_seconds()?, Instant::now());
    let status = command.args(["run", "--once"]).status()?;
    let (wall, core) = (started.elapsed(), children_seconds()? - before);
    if !status.success() {
        return Err(format!("run --once ended with {status}").into());
    }
    fs::remove_dir_all(&output)?;
    Ok((wall, Duration::from_secs_f64(core.max(0.0))))
}

/// Processor time of all children that have ended.
fn children_seconds() -> Result<f64> {
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_CHILDREN)?;
    #[expect(clippy::cast_precision_loss, reason = "microseconds are far below 2^52")]
    let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    Ok(seconds(usage.user_time()) + seconds(usage.system_time()))
}

/// The middle of an odd number of values.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
