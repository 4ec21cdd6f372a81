//! Issued credentials and a state directory that fails: full, removed, damaged, in use by another daemon.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use serde_json::{Value, json};

use crate::daemon::{Process, Sandbox, wait_until};
use crate::hanging::mounts_of_our_own;
use crate::issued::LeasingServer;

/// The lease of a credential is renewed after 2 s.
const SECRETS: &str = "  - name: login
    vaultDynamic: { path: secret/app, lease: { minInterval: 1s, grace: 1h } }
    files: [{ path: out/login, template: '{{ user }} {{ password }}' }]
";

fn command(sandbox: &Sandbox) -> std::process::Command {
    let mut command = sandbox.command(&["run"]);
    command.env("STATE_DIR", sandbox.path("state")).env("STATE_KEY_FILE", sandbox.path("state-key"));
    command
}

#[track_caller]
fn started(sandbox: &Sandbox) -> Process {
    let daemon = Process::start(command(sandbox));
    sandbox.wait_until_ready(&daemon);
    daemon
}

fn sandbox(configuration: &str) -> Sandbox {
    let sandbox = Sandbox::new(configuration);
    sandbox.write("state-key", [b'k'; 32]);
    fs::create_dir(sandbox.path("state")).unwrap();
    sandbox
}

/// The number of the current credential.
fn current(sandbox: &Sandbox) -> u64 {
    let finished = sandbox.run(&["leases", "--json"]);
    let all: Vec<Value> = serde_json::from_str(&finished.stdout).unwrap();
    all[0]["current"]["number"].as_u64().unwrap_or_default()
}

/// Waits for a renewal.
#[track_caller]
fn renews(daemon: &Process) {
    let renewals = || daemon.stderr().matches("\"msg\":\"renewed a credential\"").count();
    let before = renewals();
    wait_until("it is renewed", || renewals() > before);
}

/// `rotate` fails, and why.
#[track_caller]
fn cannot_rotate(sandbox: &Sandbox) {
    let rotated = sandbox.run(&["rotate", "login"]);
    assert!(rotated.code != 0 && rotated.stderr.contains("journal cannot be written"), "{rotated:?}");
}

/// A file system of its own, in memory, for the state directory.
fn mounted(state: &Path, options: &str) {
    mount(Some("tmpfs"), state, Some("tmpfs"), MsFlags::empty(), Some(options)).unwrap();
}

fn fill(path: &Path) {
    let mut size = 64 << 10;
    while size > 0 {
        let mut file = fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        if std::io::Write::write_all(&mut file, &vec![b'x'; size]).is_err() {
            size /= 2;
        }
    }
}

#[test]
fn on_a_full_disk_nothing_is_issued_renewals_continue_and_room_is_enough() {
    let work = || {
        mounts_of_our_own();
        let server = LeasingServer::start("3s");
        let sandbox = sandbox(&server.configuration(SECRETS));
        let state = sandbox.path("state");
        mounted(&state, "size=64k,mode=0700");
        let daemon = started(&sandbox);
        fill(&state.join("filler"));
        // A few lines have room in what the journal has already.
        let mut issued = 1;
        let refused = loop {
            let rotated = sandbox.run(&["rotate", "login"]);
            if rotated.code != 0 {
                break rotated;
            }
            issued += 1;
        };
        assert!(refused.stderr.contains("journal cannot be written"), "{refused:?}");
        wait_until("what could not be noted is revoked", || server.leases() == issued);
        cannot_rotate(&sandbox);
        renews(&daemon);
        let current_now = current(&sandbox);
        assert_eq!((server.leases(), daemon.stderr().contains("lease_lost")), (issued, false));

        fs::remove_file(state.join("filler")).unwrap();
        wait_until("the journal is written again", || {
            daemon.stderr().contains("the journal is written again")
        });
        let rotated = sandbox.run(&["rotate", "login"]);
        assert_eq!((rotated.code, server.leases()), (0, issued + 1), "{rotated:?}");
        assert!(current(&sandbox) > current_now);
        let last = current(&sandbox);
        daemon.kill();
        let daemon = started(&sandbox);
        assert_eq!((server.leases(), current(&sandbox)), (issued + 1, last), "{}", daemon.stderr());
        assert_eq!(daemon.stop().0.code, 0);
        umount2(&state, MntFlags::MNT_DETACH).unwrap();
    };
    thread::scope(|scope| scope.spawn(work).join().unwrap());
}

