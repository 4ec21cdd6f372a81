//! Docker, Podman and a real `OpenBao` in namespaces of their own: mounts, processes and network. Their storage is in
//! memory and the kernel ends whatever runs there with the first process, which ends with the test process, because its
//! standard input closes then. So nothing of it stays on the machine, however the tests end.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::certs::Authority;

/// The name that the guides give to the server; the address is one of the namespace's own loopback.
const SERVER: &str = "vault.example";
const ADDRESS: &str = "10.99.0.1";

/// How long anything may take; only a test that fails waits that long.
const PATIENCE: Duration = Duration::from_secs(90);
const LOOK: Duration = Duration::from_millis(100);

const NEEDED: &str =
    "the tests of containers need Docker, Podman and root: run `.ci/tools containers`, then as root";

/// The first process. `$1` is the folder of the certificates, `$2` is `bao`.
const INSIDE: &str = r#"
set -eu
ip link set lo up
ip address add 10.99.0.1/32 dev lo
for place in /run /var/lib/docker /var/lib/containerd /var/lib/containers; do
  mkdir -p "$place"
  mount -t tmpfs -o mode=755 tmpfs "$place"
done
# What the engines leave there outlasts them; of somebody else's nothing may be removed.
cgroups() { find /sys/fs/cgroup -depth -type d \( -path '*/docker*' -o -path '*/libpod_parent*' \); }
cgroups > /run/cgroups
mkdir /run/home
export HOME=/run/home
# Podman gives its containers the names of the machine, Docker those of `extra_hosts`.
{ cat /etc/hosts; echo '10.99.0.1 vault.example'; } > /run/hosts
mount --bind /run/hosts /etc/hosts
# Limits that a machine without CAP_SYS_RESOURCE can give, and the runtime that knows both kinds of cgroups.
cat > /run/containers.conf <<CONFIGURATION
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
runtime = "runc"
CONFIGURATION
cat > /run/bao.hcl <<CONFIGURATION
listener "tcp" {
  address = "10.99.0.1:8200"
  tls_cert_file = "$1/server.pem"
  tls_key_file = "$1/server.key"
}
CONFIGURATION
"$2" server -dev -dev-root-token-id=root -dev-no-store-token -dev-listen-address=127.0.0.1:8300 \
  -config=/run/bao.hcl > /run/bao.log 2>&1 &
dockerd --exec-opt native.cgroupdriver=cgroupfs > /run/dockerd.log 2>&1 &
cat > /dev/null
rm -r "$1"
podman rm --all --force --time 0 > /dev/null
# A test may have started another one.
dockerd=$(cat /run/docker.pid)
kill "$dockerd"
while kill -0 "$dockerd" 2> /dev/null; do sleep 0.1; done
cgroups | grep --invert-match --line-regexp --fixed-strings --file /run/cgroups | xargs --no-run-if-empty rmdir
"#;

/// The namespaces and what runs there.
pub(crate) struct Engines {
    /// The first process inside, as this side numbers it.
    inside: String,
    folder: TempDir,
    /// Its standard input holds everything up.
    _keeper: Child,
}

