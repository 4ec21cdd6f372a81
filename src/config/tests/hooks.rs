//! `hooks`, and the names of hooks in secrets.

use super::*;
use crate::config::hook::{HookAction, HookMoment, HookSpec, OnHookFailure};
use crate::config::loader::hooks_alone;
use crate::lifecycle::ProcessSignal;

/// A configuration with these hooks and one secret with these keys.
fn text(hooks: &str, secret: &str) -> String {
    format!(
        "secretStore: {{ address: 'https://v:8200', token: t }}
hooks:
{hooks}
secrets:
  - name: s
    key: s
    files: [{{ path: /out/f, field: f }}]
{secret}"
    )
}

fn hooks(entries: &str) -> Vec<HookSpec> {
    let names = entries.lines().filter_map(|line| line.trim().split_once(": {")).map(|(name, _)| name);
    let names: Vec<_> = names.collect();
    config(&text(entries, &format!("    generations: /out\n    hooks: [{}]\n", names.join(", ")))).hooks
}

#[test]
fn each_action_has_its_keys_and_defaults() {
    let found = hooks(
        "  gate: { on: [staged], command: [/bin/check, '{staging}', '${HOME:-/root}'] }
  web: { pidFile: /run/web.pid }
  proxy: { pidFile: run/proxy.pid, signal: USR2, timeout: 10m, settle: 0, attempts: 1, onFailure: ignore }
  app: { unit: app@1.service, restart: true, after: [web, proxy], output: discard }
  post: { url: 'https://hooks.example/a?token=b', hmacKeyFile: /k }",
    );
    let actions: Vec<_> = found.iter().map(|spec| (spec.name.as_str(), spec.moment, &spec.action)).collect();
    let [gate, web, proxy, app, post] = actions.as_slice() else { panic!("{actions:?}") };
    let argv = ["/bin/check", "{staging}", "/root"].map(str::to_owned).to_vec();
    assert_eq!(*gate, ("gate", HookMoment::Staged, &HookAction::Command { argv }));
    let signal = |path: &str, signal| HookAction::PidFile { path: path.into(), signal };
    assert_eq!(*web, ("web", HookMoment::Changed, &signal("/run/web.pid", ProcessSignal::Hup)));
    assert_eq!(proxy.2, &signal("/work/run/proxy.pid", ProcessSignal::Usr2));
    assert_eq!(app.2, &HookAction::Unit { unit: "app@1.service".to_owned(), restart: true });
    let HookAction::Url { url, hmac_key_file } = post.2 else { panic!("{post:?}") };
    assert_eq!(
        (url.as_url().as_str(), hmac_key_file.as_deref()),
        ("https://hooks.example/a?token=b", Some(Path::new("/k")))
    );
    let after: Vec<_> = found[3].after.iter().map(ToString::to_string).collect();
    assert_eq!(after, ["web", "proxy"]);
    let of_web =
        (found[1].timeout.as_secs(), found[1].settle.as_secs(), found[1].attempts, found[1].on_failure);
    assert_eq!(of_web, (30, 1, 3, OnHookFailure::Retry));
    let of_proxy =
        (found[2].timeout.as_secs(), found[2].settle.as_secs(), found[2].attempts, found[2].on_failure);
    assert_eq!(of_proxy, (600, 0, 1, OnHookFailure::Ignore));
    assert_eq!(
        found.iter().map(|spec| spec.logs_output).collect::<Vec<_>>(),
        [true, true, true, false, true]
    );
}

#[test]
fn a_url_shows_its_host_and_no_more() {
    let found = hooks("  post: { url: 'https://hooks.example/s3cret?token=s3cret' }");
    assert!(
        !format!("{found:?}").contains("s3cret") && format!("{found:?}").contains("https://hooks.example")
    );
}

#[test]
fn a_secret_has_its_hooks_in_the_order_of_the_file() {
    let entries = "  a: { unit: a, secrets: all }\n  b: { unit: b }\n  c: { unit: c }";
    let of = |config: &Config| config.secrets[0].hooks.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(of(&config(&text(entries, "    hooks: [c, b, c]\n"))), ["a", "b", "c"]);
    let unnamed = text(entries, "    hooks: [b]\n");
    assert_eq!(
        (of(&config(&unnamed)), warnings(&unnamed)),
        (vec!["a".into(), "b".into()], vec!["unused-hook hooks.c".into()])
    );
}

