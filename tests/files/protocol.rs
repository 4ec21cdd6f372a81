//! The write protocol on real files: what is written, what is left alone, what is refused.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![expect(clippy::disallowed_methods, reason = "fixtures are not published")]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::placement::{new_file, place, staged, target};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::{Mode, umask};
use nix::unistd::mkfifo;
use secrets_sync::disk::{self, Change, Committed, FileMode, Owner, Placement, Published};
use secrets_sync::fault::{Fault, Kind};
use tempfile::TempDir;

fn publish(place: Placement, text: &str) -> Result<Published, Fault> {
    let mut committed = disk::stage(vec![new_file(place, text.as_bytes())], [], |_| None)?.commit();
    committed.outcome?;
    Ok(committed.published.remove(0))
}

fn refusal(path: &Path, text: &str) -> Fault {
    let fault = publish(place(&target(path)), text).unwrap_err();
    assert_eq!(fault.kind, Kind::Write);
    assert!(fault.message.starts_with(path.to_str().unwrap()), "{fault}");
    assert!(!fault.message.contains(text) && !fault.remedy.is_empty());
    fault
}

fn mode_of(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn names(directory: &Path) -> Vec<String> {
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let mut names: Vec<_> = fs::read_dir(directory).unwrap().map(name).collect();
    names.sort();
    names
}

fn must_be_root() {
    assert!(nix::unistd::geteuid().is_root(), "these tests change owners: run them as root");
}

/// A thread of its own: umask and user are changed for it alone.
fn apart<T: Send>(test: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let run = || {
            unshare(CloneFlags::CLONE_FS).expect("unshare(CLONE_FS) must be allowed by the sandbox");
            test()
        };
        scope.spawn(run).join().unwrap()
    })
}

fn become_user(id: u32) {
    use rustix::process::{Gid, Uid};
    must_be_root();
    let (user, group) = (Uid::from_raw(id), Gid::from_raw(id));
    rustix::thread::set_thread_groups(&[]).unwrap();
    rustix::thread::set_thread_res_gid(group, group, group).unwrap();
    rustix::thread::set_thread_res_uid(user, user, user).unwrap();
}

#[test]
fn a_new_file_has_its_content_and_mode_and_nothing_is_left_beside_it() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("a");
    let published = publish(place(&target(&path)), "value").unwrap();
    assert_eq!(published.change, Change::Created);
    assert_eq!(fs::read(&path).unwrap(), b"value");
    assert_eq!(mode_of(&path), 0o600);
    assert_eq!(names(directory.path()), ["a"]);
    assert_eq!(published.stamp.unwrap(), disk::Stamp::at(&path).unwrap());
}

#[test]
fn modes_are_exact_whatever_the_umask() {
    for mask in [0, 0o077, 0o277] {
        apart(|| {
            let directory = TempDir::new().unwrap();
            umask(Mode::from_bits_truncate(mask));
            let path = directory.path().join("made/too/a");
            let wanted = target(&path);
            let place = Placement {
                mode: FileMode::parse("0664").unwrap(),
                parent_mode: FileMode::parse("0771").unwrap(),
                ..place(&wanted)
            };
            publish(place, "value").unwrap();
            assert_eq!(mode_of(&path), 0o664, "umask {mask:o}");
            assert_eq!(mode_of(&directory.path().join("made")), 0o771, "umask {mask:o}");
            assert_eq!(mode_of(&directory.path().join("made/too")), 0o771, "umask {mask:o}");
        });
    }
}

#[test]
fn a_made_directory_keeps_the_setgid_bit_of_a_shared_tree() {
    must_be_root();
    let directory = TempDir::new().unwrap();
    std::os::unix::fs::chown(directory.path(), None, Some(5678)).unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o2750)).unwrap();
    publish(place(&target(&directory.path().join("made/a"))), "value").unwrap();
    assert_eq!(mode_of(&directory.path().join("made")), 0o2750);
    assert_eq!(fs::metadata(directory.path().join("made/a")).unwrap().gid(), 5678);
}

#[test]
fn owners_are_set_on_files_and_on_the_parents_that_were_made() {
    must_be_root();
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("made/a");
    let wanted = target(&path);
    let owner = Owner { user: Some(1234), group: Some(5678) };
    publish(Placement { owner, ..place(&wanted) }, "value").unwrap();
    for path in [&path, &directory.path().join("made")] {
        let facts = fs::metadata(path).unwrap();
        assert_eq!((facts.uid(), facts.gid()), (1234, 5678), "{}", path.display());
    }
    assert_eq!(fs::metadata(directory.path()).unwrap().uid(), 0, "an existing parent is left alone");
}

