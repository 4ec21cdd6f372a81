//! File systems that accept a mode and an owner and keep neither (NTFS by FUSE), in a mount namespace of the test's own.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![expect(clippy::disallowed_methods, reason = "fixtures are not published")]

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use crate::mounts::in_mount_namespace;
use crate::placement::{new_file, place, target};
use nix::mount::{MntFlags, umount2};
use secrets_sync::disk::{self, FileMode, Owner, Placement};
use secrets_sync::fault::{Fault, Kind};

const NEEDED: &str = "these tests need ntfs-3g and /dev/fuse: `.ci/tools` installs the package";

/// Runs `test` with a new NTFS below `directory`.
fn on_ntfs(test: impl FnOnce(&Path) + Send) {
    in_mount_namespace(|directory| {
        let (image, mounted) = (directory.join("image"), directory.join("mounted"));
        File::create(&image).unwrap().set_len(4 << 20).unwrap();
        fs::create_dir(&mounted).unwrap();
        let made = Command::new("/usr/sbin/mkntfs").arg("-Fq").arg(&image).output().expect(NEEDED);
        assert!(made.status.success(), "{NEEDED}");
        let mount = Command::new("ntfs-3g").arg(&image).arg(&mounted).output().expect(NEEDED);
        assert!(mount.status.success(), "{NEEDED}: {}", String::from_utf8_lossy(&mount.stderr));
        test(&mounted);
        umount2(&mounted, MntFlags::MNT_DETACH).unwrap();
    });
}

fn publish(placement: Placement, text: &str) -> Result<(), Fault> {
    disk::stage(vec![new_file(placement, text.as_bytes())], [], |_| None)?.commit().outcome
}

#[test]
fn a_file_system_that_keeps_no_modes_gets_no_value() {
    on_ntfs(|mounted| {
        let strict = |name: &str| {
            let mode = FileMode::parse("0400").unwrap();
            Placement { mode, ..place(&target(&mounted.join(name))) }
        };
        let owned = |name: &str| Placement {
            mode: FileMode::parse("0775").unwrap(),
            owner: Owner { user: Some(1000), group: None },
            ..place(&target(&mounted.join(name)))
        };
        for placement in [strict("a"), strict("made/a"), owned("a")] {
            for fault in
                [disk::check(&placement).unwrap_err(), publish(placement.clone(), "hunter2").unwrap_err()]
            {
                assert_eq!(fault.kind, Kind::Write);
                assert!(fault.message.contains("this file system does not keep"), "{fault}");
                assert!(fault.message.contains("FUSE") && fault.remedy.contains("acceptMode"), "{fault:?}");
            }
        }
        assert_eq!(fs::read_dir(mounted).unwrap().count(), 0, "nothing is left there");
    });
}

#[test]
fn a_file_system_that_keeps_no_modes_can_be_accepted() {
    on_ntfs(|mounted| {
        let path = mounted.join("made/a");
        let owner = Owner { user: Some(1000), group: Some(1000) };
        let placement = Placement { owner, accept_mode: true, ..place(&target(&path)) };
        disk::check(&placement).unwrap();
        publish(placement.clone(), "one").unwrap();
        let before = fs::metadata(&path).unwrap().modified().unwrap();
        publish(placement.clone(), "one").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), before, "no drift");
        publish(placement, "two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
    });
}
