//! `run --once`: what each exit code stands for.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::daemon::{BINARY, Finished, Process, Sandbox, wait_until};
use crate::fake::{Fake, Reply};
use crate::relay::Relay;
use crate::server::{server, store, store_at, store_with};

/// Runs `--once` with one secret at `key`.
#[track_caller]
fn once(store: &str, key: &str, files: &str) -> Finished {
    let config = format!("{store}\nsecrets: [{{ name: subject, key: {key}, files: {files} }}]");
    Sandbox::new(&config).run(&["run", "--once"])
}

/// The failure has this code, and says which secret and what to do.
#[track_caller]
fn fails(code: i32, finished: &Finished, cause: &str) {
    assert_eq!(finished.code, code, "{}", finished.stderr);
    assert_eq!(finished.stdout, "");
    assert!(!finished.stderr.contains("next_try"), "nothing comes next: {}", finished.stderr);
    let errors = errors(&finished.stderr);
    let [error] = &errors[..] else { panic!("one failure is one line: {errors:?}") };
    let text = error.to_string().to_lowercase();
    assert!(error["secret"] == "subject" && text.contains(cause), "{cause:?} is not in {text}");
    let hint = error["hint"].as_str().unwrap_or_default();
    assert!(hint.len() > 5, "it says nothing to do: {text}");
}

/// The lines at `error`. Every line is JSON.
#[track_caller]
fn errors(stderr: &str) -> Vec<Value> {
    let lines =
        stderr.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}")));
    lines.filter(|line: &Value| line["level"] == "error").collect()
}

const VALUE: &str = "[{ path: out, field: value }]";

/// An address where nobody listens.
fn nobody() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// A server that gives every request the same answer.
fn answers(status: &'static str, body: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let mut request = [0; 4096];
            while let Ok(1..) = client.read(&mut request) {
                let length = body.len();
                let head = format!(
                    "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}"
                );
                drop(write!(client, "{head}\r\n\r\n{body}"));
            }
        }
    });
    address
}

#[test]
fn exit_0_when_all_files_are_written() {
    server().put("once/good", &json!({ "value": "v" }));
    let config = format!("{}\nsecrets: [{{ name: good, key: once/good, files: {VALUE} }}]", store());
    let sandbox = Sandbox::new(&config);
    let finished = sandbox.run(&["run", "--once"]);
    assert_eq!((finished.code, finished.stdout.as_str()), (0, ""), "{}", finished.stderr);
    assert_eq!((sandbox.read("out"), sandbox.mode("out")), ("v".into(), 0o600));
    assert!(!sandbox.path("status.json").exists(), "the status file is the daemon's");
    let before = sandbox.identity("out");
    assert_eq!(sandbox.run(&["run", "--once"]).code, 0);
    assert_eq!(sandbox.identity("out"), before);
}

#[test]
fn modes_are_those_of_the_configuration_whatever_the_umask() {
    server().put("once/umask", &json!({ "value": "v" }));
    let files =
        "[{ path: open, field: value, mode: '0664' }, { path: new/shut, field: value, mode: '0400' }]";
    let config = format!("{}\nsecrets: [{{ name: modes, key: once/umask, files: {files} }}]", store());
    for umask in ["0000", "0777"] {
        let sandbox = Sandbox::new(&config);
        let mut command = sandbox.program("sh");
        command.args(["-c", &format!("umask {umask}; exec {BINARY} run --once")]);
        let finished = Process::start(command).finish();
        assert_eq!(finished.code, 0, "{}", finished.stderr);
        let modes = ["open", "new", "new/shut"].map(|name| sandbox.mode(name));
        assert_eq!(modes, [0o664, 0o750, 0o400], "with umask {umask}");
    }
}

#[test]
fn exit_2_for_wrong_usage() {
    let sandbox = Sandbox::new("");
    let lines: [&[&str]; 5] = [
        &["--nothing"],
        &["nothing"],
        &["run", "--timeout", "5s"],
        &["run", "--once", "--timeout", "x"],
        &["-c"],
    ];
    for line in lines {
        let finished = sandbox.run(line);
        assert_eq!((finished.code, finished.stdout.as_str()), (2, ""), "{line:?}: {finished:?}");
        assert!(!finished.stderr.is_empty());
    }
}

