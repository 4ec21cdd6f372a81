//! The page in a real browser: its rows and states, with JavaScript off, on a phone, in light and in dark, and that
//! it asks nobody but the daemon for anything. The pictures are left in the build's `tmp` folder, to be looked at.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]

use std::fmt::Write;
use std::net::TcpListener;

use serde_json::{Value, json};

use crate::browser::Browser;
use crate::daemon::{Process, Sandbox, wait_until};

/// One secret for each state it can get to without waiting; "pending" needs a store that does not answer.
const CONFIG: &str = "
secretStore: { provider: file, path: secrets.yaml }
secretStores:
  silent: { address: 'http://SILENT', authMethod: token, token: x, timeout: 10m }
limits: { minRefreshInterval: 100ms }
hooks:
  edge: { url: 'http://127.0.0.1:9/', settle: 10ms, timeout: 1s }
secrets:
  - { name: database, key: app/database, refreshInterval: 1h, files: [{ path: out/app.env, format: dotenv }], hooks: [edge] }
  - { name: site-certificate, key: app/tls, refreshInterval: 12h, files: [{ path: out/tls.crt, field: crt },
      { path: out/tls.key, field: key }] }
  - { name: mail, key: app/mail, refreshInterval: 200ms, files: [{ path: out/mail.env, format: dotenv }] }
  - { name: cache, key: app/cache, refreshInterval: 200ms, maxStaleness: 1s, files: [{ path: out/cache, field: pass }] }
  - { name: old-licence, key: app/licence, refreshInterval: 200ms, deletionPolicy: delete,
      files: [{ path: out/licence, field: text }] }
  - { name: payments-api, key: 'app/<script>alert(1)</script>', required: false, refreshInterval: 30s,
      files: [{ path: out/payments, field: token }] }
  - { name: vpn-profile, store: silent, key: vpn/profile, files: [{ path: out/vpn, field: profile }] }
";
const ALL: &str = "
app/database: { username: app, password: Zq7marker }
app/tls: { crt: Zq7marker, key: Zq7marker }
app/mail: { user: Zq7marker }
app/cache: { pass: Zq7marker }
app/licence: { text: Zq7marker }
";
const LATER: &str = "
app/database: { username: app, password: Zq7marker }
app/tls: { crt: Zq7marker, key: Zq7marker }
";

/// State and name of each row, as a person reads them.
const ROWS: &str = "[...document.querySelectorAll('tr.secret')].map(row => \
                    row.querySelector('.chip').innerText + ' ' + row.querySelector('.name b').innerText)";

/// Each text whose contrast with its ground is below WCAG's AA, with the ratio.
const PALE: &str = "(() => {
  const numbers = colour => colour.match(/[\\d.]+/g).map(Number);
  const light = colour => { const [r, g, b] = numbers(colour).map(part => part / 255)
    .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const ground = element => { for (let e = element; e; e = e.parentElement) {
    const colour = getComputedStyle(e).backgroundColor;
    if (colour !== 'transparent' && numbers(colour)[3] !== 0) return colour; } return 'rgb(255, 255, 255)'; };
  const ratio = element => { const a = light(getComputedStyle(element).color), b = light(ground(element));
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05); };
  const texts = [...document.body.querySelectorAll('*')].filter(element =>
    [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim()));
  return texts.filter(element => ratio(element) < 4.5).map(element => element.outerHTML + ratio(element));
})()";

/// Where the daemon says it listens.
fn url(daemon: &Process) -> String {
    let mut found = None;
    wait_until("the daemon says where it listens", || {
        found = daemon.stderr().lines().find_map(|line| {
            let line: Value = serde_json::from_str(line).ok()?;
            Some(format!("http://{}/", line["listen"].as_str()?))
        });
        found.is_some()
    });
    found.unwrap()
}

/// A daemon with a secret in each state, and the server that does not answer.
struct Setting {
    sandbox: Sandbox,
    daemon: Process,
    _silent: TcpListener,
}

