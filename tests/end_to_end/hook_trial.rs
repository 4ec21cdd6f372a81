//! `hook NAME`: one hook with an event of type `test`, without a daemon.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::thread;

use serde_json::Value;

use crate::daemon::{Finished, Sandbox};

fn sandbox(hooks: &str) -> Sandbox {
    let sandbox = Sandbox::new(&format!(
        "secretStore: {{ provider: file, path: store.yaml }}
hooks:
{hooks}
secrets: [{{ name: one, key: k, files: [{{ path: out/f, field: f }}], hooks: [reload-web] }}]"
    ));
    sandbox.write("store.yaml", "k: { f: value-Zq7marker }");
    sandbox
}

/// The event that was shown.
#[track_caller]
fn event(finished: &Finished) -> Value {
    let line = finished.stdout.lines().find_map(|line| line.strip_prefix("event: "));
    serde_json::from_str(line.unwrap_or_else(|| panic!("{finished:?}"))).unwrap()
}

#[test]
fn a_command_gets_the_event_and_its_end_is_shown() {
    let sandbox = sandbox("  reload-web: { command: [/usr/bin/env, sh, -c, 'cat > got.json'] }");
    let path = sandbox.path("got.json");
    let config = sandbox.read("config.yaml").replace("got.json", path.to_str().unwrap());
    sandbox.write("config.yaml", config);
    let tried = sandbox.run(&["hook", "reload-web"]);
    assert!(tried.code == 0 && tried.stdout.ends_with("reload-web: ok\n"), "{tried:?}");
    let event = event(&tried);
    assert_eq!((&event["type"], &event["hook"]), (&"test".into(), &"reload-web".into()));
    assert_eq!(serde_json::from_str::<Value>(&sandbox.read("got.json")).unwrap(), event);
    assert!(!sandbox.path("out").exists() && !tried.output().contains("Zq7marker"));
}

#[test]
fn a_failure_is_exit_11_with_what_was_printed_and_an_unknown_name_exit_2() {
    let sandbox =
        sandbox("  reload-web: { command: [/usr/bin/env, sh, -c, 'echo no such site >&2; exit 3'] }");
    let failed = sandbox.run(&["hook", "reload-web"]);
    assert_eq!(failed.code, 11, "{failed:?}");
    assert!(
        failed.stderr.contains("no such site") && failed.stderr.contains("error: reload-web: "),
        "{failed:?}"
    );
    let unknown = sandbox.run(&["hook", "reload-wbe"]);
    assert!(unknown.code == 2 && unknown.stderr.contains("did you mean reload-web?"), "{unknown:?}");
}

#[test]
fn the_signature_that_is_shown_is_that_of_the_body_by_openssl() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/notify", listener.local_addr().unwrap());
    let sandbox = sandbox(&format!("  reload-web: {{ url: '{url}', hmacKeyFile: keys }}"));
    sandbox.write("keys", "an-old-and-long-enough-key-of-32-bytes\n");
    fs::set_permissions(sandbox.path("keys"), fs::Permissions::from_mode(0o600)).unwrap();
    let receiver = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        let mut chunk = [0; 4096];
        while !request.ends_with(b"}") {
            let count = stream.read(&mut chunk).unwrap();
            request.extend_from_slice(&chunk[..count]);
        }
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
        String::from_utf8(request).unwrap()
    });
    let tried = sandbox.run(&["hook", "reload-web"]);
    assert!(tried.code == 0 && tried.stdout.ends_with("reload-web: ok\n"), "{tried:?}");
    let request = receiver.join().unwrap();
    let (_, body) = request.split_once("\r\n\r\n").unwrap();
    let mut openssl = Command::new("openssl")
        .args(["dgst", "-sha256", "-hmac", "an-old-and-long-enough-key-of-32-bytes"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    openssl.stdin.take().unwrap().write_all(body.as_bytes()).unwrap();
    let digest = String::from_utf8(openssl.wait_with_output().unwrap().stdout).unwrap();
    let digest = digest.trim().rsplit(' ').next().unwrap().to_owned();
    assert!(tried.stdout.contains(&format!("X-Hub-Signature-256: sha256={digest}\n")), "{tried:?} {digest}");
    assert!(request.to_lowercase().contains(&format!("x-hub-signature-256: sha256={digest}")), "{request}");
}