#[test]
fn exit_3_for_an_invalid_configuration() {
    for (text, cause) in [
        ("secrets: [", "yaml"),
        ("secretStore: { provider: nothing }\nsecrets: []", "provider"),
        ("secretStore: { provider: file, path: x.yaml }\nsecrets: [{ name: a, key: a, mod: x }]", "mod"),
        ("secretStore: { provider: file, path: '${NOWHERE}' }\nsecrets: []", "NOWHERE"),
    ] {
        let finished = Sandbox::new(text).run(&["run", "--once"]);
        assert_eq!(finished.code, 3, "{text}: {finished:?}");
        assert!(
            finished.stderr.contains(cause) && finished.stderr.contains("config.yaml"),
            "{}",
            finished.stderr
        );
        for error in errors(&finished.stderr) {
            let fields = ["ts", "msg", "code", "hint"].map(|name| error[name].as_str().unwrap_or_default());
            assert!(fields.iter().all(|field| !field.is_empty()), "{error}");
        }
    }
    let unknown = "secretStore: { provider: file, path: x.yaml }\nsecrets: [{ name: a, key: a, mod: x }]";
    let sandbox = Sandbox::new(unknown);
    let shown = errors(&sandbox.run(&["run"]).stderr);
    let error = shown.iter().find(|error| error["code"] == "unknown-key").unwrap();
    assert_eq!((&error["path"], &error["line"]), (&json!("secrets[0].mod"), &json!(2)));
    assert!(error["column"].is_u64(), "{error}");
    let mut text = sandbox.command(&["run"]);
    text.env("LOG_FORMAT", "text");
    let text = Process::start(text).finish().stderr;
    assert!(text.contains("error[unknown-key]") && text.contains("\n  hint: "), "{text}");
    let sandbox = Sandbox::new("");
    assert_eq!(sandbox.run(&["run", "--once", "-c", "nowhere.yaml"]).code, 3);
    let mut command = sandbox.command(&["run", "--once"]);
    command.env("INITIAL_BACKOFF", "soon");
    let finished = Process::start(command).finish();
    let shown = errors(&finished.stderr);
    assert!(finished.code == 3 && shown[0]["path"] == "INITIAL_BACKOFF", "{finished:?}");
}

#[test]
fn exit_4_when_the_server_refuses_who_we_are() {
    let bao = server();
    bao.put("once/refused", &json!({ "value": "v" }));
    let bad_token = store_with(bao.address(), "authMethod: token, token: s.nobody");
    fails(4, &once(&bad_token, "once/refused", VALUE), "token");
    let bad_approle = store_with(bao.address(), "authMethod: approle, roleId: nobody, secretId: nothing");
    fails(4, &once(&bad_approle, "once/refused", VALUE), "approle");
    let powerless = bao.powerless_token();
    let denied = store_with(bao.address(), &format!("authMethod: token, token: {powerless}"));
    fails(4, &once(&denied, "once/refused", VALUE), "polic");
}

