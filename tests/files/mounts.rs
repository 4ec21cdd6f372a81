//! Mounts: bind-mounted files, read-only and full file systems, each in a mount namespace of the test's own thread.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![expect(clippy::disallowed_methods, reason = "fixtures are not published")]

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use crate::placement::{new_file, place, staged, target};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use secrets_sync::disk::{self, OutputMounts, Placement};
use secrets_sync::fault::Fault;
use secrets_sync::render::Rendered;
use secrets_sync::secret::FingerprintKey;
use secrets_sync::sink::{KnownFiles, Sink};
use tempfile::TempDir;

const NEEDED: &str = "mount tests need a private mount namespace: run them as root or with CAP_SYS_ADMIN";
const NONE: Option<&str> = None;

pub(crate) fn in_mount_namespace(test: impl FnOnce(&Path) + Send) {
    let directory = TempDir::new().unwrap();
    thread::scope(|scope| {
        let run = || {
            unshare(CloneFlags::CLONE_NEWNS).expect(NEEDED);
            mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE).expect(NEEDED);
            test(directory.path());
        };
        scope.spawn(run).join().unwrap();
    });
}

fn bind(source: &Path, target: &Path, flags: MsFlags) {
    mount(Some(source), target, NONE, MsFlags::MS_BIND, NONE).expect(NEEDED);
    if !flags.is_empty() {
        let remount = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | flags;
        mount(NONE, target, NONE, remount, NONE).expect(NEEDED);
    }
}

fn publish(place: Placement, content: &[u8]) -> Result<(), Fault> {
    disk::stage(vec![new_file(place, content)], [], |_| None)?.commit().outcome
}

#[test]
fn a_bind_mounted_file_is_refused_unless_it_is_written_in_place() {
    in_mount_namespace(|directory| {
        let (host, inner) = (directory.join("host file"), directory.join("in container"));
        fs::write(&host, "old").unwrap();
        fs::write(&inner, "").unwrap();
        bind(&host, &inner, MsFlags::empty());
        let wanted = target(&inner);

        let refused =
            [publish(place(&wanted), b"new").unwrap_err(), disk::check(&place(&wanted)).unwrap_err()];
        for fault in refused {
            assert!(fault.message.contains("bind-mounted") && fault.remedy.contains("inPlace"), "{fault}");
        }
        assert_eq!(fs::read(&host).unwrap(), b"old");

        let in_place = Placement { in_place: true, ..place(&wanted) };
        disk::check(&in_place).unwrap();
        let before = fs::metadata(&host).unwrap().ino();
        publish(in_place, b"new").unwrap();
        assert_eq!(fs::read(&host).unwrap(), b"new");
        assert_eq!(fs::metadata(&host).unwrap().ino(), before);
        assert_eq!(fs::read_dir(directory).unwrap().count(), 2, "no temporary file is left");
    });
}

#[test]
fn a_mount_that_comes_after_staging_says_so() {
    in_mount_namespace(|directory| {
        let (host, inner) = (directory.join("host"), directory.join("inner"));
        fs::write(&host, "old").unwrap();
        fs::write(&inner, "old").unwrap();
        let staged = staged(&[(&target(&inner), b"new")]).unwrap();
        bind(&host, &inner, MsFlags::empty());
        let fault = staged.commit().outcome.unwrap_err();
        assert!(fault.message.contains("busy") && fault.remedy.contains("mount point"), "{fault}");
        assert_eq!(fs::read(&host).unwrap(), b"old");
        assert_eq!(fs::read_dir(directory).unwrap().count(), 2);
    });
}

#[test]
fn a_directory_mount_is_written_as_any_other() {
    in_mount_namespace(|directory| {
        let (host, inner) = (directory.join("host"), directory.join("inner"));
        fs::create_dir(&host).unwrap();
        fs::create_dir(&inner).unwrap();
        bind(&host, &inner, MsFlags::empty());
        publish(place(&target(&inner.join("a"))), b"value").unwrap();
        assert_eq!(fs::read(host.join("a")).unwrap(), b"value");
    });
}

#[test]
fn a_read_only_mount_is_named_before_and_while_writing() {
    in_mount_namespace(|directory| {
        let mounted = directory.join("read-only");
        fs::create_dir(&mounted).unwrap();
        fs::write(mounted.join("a"), "old").unwrap();
        bind(&mounted, &mounted, MsFlags::MS_RDONLY);
        for path in [mounted.join("a"), mounted.join("new/a")] {
            let wanted = target(&path);
            for in_place in [false, true] {
                let place = Placement { in_place, ..place(&wanted) };
                for fault in [disk::check(&place).unwrap_err(), publish(place.clone(), b"new").unwrap_err()] {
                    assert!(fault.message.contains("Read-only"), "{fault}");
                    assert!(fault.remedy.contains("writable"), "{}", fault.remedy);
                }
            }
        }
        assert_eq!(fs::read(mounted.join("a")).unwrap(), b"old");
    });
}

#[test]
fn a_full_file_system_keeps_every_old_file() {
    in_mount_namespace(|directory| {
        let full = directory.join("full");
        fs::create_dir(&full).unwrap();
        mount(Some("tmpfs"), &full, Some("tmpfs"), MsFlags::empty(), Some("size=64k")).expect(NEEDED);
        let (small, large) = (target(&full.join("small")), target(&full.join("large")));
        publish(place(&small), b"old").unwrap();
        publish(place(&large), b"old").unwrap();

        let fault = staged(&[(&small, &b"new"[..]), (&large, &vec![b'x'; 100_000])]).unwrap_err();
        assert!(fault.message.contains("No space left") && fault.remedy.contains("space"), "{fault}");

        let in_place = Placement { in_place: true, ..place(&large) };
        assert!(publish(in_place, &vec![b'x'; 100_000]).unwrap_err().message.contains("No space left"));
        for name in ["small", "large"] {
            assert_eq!(fs::read(full.join(name)).unwrap(), b"old", "{name}");
        }
        assert_eq!(fs::read_dir(&full).unwrap().count(), 2, "no temporary file is left");
        publish(place(&small), b"new").unwrap();
    });
}

#[test]
fn an_output_whose_mount_has_gone_is_refused_until_it_is_back() {
    in_mount_namespace(|directory| {
        let mounted = directory.join("secrets");
        fs::create_dir(&mounted).unwrap();
        let mount_it =
            || mount(Some("tmpfs"), &mounted, Some("tmpfs"), MsFlags::empty(), NONE).expect(NEEDED);
        mount_it();
        let mounts = Arc::new(OutputMounts::default());
        mounts.remember([mounted.as_path(), &mounted.join("made/later")]);
        let key = FingerprintKey::random().unwrap();
        let mut sink = Sink::new(crate::sink::job(&mounted), key).with(KnownFiles::default(), mounts);
        let mut publish = |text: &[u8]| {
            let file = new_file(place(&target(&mounted.join("made/later/a"))), text);
            sink.publish(Rendered { files: vec![file], facts: None })
        };
        publish(b"one").unwrap();
        umount2(&mounted, MntFlags::MNT_DETACH).unwrap();
        let fault = publish(b"two").unwrap_err();
        assert!(
            fault.message.contains("nothing is mounted at") && fault.remedy.contains("again"),
            "{fault:?}"
        );
        assert_eq!(fs::read_dir(&mounted).unwrap().count(), 0, "nothing was written below");
        mount_it();
        publish(b"two").unwrap();
        assert_eq!(fs::read(mounted.join("made/later/a")).unwrap(), b"two");
    });
}
