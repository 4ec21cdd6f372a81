//! `make bench`: secrets-sync and `bao agent` do the same work in turn against the same server, and one table says how
//! long it took and what it weighed. Everything is on loopback and in memory, so the numbers are those of the programs.
//! docs/performance.md tells how to read them.

#![expect(clippy::print_stdout, reason = "the table is what this program is for")]
#![expect(
    clippy::disallowed_methods,
    reason = "it writes throw-away input and reads no setting from anywhere"
)]

mod collector;
mod contender;
mod floor;
mod measure;
mod proxy;
mod server;
mod table;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

use contender::{Contender, Workload};
use measure::{Run, median, once};
use proxy::CountingProxy;
use server::Server;
use table::{Row, Table};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Files, timed runs of each contender, and the target in milliseconds.
const SPEED: [(usize, usize, f64); 3] = [(1, 7, 15.0), (100, 5, 40.0), (1000, 3, 350.0)];
/// Secrets of `run --once`, timed runs, and what may be added to the floor: a factor of it, and milliseconds.
const ONCE: [(usize, usize, f64, f64); 3] = [(1, 11, 1.0, 5.0), (100, 11, 1.5, 5.0), (1000, 5, 1.3, 10.0)];
/// Secrets of `run --once` over TLS, timed runs, and the targets in milliseconds.
const ONCE_TLS: [(usize, usize, f64); 3] = [(1, 11, 10.0), (100, 11, 50.0), (1000, 5, 320.0)];
/// For these many the time per secret is compared with that for a thousand.
const MANY: usize = 10_000;
/// Secrets, and the targets for resident memory in MB.
const WEIGHT: [(usize, f64); 3] = [(1, 6.0), (100, 8.0), (1000, 16.0)];
/// How long the processor time of an idle process is watched.
const IDLE: Duration = Duration::from_secs(30);

fn main() -> Result<()> {
    // `cargo test --all-targets` starts benches too, without this argument.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    // What cargo builds beside a bench has the features of the tests: tokio's test clock wakes the runtime once more
    // after every piece of work on a thread.
    let binary = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).map(PathBuf::from);
    let binary = binary.ok_or("which binary? `make bench` builds the one that ships, and names it")?;
    let memory = tempfile::Builder::new().prefix("secrets-sync-bench-").tempdir_in("/dev/shm")?;
    let server = Server::start(memory.path())?;
    server.fill(1000)?;
    let bench = Bench { binary: &binary, home: memory.path(), server: &server };
    let mut table = Table::default();
    for (files, runs, target) in SPEED {
        table.add(bench.speed(files, runs, target)?);
    }
    for (files, runs, factor, added) in ONCE {
        bench.once(files, runs, factor, added)?.into_iter().for_each(|row| table.add(row));
    }
    for (files, runs, target) in ONCE_TLS {
        table.add(bench.once_over_tls(files, runs, target)?);
    }
    server.fill_from(1000, MANY)?;
    table.add(bench.many()?);
    for (secrets, target) in WEIGHT {
        bench.weight(secrets, target)?.into_iter().for_each(|row| table.add(row));
    }
    table.add(bench.idle(1000)?);
    bench.everything_on()?.into_iter().for_each(|row| table.add(row));
    table.add(size(&binary)?);
    println!("{table}");
    Ok(())
}

struct Bench<'a> {
    binary: &'a Path,
    home: &'a Path,
    server: &'a Server,
}