/// Makes files until no more can be made: lines can still be appended. Says how many.
fn use_up_inodes(state: &Path) -> usize {
    (0..64).map_while(|n| fs::write(state.join(format!("filler{n}")), "").ok()).count()
}

fn give_back_inodes(state: &Path, made: usize) {
    (0..made).for_each(|n| fs::remove_file(state.join(format!("filler{n}"))).unwrap());
}

/// A daemon whose second credential could not be sealed.
fn unsealed(server: &LeasingServer, work: impl FnOnce(&Sandbox, &Path, Process, usize)) {
    mounts_of_our_own();
    let sandbox = sandbox(&server.configuration(SECRETS));
    let state = sandbox.path("state");
    mounted(&state, "size=64k,nr_inodes=64,mode=0700");
    let daemon = started(&sandbox);
    let made = use_up_inodes(&state);
    let rotated = sandbox.run(&["rotate", "login"]);
    assert_eq!((rotated.code, server.leases(), current(&sandbox)), (0, 2, 2), "{rotated:?}");
    let log = daemon.stderr();
    assert!(log.contains("No space left") && log.contains("sealed"), "{log}");
    work(&sandbox, &state, daemon, made);
    umount2(&state, MntFlags::MNT_DETACH).unwrap();
}

#[test]
fn a_value_that_cannot_be_sealed_serves_until_the_restart() {
    let server = LeasingServer::start("1h");
    let work = |sandbox: &Sandbox, state: &Path, daemon: Process, made| {
        daemon.kill();
        give_back_inodes(state, made);
        fs::remove_file(sandbox.path("out/login")).unwrap();
        let daemon = started(sandbox);
        assert_eq!((server.leases(), current(sandbox)), (3, 3), "{}", daemon.stderr());
        assert_eq!(daemon.stop().0.code, 0);
    };
    thread::scope(|scope| scope.spawn(|| unsealed(&server, work)).join().unwrap());
}

#[test]
fn a_value_that_had_no_room_is_sealed_when_there_is_some() {
    let server = LeasingServer::start("1h");
    let work = |sandbox: &Sandbox, state: &Path, daemon: Process, made| {
        // It looks the lease up.
        let refresh = || assert_eq!(sandbox.run(&["refresh"]).code, 0);
        refresh();
        wait_until("it is tried again", || daemon.stderr().contains("still could not keep"));
        give_back_inodes(state, made);
        refresh();
        wait_until("it is sealed", || daemon.stderr().contains("kept an issued credential after all"));
        daemon.kill();
        fs::remove_file(sandbox.path("out/login")).unwrap();
        let daemon = started(sandbox);
        assert_eq!((server.leases(), current(sandbox)), (2, 2), "{}", daemon.stderr());
        assert_eq!(daemon.stop().0.code, 0);
    };
    thread::scope(|scope| scope.spawn(|| unsealed(&server, work)).join().unwrap());
}

#[test]
fn a_state_directory_that_is_removed_issues_nothing_until_a_restart() {
    let server = LeasingServer::start("3s");
    let sandbox = sandbox(&server.configuration(SECRETS));
    let daemon = started(&sandbox);
    fs::remove_dir_all(sandbox.path("state")).unwrap();
    cannot_rotate(&sandbox);
    assert_eq!(server.leases(), 1);
    wait_until("the log says what to do", || {
        daemon.stderr().contains("the file was removed: restart secrets-sync")
    });
    renews(&daemon);
    assert_eq!(daemon.stop().0.code, 0);
    let daemon = started(&sandbox);
    assert_eq!(server.leases(), 2, "the first one is unknown, and lives to its end: {}", daemon.stderr());
    assert_eq!(daemon.stop().0.code, 0);
}

/// What is done to one sealed file and another.
type Damage<'d> = &'d dyn Fn(&Path, &Path);

/// The sealed files, by name.
fn sealed(sandbox: &Sandbox) -> Vec<PathBuf> {
    let mut paths: Vec<_> =
        fs::read_dir(sandbox.path("state/sealed")).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_none());
    paths.sort();
    paths
}