#[test]
fn an_existing_owner_stays_when_none_is_asked_for() {
    must_be_root();
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("a");
    fs::write(&path, "old").unwrap();
    std::os::unix::fs::chown(&path, Some(1234), Some(5678)).unwrap();
    publish(place(&target(&path)), "new").unwrap();
    let facts = fs::metadata(&path).unwrap();
    assert_eq!((facts.uid(), facts.gid()), (1234, 5678));
    let wanted = target(&path);
    let owner = Owner { user: Some(99), group: None };
    assert!(matches!(
        publish(Placement { owner, ..place(&wanted) }, "new").unwrap().change,
        Change::Repaired(_)
    ));
    let facts = fs::metadata(&path).unwrap();
    assert_eq!((facts.uid(), facts.gid()), (99, 5678));
}

#[test]
fn who_plants_a_file_in_a_public_directory_does_not_get_the_secret() {
    must_be_root();
    let directory = TempDir::new().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o1777)).unwrap();
    let path = directory.path().join("a");
    fs::write(&path, "planted").unwrap();
    std::os::unix::fs::chown(&path, Some(1234), Some(1234)).unwrap();
    publish(place(&target(&path)), "value").unwrap();
    assert_eq!(fs::metadata(&path).unwrap().uid(), 0);
}

#[test]
fn unchanged_files_keep_inode_and_times() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("a");
    let first = publish(place(&target(&path)), "value").unwrap();
    let second = publish(place(&target(&path)), "value").unwrap();
    assert_eq!(second.change, Change::Unchanged);
    assert_eq!(first.stamp, second.stamp);
    for text in ["valuE", "value and more", "val", ""] {
        assert_eq!(publish(place(&target(&path)), text).unwrap().change, Change::Replaced, "{text}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
}

#[test]
fn a_drifted_mode_is_repaired_without_a_rewrite() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("a");
    publish(place(&target(&path)), "value").unwrap();
    let before = fs::metadata(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o4644)).unwrap();
    let Change::Repaired(drift) = publish(place(&target(&path)), "value").unwrap().change else { panic!() };
    assert_eq!(drift.to_string(), "mode was 4644");
    let after = fs::metadata(&path).unwrap();
    assert_eq!(mode_of(&path), 0o600);
    assert_eq!((after.ino(), after.mtime_nsec()), (before.ino(), before.mtime_nsec()));
}

#[test]
fn what_is_no_regular_file_is_refused_and_left_alone() {
    let directory = TempDir::new().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::write(at("real"), "untouched").unwrap();
    symlink("real", at("symlink")).unwrap();
    symlink("nowhere", at("dangling")).unwrap();
    fs::create_dir(at("directory")).unwrap();
    mkfifo(&at("fifo"), Mode::S_IRUSR).unwrap();
    let _listener = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
    let before = names(directory.path());
    for (name, what) in [
        ("symlink", "is a symlink"),
        ("dangling", "is a symlink"),
        ("directory", "is a directory"),
        ("fifo", "is a FIFO"),
        ("socket", "is a socket"),
    ] {
        let fault = refusal(&at(name), "hunter2");
        assert!(fault.message.contains(what), "{fault}");
        let wanted = target(&at(name));
        assert!(disk::check(&place(&wanted)).unwrap_err().message.contains(what));
    }
    assert!(refusal(Path::new("/dev/null"), "hunter2").message.contains("is a device"));
    assert_eq!(fs::read(at("real")).unwrap(), b"untouched");
    assert_eq!(names(directory.path()), before);
}

#[test]
fn parents_may_be_symlinks_that_lead_somewhere() {
    let directory = TempDir::new().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::create_dir(at("run")).unwrap();
    symlink("run", at("var-run")).unwrap();
    publish(place(&target(&at("var-run/app/a"))), "value").unwrap();
    assert_eq!(fs::read(at("run/app/a")).unwrap(), b"value");

    symlink("absent", at("dangling")).unwrap();
    for path in ["dangling/a", "dangling/app/a"] {
        let fault = publish(place(&target(&at(path))), "value").unwrap_err();
        assert!(fault.message.contains("leads nowhere"), "{fault}");
        assert!(disk::check(&place(&target(&at(path)))).is_err());
    }
    assert!(!at("absent").exists());

    fs::write(at("file"), "").unwrap();
    let fault = publish(place(&target(&at("file/a"))), "value").unwrap_err();
    assert!(fault.remedy.contains("not a directory"), "{fault}: {}", fault.remedy);
    symlink("loop", at("loop")).unwrap();
    let fault = publish(place(&target(&at("loop/a"))), "value").unwrap_err();
    assert!(fault.remedy.contains("loop"), "{fault}: {}", fault.remedy);
}

