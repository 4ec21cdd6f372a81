//! How names are resolved: in a network of its own with a scripted DNS server, an `/etc` of its own, and an NSS module
//! that ends whoever loads it.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use tempfile::TempDir;

use crate::daemon::{Finished, Process, Sandbox, wait_until};
use crate::fake::{Fake, Reply};

const NEEDED: &str = "a network of its own needs a private namespace: run the tests as root";
const NONE: Option<&str> = None;
/// A module of the C library that nobody has in use, so that another can take its place.
const MODULE: &str = "/lib/x86_64-linux-gnu/libnss_hesiod.so.2";
const A: u16 = 1;
const AAAA: u16 = 28;

/// What the DNS server answers.
#[derive(Clone, Copy)]
enum Answer {
    Address(Ipv4Addr),
    /// The name exists, and has nothing of this kind.
    NoData,
    /// NXDOMAIN.
    Missing,
    /// SERVFAIL.
    Failed,
    /// Nothing at all.
    Silence,
}

/// The network, and what is in its `/etc`; for this thread and what it starts.
struct Network {
    etc: TempDir,
    vault: Fake,
    sandbox: Sandbox,
}

type Queries = Arc<Mutex<Vec<(String, u16)>>>;

impl Network {
    /// `host` is the name in the store's address.
    fn new(host: &str) -> Self {
        unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET)
            .unwrap_or_else(|error| panic!("{error}: {NEEDED}"));
        mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE).unwrap();
        assert!(Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap().success());
        let etc = tempfile::tempdir().unwrap();
        bind(&deadly_module(etc.path()), Path::new(MODULE));
        bind(etc.path(), Path::new("/etc"));
        let vault = Fake::start(|_, _| Reply::secret("arrived", 1));
        let address = vault.address().replace("127.0.0.1", host);
        let sandbox = Sandbox::new(&format!(
            "secretStore: {{ address: '{address}', token: t, timeout: 2s }}\n\
             secrets: [{{ name: subject, key: app, mountPath: secret, kvVersion: v2, files: [{{ path: out, field: password }}] }}]"
        ));
        let network = Self { etc, vault, sandbox };
        network.write("nsswitch.conf", "passwd: files\nhosts: hesiod files dns\n");
        network.write("resolv.conf", "nameserver 127.0.0.1\n");
        network
    }

    fn write(&self, name: &str, content: &str) {
        fs::write(self.etc.path().join(name), content).unwrap();
    }

    #[track_caller]
    fn arrives(&self) {
        let finished = self.once();
        assert_eq!((finished.code, self.sandbox.read("out").as_str()), (0, "arrived"), "{}", finished.stderr);
    }

    /// The one line that says why nothing arrived.
    #[track_caller]
    fn fails(&self) -> String {
        let Finished { code, stderr, .. } = self.once();
        assert_eq!((code, self.vault.accepted()), (5, 0), "{stderr}");
        assert!(stderr.contains("DNS: "), "{stderr}");
        stderr
    }

    fn once(&self) -> Finished {
        self.sandbox.run(&["run", "--once"])
    }
}

/// Aborts the process that loads it.
fn deadly_module(folder: &Path) -> PathBuf {
    let (source, module) = (folder.join("deadly.c"), folder.join("deadly.so"));
    fs::write(
        &source,
        "#include <stdlib.h>\n__attribute__((constructor)) static void end(void) { abort(); }\n",
    )
    .unwrap();
    let built =
        Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&module, &source]).status().unwrap();
    assert!(built.success());
    module
}

fn bind(source: &Path, target: &Path) {
    mount(Some(source), target, NONE, MsFlags::MS_BIND, NONE)
        .unwrap_or_else(|error| panic!("{error}: {NEEDED}"));
}

