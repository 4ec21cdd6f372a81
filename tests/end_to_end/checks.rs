//! `check`: a bad change leaves the old files, and says which file and why.

use std::fs;
use std::process::Command;
use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::daemon::{Finished, Sandbox, wait_until};
use crate::server::{server, store};

const DAY: Duration = Duration::from_secs(86_400);

/// A CA, an intermediate one, and what it issues.
struct Authority {
    root: Issuer<'static, KeyPair>,
    middle: Issuer<'static, KeyPair>,
    root_pem: String,
    middle_pem: String,
}

impl Authority {
    fn new() -> Self {
        Self::named("checks")
    }

    fn named(name: &str) -> Self {
        let of_ca = |name: &str| {
            let mut params = CertificateParams::default();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.distinguished_name.push(DnType::CommonName, name);
            params
        };
        let (root_key, middle_key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let (root_params, middle_params) = (of_ca(&format!("{name} root")), of_ca(&format!("{name} middle")));
        let root_pem = root_params.self_signed(&root_key).unwrap().pem();
        let root = Issuer::new(root_params, root_key);
        let middle_pem = middle_params.signed_by(&middle_key, &root).unwrap().pem();
        Self { root, middle: Issuer::new(middle_params, middle_key), root_pem, middle_pem }
    }

    /// The chain of a certificate for `names` that ends `end` days from now, and its key.
    fn issue(&self, names: &[&str], end: i32) -> [String; 2] {
        let mut params =
            CertificateParams::new(names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>()).unwrap();
        let distance = DAY * end.unsigned_abs();
        let now = SystemTime::now();
        let end = if end < 0 { now - distance } else { now + distance };
        (params.not_before, params.not_after) = ((now - DAY * 400).into(), end.into());
        let key = KeyPair::generate().unwrap();
        let leaf = params.signed_by(&key, &self.middle).unwrap().pem();
        [format!("{leaf}{}", self.middle_pem), key.serialize_pem()]
    }
}

const SITE: &str = "    files:
      - { path: tls.crt, field: crt, check: certificate }
      - { path: tls.key, field: key, check: key }
      - { path: ca.crt, field: ca, check: ca }
    check: { names: [www.example.com], minLife: 3d }";

/// One secret, `site`, that is read ten times a second.
fn sandbox(key: &str, outputs: &str) -> Sandbox {
    let limits = "limits: { minRefreshInterval: 100ms }";
    let secret = format!("secrets:\n  - name: site\n    key: {key}\n    refreshInterval: 100ms\n{outputs}\n");
    Sandbox::new(&format!("{}\n{limits}\n{secret}", store()))
}

/// Exit 7, of kind `refused`, with this file and cause and a hint, and without a byte of what was refused.
#[track_caller]
fn refused(finished: &Finished, file: &str, cause: &str) {
    assert_eq!(finished.code, 7, "{finished:?}");
    let line = finished.stderr.lines().find(|line| line.contains("\"msg\":\"change refused\""));
    let line: Value =
        serde_json::from_str(line.unwrap_or_else(|| panic!("no such line: {}", finished.stderr))).unwrap();
    let error = line["error"].as_str().unwrap();
    assert_eq!((&line["kind"], &line["secret"]), (&json!("refused"), &json!("site")), "{line}");
    assert!(error.contains(&format!("/{file}: ")) && error.contains(cause), "{cause:?} is not in {error:?}");
    assert!(line["hint"].as_str().unwrap().len() > 10, "{line}");
    assert!(!finished.stderr.contains("Zq7marker"), "{}", finished.stderr);
}

/// What the files hold.
fn contents(sandbox: &Sandbox, files: &[&str]) -> Vec<String> {
    files.iter().map(|file| sandbox.read(file)).collect()
}

#[test]
fn a_bad_pair_leaves_the_old_files_and_says_which_file_and_why() {
    let (authority, other) = (Authority::new(), Authority::new());
    let sandbox = sandbox("checks/site", SITE);
    let files = ["tls.crt", "tls.key", "ca.crt"];
    let put = |crt: &str, key: &str, ca: &str| {
        server().put("checks/site", &json!({ "crt": crt, "key": key, "ca": ca }));
    };
    let names = ["www.example.com", "example.com"];
    let [crt, key] = authority.issue(&names, 30);
    let ca = &authority.root_pem;
    put(&crt, &key, ca);
    assert_eq!(sandbox.run(&["run", "--once"]).code, 0);
    let before = contents(&sandbox, &files);
    assert_eq!(before, [crt.clone(), key.clone(), ca.clone()]);

    let [expired, expired_key] = authority.issue(&names, -1);
    let [short, short_key] = authority.issue(&names, 2);
    let [nameless, nameless_key] = authority.issue(&["example.com"], 30);
    let [_, stranger_key] = authority.issue(&names, 30);
    let leaf = crt.strip_suffix(&authority.middle_pem).unwrap();
    let turned = format!("{}{leaf}", authority.middle_pem);
    for (crt, key, ca, file, cause) in [
        (&*crt, &*stranger_key, ca, "tls.key", "is not the key of the certificate in "),
        (&expired, &expired_key, ca, "tls.crt", "its certificate expired at "),
        (&short, &short_key, ca, "tls.crt", "sooner than check.minLife allows"),
        (&nameless, &nameless_key, ca, "tls.crt", "is not for www.example.com"),
        (&turned, &key, ca, "tls.crt", "the chain is out of order: certificate 2 of 2"),
        (&crt, &key, &other.root_pem, "tls.crt", "does not lead to a certificate in "),
        (&crt, "", ca, "tls.key", "it is empty"),
        (&crt, " \n", ca, "tls.key", "nothing but blanks"),
        ("Zq7marker", &key, ca, "tls.crt", "it is no PEM file"),
    ] {
        put(crt, key, ca);
        refused(&sandbox.run(&["run", "--once"]), file, cause);
        assert_eq!(contents(&sandbox, &files), before, "{cause}");
        let plan = sandbox.run(&["plan"]);
        assert_eq!(plan.code, 7, "{plan:?}");
        assert!(plan.stderr.contains(cause) && plan.stdout.contains("refused"), "{plan:?}");
    }

    let [crt, key] = authority.issue(&names, 60);
    put(&crt, &key, ca);
    assert!(sandbox.run(&["plan"]).stdout.contains("plan: 2 to change, 1 unchanged"));
    assert_eq!(sandbox.run(&["run", "--once"]).code, 0);
    assert_eq!(contents(&sandbox, &files), [crt, key, ca.clone()]);
}

#[test]
fn an_expired_root_beside_a_good_one_passes() {
    let authority = Authority::new();
    let mut old = CertificateParams::default();
    old.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    old.distinguished_name.push(DnType::CommonName, "checks old root");
    old.not_after = (SystemTime::now() - DAY).into();
    let old_key = KeyPair::generate().unwrap();
    let old_pem = old.self_signed(&old_key).unwrap().pem();
    let mut cross = CertificateParams::default();
    cross.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    cross.distinguished_name.push(DnType::CommonName, "checks root");
    cross.not_after = (SystemTime::now() - DAY).into();
    let cross = cross.signed_by(authority.root.key(), &Issuer::new(old, old_key)).unwrap().pem();
    let [crt, key] = authority.issue(&["www.example.com"], 30);
    let ca = &authority.root_pem;
    let sandbox = sandbox("checks/cross", SITE);
    for (crt, ca, code) in [
        (crt.clone(), format!("{old_pem}{ca}"), 0),
        (crt.clone(), format!("{cross}{ca}"), 0),
        (format!("{crt}{cross}"), ca.clone(), 0),
        (format!("{crt}{cross}"), format!("{old_pem}{ca}"), 0),
        (crt.clone(), old_pem, 7),
    ] {
        server().put("checks/cross", &json!({ "crt": crt, "key": key, "ca": ca }));
        let finished = sandbox.run(&["run", "--once"]);
        assert_eq!(finished.code, code, "{finished:?}");
    }
}

/// What openssl makes of these arguments, in `home`.
#[track_caller]
fn openssl(home: &TempDir, arguments: &str) {
    let output =
        Command::new("openssl").args(arguments.split(' ')).current_dir(home.path()).output().unwrap();
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn keys_of_openssl_pass_in_each_form_and_encrypted_ones_are_refused() {
    let home = TempDir::new().unwrap();
    let read = |name: &str| fs::read_to_string(home.path().join(name)).unwrap();
    for (kind, make) in [
        ("rsa", "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048"),
        ("ec", "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256"),
        ("ed", "genpkey -algorithm ED25519"),
    ] {
        openssl(&home, &format!("{make} -out {kind}.key"));
        openssl(
            &home,
            &format!(
                "req -x509 -new -key {kind}.key -subj /CN=x -addext subjectAltName=DNS:a.example -days 30 -out {kind}.crt"
            ),
        );
    }
    openssl(&home, "rsa -in rsa.key -traditional -out rsa1.key");
    openssl(&home, "ecparam -name prime256v1 -genkey -out sec1.key");
    openssl(&home, "req -x509 -new -key sec1.key -subj /CN=x -days 30 -out sec1.crt");
    openssl(&home, "pkey -in ec.key -aes256 -passout pass:Zq7marker -out encrypted8.key");
    openssl(&home, "rsa -in rsa.key -traditional -aes256 -passout pass:Zq7marker -out encrypted1.key");
    assert!(
        read("rsa1.key").contains("BEGIN RSA PRIVATE KEY")
            && read("sec1.key").contains("BEGIN EC PARAMETERS")
    );
    assert!(
        read("encrypted8.key").contains("BEGIN ENCRYPTED") && read("encrypted1.key").contains("Proc-Type")
    );
    let outputs =
        "    files: [{ path: crt, field: crt, check: certificate }, { path: key, field: key, check: key }]";
    let sandbox = sandbox("checks/keys", outputs);
    let run = |crt: &str, key: &str| {
        server().put(
            "checks/keys",
            &json!({ "crt": read(&format!("{crt}.crt")), "key": read(&format!("{key}.key")) }),
        );
        sandbox.run(&["run", "--once"])
    };
    for (crt, key) in [("rsa", "rsa"), ("rsa", "rsa1"), ("ec", "ec"), ("ed", "ed"), ("sec1", "sec1")] {
        let finished = run(crt, key);
        assert_eq!(finished.code, 0, "{crt} {key}: {finished:?}");
    }
    refused(&run("ec", "encrypted8"), "key", "its private key is encrypted");
    refused(&run("rsa", "encrypted1"), "key", "its private key is encrypted");
    refused(&run("rsa", "ec"), "key", "is not the key of the certificate in ");
    assert_eq!(sandbox.read("key"), read("sec1.key"));
}

#[test]
fn broken_documents_are_refused_with_line_and_column() {
    let sandbox = sandbox(
        "checks/documents",
        "    files:
      - { path: app.json, field: json, check: json }
      - { path: app.yaml, field: yaml, check: yaml }
      - { path: app.toml, field: toml, check: toml }
      - { path: app.env, field: dotenv, check: dotenv }
    directory: { path: fields, check: { json: json, gone: not-empty } }",
    );
    let good = json!({ "json": "{\"a\": 1}", "yaml": "a: 1\n---\nb: !x 2\n", "toml": "a = 1\n", "dotenv": "A='b c'\n", "gone": "x" });
    server().put("checks/documents", &good);
    assert_eq!(sandbox.run(&["run", "--once"]).code, 0);
    for (field, value, file, cause) in [
        ("json", "{\n  \"a\": Zq7marker\n}", "app.json", "it is not JSON: line 2, column 8: expected value"),
        ("yaml", "a: 1\nb: Zq7marker: 1\n", "app.yaml", "it is not YAML: line 2, column 13: "),
        ("toml", "a = 1\nb = Zq7marker\n", "app.toml", "it is not TOML: line 2, column 5: "),
        (
            "dotenv",
            "A=1\nB='Zq7marker\n",
            "app.env",
            "it is not dotenv: line 2, column 3: the quote is not closed",
        ),
    ] {
        let mut bad = good.clone();
        bad[field] = value.into();
        server().put("checks/documents", &bad);
        refused(&sandbox.run(&["run", "--once"]), file, cause);
        assert_eq!(sandbox.read("app.toml"), "a = 1\n");
    }
    let mut without = good.clone();
    without.as_object_mut().unwrap().remove("gone");
    server().put("checks/documents", &without);
    refused(&sandbox.run(&["run", "--once"]), "fields/gone", "there is no field of this name");
    assert_eq!(sandbox.read("fields/gone"), "x");
}

#[test]
fn a_daemon_keeps_the_old_pair_says_so_once_and_takes_the_next_good_one() {
    let authority = Authority::new();
    let sandbox = sandbox("checks/daemon", SITE);
    let put = |[crt, key]: &[String; 2]| {
        server().put("checks/daemon", &json!({ "crt": crt, "key": key, "ca": authority.root_pem }));
    };
    let (first, second) =
        (authority.issue(&["www.example.com"], 30), authority.issue(&["www.example.com"], 60));
    put(&first);
    let daemon = sandbox.ready_daemon();
    put(&[second[0].clone(), first[1].clone()]);
    let state = |state: &str| {
        let status: Value = serde_json::from_str(&sandbox.read("status.json")).unwrap();
        let secret = &status["secrets"][0];
        secret["state"] == state && secret["failures"].as_u64() >= Some(if state == "synced" { 0 } else { 3 })
    };
    wait_until("it is degraded", || state("degraded"));
    assert_eq!(contents(&sandbox, &["tls.crt", "tls.key"]), first);
    assert_eq!(sandbox.run(&["isready"]).code, 0, "the old files are good");
    let status = sandbox.run(&["status"]).stdout;
    assert!(status.contains("refused: ") && status.contains("tls.key: it is not the key of"), "{status}");
    let end =
        |status: &Value| status["secrets"][0]["certificates"][0]["not_after"].as_str().map(str::to_owned);
    let status = || -> Value { serde_json::from_str(&sandbox.run(&["status", "--json"]).stdout).unwrap() };
    let before = status();
    let shown = &before["secrets"][0]["certificates"];
    assert_eq!(
        (&shown[0]["names"], shown.as_array().unwrap().len()),
        (&json!(["www.example.com"]), 1),
        "{before}"
    );
    assert!(shown[0]["file"].as_str().unwrap().ends_with("/tls.crt"), "{before}");
    put(&second);
    wait_until("it is synced", || state("synced"));
    assert_eq!(contents(&sandbox, &["tls.crt", "tls.key"]), second);
    assert!(end(&status()) > end(&before), "{before}");
    let log = daemon.stderr();
    assert_eq!(log.matches("\"msg\":\"change refused\"").count(), 1, "{log}");
    assert!(log.contains("\"msg\":\"secret recovered\""), "{log}");
}

#[test]
fn a_daemon_without_good_files_is_not_ready_until_the_change_is_good() {
    let sandbox = sandbox("checks/first", "    files: [{ path: app.json, field: json, check: json }]");
    server().put("checks/first", &json!({ "json": "{" }));
    let daemon = sandbox.daemon();
    wait_until("it is refused", || {
        daemon.stderr().contains("\"level\":\"error\",\"msg\":\"change refused\"")
    });
    let is_said = || sandbox.run(&["isready"]).stderr.contains("app.json: it is not JSON");
    wait_until("isready says why", is_said);
    assert!(!sandbox.path("app.json").exists());
    server().put("checks/first", &json!({ "json": "{}" }));
    wait_until("it is ready", || sandbox.run(&["isready"]).code == 0);
}

#[test]
fn another_issuer_and_an_earlier_end_stop_until_they_are_approved() {
    let outputs = "    files: [{ path: tls.crt, field: crt, check: certificate }]
    check: { brakes: [issuer, expiry] }";
    let sandbox = sandbox("checks/brakes", outputs);
    let (authority, other) = (Authority::new(), Authority::named("other"));
    let put = |[crt, _]: [String; 2]| {
        server().put("checks/brakes", &json!({ "crt": crt }));
        crt
    };
    let issued = |authority: &Authority, days| authority.issue(&["www.example.com"], days);
    let mut published = put(issued(&authority, 60));
    let _daemon = sandbox.ready_daemon();
    assert_eq!(sandbox.read("tls.crt"), published, "the first one passes");
    for (next, cause) in [
        (
            issued(&other, 90),
            "the certificate is issued by CN=other middle, the one before by CN=checks middle",
        ),
        (issued(&other, 30), "the certificate ends on "),
    ] {
        let next = put(next);
        let refused = sandbox.run(&["refresh"]);
        assert!(refused.code == 7 && refused.stderr.contains(cause), "{refused:?}");
        assert_eq!(sandbox.read("tls.crt"), published);
        let approved = sandbox.run(&["approve", "site"]);
        assert_eq!((approved.code, sandbox.read("tls.crt")), (0, next.clone()), "{approved:?}");
        published = next;
    }
    let renewed = put(issued(&other, 60));
    let refreshed = sandbox.run(&["refresh"]);
    assert_eq!((refreshed.code, sandbox.read("tls.crt")), (0, renewed), "a renewal passes: {refreshed:?}");
}