impl Engines {
    /// One for all tests of a binary: they take turns.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Engines> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Authority::new(folder.path(), "ca").issue(folder.path(), "server", &[SERVER]);
        let bao = repository().join(".tools/bin/bao");
        assert!(bao.exists(), "there is no OpenBao: run `make tools`");
        let namespaces = ["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"];
        let keeper = Command::new("unshare")
            .args(namespaces)
            .args(["--propagation", "private", "bash", "-c", INSIDE, "engines"])
            .arg(folder.path())
            .arg(bao)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        // Without root it ends at once, and has no children.
        let children = format!("/proc/{0}/task/{0}/children", keeper.id());
        let mut inside = String::new();
        until(NEEDED, || {
            fs::read_to_string(&children).unwrap_or_default().trim().clone_into(&mut inside);
            !inside.is_empty()
        });
        let engines = Self { inside, folder, _keeper: keeper };
        let here = repository();
        until(NEEDED, || engines.says(&here, &["docker", "info"]).is_some());
        until("OpenBao does not answer", || {
            engines.says(&here, &["bash", "-c", "\"$0\" kv list secret || [ $? = 2 ]", BAO]).is_some()
        });
        engines
    }

    /// The certificate of the authority that signed the server's.
    pub(crate) fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A program inside, in this directory of the machine.
    fn command(&self, directory: &Path, program: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.inside, "--mount", "--net", "--pid"]);
        command.arg(format!("--wdns={}", directory.display())).args(["--", "timeout", "60"]).args(program);
        command.env_clear().env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("HOME", "/run/home").env("CONTAINERS_CONF", "/run/containers.conf");
        command.env("BAO_ADDR", "http://127.0.0.1:8300").env("BAO_TOKEN", "root");
        command
    }

    /// Runs a program inside to its end; gives what it printed when it succeeds, on both channels.
    pub(crate) fn says(&self, directory: &Path, program: &[&str]) -> Option<String> {
        let output = self.command(directory, program).output().unwrap();
        output.status.success().then(|| text(&output))
    }

    /// Runs a program that must succeed; gives what it printed.
    #[track_caller]
    pub(crate) fn run(&self, directory: &Path, program: &[&str]) -> String {
        let output = self.command(directory, program).output().unwrap();
        assert!(output.status.success(), "{program:?} ended with {}:\n{}", output.status, text(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs lines of a shell that must succeed.
    #[track_caller]
    pub(crate) fn shell(&self, directory: &Path, lines: &str) -> String {
        self.run(directory, &["bash", "-euc", lines])
    }

    /// `docker compose` or `docker-compose`, whichever the machine has.
    pub(crate) fn compose(&self) -> Vec<&'static str> {
        let plugin = self.says(&repository(), &["docker", "compose", "version"]);
        if plugin.is_some() { vec!["docker", "compose"] } else { vec!["docker-compose"] }
    }

    /// Writes the secret that the guides read, and gives an identity that may read it: role id and secret id.
    pub(crate) fn secret(&self, password: &str) -> (String, String) {
        let lines = format!(
            r#"
bao() {{ "{BAO}" "$@"; }}
bao kv put -mount=secret app/database username=shop password={password} >/dev/null
if ! bao read auth/approle/role/guide >/dev/null 2>&1; then
  bao auth enable approle >/dev/null
  echo 'path "secret/data/app/*" {{ capabilities = ["read"] }}' | bao policy write guide - >/dev/null
  bao write auth/approle/role/guide token_policies=guide >/dev/null
fi
bao read -field=role_id auth/approle/role/guide/role-id
echo
bao write -f -field=secret_id auth/approle/role/guide/secret-id
"#
        );
        let said = self.shell(&repository(), &lines);
        let (role, secret) = said.trim().split_once('\n').unwrap();
        (role.to_owned(), secret.to_owned())
    }

    /// Ends the Docker engine with all its containers, as a restart of the machine does, and starts it again.
    pub(crate) fn restart_docker(&self) {
        self.shell(
            &repository(),
            "old=$(cat /run/docker.pid); kill $old; while kill -0 $old 2> /dev/null; do sleep 0.1; done
             setsid dockerd --exec-opt native.cgroupdriver=cgroupfs >> /run/dockerd.log 2>&1 < /dev/null &",
        );
        until("Docker does not start again", || self.says(&repository(), &["docker", "info"]).is_some());
    }

    /// A line for `extra_hosts` of Compose.
    pub(crate) fn host() -> String {
        format!("{SERVER}:{ADDRESS}")
    }

    /// The file of another process inside, such as `/proc/PID/status`.
    #[track_caller]
    pub(crate) fn file(&self, path: &str) -> String {
        self.run(&repository(), &["cat", path])
    }
}

const BAO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/.tools/bin/bao");

pub(crate) fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Looks again and again until `condition` holds; says what is wrong when it never does.
#[track_caller]
pub(crate) fn until(wrong: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "{wrong}");
        thread::sleep(LOOK);
    }
}

fn text(output: &std::process::Output) -> String {
    let text = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8_lossy(&text).into_owned()
}