/// A DNS server at `address`, port 53; gives what it was asked.
fn dns(address: &str, script: impl Fn(&str, u16) -> Answer + Send + 'static) -> Queries {
    let socket = UdpSocket::bind((address, 53)).unwrap();
    let queries = Queries::default();
    let log = Arc::clone(&queries);
    thread::spawn(move || {
        let mut query = [0; 1024];
        while let Ok((length, client)) = socket.recv_from(&mut query) {
            let (name, kind, question) = question(&query[..length]);
            log.lock().unwrap().push((name.clone(), kind));
            let code = match script(&name, kind) {
                Answer::Silence => continue,
                Answer::Missing => 3,
                Answer::Failed => 2,
                Answer::Address(_) | Answer::NoData => 0,
            };
            let address = match script(&name, kind) {
                Answer::Address(address) => Some(address),
                _ => None,
            };
            let mut answer = query[..2].to_vec();
            answer.extend([0x81, 0x80 | code, 0, 1, 0, u8::from(address.is_some()), 0, 0, 0, 0]);
            answer.extend(question);
            if let Some(address) = address {
                answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
                answer.extend(address.octets());
            }
            socket.send_to(&answer, client).unwrap();
        }
    });
    queries
}

/// The name asked for, the type, and the bytes of the question.
fn question(query: &[u8]) -> (String, u16, Vec<u8>) {
    let mut labels = Vec::new();
    let mut at = 12;
    while query[at] != 0 {
        let length = usize::from(query[at]);
        labels.push(String::from_utf8_lossy(&query[at + 1..=at + length]).to_lowercase());
        at += length + 1;
    }
    let kind = u16::from_be_bytes([query[at + 1], query[at + 2]]);
    (labels.join("."), kind, query[12..at + 5].to_vec())
}

const HERE: Answer = Answer::Address(Ipv4Addr::LOCALHOST);

/// `name` has an IPv4 address; no other name exists.
fn only(name: &'static str) -> impl Fn(&str, u16) -> Answer {
    move |asked, kind| match (asked == name, kind) {
        (true, A) => HERE,
        (true, _) => Answer::NoData,
        (false, _) => Answer::Missing,
    }
}

fn names(queries: &Queries) -> Vec<String> {
    let mut names: Vec<String> = queries.lock().unwrap().iter().map(|(name, _)| name.clone()).collect();
    names.dedup();
    names
}

#[test]
fn a_name_in_hosts_is_answered_without_dns() {
    let network = Network::new("vault.test");
    let queries = dns("127.0.0.1", |_, _| Answer::Silence);
    network.write("hosts", "127.0.0.1 other Vault.Test # the server\n");
    network.arrives();
    assert!(queries.lock().unwrap().is_empty());
}

#[test]
fn the_search_list_and_ndots_are_obeyed() {
    let network = Network::new("vault");
    let queries = dns("127.0.0.1", only("vault.b.test"));
    network.write("resolv.conf", "nameserver 127.0.0.1\nsearch a.test b.test c.test\n");
    network.arrives();
    assert_eq!(names(&queries), ["vault.a.test", "vault.b.test"]);
}

#[test]
fn a_name_with_enough_dots_is_asked_for_as_it_is_first() {
    let network = Network::new("vault.b.test");
    let queries = dns("127.0.0.1", only("vault.b.test"));
    network.write("resolv.conf", "nameserver 127.0.0.1\nsearch a.test\noptions ndots:2\n");
    network.arrives();
    network.write("resolv.conf", "nameserver 127.0.0.1\nsearch a.test\noptions ndots:3\n");
    network.arrives();
    assert_eq!(names(&queries), ["vault.b.test", "vault.b.test.a.test", "vault.b.test"]);
}

#[test]
fn a_name_with_underscores_is_asked_for() {
    let network = Network::new("proj_vault_1");
    let queries = dns("127.0.0.1", |_, kind| if kind == AAAA { Answer::NoData } else { HERE });
    network.arrives();
    network.write("resolv.conf", "nameserver 127.0.0.1\nsearch net_default\n");
    network.arrives();
    assert_eq!(names(&queries), ["proj_vault_1", "proj_vault_1.net_default"]);
}

