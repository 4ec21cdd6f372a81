//! The unit and the Debian package, under a real systemd as process 1, with a real `OpenBao`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::disallowed_methods, reason = "tests write their input")]

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::containers::{AFTER, BEFORE, Guide, stopped_at_once};
use crate::engines::{repository, until};

const BINARY: &str = env!("CARGO_BIN_EXE_secrets-sync");

/// Systemd in a container whose root is that of this machine, with a layer above it that takes what is written. Mounts
/// spread as on a machine, where credentials come to a unit in this way.
const SYSTEMD: &str = "podman run --detach --name systemd --systemd=always --cap-add SYS_ADMIN \
    --security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt label=disable \
    --tmpfs /tmp:notmpcopyup --tmpfs /run:notmpcopyup --volume .:/guide:ro \
    --rootfs /:O bash -c 'mount --make-rshared / && exec /lib/systemd/systemd --unit=basic.target'
until podman exec systemd systemctl is-active basic.target; do sleep 0.2; done >/dev/null 2>&1";

/// What the head of the unit and of the configuration leave to the operator. The server's address is the example's.
pub(crate) const CONFIGURE: &str = "cd /guide
install -m 400 -t /etc/secrets-sync role-id secret-id
install -m 644 -t /etc/secrets-sync ca.pem
sed --in-place 's/# tlsCACert:/tlsCACert:/' /etc/secrets-sync/config.yaml
timeout 30 systemctl enable --now secrets-sync 2>&1 || { journalctl --no-pager --unit secrets-sync; false; }";

/// The system with the guide's directory below `/guide`.
pub(crate) struct Machine {
    pub(crate) guide: Guide,
}

impl Machine {
    /// With what `prepare` puts into the directory.
    fn start(prepare: impl FnOnce(&Guide)) -> Self {
        let guide = Guide::new();
        guide.trust("ca.pem");
        prepare(&guide);
        guide.shell(SYSTEMD);
        Self { guide }
    }

    /// With the unit installed by hand, as its head says, and not started.
    pub(crate) fn with_the_unit() -> Self {
        let mut install = String::new();
        let machine = Self::start(|guide| {
            guide.shell(&format!("cp -r {}/examples/systemd/. .", repository().display()));
            fs::copy(BINARY, guide.directory().join("secrets-sync")).unwrap();
            let unit = fs::read_to_string(guide.directory().join("secrets-sync.service")).unwrap();
            let head: Vec<&str> = unit.lines().filter_map(|line| line.strip_prefix("#   ")).collect();
            install = head.join("\n");
        });
        machine.run(&format!("cd /guide; {install}"));
        machine
    }

    fn command(lines: &str) -> [&str; 6] {
        ["podman", "exec", "systemd", "bash", "-euc", lines]
    }

    #[track_caller]
    pub(crate) fn run(&self, lines: &str) -> String {
        self.guide.engines().run(Path::new("/"), &Self::command(lines))
    }

    /// One line.
    #[track_caller]
    pub(crate) fn line(&self, lines: &str) -> String {
        self.run(lines).trim_end().to_owned()
    }

    #[track_caller]
    fn main_process(&self) -> String {
        let id = self.line("systemctl show --property MainPID --value secrets-sync");
        assert_ne!(id, "0", "{}", self.journal());
        id
    }

    #[track_caller]
    fn has_stopped_well(&self) {
        let end = self.run("systemctl show --property Result --property ExecMainStatus secrets-sync");
        assert!(end.contains("Result=success") && end.contains("ExecMainStatus=0"), "{end}");
    }

    #[track_caller]
    fn has_no_unit(&self) {
        let state = "systemctl show --property LoadState,ActiveState --value secrets-sync";
        assert!(["not-found\ninactive\n", "masked\ninactive\n"].contains(&self.run(state).as_str()));
    }

    /// Without a value or a credential in it.
    pub(crate) fn journal(&self) -> String {
        let journal = self.run("journalctl --no-pager --unit secrets-sync");
        let (role, secret) = &self.guide.identity;
        for hidden in ["Zq7marker", role.as_str(), secret.as_str()] {
            assert!(!journal.contains(hidden), "{hidden} is in\n{journal}");
        }
        journal
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let remove = ["podman", "rm", "--force", "--time", "0", "systemd"];
        let _ = self.guide.engines().says(Path::new("/"), &remove);
    }
}