#[test]
fn what_is_wrong_is_named() {
    for (hook, secret, expected) in [
        ("{ on: [changed] }", "", "missing-key hooks.h"),
        ("{ command: [/a], unit: b }", "", "conflicting-keys hooks.h.unit"),
        ("{ unit: b, signal: HUP }", "", "conflicting-keys hooks.h.signal"),
        ("{ command: [a] }", "", "bad-path hooks.h.command[0]"),
        ("{ command: [] }", "", "bad-value hooks.h.command"),
        ("{ command: /bin/true }", "", "wrong-type hooks.h.command"),
        ("{ command: [/a, '{staging}'] }", "", "bad-value hooks.h.command[1]"),
        ("{ pidFile: /p, signal: KILL }", "", "bad-value hooks.h.signal"),
        ("{ unit: 'a b' }", "", "bad-value hooks.h.unit"),
        ("{ unit: -a }", "", "bad-value hooks.h.unit"),
        ("{ url: 'ftp://x' }", "", "bad-address hooks.h.url"),
        ("{ url: 'https://u:p@x' }", "", "bad-address hooks.h.url"),
        ("{ unit: a, on: [] }", "", "bad-value hooks.h.on"),
        ("{ unit: a, on: [staged, changed] }", "", "conflicting-keys hooks.h.on"),
        ("{ unit: a, on: [never] }", "", "bad-value hooks.h.on[0]"),
        ("{ unit: a, on: [failed] }", "", "not-built-in hooks.h.on[0]"),
        ("{ unit: a, onFailure: rollback }", "", "not-built-in hooks.h.onFailure"),
        ("{ unit: a, confirm: 2m }", "", "not-built-in hooks.h.confirm"),
        ("{ container: web, exec: [nginx] }", "", "not-built-in hooks.h.container"),
        ("{ unit: a, timeout: 11m }", "", "out-of-range hooks.h.timeout"),
        ("{ unit: a, timeout: 0 }", "", "out-of-range hooks.h.timeout"),
        ("{ unit: a, settle: 2h }", "", "out-of-range hooks.h.settle"),
        ("{ unit: a, attempts: 0 }", "", "out-of-range hooks.h.attempts"),
        ("{ unit: a, after: [b] }", "", "unknown-hook hooks.h.after[0]"),
        ("{ unit: a, after: [h] }", "", "conflicting-keys hooks.h"),
        ("{ unit: a }", "    hooks: [hh]\n", "unknown-hook secrets[0].hooks[0]"),
        ("{ on: [staged], command: [/a] }", "    hooks: [h]\n", "missing-key secrets[0].hooks"),
        ("{ unit: a, wat: 1 }", "", "unknown-key hooks.h.wat"),
    ] {
        let found = errors(&text(&format!("  h: {hook}"), secret));
        assert_eq!(found.first().map(String::as_str), Some(expected), "{hook} {secret}: {found:?}");
    }
    let report = parse(&text("  h: { command: [a] }", "    hooks: [h]\n"));
    assert!(found(&report, Severity::Warning).is_empty(), "a hook with a mistake is named: {report:?}");
    let cycle = "  a: { unit: a, after: [c] }\n  b: { unit: b, after: [a] }\n  c: { unit: c, after: [b] }";
    assert_eq!(errors(&text(cycle, "    hooks: [a, b, c]\n")), ["conflicting-keys hooks.a"]);
    assert_eq!(
        errors(&format!("engine: {{}}\nwebhook: {{}}\n{}", text("  h: { unit: a }", ""))),
        ["not-built-in engine", "not-built-in webhook"]
    );
}

#[test]
fn what_has_no_effect_is_a_warning() {
    let gate = "  h: { on: [staged], command: [/a], settle: 2s, after: [g], attempts: 2, onFailure: retry }\n  g: { unit: g, after: [h] }";
    let found = warnings(&text(gate, "    generations: /out\n    hooks: [h, g]\n"));
    let ignored =
        ["settle", "after", "attempts", "onFailure"].map(|key| format!("ignored-key hooks.h.{key}"));
    assert_eq!(found, [&ignored[..], &["ignored-key hooks.g.after[0]".to_owned()]].concat());
    let exposed = text("  h: { url: 'http://hooks.example' }", "    hooks: [h]\n");
    assert_eq!(warnings(&exposed), ["plain-http hooks.h.url"]);
    assert!(warnings(&text("  h: { url: 'http://127.0.0.1/' }", "    hooks: [h]\n")).is_empty());
}

#[test]
fn hooks_compile_without_the_rest_of_the_file() {
    let env = Env::from_pairs([("PROGRAM", "/bin/a")]);
    let broken =
        "secretStore: { token: '${UNSET}' }\nhooks: { h: { command: ['${PROGRAM}'] } }\nsecrets: 1\n";
    let found = hooks_alone(broken, "c.yaml", &env, Path::new("/")).unwrap();
    assert_eq!(found[0].action, HookAction::Command { argv: vec!["/bin/a".to_owned()] });
    assert!(hooks_alone("hooks: { h: {} }", "c.yaml", &env, Path::new("/")).is_err());
    assert!(hooks_alone("secrets: []", "c.yaml", &env, Path::new("/")).unwrap().is_empty());
}