#[test]
fn a_malformed_name_is_named_in_plain_words() {
    let host = format!("{}.test", "a".repeat(64));
    let network = Network::new(&host);
    let queries = dns("127.0.0.1", |_, _| HERE);
    let said = network.fails();
    assert!(said.contains(&format!("{host} was not resolved: {host}. is not a valid DNS name")), "{said}");
    assert!(queries.lock().unwrap().is_empty());
}

#[test]
fn ipv4_works_when_the_question_for_ipv6_is_dropped() {
    let network = Network::new("vault.test");
    let begun = Instant::now();
    let queries = dns("127.0.0.1", |_, kind| if kind == AAAA { Answer::Silence } else { HERE });
    network.arrives();
    assert!(begun.elapsed().as_secs_f32() < 1.5, "{:?}: it waited for IPv6", begun.elapsed());
    assert!(queries.lock().unwrap().iter().any(|(_, kind)| *kind == AAAA));
}

#[test]
fn a_silent_server_is_named_within_the_stores_timeout() {
    let network = Network::new("vault.test");
    let _queries = dns("127.0.0.1", |_, _| Answer::Silence);
    let said = network.fails();
    assert!(
        said.contains("the name vault.test was not resolved within 1s: no answer from 127.0.0.1"),
        "{said}"
    );
    assert!(said.contains("/etc/resolv.conf"), "{said}");
}

#[test]
fn the_second_server_is_asked_where_the_first_gives_no_answer_and_not_where_it_does() {
    let network = Network::new("vault.test");
    let (first, second) = (Arc::new(Mutex::new(Answer::Silence)), dns("127.0.0.2", only("vault.test")));
    let script = Arc::clone(&first);
    let _queries = dns("127.0.0.1", move |_, _| *script.lock().unwrap());
    network.write("resolv.conf", "nameserver 127.0.0.1\nnameserver 127.0.0.2\n");
    network.arrives();
    *first.lock().unwrap() = Answer::Failed;
    network.arrives();
    second.lock().unwrap().clear();
    *first.lock().unwrap() = Answer::Missing;
    let finished = network.once();
    assert!(
        finished.code == 5 && finished.stderr.contains("vault.test does not exist"),
        "{}",
        finished.stderr
    );
    assert!(second.lock().unwrap().is_empty(), "an answer that there is no such name is an answer");
}

#[test]
fn without_a_resolv_conf_nobody_is_asked() {
    let network = Network::new("vault.test");
    fs::remove_file(network.etc.path().join("resolv.conf")).unwrap();
    assert!(network.fails().contains("cannot read /etc/resolv.conf"));
    network.write("resolv.conf", "# nothing\n");
    assert!(network.fails().contains("/etc/resolv.conf names no server"));
    network.write("hosts", "127.0.0.1 vault.test\n");
    network.arrives();
}

#[test]
fn localhost_needs_neither_hosts_nor_dns() {
    let network = Network::new("vault.localhost");
    fs::remove_file(network.etc.path().join("resolv.conf")).unwrap();
    network.arrives();
}

#[test]
fn a_running_daemon_reads_both_files_again() {
    let network = Network::new("vault.test");
    let _first = dns("127.0.0.1", |_, _| Answer::Missing);
    let second = dns("127.0.0.2", only("vault.test"));
    let daemon = Process::start(network.sandbox.command(&["run"]));
    wait_until("the name is unknown", || daemon.stderr().contains("does not exist"));
    network.write("resolv.conf", "nameserver 127.0.0.2\n");
    wait_until("the new server's answer is used", || network.sandbox.read("out") == "arrived");
    assert!(!second.lock().unwrap().is_empty());
    drop(daemon);

    network.write("resolv.conf", "nameserver 127.0.0.1\n");
    fs::remove_file(network.sandbox.path("out")).unwrap();
    let daemon = Process::start(network.sandbox.command(&["run"]));
    wait_until("the name is unknown", || daemon.stderr().contains("does not exist"));
    network.write("hosts", &format!("{} vault.test\n", IpAddr::V4(Ipv4Addr::LOCALHOST)));
    wait_until("hosts is used", || network.sandbox.read("out") == "arrived");
}