#[test]
fn exit_5_when_the_store_cannot_answer() {
    fails(5, &once(&store_at(&nobody()), "a", VALUE), "refused");
    let sealed = answers("503 Service Unavailable", r#"{"errors":["Vault is sealed"]}"#);
    fails(5, &once(&store_at(&sealed), "a", VALUE), "sealed");
    let busy = answers("429 Too Many Requests", r#"{"errors":["rate limit quota exceeded"]}"#);
    fails(5, &once(&store_at(&busy), "a", VALUE), "429");
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    fails(5, &once(&store_with(&address, "authMethod: token, token: t, timeout: 200ms"), "a", VALUE), "time");
}

#[test]
fn exit_6_when_the_secret_is_absent_deleted_or_destroyed() {
    let bao = server();
    fails(6, &once(&store(), "once/never-written", VALUE), "once/never-written");
    bao.put("once/deleted", &json!({ "value": "v" }));
    bao.delete("once/deleted");
    fails(6, &once(&store(), "once/deleted", VALUE), "deleted");
    bao.put("once/destroyed", &json!({ "value": "v" }));
    bao.destroy("once/destroyed", 1);
    fails(6, &once(&store(), "once/destroyed", VALUE), "destroyed");
}

#[test]
fn exit_7_when_a_template_fails_or_its_output_is_refused() {
    let bao = server();
    bao.put("once/render", &json!({ "value": "%%% not base64", "large": "x".repeat(5000) }));
    fails(7, &once(&store(), "once/render", "[{ path: out, template: '{{ nothing }}' }]"), "nothing");
    fails(7, &once(&store(), "once/render", "[{ path: out, field: nothing }]"), "nothing");
    fails(7, &once(&store(), "once/render", "[{ path: out, field: value, decoding: base64 }]"), "base64");
    let limited = format!("{}\nlimits: {{ maxFileSize: 4KiB }}", store());
    fails(7, &once(&limited, "once/render", "[{ path: out, field: large }]"), "maxfilesize");
}

#[test]
fn exit_8_when_a_file_cannot_be_written() {
    server().put("once/write", &json!({ "value": "v" }));
    let config = format!("{}\nsecrets: [{{ name: subject, key: once/write, files: {VALUE} }}]", store());
    let sandbox = Sandbox::new(&config);
    fs::create_dir(sandbox.path("out")).unwrap();
    fails(8, &sandbox.run(&["run", "--once"]), "directory");
    // A place where not even root can make a file.
    let nowhere = "[{ path: /proc/secrets-sync/out, field: value }]";
    fails(8, &once(&store(), "once/write", nowhere), "/proc/secrets-sync");
}

#[test]
fn exit_10_when_secrets_fail_for_different_reasons_and_the_good_ones_are_written() {
    server().put("once/mixed", &json!({ "value": "v" }));
    let config = format!(
        "{}
secrets:
  - {{ name: absent, key: once/nothing-here, files: [{{ path: a, field: value }}] }}
  - {{ name: template, key: once/mixed, files: [{{ path: b, field: nothing }}] }}
  - {{ name: good, key: once/mixed, files: [{{ path: c, field: value }}] }}
",
        store()
    );
    let sandbox = Sandbox::new(&config);
    let finished = sandbox.run(&["run", "--once"]);
    assert_eq!(finished.code, 10, "{}", finished.stderr);
    assert!(
        finished.stderr.contains("absent") && finished.stderr.contains("template"),
        "{}",
        finished.stderr
    );
    let shown = errors(&finished.stderr);
    assert_eq!(shown.len(), 3, "{shown:?}");
    assert_eq!((&shown[2]["failed"], &shown[2]["secrets"]), (&json!(2), &json!(3)));
    assert_eq!(sandbox.read("c"), "v");
    assert!(!sandbox.path("a").exists() && !sandbox.path("b").exists());
}

#[test]
fn a_timeout_gives_a_late_server_time_to_come() {
    server().put("once/late", &json!({ "value": "v" }));
    let relay = Relay::closed(server().address());
    let config =
        format!("{}\nsecrets: [{{ name: late, key: once/late, files: {VALUE} }}]", store_at(relay.address()));
    let sandbox = Sandbox::new(&config);
    let process = Process::start(sandbox.command(&["run", "--once", "--timeout", "20s"]));
    wait_until("the first failure is told", || process.stderr().contains("sync failed"));
    relay.open();
    let finished = process.finish();
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    assert_eq!(sandbox.read("out"), "v");
}

#[test]
fn a_timeout_outlasts_an_outage_that_opens_the_circuit_breaker() {
    let begun = Instant::now();
    let fake = Fake::start(move |_, _| {
        if begun.elapsed() < Duration::from_secs(3) {
            return Reply::json(503, r#"{"errors":["Vault is sealed"]}"#);
        }
        Reply::secret("v", 1)
    });
    let address = fake.address();
    let address = address.trim_start_matches("http://");
    let files = "[{ path: out, field: password }]";
    let config = format!("{}\nsecrets: [{{ name: a, key: a, files: {files} }}]", store_at(address));
    let sandbox = Sandbox::new(&config);
    let mut command = sandbox.command(&["run", "--once", "--timeout", "15s"]);
    // The breaker of a user, who sets nothing, would be open for longer than the timeout.
    command.env_remove("CIRCUIT_BREAKER_TIMEOUT");
    let finished = Process::start(command).finish();
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    assert!(finished.stderr.contains("circuit_open"), "the breaker never opened: {}", finished.stderr);
    assert_eq!(sandbox.read("out"), "v");
}

#[test]
fn no_login_is_claimed_before_the_server_has_answered() {
    let config = format!("{}\nsecrets: [{{ name: subject, key: a, files: {VALUE} }}]", store_at(&nobody()));
    let sandbox = Sandbox::new(&config);
    let mut command = sandbox.command(&["run", "--once"]);
    command.env("LOG_LEVEL", "debug");
    let finished = Process::start(command).finish();
    assert!(!finished.stderr.contains("logged in"), "{}", finished.stderr);
    assert!(finished.stderr.contains("using the configured token"), "{}", finished.stderr);
}