#[test]
fn a_failure_while_staging_touches_nothing() {
    let directory = TempDir::new().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::write(at("first"), "old").unwrap();
    fs::create_dir(at("second")).unwrap();
    let (first, second) = (target(&at("first")), target(&at("second")));
    staged(&[(&first, b"new"), (&second, b"new")]).unwrap_err();
    assert_eq!(fs::read(at("first")).unwrap(), b"old");
    assert_eq!(names(directory.path()), ["first", "second"]);
}

#[test]
fn what_is_staged_crosses_threads_and_can_be_given_up() {
    let directory = TempDir::new().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::write(at("first"), "old").unwrap();
    let targets = ["first", "second"].map(|name| target(&at(name)));
    let stage = || staged(&[(&targets[0], b"new"), (&targets[1], b"new")]).unwrap();
    let staged = stage();
    assert_eq!(names(directory.path()).len(), 3, "two temporary files");
    thread::spawn(move || staged.abort()).join().unwrap();
    assert_eq!(names(directory.path()), ["first"]);
    assert_eq!(fs::read(at("first")).unwrap(), b"old");
    let staged = stage();
    let committed = thread::spawn(move || staged.commit()).join().unwrap();
    committed.outcome.unwrap();
    assert_eq!(
        committed.published.iter().map(|one| one.change).collect::<Vec<_>>(),
        [Change::Replaced, Change::Created]
    );
    assert_eq!(names(directory.path()), ["first", "second"]);
}

#[test]
fn a_failure_while_publishing_stops_there_and_leaves_no_temporary_file() {
    let directory = TempDir::new().unwrap();
    let at = |name: &str| directory.path().join(name);
    let targets = ["a", "b", "c"].map(|name| target(&at(name)));
    let staged = staged(&targets.each_ref().map(|target| (target, &b"new"[..]))).unwrap();
    fs::create_dir(at("b")).unwrap();
    let Committed { published, outcome } = staged.commit();
    let fault = outcome.unwrap_err();
    assert!(fault.message.contains("rename") && fault.message.contains("Is a directory"), "{fault}");
    assert_eq!(published.len(), 1);
    assert_eq!(names(directory.path()), ["a", "b"]);
}

#[test]
fn swapping_the_parent_cannot_send_the_file_elsewhere() {
    let directory = TempDir::new().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::create_dir(at("parent")).unwrap();
    fs::create_dir(at("elsewhere")).unwrap();
    let staged = staged(&[(&target(&at("parent/a")), b"value")]).unwrap();
    fs::rename(at("parent"), at("moved")).unwrap();
    symlink("elsewhere", at("parent")).unwrap();
    staged.commit().outcome.unwrap();
    assert!(names(&at("elsewhere")).is_empty());
    assert_eq!(names(&at("moved")), ["a"]);
}

#[test]
fn a_reader_sees_the_old_file_or_the_new_one_and_nothing_else() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("a");
    let text = |round: u32| char::from(b'a' + (round % 26) as u8).to_string().repeat(1000 + round as usize);
    publish(place(&target(&path)), &text(0)).unwrap();
    let stop = AtomicBool::new(false);
    let reads = thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut reads = 0;
            while !stop.load(Ordering::Relaxed) {
                let seen = fs::read_to_string(&path).unwrap();
                assert!((1000..=1200).contains(&seen.len()), "{} bytes", seen.len());
                assert_eq!(seen, text(u32::try_from(seen.len()).unwrap() - 1000));
                reads += 1;
            }
            reads
        });
        for round in 1..=200 {
            publish(place(&target(&path)), &text(round)).unwrap();
        }
        stop.store(true, Ordering::Relaxed);
        reader.join().unwrap()
    });
    assert!(reads > 0);
}

#[test]
fn in_place_keeps_the_inode_and_is_never_empty() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("a");
    let wanted = target(&path);
    let in_place = Placement { in_place: true, ..place(&wanted) };
    assert_eq!(publish(in_place.clone(), "a long first value").unwrap().change, Change::Created);
    let before = fs::metadata(&path).unwrap().ino();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                assert!(!fs::read(&path).unwrap().is_empty());
            }
        });
        for round in 0..100 {
            let text = "x".repeat(1 + round % 7);
            assert_eq!(publish(in_place.clone(), &text).unwrap().change, Change::Replaced);
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(fs::metadata(&path).unwrap().ino(), before);
    assert_eq!(mode_of(&path), 0o600);
}