#[test]
fn the_unit_runs_under_systemd_as_its_head_says_with_credentials_audit_and_sandbox() {
    let machine = Machine::with_the_unit();
    // The sandbox needs what the filter of the unit lets by.
    let settings = "SANDBOX=require\\nAUDIT_LOG=/var/log/secrets-sync/audit.log\\n";
    machine.run(&format!("printf '{settings}' > /etc/default/secrets-sync; {CONFIGURE}"));
    // The start has waited until the files are there.
    let file = machine.run("stat -c '%U:%G %a' /run/secrets-sync/app.env; cat /run/secrets-sync/app.env");
    assert!(file.starts_with("secrets-sync:secrets-sync 440\n") && file.contains(BEFORE), "{file}");
    assert_eq!(machine.line("stat -c '%U %a' /var/log/secrets-sync/audit.log"), "secrets-sync 600");
    let status = machine.run(&format!("cat /proc/{}/status", machine.main_process()));
    for line in ["CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"] {
        assert!(status.contains(line), "{line} is not in\n{status}");
    }
    machine.run("systemctl reload secrets-sync");
    machine.run("systemctl stop secrets-sync");
    machine.has_stopped_well();
    let journal = machine.journal();
    assert!(journal.contains("sandbox enabled"), "{journal}");
    stopped_at_once(&journal);
}

/// Two packages that differ in their version alone, as `make deb` makes them, but for the size of the binary.
fn packages(guide: &Guide) {
    guide.shell(&format!("strip -o secrets-sync {BINARY}"));
    for version in ["1.0.0-1", "1.0.1-1"] {
        let make =
            format!("{}/.ci/deb secrets-sync . --fast --deb-version {version}", repository().display());
        let output =
            Command::new("bash").args(["-euc", &make]).current_dir(guide.directory()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn the_package_installs_starts_once_configured_upgrades_and_leaves_nothing() {
    let machine = Machine::start(packages);
    // Images of distributions forbid packages to start and stop services with this file; machines have none.
    machine.run("rm --force /usr/sbin/policy-rc.d; dpkg --install /guide/secrets-sync_1.0.0-1_*.deb");
    // Nothing runs that nobody has configured, and who starts it too early reads what is missing.
    let state = "systemctl show --property ActiveState,UnitFileState --value secrets-sync";
    assert_eq!(machine.run(state), "inactive\ndisabled\n");
    machine.run("secrets-sync validate --config /etc/secrets-sync/config.yaml");
    assert_eq!(machine.line("stat -c '%U:%G %a' /etc/secrets-sync"), "root:secrets-sync 750");
    machine.run("! timeout 30 systemctl start secrets-sync");
    assert_eq!(machine.line("systemctl is-failed secrets-sync"), "failed");
    assert!(machine.journal().contains("credentials"), "{}", machine.journal());

    machine.run(CONFIGURE);
    assert!(machine.run("cat /run/secrets-sync/app.env").contains(BEFORE));
    machine.run("cd /root && secrets-sync validate --online && secrets-sync status");

    // An upgrade keeps the configuration and the files, and starts the new version.
    let before = machine.main_process();
    machine.run("dpkg --install /guide/secrets-sync_1.0.1-1_*.deb");
    assert_ne!(machine.main_process(), before);
    assert_eq!(machine.run(state), "active\nenabled\n");
    machine.run("grep '^  tlsCACert' /etc/secrets-sync/config.yaml");
    machine.guide.engines().secret(AFTER);
    machine.run("systemctl kill --signal USR1 secrets-sync");
    until("the new version syncs nothing", || machine.run("cat /run/secrets-sync/app.env").contains(AFTER));

    // Applications go on reading what a service that was stopped has written, or a package that was removed.
    machine.run("dpkg --remove secrets-sync");
    machine.has_no_unit();
    assert!(machine.run("cat /run/secrets-sync/app.env").contains(AFTER));
    machine.run("dpkg --install /guide/secrets-sync_1.0.1-1_*.deb; timeout 30 systemctl start secrets-sync");
    machine.run("dpkg --purge secrets-sync");
    machine.has_no_unit();
    let left = machine.run("find /etc /run /usr /var/lib /var/log -xdev -name '*secrets-sync*'");
    assert_eq!(left, "");
    stopped_at_once(&machine.journal());
}

#[test]
fn the_unit_of_systemd_is_without_mistakes_and_exposes_little() {
    let folder = tempfile::tempdir().unwrap();
    let unit = folder.path().join("secrets-sync.service");
    let text = fs::read_to_string(repository().join("examples/systemd/secrets-sync.service")).unwrap();
    fs::write(&unit, text.replace("ExecStart=secrets-sync", &format!("ExecStart={BINARY}"))).unwrap();
    for arguments in [&["verify"][..], &["security", "--offline=true", "--no-pager", "--threshold=15"]] {
        let output = Command::new("systemd-analyze").args(arguments).arg(&unit).output().unwrap();
        let said = [output.stdout.as_slice(), &output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(output.status.success(), "{arguments:?}: {said}");
        // What it does not know it only complains about, with the line.
        assert!(!said.contains("secrets-sync.service:") || arguments != ["verify"], "{said}");
    }
}
