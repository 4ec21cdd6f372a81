//! Real databases whose logins `OpenBao` issues: `PostgreSQL`, `MariaDB` and `RabbitMQ` of the distribution, each with a folder of
//! its own. `make e2e` installs them.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base64::Engine;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::daemon::{Process, send};

/// The password of the one who makes users.
const ADMIN: &str = "of-the-admin";

/// How long a server may take to start or to stop.
const PATIENCE: Duration = Duration::from_secs(40);

/// A database server. Dropping it kills it.
pub(crate) struct Database {
    kind: Kind,
    folder: TempDir,
    port: u16,
    process: Mutex<Option<Process>>,
    turns: AtomicUsize,
}

/// What it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Postgres,
    Maria,
    Rabbit,
}

impl Database {
    /// A server that is up, and has someone who may make users.
    pub(crate) fn start(kind: Kind) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let port = super::bao::free_ports().unwrap();
        let (process, turns) = (Mutex::default(), AtomicUsize::new(1));
        let database = Self { kind, folder, port, process, turns };
        database.prepare();
        database.launch();
        match kind {
            Kind::Postgres => {
                drop(database.admin(&format!("CREATE ROLE admin SUPERUSER LOGIN PASSWORD '{ADMIN}'")));
            }
            Kind::Maria => {
                // Without the nameless users, who come before those of any host.
                database.admin("DELETE FROM mysql.global_priv WHERE User=''; FLUSH PRIVILEGES");
                database.admin(&format!("CREATE USER admin@'127.0.0.1' IDENTIFIED BY '{ADMIN}'"));
                database.admin("GRANT ALL ON *.* TO admin@'127.0.0.1' WITH GRANT OPTION");
            }
            Kind::Rabbit => {}
        }
        database
    }

    /// `host:port`.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Starts it again, and waits until it answers.
    pub(crate) fn launch(&self) {
        *self.process.lock().unwrap() = Some(Process::start(self.server()));
        let deadline = Instant::now() + PATIENCE;
        while !self.answers() {
            assert!(Instant::now() < deadline, "it does not start:\n{}", self.said());
            std::thread::sleep(Duration::from_millis(50));
        }
        self.turns.fetch_add(1, Ordering::SeqCst);
    }

    /// Counts stops and starts: while it is odd, the server is down, or stops, or starts.
    pub(crate) fn turns(&self) -> usize {
        self.turns.load(Ordering::SeqCst)
    }

    /// Stops it as fast as it can: all connections break.
    pub(crate) fn kill(&self) {
        let Some(process) = self.process.lock().unwrap().take() else { return };
        self.turns.fetch_add(1, Ordering::SeqCst);
        // To the server itself and not to `runuser`. PostgreSQL recovers at its next start, and removes its locks.
        let signal = if self.kind == Kind::Postgres { Signal::SIGQUIT } else { Signal::SIGKILL };
        children(process.pid()).into_iter().take(1).for_each(|pid| send(pid, signal));
        process.finish();
    }

    /// Whether someone can log in and ask something.
    pub(crate) fn serves(&self, user: &str, password: &str) -> bool {
        let port = self.port.to_string();
        let mut command = match self.kind {
            Kind::Postgres => {
                // Not by `psql` of the distribution, a script around this one that takes several times as long.
                let mut command = Command::new(postgres("psql"));
                command.args([
                    "-h",
                    "127.0.0.1",
                    "-p",
                    &port,
                    "-U",
                    user,
                    "-d",
                    "postgres",
                    "-Atc",
                    "select 1",
                ]);
                command.env("PGPASSWORD", password).env("PGCONNECT_TIMEOUT", "5");
                command
            }
            Kind::Maria => {
                let mut command = Command::new("mariadb");
                command.args([
                    "--no-defaults",
                    "-h",
                    "127.0.0.1",
                    "-P",
                    &port,
                    "-u",
                    user,
                    "-Ne",
                    "select 1",
                ]);
                command.env("MYSQL_PWD", password);
                command
            }
            Kind::Rabbit => return self.api("whoami", user, password).is_some(),
        };
        let output = command.output().unwrap();
        let is_right = output.status.success() && !output.stdout.is_empty();
        if !is_right {
            eprintln!("{user}: {}", String::from_utf8_lossy(&output.stderr));
        }
        is_right
    }

    /// How many users there are that `OpenBao` made.
    pub(crate) fn users(&self) -> usize {
        match self.kind {
            Kind::Postgres => count(&self.admin("select count(*) from pg_roles where rolname like 'v-%'")),
            Kind::Maria => count(&self.admin("select count(*) from mysql.user where User like 'v-%'")),
            Kind::Rabbit => {
                let users = self.api("users", "guest", "guest").expect("the list of users");
                users.matches("\"name\":").count() - 1
            }
        }
    }

    /// Lets `OpenBao` make users here: mounts the engine at `mount`, with the connection `main`.
    pub(crate) fn connect(&self, mount: &str, call: &dyn Fn(&str, &str, &Value)) {
        let port = self.port;
        let database = |plugin: &str, url: &str| {
            json!({ "plugin_name": plugin, "allowed_roles": "*", "connection_url": url, "username": "admin",
                    "password": ADMIN, "max_open_connections": 4, "max_connection_lifetime": "5s" })
        };
        let (kind, path, connection) = match self.kind {
            Kind::Postgres => {
                let url = format!(
                    "postgresql://{{{{username}}}}:{{{{password}}}}@127.0.0.1:{port}/postgres?sslmode=disable"
                );
                ("database", "config/main", database("postgresql-database-plugin", &url))
            }
            Kind::Maria => {
                let url = format!("{{{{username}}}}:{{{{password}}}}@tcp(127.0.0.1:{port})/");
                ("database", "config/main", database("mysql-database-plugin", &url))
            }
            Kind::Rabbit => {
                let url = format!("http://127.0.0.1:{port}");
                let body = json!({ "connection_uri": url, "username": "guest", "password": "guest" });
                ("rabbitmq", "config/connection", body)
            }
        };
        call("POST", &format!("sys/mounts/{mount}"), &json!({ "type": kind }));
        call("POST", &format!("{mount}/{path}"), &connection);
    }

    /// The role `name`, whose users live for these times.
    pub(crate) fn role(
        &self,
        mount: &str,
        name: &str,
        ttl: &str,
        max: &str,
        call: &dyn Fn(&str, &str, &Value),
    ) {
        let statements = match self.kind {
            Kind::Postgres => {
                "CREATE ROLE \"{{name}}\" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'"
            }
            Kind::Maria => "CREATE USER '{{name}}'@'%' IDENTIFIED BY '{{password}}'",
            Kind::Rabbit => {
                call("POST", &format!("{mount}/config/lease"), &json!({ "ttl": ttl, "max_ttl": max }));
                return call("POST", &format!("{mount}/roles/{name}"), &json!({ "tags": "monitoring" }));
            }
        };
        let role = json!({ "db_name": "main", "creation_statements": statements, "default_ttl": ttl, "max_ttl": max });
        call("POST", &format!("{mount}/roles/{name}"), &role);
    }

    /// The user `user`, whose password `OpenBao` rotates.
    pub(crate) fn static_role(
        &self,
        mount: &str,
        user: &str,
        period: &str,
        call: &dyn Fn(&str, &str, &Value),
    ) {
        let statement = match self.kind {
            Kind::Postgres => format!("CREATE ROLE {user} LOGIN PASSWORD 'first'"),
            _ => format!("CREATE USER {user}@'%' IDENTIFIED BY 'first'"),
        };
        self.admin(&statement);
        let role = json!({ "db_name": "main", "username": user, "rotation_period": period });
        call("POST", &format!("{mount}/static-roles/{user}"), &role);
    }

    fn prepare(&self) {
        let (data, port) = (self.path("data"), self.port);
        let prepared = match self.kind {
            Kind::Postgres => {
                fs::create_dir(&data).unwrap();
                let (user, group) = ids("postgres");
                chown(&data, Some(user), Some(group)).unwrap();
                chown(self.folder.path(), Some(user), Some(group)).unwrap();
                let mut command = as_user("postgres", &postgres("initdb"));
                command
                    .args(["--auth-local=trust", "--auth-host=scram-sha-256", "--no-sync", "-D"])
                    .arg(&data);
                command.output().unwrap()
            }
            Kind::Maria => {
                let mut command = Command::new("mariadb-install-db");
                command.args(["--no-defaults", "--auth-root-authentication-method=normal", "--user=mysql"]);
                let (user, group) = ids("mysql");
                chown(self.folder.path(), Some(user), Some(group)).unwrap();
                command.arg(format!("--datadir={}", data.display())).output().unwrap()
            }
            Kind::Rabbit => {
                fs::write(self.path("plugins"), "[rabbitmq_management].").unwrap();
                let own = format!(
                    "listeners.tcp.1 = 127.0.0.1:{}\nmanagement.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {port}\n\
                     loopback_users.guest = false\nlog.console = true\n",
                    port + 1
                );
                fs::write(self.path("rabbit.conf"), own).unwrap();
                Command::new("true").output().unwrap()
            }
        };
        assert!(prepared.status.success(), "{}", String::from_utf8_lossy(&prepared.stderr));
    }

    fn server(&self) -> Command {
        let (port, folder, data) = (self.port.to_string(), self.folder.path(), self.path("data"));
        match self.kind {
            Kind::Postgres => {
                let mut command = as_user("postgres", &postgres("postgres"));
                command.args(["-p", &port, "-k"]).arg(folder).arg("-D").arg(data);
                // Only what a test waits for.
                command.args(["-c", "fsync=off", "-c", "max_connections=200"]);
                command
            }
            Kind::Maria => {
                let mut command = Command::new("mariadbd");
                command.args(["--no-defaults", "--user=mysql", "--bind-address=127.0.0.1"]);
                command.arg(format!("--port={port}")).arg(format!("--datadir={}", data.display()));
                command.arg(format!("--socket={}", self.path("socket").display()));
                command
            }
            Kind::Rabbit => {
                let mut command = Command::new("/usr/lib/rabbitmq/bin/rabbitmq-server");
                command.env("HOME", folder).env("RABBITMQ_NODENAME", format!("t{port}@localhost"));
                command.env("RABBITMQ_MNESIA_BASE", &data).env("RABBITMQ_LOG_BASE", self.path("log"));
                command.env("RABBITMQ_ENABLED_PLUGINS_FILE", self.path("plugins"));
                command.env("RABBITMQ_CONFIG_FILE", self.path("rabbit.conf"));
                command
                    .env("ERL_EPMD_PORT", (self.port + 2).to_string())
                    .env("RABBITMQ_DIST_PORT", (self.port + 3).to_string());
                command
            }
        }
    }

    fn answers(&self) -> bool {
        match self.kind {
            Kind::Rabbit => self.api("whoami", "guest", "guest").is_some(),
            _ => self.ask("select 1").status.success(),
        }
    }

    /// What the management API of `RabbitMQ` answers, if it lets the user in.
    fn api(&self, what: &str, user: &str, password: &str) -> Option<String> {
        let login = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        write!(stream, "GET /api/{what} HTTP/1.0\r\nHost: rabbit\r\nAuthorization: Basic {login}\r\n\r\n")
            .ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        head.contains(" 200 ").then(|| body.to_owned())
    }

    /// What the administrator is answered, who comes by the socket.
    fn admin(&self, statement: &str) -> String {
        let output = self.ask(statement);
        assert!(output.status.success(), "{statement}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn ask(&self, statement: &str) -> Output {
        if self.kind == Kind::Postgres {
            let mut command = Command::new("psql");
            command.arg("-h").arg(self.folder.path()).args(["-p", &self.port.to_string(), "-U", "postgres"]);
            command.args(["-d", "postgres", "-Atc", statement]).output().unwrap()
        } else {
            let mut command = Command::new("mariadb");
            command.args(["--no-defaults", "-u", "root", "-Ne", statement]);
            command.arg(format!("--socket={}", self.path("socket").display())).output().unwrap()
        }
    }

    fn said(&self) -> String {
        let process = self.process.lock().unwrap();
        process.as_ref().map(|process| process.stderr() + &process.stdout()).unwrap_or_default()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let Some(process) = self.process.get_mut().unwrap().take() else { return };
        for pid in children(process.pid()) {
            send(pid, Signal::SIGKILL);
        }
        process.kill();
    }
}

/// A program of `PostgreSQL`, which Debian keeps out of the path.
fn postgres(program: &str) -> PathBuf {
    let mut versions: Vec<PathBuf> =
        fs::read_dir("/usr/lib/postgresql").unwrap().map(|entry| entry.unwrap().path()).collect();
    versions.sort();
    versions.pop().expect("PostgreSQL, which `make e2e` installs").join("bin").join(program)
}

fn as_user(user: &str, program: &Path) -> Command {
    let mut command = Command::new("runuser");
    command.args(["-u", user, "--"]).arg(program);
    command
}

/// User and group of a name.
fn ids(name: &str) -> (u32, u32) {
    let user = nix::unistd::User::from_name(name).unwrap().expect("its package is installed");
    (user.uid.as_raw(), user.gid.as_raw())
}

/// The processes below `pid`, those of them included.
fn children(pid: u32) -> Vec<u32> {
    let listed = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let direct: Vec<u32> = listed.split_whitespace().map(|pid| pid.parse().unwrap()).collect();
    direct.iter().flat_map(|child| std::iter::once(*child).chain(children(*child))).collect()
}

fn count(text: &str) -> usize {
    text.trim().parse().unwrap()
}
