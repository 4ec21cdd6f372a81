//! The proxy that the environment or the store names, as the binary uses it.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread;

use crate::daemon::Sandbox;

/// A proxy that refuses everything; its address, and the first lines it got.
fn refusing_proxy() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let asked = Arc::<Mutex<Vec<String>>>::default();
    let log = Arc::clone(&asked);
    thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let lines = BufReader::new(client.try_clone().unwrap()).lines();
            let head: Vec<String> = lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
            log.lock().unwrap().extend(head.into_iter().next());
            drop(client.write_all(b"HTTP/1.1 403 Forbidden\r\n\r\n"));
        }
    });
    (address, asked)
}

fn sandbox(address: &str, more: &str) -> Sandbox {
    Sandbox::new(&format!(
        "secretStore: {{ address: '{address}', token: t, timeout: 2s, tlsSkipVerify: true{more} }}
secrets: [{{ name: subject, key: app, mountPath: secret, kvVersion: v2, files: [{{ path: out, field: value }}] }}]"
    ))
}

#[test]
fn the_proxy_of_the_environment_is_used_for_https_to_other_machines_only() {
    let (address, asked) = refusing_proxy();
    let once = |store: &str, more: &str| {
        let sandbox = sandbox(store, more);
        let mut command = sandbox.command(&["run", "--once"]);
        command
            .env("HTTPS_PROXY", format!("http://user:hunter2@{address}"))
            .env("NO_PROXY", "direct.invalid");
        let finished = crate::daemon::Process::start(command).finish();
        assert_eq!(finished.code, 5, "{}", finished.stderr);
        assert!(!finished.stderr.contains("hunter2"), "{}", finished.stderr);
        finished.stderr
    };
    let refused = once("https://vault.invalid:8200", "");
    assert!(refused.contains(&format!("the proxy http://{address}")), "{refused}");
    assert_eq!(*asked.lock().unwrap(), ["CONNECT vault.invalid:8200 HTTP/1.1"]);
    for (direct, more) in [
        ("https://direct.invalid:8200", ""),
        ("https://vault.invalid:8200", ", proxy: none"),
        ("http://vault.invalid:8200", ""),
        ("https://127.0.0.1:1", ""),
    ] {
        once(direct, more);
        assert_eq!(asked.lock().unwrap().len(), 1, "{direct}{more}");
    }
}