/// Changes the byte at `part` hundredths of a file.
fn flip(path: &Path, part: usize) {
    let mut content = fs::read(path).unwrap();
    let at = (content.len() - 1) * part / 100;
    content[at] ^= 1;
    fs::write(path, content).unwrap();
}

#[test]
fn whatever_becomes_of_sealed_files_a_start_issues_what_is_missing_once() {
    let server = LeasingServer::start("1h");
    server.0.must("POST", "", "secret/other", &json!({ "user": "other", "password": "y", "ttl": "1h" }));
    let other = SECRETS.replace("login", "other").replace("secret/app", "secret/other");
    let sandbox = sandbox(&server.configuration(&format!("{SECRETS}{other}")));
    drop(started(&sandbox).stop());
    let earlier = fs::read(&sealed(&sandbox)[0]).unwrap();
    let damages: [(&str, usize, Damage<'_>); 9] = [
        ("cut", 1, &|one, _| fs::write(one, &fs::read(one).unwrap()[..40]).unwrap()),
        ("emptied", 1, &|one, _| fs::write(one, "").unwrap()),
        ("its head is changed", 1, &|one, _| flip(one, 0)),
        ("its nonce is changed", 1, &|one, _| flip(one, 25)),
        ("its text is changed", 1, &|one, _| flip(one, 60)),
        ("its tag is changed", 1, &|one, _| flip(one, 100)),
        ("of an earlier credential", 1, &|one, _| fs::write(one, &earlier).unwrap()),
        ("a FIFO", 1, &|one, _| {
            fs::remove_file(one).unwrap();
            nix::unistd::mkfifo(one, nix::sys::stat::Mode::S_IRUSR).unwrap();
        }),
        ("exchanged with another", 2, &|one, two| {
            let content = fs::read(one).unwrap();
            fs::rename(two, one).unwrap();
            fs::write(two, content).unwrap();
        }),
    ];
    let issued = || sandbox.read("state/journal.jsonl").matches("\"event\":\"issued\"").count();
    for (what, lost, damage) in damages {
        let (files, before) = (sealed(&sandbox), issued());
        damage(&files[0], &files[1]);
        // What is missing is issued at once.
        fs::remove_dir_all(sandbox.path("out")).unwrap();
        let daemon = started(&sandbox);
        assert_eq!(issued() - before, lost, "{what}: {}", daemon.stderr());
        let warnings = daemon.stderr().matches("cannot use a kept credential").count();
        assert_eq!(warnings, lost, "{what}: {}", daemon.stderr());
        assert_eq!(
            (sandbox.read("out/login"), sandbox.read("out/other")),
            ("app x".into(), "other y".into())
        );
        assert_eq!(daemon.stop().0.code, 0);
    }
    fs::rename(sandbox.path("state/sealed"), sandbox.path("away")).unwrap();
    sandbox.write("state/sealed", "");
    let refused = Process::start(command(&sandbox)).finish();
    assert!(refused.code == 9 && refused.stderr.contains("sealed is no directory"), "{refused:?}");
}

#[test]
fn a_second_daemon_without_a_directory_of_its_own_keeps_none_and_leaves_the_first_one_alone() {
    let server = LeasingServer::start("1h");
    let sandbox = sandbox(&server.configuration(SECRETS));
    let daemon = started(&sandbox);
    let before = (sandbox.read("state/journal.jsonl"), fs::read(&sealed(&sandbox)[0]).unwrap());
    let second = Sandbox::new(&server.configuration(SECRETS));
    let mut command = second.command(&["run"]);
    command.env("STATE_DIRECTORY", sandbox.path("state")).env("STATE_KEY_FILE", sandbox.path("state-key"));
    let second_daemon = Process::start(command);
    second.wait_until_ready(&second_daemon);
    let log = second_daemon.stderr();
    assert!(log.contains("no journal is kept") && log.contains("is in use by another daemon"), "{log}");
    assert_eq!((server.leases(), second.read("out/login").as_str()), (2, "app x"), "one of its own");
    assert_eq!(second_daemon.stop().0.code, 0);
    let after = (sandbox.read("state/journal.jsonl"), fs::read(&sealed(&sandbox)[0]).unwrap());
    assert!(before == after && server.leases() == 2);
    assert_eq!(daemon.stop().0.code, 0);
}