fn every_state() -> Setting {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let sandbox = Sandbox::new(&CONFIG.replace("SILENT", &silent.local_addr().unwrap().to_string()));
    sandbox.write("secrets.yaml", ALL);
    let mut command = sandbox.command(&["run"]);
    command.env("LOG_LEVEL", "info").env("SHUTDOWN_TIMEOUT", "1s");
    let daemon = Process::start(command);
    wait_until("five have synced", || sandbox.read("status.json").contains("\"synced_count\":5"));
    sandbox.write("secrets.yaml", LATER);
    let states =
        ["pending", "degraded", "deleted", "stale", "failing"].map(|state| format!("\"state\":\"{state}\""));
    wait_until("every state is there", || {
        let file = sandbox.read("status.json");
        states.iter().all(|state| file.contains(state)) && file.contains("\"last_result\":\"failed\"")
    });
    Setting { sandbox, daemon, _silent: silent }
}

#[test]
fn a_person_sees_every_state_without_scripts_and_nothing_from_elsewhere() {
    let setting = every_state();
    let (url, mut browser) = (url(&setting.daemon), Browser::start());
    browser.call("Emulation.setScriptExecutionDisabled", &json!({ "value": true }));
    browser.look_like(1280, 900, "light");
    browser.visit(&url);
    let expected = json!([
        "▲ stale cache",
        "∅ deleted old-licence",
        "… pending vpn-profile",
        "! degraded mail",
        "✕ failing payments-api",
        "✓ synced database",
        "✓ synced site-certificate",
    ]);
    assert_eq!(browser.evaluate(ROWS), expected);
    assert_eq!(browser.evaluate("document.title"), "Not ready · secrets-sync");
    let text = browser.evaluate("document.body.innerText");
    let text = text.as_str().unwrap();
    for words in [
        "Not ready",
        "Waiting for old-licence, vpn-profile; too old: cache.",
        "2 of 7 secrets synced",
        "app/<script>alert(1)</script>",
        "What to do: ",
        "out/tls.key",
        "The hook edge has to run for it.",
        "owed for ",
        "last run: failed, ",
        "Refreshes every 10 seconds.",
    ] {
        assert!(text.contains(words), "{words} is not in\n{text}");
    }
    assert!(!text.contains("Zq7marker"));
    assert_eq!(
        browser.evaluate("document.querySelectorAll('script, iframe, object, [onload], [src]').length"),
        0
    );
    assert_eq!(browser.evaluate("document.querySelectorAll('th[scope=col]').length"), 6);
    assert_eq!(browser.evaluate("document.querySelectorAll('tbody th[scope=row]').length"), 7);
    // The security policy names the style by its hash: a wrong one leaves the page naked.
    assert_eq!(browser.evaluate("getComputedStyle(document.querySelector('.chip')).borderRadius"), "999px");
    let elsewhere: Vec<_> = browser
        .requested()
        .into_iter()
        .filter(|asked| *asked != url && !asked.starts_with("data:"))
        .map(str::to_owned)
        .collect();
    assert!(elsewhere.is_empty(), "{elsewhere:?}");
    assert!(browser.complaints().is_empty(), "{:?}", browser.complaints());
    browser.picture("page-light");

    browser.look_like(1280, 900, "dark");
    browser.picture("page-dark");
}

#[test]
fn it_refreshes_and_keeps_the_filter_and_the_opened_files() {
    let setting = every_state();
    let (url, mut browser) = (url(&setting.daemon), Browser::start());
    browser.visit(&url);
    assert_eq!(browser.evaluate("document.querySelectorAll('.chip.synced').length"), 2);
    let loads = browser.loads();
    setting.sandbox.write("secrets.yaml", ALL);
    wait_until("the three are back", || {
        let status = setting.sandbox.read("status.json");
        ["degraded", "deleted"].iter().all(|state| !status.contains(&format!("\"state\":\"{state}\"")))
    });
    browser.wait_for_load(loads);
    assert_eq!(browser.evaluate("document.querySelectorAll('.chip.synced').length"), 5);

    // A click on the filter: only problems, and still so after the next refresh.
    let loads = browser.loads();
    browser.evaluate("document.querySelector('.filter').click()");
    browser.wait_for_load(loads);
    browser.wait_for_load(loads + 1);
    assert_eq!(browser.evaluate("document.querySelectorAll('.chip.synced').length"), 0);
    assert_eq!(browser.evaluate("document.querySelectorAll('tr.secret').length"), 2);
    assert!(browser.complaints().is_empty(), "{:?}", browser.complaints());
}