impl Bench<'_> {
    fn workload(&self, secrets: usize) -> Workload<'_> {
        Workload {
            binary: self.binary,
            home: self.home,
            address: self.server.address(),
            ca: None,
            secrets,
            interval: Duration::from_secs(300),
        }
    }

    /// From the start of the process until the last file is there; the median of several runs, turn by turn.
    fn speed(&self, files: usize, runs: usize, target: f64) -> Result<Row> {
        let workload = self.workload(files);
        let mut times = [Vec::new(), Vec::new()];
        for _ in 0..runs {
            for (times, contender) in times.iter_mut().zip(Contender::BOTH) {
                times.push(Run::start(contender, &workload)?.synced()?.as_secs_f64() * 1e3);
            }
        }
        let [ours, theirs] = times.map(median);
        Ok(Row::new(format!("start to {files} file(s), ms"), ours, theirs).target(target))
    }

    /// `run --once` beside the floor, in turn: the medians of the wall time, and processor time.
    fn once(&self, secrets: usize, runs: usize, factor: f64, added: f64) -> Result<[Row; 2]> {
        let workload = self.workload(secrets);
        let (mut walls, mut floors, mut cores) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..runs {
            floors.push(floor::time(self.server.address(), self.home, secrets)?.as_secs_f64() * 1e3);
            let (wall, core) = once(&workload)?;
            walls.push(wall.as_secs_f64() * 1e3);
            cores.push(core.as_secs_f64() * 1e3);
        }
        let (ours, floor) = (median(walls), median(floors));
        // A tenth of a second for a thousand files.
        #[expect(clippy::cast_precision_loss, reason = "a few thousand secrets")]
        let most = 10.0 + 0.1 * secrets as f64;
        Ok([
            Row::beside_floor(format!("run --once, {secrets} secret(s), ms"), ours, floor)
                .target(factor * floor + added),
            Row::alone("… processor time, ms", median(cores)).target(most),
        ])
    }

    /// `run --once` over TLS: the median of the wall time.
    fn once_over_tls(&self, secrets: usize, runs: usize, target: f64) -> Result<Row> {
        let (address, ca) = self.server.tls();
        let workload = Workload { address, ca: Some(ca), ..self.workload(secrets) };
        let walls = (0..runs).map(|_| Ok(once(&workload)?.0.as_secs_f64() * 1e3));
        let wall = median(walls.collect::<Result<Vec<_>>>()?);
        Ok(Row::alone(format!("run --once over TLS, {secrets} secret(s), ms"), wall).target(target))
    }

    /// Microseconds for each of many secrets, with a tenth more than each of a thousand takes as the target.
    fn many(&self) -> Result<Row> {
        #[expect(clippy::cast_precision_loss, reason = "a few thousand secrets")]
        let each = |secrets: usize| -> Result<f64> {
            let times =
                (0..3).map(|_| Ok(once(&self.workload(secrets))?.0.as_secs_f64() * 1e6 / secrets as f64));
            Ok(median(times.collect::<Result<Vec<_>>>()?))
        };
        let target = each(1000)? * 1.1;
        Ok(Row::alone(format!("run --once, each of {MANY} secrets, µs"), each(MANY)?).target(target))
    }

    /// Requests, connections and resident memory, in a run of its own that is not timed.
    fn weight(&self, secrets: usize, target: f64) -> Result<[Row; 3]> {
        let measured = Contender::BOTH.map(|contender| {
            let proxy = CountingProxy::start(self.server.address())?;
            let workload = Workload { address: proxy.address(), ..self.workload(secrets) };
            let mut run = Run::start(contender, &workload)?;
            run.synced()?;
            std::thread::sleep(Duration::from_secs(1));
            Result::Ok((proxy.requests(), proxy.connections(), run.resident_megabytes()?))
        });
        let [ours, theirs] = measured;
        let ((requests, connections, memory), peer) = (ours?, theirs?);
        #[expect(clippy::cast_precision_loss, reason = "a few thousand secrets")]
        let wanted = secrets as f64;
        Ok([
            Row::new(format!("requests for {secrets} secrets"), requests, peer.0).target(wanted),
            Row::new(format!("connections for {secrets} secrets"), connections, peer.1).target(8.0),
            Row::new(format!("resident memory with {secrets} secrets, MB"), memory, peer.2).target(target),
        ])
    }

    /// Share of one core that goes into refreshing what does not change.
    fn idle(&self, secrets: usize) -> Result<Row> {
        let workload = Workload { interval: Duration::from_secs(10), ..self.workload(secrets) };
        let [ours, theirs] = Contender::BOTH.map(|contender| {
            let mut run = Run::start(contender, &workload)?;
            run.synced()?;
            // The end of the first sync is not idleness.
            std::thread::sleep(Duration::from_secs(2));
            run.processor_share(IDLE)
        });
        Ok(Row::new(
            format!("idle with {secrets} secrets every 10 s, % of a core"),
            ours? * 1e2,
            theirs? * 1e2,
        )
        .target(2.0))
    }
}

impl Bench<'_> {
    /// With metrics, audit stream, traces and the watch: 100 secrets at 30 s, and a scrape of 1,000.
    fn everything_on(&self) -> Result<[Row; 3]> {
        let workload = Workload { interval: Duration::from_secs(30), ..self.workload(100) };
        let mut run = Run::start(Contender::EverythingOn, &workload)?;
        run.synced()?;
        std::thread::sleep(Duration::from_secs(5));
        let share = run.processor_share(2 * IDLE)?;
        let memory = run.resident_megabytes()?;
        drop(run);
        let workload = self.workload(1000);
        let mut run = Run::start(Contender::EverythingOn, &workload)?;
        run.synced()?;
        // The status file follows the last sync by a moment.
        std::thread::sleep(Duration::from_secs(1));
        let scrape = run.scrape_seconds(50)?;
        Ok([
            Row::alone("everything on, 100 secrets at 30 s: memory, MB", memory).target(14.0),
            Row::alone("… idle, % of a core", share * 1e2).target(0.1),
            Row::alone("scrape of 1000 secrets, ms", scrape * 1e3).target(10.0),
        ])
    }
}

fn size(binary: &Path) -> Result<Row> {
    let megabytes = |path: &Path| -> Result<f64> {
        #[expect(clippy::cast_precision_loss, reason = "file sizes are far below 2^52")]
        let bytes = std::fs::metadata(path)?.len() as f64;
        Ok(bytes / 1e6)
    };
    Ok(Row::new("size of the binary, MB", megabytes(binary)?, megabytes(&server::bao()?)?).target(12.0))
}
