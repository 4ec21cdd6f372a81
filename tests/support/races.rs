//! A daemon that is root, a victim directory that nobody may change, and a hostile user in the output directory who
//! swaps files, links and directories as fast as he can.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::daemon::{Process, Sandbox, wait_until};

/// Tells this binary, started once more as the hostile user, where to rage until it is killed.
const AREA: &str = "SECRETS_SYNC_TEST_RACE_AREA";
const VICTIM: &str = "SECRETS_SYNC_TEST_RACE_VICTIM";
const HOSTILE: u32 = 54_322;

/// What the hostile user is no owner of, and the daemon must not touch: path, inode, mode, owner, content.
type Untouched = Vec<(PathBuf, u64, u32, u32, Option<Vec<u8>>)>;

const CONFIG: &str = "
secretStore: { provider: file, path: store.yaml }
limits: { minRefreshInterval: 100ms }
secrets:
  - { name: one, key: one, refreshInterval: 100ms, files: [{ path: area/out/one, field: value, mode: '0604', owner: 54322 }] }
  - { name: two, key: one, refreshInterval: 100ms, files: [{ path: area/out/sub/two, field: value, mode: '0604', owner: 54322 }] }
  - { name: three, key: one, refreshInterval: 100ms, files: [{ path: area/out/three, field: value, mode: '0604', inPlace: true }] }
  - { name: all, key: one, refreshInterval: 100ms, directory: { path: area/out/all, mode: '0604' } }
";

/// Lets them race for `duration`. The test that calls it is called `test`: the hostile user starts it once more.
pub(crate) fn race(test: &str, duration: Duration) {
    if let (Some(area), Some(victim)) = (std::env::var_os(AREA), std::env::var_os(VICTIM)) {
        rage(Path::new(&area), Path::new(&victim));
    }
    let sandbox = Sandbox::new(CONFIG);
    let (area, victim) = (sandbox.path("area"), sandbox.path("victim"));
    fs::set_permissions(sandbox.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    for directory in [area.clone(), area.join("out"), victim.clone(), victim.join("sub")] {
        fs::create_dir(&directory).unwrap();
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).unwrap();
    }
    for directory in [&area, &area.join("out")] {
        chown(directory, Some(HOSTILE), Some(HOSTILE)).expect("run the tests as root: the victim is root's");
    }
    // The second one holds what the daemon writes first: it would only be dressed.
    for (name, content) in
        [("one", "victim"), ("two", "0"), ("three", "victim"), ("value", "0"), ("sub/two", "0")]
    {
        fs::write(victim.join(name), content).unwrap();
        fs::set_permissions(victim.join(name), fs::Permissions::from_mode(0o640)).unwrap();
    }
    let before = untouched(&victim);
    sandbox.write("store.yaml", "one: { value: '0' }");

    // Without the sandbox, which would hide what the write protocol lets through.
    let mut command = sandbox.command(&["run", "--sandbox", "off"]);
    command.env("LOG_LEVEL", "error").env("MAX_BACKOFF", "100ms").env("INITIAL_BACKOFF", "50ms");
    let mut daemon = Process::start(command);
    let mut hostile = start_hostile(test, &area, &victim);
    let end = Instant::now() + duration;
    let mut round = 0_u64;
    while Instant::now() < end {
        round += 1;
        // Every other value is the victim's: then mode and owner alone are repaired.
        let value = if round.is_multiple_of(2) { 0 } else { round };
        sandbox.write("store.yaml", format!("one: {{ value: '{value}' }}"));
        assert_eq!(untouched(&victim), before, "round {round}");
        assert!(hostile.try_wait().unwrap().is_none(), "the hostile user gave up");
    }
    hostile.kill().unwrap();
    hostile.wait().unwrap();
    assert!(daemon.is_running() && round > 10);

    clean(&area);
    sandbox.write("store.yaml", "one: { value: 'last' }");
    let files = ["one", "sub/two", "three", "all/value"];
    let is_last = |name: &&str| sandbox.read(&format!("area/out/{name}")) == "last";
    wait_until("every file is right again", || files.iter().all(is_last));
    assert_eq!(untouched(&victim), before);
    assert_eq!(sandbox.mode("area/out/one"), 0o604);
}

fn untouched(victim: &Path) -> Untouched {
    let mut all = Vec::new();
    let mut left = vec![victim.to_path_buf()];
    while let Some(path) = left.pop() {
        let facts = fs::symlink_metadata(&path).unwrap();
        if facts.is_dir() {
            left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        let content = facts.is_file().then(|| fs::read(&path).unwrap());
        all.push((path, facts.ino(), facts.mode(), facts.uid(), content));
    }
    all.sort();
    all
}

/// Takes away what the hostile user left, so that the daemon can write again.
fn clean(area: &Path) {
    // The daemon is at work, and may put a file into a directory that is just being removed.
    wait_until("what he left is gone", || fs::remove_dir_all(area).is_ok());
    fs::create_dir_all(area.join("out")).unwrap();
}

fn start_hostile(test: &str, area: &Path, victim: &Path) -> Child {
    let mut command = Command::new("setpriv");
    let user = HOSTILE.to_string();
    command.args([&format!("--reuid={user}"), &format!("--regid={user}"), "--clear-groups"]);
    command.arg(std::env::current_exe().unwrap()).args(["--exact", test]);
    command.env(AREA, area).env(VICTIM, victim).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

/// Every step may fail: the daemon is in the way as much as he is in its.
fn rage(area: &Path, victim: &Path) -> ! {
    let (out, away, link) = (area.join("out"), area.join("away"), area.join("link"));
    // Not truly for ever: a user whose test died must end, too.
    for step in 0..20_000_000_u64 {
        let name = ["one", "three", "sub/two", "all/value"][usize::try_from(step % 4).unwrap()];
        let (here, there) = (out.join(name), victim.join(Path::new(name).file_name().unwrap()));
        let _done = match step / 4 % 9 {
            0 => symlink(&there, &link).and_then(|()| fs::rename(&link, &here)),
            1 => fs::remove_file(&here).and_then(|()| fs::hard_link(&there, &here)),
            2 => fs::remove_file(&here).and_then(|()| fs::create_dir(&here)),
            3 => fs::remove_dir(&here),
            4 => fs::remove_file(&here).and_then(|()| mkfifo(&here, Mode::S_IRWXU).map_err(Into::into)),
            5 => symlink(victim, &link)
                .and_then(|()| fs::rename(&out, &away))
                .and_then(|()| fs::rename(&link, &out)),
            6 => fs::remove_file(&out).and_then(|()| fs::rename(&away, &out)),
            7 => swap(&out, victim, if step % 8 < 4 { "sub" } else { "all" }),
            _ => fs::remove_file(&here),
        };
        drop(fs::remove_file(&link));
        if !out.exists() {
            drop(fs::rename(&away, &out).or_else(|_| fs::create_dir(&out)));
        }
    }
    std::process::exit(1)
}

/// A symlink to the victim in the place of a directory that the daemon has made, and back.
fn swap(out: &Path, victim: &Path, name: &str) -> std::io::Result<()> {
    let (here, aside) = (out.join(name), out.join(format!("{name}.aside")));
    fs::rename(&here, &aside)?;
    symlink(victim, &here)?;
    for _ in 0..50 {
        drop(here.metadata());
    }
    fs::remove_file(&here)?;
    fs::rename(&aside, &here)
}