#[test]
fn every_text_stands_out_in_light_and_in_dark_and_a_phone_scrolls_one_way() {
    let setting = every_state();
    let (url, mut browser) = (url(&setting.daemon), Browser::start());
    for scheme in ["light", "dark"] {
        browser.look_like(1280, 900, scheme);
        browser.visit(&url);
        assert_eq!(browser.evaluate(PALE), json!([]), "{scheme}");
        for width in [820, 390, 360, 320] {
            browser.look_like(width, 844, scheme);
            browser.visit(&url);
            let needed = browser.evaluate("document.documentElement.scrollWidth");
            assert_eq!(needed, width, "{scheme}");
            let outside = "[...document.querySelectorAll('main *')].filter(e => e.getClientRects().length && \
                           e.getBoundingClientRect().right > innerWidth + 0.5).map(e => e.outerHTML)";
            assert_eq!(browser.evaluate(outside), json!([]), "{scheme}");
            assert_eq!(browser.evaluate(PALE), json!([]), "{scheme}");
            browser.picture(&format!("page-{width}-{scheme}"));
        }
    }
}

#[test]
fn a_hundred_secrets_with_some_that_fail_are_readable() {
    let mut config = "secretStore: { provider: file, path: secrets.yaml }\nsecrets:\n".to_owned();
    for number in 0..100 {
        let key = if number % 5 == 2 { "gone" } else { "app" };
        let required = number % 2 == 1;
        writeln!(
            config,
            "  - {{ name: service-{number}, key: {key}, required: {required}, files: [{{ path: out/{number}.env, format: dotenv }}] }}"
        )
        .unwrap();
    }
    let sandbox = Sandbox::new(&config);
    sandbox.write("secrets.yaml", "app: { value: x }");
    let daemon = sandbox.daemon();
    let failed = || sandbox.read("status.json").matches("\"failing\"").count() == 20;
    wait_until("all have been tried", || {
        failed() && sandbox.read("status.json").contains("\"synced_count\":80")
    });
    let (url, mut browser) = (url(&daemon), Browser::start());
    for scheme in ["light", "dark"] {
        for width in [360, 820, 1280] {
            browser.look_like(width, 900, scheme);
            browser.visit(&url);
            assert_eq!(browser.evaluate("document.documentElement.scrollWidth"), width, "{scheme}");
            browser.picture(&format!("hundred-{width}-{scheme}"));
        }
    }
    browser.look_like(1280, 900, "light");
    browser.visit(&url);
    let height = browser.evaluate("document.documentElement.scrollHeight").as_u64().unwrap();
    assert!(height < 6500, "{height}");
    let first = "document.querySelector('tr.secret .name b').innerText";
    assert_eq!(browser.evaluate(first), "service-7", "a required one that fails");
    browser.visit(&format!("{url}?problems"));
    assert_eq!(browser.evaluate("document.querySelectorAll('tr.secret').length"), 20);
    browser.picture("hundred-problems");
}

#[test]
fn a_ready_daemon_with_a_thousand_secrets_is_one_page() {
    let mut config = "secretStore: { provider: file, path: secrets.yaml }\nsecrets:\n".to_owned();
    for number in 0..1000 {
        writeln!(
            config,
            "  - {{ name: s{number:04}, key: app, files: [{{ path: out/{number}, field: value }}] }}"
        )
        .unwrap();
    }
    let sandbox = Sandbox::new(&config);
    sandbox.write("secrets.yaml", "app: { value: x }");
    let daemon = sandbox.ready_daemon();
    let (url, mut browser) = (url(&daemon), Browser::start());
    browser.look_like(1280, 900, "light");
    browser.visit(&url);
    assert_eq!(browser.evaluate("document.title"), "Ready · secrets-sync");
    assert_eq!(browser.evaluate("document.querySelectorAll('tr.secret').length"), 1000);
    assert_eq!(browser.evaluate("document.querySelector('.counts ul').innerText"), "1000 synced");
    let parameters = json!({ "clip": { "x": 0, "y": 0, "width": 1280, "height": 900, "scale": 1 } });
    browser.call("Page.captureScreenshot", &parameters);
}
