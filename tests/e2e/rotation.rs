//! Servers under load while their certificate is rotated again and again: a real `OpenBao`, the daemon, the gate and the
//! reload of the guide, and clients that shake hands all the time.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, Stream};

use crate::bao::Bao;
use crate::certs::Authority;
use crate::daemon::{Process, Sandbox, wait_until};
use crate::guides::{Site, haproxy_site, nginx_site};

const NAME: &str = "site.test";

const ROTATIONS: usize = 20;

/// Clients that connect, shake hands, ask, and begin again.
const CLIENTS: usize = 3;

/// How long a server may take for one answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the clients saw.
#[derive(Default)]
struct Seen {
    /// How often each certificate was served with its key.
    certificates: Mutex<BTreeMap<Vec<u8>, usize>>,
    failures: Mutex<Vec<String>>,
    is_over: AtomicBool,
}

impl Seen {
    fn has(&self, certificate: &[u8]) -> bool {
        self.certificates.lock().unwrap().contains_key(certificate)
    }

    /// One client until the end.
    fn look(&self, port: u16, config: &Arc<ClientConfig>) {
        while !self.is_over.load(Ordering::SeqCst) {
            match exchange(port, Arc::clone(config)) {
                Ok(certificate) => {
                    *self.certificates.lock().unwrap().entry(certificate).or_default() += 1;
                }
                Err(error) => self.failures.lock().unwrap().push(error.to_string()),
            }
        }
    }
}

/// Ends the clients, also if the test fails.
struct End<'s>(&'s Seen);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::SeqCst);
    }
}

/// A handshake and a request on a connection of its own; gives the certificate. The handshake succeeds only if the server
/// has signed with the key of that certificate, and the authority has signed the certificate.
fn exchange(port: u16, config: Arc<ClientConfig>) -> io::Result<Vec<u8>> {
    let mut tcp = TcpStream::connect(("127.0.0.1", port))?;
    tcp.set_read_timeout(Some(PATIENCE))?;
    let name = ServerName::try_from(NAME).map_err(io::Error::other)?;
    let mut tls = ClientConnection::new(config, name).map_err(io::Error::other)?;
    while tls.is_handshaking() {
        tls.complete_io(&mut tcp).map_err(|error| io::Error::other(format!("handshake: {error}")))?;
    }
    let leaf = tls.peer_certificates().and_then(<[_]>::first).ok_or(ErrorKind::InvalidData)?.to_vec();
    let mut stream = Stream::new(&mut tls, &mut tcp);
    write!(stream, "GET / HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n")?;
    let mut head = [0; 12];
    stream.read_exact(&mut head).map_err(|error| io::Error::other(format!("answer: {error}")))?;
    if &head != b"HTTP/1.1 200" {
        return Err(io::Error::other(String::from_utf8_lossy(&head).into_owned()));
    }
    Ok(leaf)
}

/// Certificates for the site, and the store that they are written to.
struct Issuer {
    sandbox: Sandbox,
    authority: Authority,
    bao: Bao,
}

impl Issuer {
    /// Writes a new pair as the next version; gives the certificate.
    fn rotate(&self) -> Vec<u8> {
        let pair = self.authority.issue(&self.sandbox.path(""), "new", &[NAME]);
        let read = |path| fs::read_to_string(path).unwrap();
        let (crt, key) = (read(&pair.certificate), read(&pair.key));
        self.bao.put_v2("", "secret", "tls/site", &json!({ "crt": crt, "key": key }));
        CertificateDer::from_pem_slice(crt.as_bytes()).unwrap().to_vec()
    }

    fn client(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&self.authority.certificate).unwrap()).unwrap();
        let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        // Each handshake is a whole one: a resumed session shows no certificate.
        config.resumption = Resumption::disabled();
        Arc::new(config)
    }
}

/// Rotates while clients look. `duty` is the end of the guide's duty, which gets a shorter `settle`.
fn rotates_without_a_failed_handshake(site: impl FnOnce(&Sandbox) -> Site, duty: &str) {
    let sandbox = Sandbox::new("");
    let authority = Authority::new(&sandbox.path(""), "ca");
    let issuer = Issuer { sandbox, authority, bao: Bao::start() };
    let sandbox = &issuer.sandbox;
    let Site { config, port, command } = site(sandbox);
    assert!(config.contains(duty), "{config}");
    let config = config.replace(duty, &duty.replace(" }", ", settle: 100ms }"));
    let store =
        format!("{{ address: {}, token: root, mountPath: secret, kvVersion: v2 }}", issuer.bao.address());
    sandbox.write("config.yaml", format!("secretStore: {store}\n{config}"));
    let first = issuer.rotate();
    let daemon = sandbox.ready_daemon();
    let server = Process::start(command);
    let (seen, client) = (Seen::default(), issuer.client());
    wait_until("the site is served", || {
        exchange(port, Arc::clone(&client)).is_ok_and(|served| served == first)
    });
    thread::scope(|clients| {
        let _end = End(&seen);
        for _ in 0..CLIENTS {
            clients.spawn(|| seen.look(port, &client));
        }
        for _ in 0..ROTATIONS {
            let next = issuer.rotate();
            daemon.signal(Signal::SIGUSR1);
            wait_until("the new certificate is served", || seen.has(&next));
        }
    });
    let failures = seen.failures.into_inner().unwrap();
    let certificates = seen.certificates.into_inner().unwrap();
    let handshakes: usize = certificates.values().sum();
    assert_eq!(failures, [""; 0], "beside {handshakes} that succeeded");
    assert!(handshakes > 10 * ROTATIONS && certificates.len() >= ROTATIONS, "{handshakes}");
    daemon.stop();
    server.stop();
}

#[test]
fn nginx_fails_no_handshake_while_its_certificate_is_rotated() {
    rotates_without_a_failed_handshake(nginx_site, "signal: HUP }");
}

#[test]
fn haproxy_fails_no_handshake_while_its_certificate_is_rotated() {
    rotates_without_a_failed_handshake(haproxy_site, "signal: USR2 }");
}