#[test]
fn without_the_right_to_write_the_directory_is_named() {
    let directory = TempDir::new().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let wanted = target(&directory.path().join("a"));
    apart(|| {
        become_user(1234);
        let fault = publish(place(&wanted), "value").unwrap_err();
        assert!(fault.message.contains("Permission denied") && fault.remedy.contains("rwx"), "{fault}");
        let fault = disk::check(&place(&wanted)).unwrap_err();
        assert!(fault.message.contains(directory.path().to_str().unwrap()), "{fault}");
        assert!(disk::check_directory(&place(&target(directory.path()))).is_err());
    });
    disk::check(&place(&wanted)).unwrap();
    assert!(names(directory.path()).is_empty(), "checking writes nothing");
}

#[test]
fn without_the_right_to_chown_the_owner_is_refused() {
    let directory = TempDir::new().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let wanted = target(&directory.path().join("a"));
    let owned = |user, group| Placement { owner: Owner { user, group }, ..place(&wanted) };
    apart(|| {
        become_user(1234);
        for place in [owned(Some(4321), None), owned(None, Some(4321))] {
            for fault in [disk::check(&place).unwrap_err(), publish(place.clone(), "value").unwrap_err()] {
                assert!(fault.message.contains("owner") && fault.remedy.contains("CAP_CHOWN"), "{fault}");
            }
        }
        assert!(names(directory.path()).is_empty());
        disk::check(&owned(Some(1234), Some(1234))).unwrap();
        publish(owned(Some(1234), Some(1234)), "value").unwrap();
    });
}

#[test]
fn the_sweep_takes_left_overs_of_ours_and_nothing_else() {
    must_be_root();
    let directory = TempDir::new().unwrap();
    let at = |name: &str| directory.path().join(name);
    let staged = staged(&[(&target(&at("live")), b"value")]).unwrap();
    for name in [".secrets-sync-0123456789abcdef", ".secrets-sync-old.tmp", "secrets-sync-ab", "theirs"] {
        fs::write(at(name), "").unwrap();
    }
    symlink("theirs", at(".secrets-sync-symlink")).unwrap();
    fs::create_dir(at(".secrets-sync-directory")).unwrap();
    fs::write(at(".secrets-sync-directory/.secrets-sync-deep"), "").unwrap();
    fs::write(at(".secrets-sync-foreign"), "").unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();

    let (here, missing) = (directory.path(), PathBuf::from("/nonexistent/directory"));
    let unprivileged = apart(|| {
        become_user(1234);
        disk::sweep([here])
    });
    assert_eq!(unprivileged.removed, 0, "those of root are not this user's");
    let swept = disk::sweep([here, missing.as_path()]);
    assert_eq!((swept.removed, swept.faults.len()), (3, 0));
    staged.commit().outcome.unwrap();
    assert_eq!(
        names(here),
        [".secrets-sync-directory", ".secrets-sync-symlink", "live", "secrets-sync-ab", "theirs"]
    );
    assert_eq!(names(&at(".secrets-sync-directory")), [".secrets-sync-deep"]);
}

#[test]
fn a_file_with_a_second_name_is_replaced_and_never_changed_or_rewritten() {
    let directory = TempDir::new().unwrap();
    let (file, elsewhere) = (directory.path().join("a"), directory.path().join("elsewhere"));
    fs::write(&elsewhere, "1").unwrap();
    fs::set_permissions(&elsewhere, fs::Permissions::from_mode(0o644)).unwrap();
    fs::hard_link(&elsewhere, &file).unwrap();
    let (target, before) = (target(&file), fs::metadata(&elsewhere).unwrap().ino());
    let in_place = Placement { in_place: true, ..place(&target) };
    for text in ["1", "2"] {
        let fault = publish(in_place.clone(), text).unwrap_err();
        assert!(fault.message.contains("hard link"), "{fault}");
    }
    assert_eq!(publish(place(&target), "1").unwrap().change, Change::Replaced);
    assert_eq!((mode_of(&elsewhere), fs::metadata(&elsewhere).unwrap().ino()), (0o644, before));
    assert_eq!(mode_of(&file), 0o600);
    assert_eq!(fs::metadata(&file).unwrap().nlink(), 1);
}
