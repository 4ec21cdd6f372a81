//! Login methods against a real `OpenBao`.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "the helpers of a test fail the test")]

use std::path::Path;
use std::time::{Duration, Instant};

use crate::bao::Bao;
use crate::fake::{Fake, Reply};
use crate::jwts::{Signer, claims};
use crate::script::{until, write};
use crate::vault::{self, approle, build, fault, read, source, spec, value};
use secrets_sync::config::provider::vault::{AuthSpec, Credential, CredentialSpec, VaultRead, VaultSpec};
use secrets_sync::fault::Kind;
use secrets_sync::name::CredentialsName;
use secrets_sync::net::{ClientCertificate, TlsSettings};
use secrets_sync::store::vault::VaultStore;
use secrets_sync::telemetry::metrics::metrics;
use serde_json::{Value, json};

/// Enables `method` at the mount `name`, and lets the policy `name` read `secret/<name>/app`.
fn enable(bao: &Bao, name: &str, method: &str) -> VaultRead {
    bao.must("POST", "", &format!("sys/auth/{name}"), &json!({ "type": method }));
    bao.put_v2("", "secret", &format!("{name}/app"), &json!({ "password": "x" }));
    bao.policy("", name, &format!(r#"path "secret/data/{name}/*" {{ capabilities = ["read"] }}"#));
    VaultRead { credentials: Some(CredentialsName::new(name)), ..source("secret", &format!("{name}/app")) }
}

/// A store whose credential set `name` is `auth`.
fn store_of(spec: VaultSpec, name: &str, auth: AuthSpec) -> VaultStore {
    let mut spec = VaultSpec { auth: None, ..spec };
    spec.credentials.insert(CredentialsName::new(name), vault::set(auth));
    build(&spec).unwrap()
}

fn at(bao: &Bao) -> VaultSpec {
    spec(&bao.address(), AuthSpec::None)
}

/// Logins of the credential set `set` that ended with `status`.
fn logins(set: &str, status: &str) -> u64 {
    let (set, status) = (format!("credentials=\"{set}\""), format!("status=\"{status}\""));
    let text = metrics().text([]);
    let is_it = |line: &&str| {
        line.starts_with("secrets_sync_logins_total{") && line.contains(&set) && line.contains(&status)
    };
    text.lines()
        .find(is_it)
        .and_then(|line| line.rsplit(' ').next()?.split('.').next()?.parse().ok())
        .unwrap_or(0)
}

fn jwt(mount: &str, jwt: Credential) -> AuthSpec {
    AuthSpec::Jwt { mount: mount.into(), role: Some("app".into()), jwt }
}

fn jwt_role(bao: &Bao, mount: &str, keys: &[&Signer], more: &Value) {
    let keys: Vec<_> = keys.iter().map(|key| key.public_pem()).collect();
    bao.must(
        "POST",
        "",
        &format!("auth/{mount}/config"),
        &json!({ "jwt_validation_pubkeys": keys, "default_role": "app" }),
    );
    let mut role = json!({
        "role_type": "jwt", "user_claim": "sub", "bound_audiences": ["vault"], "token_policies": [mount]
    });
    role.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    bao.must("POST", "", &format!("auth/{mount}/role/app"), &role);
}

// jwt

#[tokio::test]
async fn a_jwt_of_either_algorithm_logs_in_with_a_role_or_the_default_one() {
    let bao = Bao::shared();
    let source = enable(bao, "jwt-either", "jwt");
    let (es256, rs256) = (Signer::es256(), Signer::rs256());
    jwt_role(bao, "jwt-either", &[&es256, &rs256], &json!({}));
    for signer in [&es256, &rs256] {
        let token = signer.sign(&claims("app", 60));
        let store = store_of(at(bao), "jwt-either", jwt("jwt-either", value(&token)));
        assert_eq!(read(&store, &source, "password").await, "x");
    }
    let auth =
        AuthSpec::Jwt { mount: "jwt-either".into(), role: None, jwt: value(&es256.sign(&claims("app", 60))) };
    assert_eq!(read(&store_of(at(bao), "jwt-either", auth), &source, "password").await, "x");
}

#[tokio::test]
async fn a_jwt_that_the_server_refuses_is_a_login_fault_that_shows_nothing_of_it() {
    let bao = Bao::shared();
    let source = enable(bao, "jwt-refused", "jwt");
    let signer = Signer::es256();
    jwt_role(bao, "jwt-refused", &[&signer], &json!({}));
    let mut foreign = claims("app", 60);
    foreign["aud"] = json!("elsewhere");
    for token in [signer.sign(&foreign), Signer::es256().sign(&claims("app", 60)), "no.jwt.atall".into()] {
        let store = store_of(at(bao), "jwt-refused", jwt("jwt-refused", value(&token)));
        let refused = fault(&store, &source).await;
        assert_eq!(refused.kind, Kind::Login, "{refused}");
        assert!(refused.remedy.contains("audience"), "{}", refused.remedy);
        let shown = format!("{refused:?}");
        assert!(token.split('.').all(|part| part.len() < 8 || !shown.contains(part)), "{shown}");
    }
}

#[tokio::test]
async fn a_new_jwt_is_a_login_only_where_the_last_one_was_refused() {
    let bao = Bao::shared();
    let source = enable(bao, "jwt-files", "jwt");
    let signer = Signer::es256();
    jwt_role(bao, "jwt-files", &[&signer], &json!({ "token_ttl": "1h" }));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jwt");
    write(&file, &Signer::es256().sign(&claims("app", 60)));
    let store = store_of(at(bao), "jwt-files", jwt("jwt-files", Credential::File(file.clone())));
    assert_eq!(fault(&store, &source).await.kind, Kind::Login);
    let begun = Instant::now();
    write(&file, &signer.sign(&claims("app", 60)));
    until("the corrected JWT has logged in", || logins("jwt-files", "success") == 1).await;
    assert!(begun.elapsed() < Duration::from_secs(5), "long before the cool-down is over");
    assert_eq!(read(&store, &source, "password").await, "x");
    // As a kubelet does it every few minutes. The watcher looks once a second.
    for lives in 61..63 {
        write(&file, &signer.sign(&claims("app", lives)));
        let looked = Instant::now() + Duration::from_millis(2500);
        while Instant::now() < looked {
            assert_eq!(read(&store, &source, "password").await, "x");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    assert_eq!((logins("jwt-files", "success"), logins("jwt-files", "error")), (1, 1));
}

#[tokio::test]
async fn tokens_are_replaced_at_their_maximum_with_the_jwt_of_that_moment() {
    let bao = Bao::shared();
    let source = enable(bao, "jwt-ends", "jwt");
    let signer = Signer::es256();
    jwt_role(bao, "jwt-ends", &[&signer], &json!({ "token_ttl": "3s", "token_max_ttl": "4s" }));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jwt");
    write(&file, &signer.sign(&claims("first", 3)));
    let store = store_of(at(bao), "jwt-ends", jwt("jwt-ends", Credential::File(file.clone())));
    assert_eq!(read(&store, &source, "password").await, "x");
    write(&file, &signer.sign(&claims("second", 60)));
    let end = Instant::now() + Duration::from_secs(8);
    while Instant::now() < end {
        assert_eq!(read(&store, &source, "password").await, "x");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(logins("jwt-ends", "success") >= 2);
    assert_eq!(logins("jwt-ends", "error"), 0);
}

// kubernetes

/// A `TokenReview` API that knows the token `good` as that of the service account `name`.
fn token_review(name: &'static str, good: String) -> Fake {
    Fake::start(move |_, seen| {
        let review: Value = serde_json::from_str(&seen.body).unwrap_or_default();
        let status = if review["spec"]["token"].as_str() == Some(&good) {
            let user = json!({ "username": format!("system:serviceaccount:default:{name}"), "uid": "u-1",
                "groups": ["system:serviceaccounts", "system:serviceaccounts:default"] });
            json!({ "authenticated": true, "user": user, "audiences": ["vault"] })
        } else {
            json!({ "authenticated": false, "error": "the token is not known" })
        };
        let answer =
            json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": status });
        Reply::json(201, &answer.to_string())
    })
}

/// The claims of the service account `name`, as a cluster writes them.
fn service_account(name: &str, lives: i64) -> Value {
    let mut claims = claims(&format!("system:serviceaccount:default:{name}"), lives);
    claims["aud"] = json!(["vault"]);
    claims["iss"] = json!("kubernetes/serviceaccount");
    claims["kubernetes.io"] =
        json!({ "namespace": "default", "serviceaccount": { "name": name, "uid": "u-1" } });
    claims
}

#[tokio::test]
async fn a_service_account_logs_in_and_its_refusal_is_a_login_fault() {
    let bao = Bao::shared();
    let source = enable(bao, "kubernetes-app", "kubernetes");
    let signer = Signer::rs256();
    let good = signer.sign(&service_account("app", 60));
    let cluster = token_review("app", good.clone());
    let authority = std::fs::read_to_string(bao.authority()).unwrap();
    let config = json!({ "kubernetes_host": cluster.address(), "token_reviewer_jwt": "reviewer", "kubernetes_ca_cert": authority, "disable_local_ca_jwt": true });
    bao.must("POST", "", "auth/kubernetes-app/config", &config);
    let role = json!({ "bound_service_account_names": ["app"], "bound_service_account_namespaces": ["default"],
        "token_policies": ["kubernetes-app"] });
    bao.must("POST", "", "auth/kubernetes-app/role/app", &role);
    let store = |token: &str| store_of(at(bao), "kubernetes-app", jwt("kubernetes-app", value(token)));
    assert_eq!(read(&store(&good), &source, "password").await, "x");
    let refused = fault(&store(&signer.sign(&service_account("app", 61))), &source).await;
    assert_eq!(refused.kind, Kind::Login, "{refused}");
}

// userpass

fn userpass(mount: &str, username: &str, password: Credential) -> AuthSpec {
    AuthSpec::Password { mount: mount.into(), username: username.into(), password }
}

#[tokio::test]
async fn a_user_logs_in_with_a_password_of_any_characters() {
    let bao = Bao::shared();
    let source = enable(bao, "users", "userpass");
    for (username, password) in [("alice", "\"{pass} <w\u{f6}rd>\""), ("b.o-b", "token: x")] {
        let user = json!({ "password": password, "token_policies": ["users"] });
        bao.must("POST", "", &format!("auth/users/users/{username}"), &user);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        write(&file, &format!("{password}\n"));
        for credential in [value(password), Credential::File(file.clone())] {
            let store = store_of(at(bao), "users", userpass("users", username, credential));
            assert_eq!(read(&store, &source, "password").await, "x");
        }
    }
}

#[tokio::test]
async fn a_user_is_never_locked_out_and_a_corrected_password_logs_in_immediately() {
    let bao = Bao::shared();
    let source = enable(bao, "lockout", "userpass");
    bao.must(
        "POST",
        "",
        "auth/lockout/users/carol",
        &json!({ "password": "right", "token_policies": ["lockout"] }),
    );
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    write(&file, "wrong-password");
    let store = store_of(at(bao), "lockout", userpass("lockout", "Carol", Credential::File(file.clone())));
    for _ in 0..20 {
        let refused = fault(&store, &source).await;
        assert_eq!(refused.kind, Kind::Login, "{refused}");
        assert!(!format!("{refused:?}").contains("wrong-password"), "{refused:?}");
    }
    assert_eq!(logins("lockout", "error"), 1, "refused credentials cool down");
    write(&file, "right");
    until("the corrected password has logged in", || logins("lockout", "success") == 1).await;
    assert_eq!(read(&store, &source, "password").await, "x");
}

// cert

fn certificate(folder: &Path) -> ClientCertificate {
    ClientCertificate { certificate: folder.join("client.pem"), key: folder.join("client.key") }
}

/// Mutual TLS with the certificate in `folder`.
fn mutual(bao: &Bao, folder: &Path) -> VaultSpec {
    let tls = TlsSettings {
        ca_cert: Some(bao.authority()),
        client: Some(certificate(folder)),
        ..TlsSettings::default()
    };
    VaultSpec { tls, ..spec(&bao.mutual_tls_address(), AuthSpec::None) }
}

fn cert_role(bao: &Bao, mount: &str, role: &str, names: &[&str]) {
    let authority = std::fs::read_to_string(bao.authority()).unwrap();
    let role_of = json!({ "certificate": authority, "allowed_dns_sans": names, "token_policies": [mount] });
    bao.must("POST", "", &format!("auth/{mount}/certs/{role}"), &role_of);
}

#[tokio::test]
async fn a_client_certificate_logs_in_and_a_foreign_role_refuses_it() {
    let bao = Bao::shared();
    let source = enable(bao, "certs", "cert");
    cert_role(bao, "certs", "app", &["app.test"]);
    cert_role(bao, "certs", "other", &["other.test"]);
    let folder = tempfile::tempdir().unwrap();
    bao.issue_client(folder.path(), "client", "app.test");
    let auth = |role: Option<&str>| AuthSpec::Cert {
        mount: "certs".into(),
        role: role.map(str::to_owned),
        certificate: certificate(folder.path()),
    };
    for role in [None, Some("app")] {
        let store = store_of(mutual(bao, folder.path()), "certs", auth(role));
        assert_eq!(read(&store, &source, "password").await, "x");
    }
    let store = store_of(mutual(bao, folder.path()), "certs", auth(Some("other")));
    let refused = fault(&store, &source).await;
    assert_eq!(refused.kind, Kind::Login, "{refused}");
    assert!(refused.remedy.contains("certRole"), "{}", refused.remedy);
}

#[tokio::test]
async fn a_new_certificate_is_a_new_login_over_new_connections() {
    let bao = Bao::shared();
    let source = enable(bao, "certs-new", "cert");
    for name in ["one", "two"] {
        cert_role(bao, "certs-new", name, &[&format!("{name}.test")]);
    }
    let folder = tempfile::tempdir().unwrap();
    bao.issue_client(folder.path(), "client", "one.test");
    let auth =
        AuthSpec::Cert { mount: "certs-new".into(), role: None, certificate: certificate(folder.path()) };
    let store = store_of(mutual(bao, folder.path()), "certs-new", auth);
    assert_eq!(read(&store, &source, "password").await, "x");
    // The role of the first certificate is gone, so only a connection that shows the second one logs in.
    bao.must("DELETE", "", "auth/certs-new/certs/one", &Value::Null);
    bao.issue_client(folder.path(), "client", "two.test");
    let deadline = Instant::now() + Duration::from_secs(10);
    while logins("certs-new", "success") < 2 {
        assert!(Instant::now() < deadline, "no login with the new certificate");
        assert_eq!(read(&store, &source, "password").await, "x");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(read(&store, &source, "password").await, "x");
    assert_eq!(logins("certs-new", "error"), 0);
}

// namespaces

#[tokio::test]
async fn a_login_in_one_namespace_reads_in_another() {
    let bao = Bao::shared();
    bao.namespace("logins-here");
    let (status, answer) = bao.request("POST", "logins-here", "sys/namespaces/reads-here", &json!({}));
    assert!(status < 300, "{answer}");
    let reads = "logins-here/reads-here";
    bao.enable_kv(reads, "kv", 2);
    bao.put_v2(reads, "kv", "app", &json!({ "password": "below" }));
    bao.policy("logins-here", "below", r#"path "reads-here/kv/data/*" { capabilities = ["read"] }"#);
    let (role_id, secret_id) =
        bao.approle("logins-here", "approle", &json!({ "token_policies": ["below"], "token_ttl": "3s" }));
    let auth = approle("approle", &role_id, &secret_id);
    let in_namespace = |namespace: Option<&str>| {
        let own = CredentialSpec { auth: auth.clone(), namespace: namespace.map(str::to_owned) };
        let spec = spec(&bao.address(), AuthSpec::None);
        build(&VaultSpec { namespace: Some(reads.into()), auth: Some(own), ..spec }).unwrap()
    };
    let source = VaultRead { namespace: Some(reads.into()), ..source("kv", "app") };
    let store = in_namespace(Some("logins-here"));
    let end = Instant::now() + Duration::from_secs(4);
    while Instant::now() < end {
        // Beyond its TTL: the token is renewed where it was made.
        assert_eq!(read(&store, &source, "password").await, "below");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for namespace in [None, Some("")] {
        let refused = fault(&in_namespace(namespace), &source).await;
        assert_eq!(refused.kind, Kind::Login, "{refused}");
    }
}

// The page

/// The lines for a shell in the section of docs/auth.md that sets methods up.
fn lines_of_the_page() -> String {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/auth.md")).unwrap();
    let section =
        page.split("\n## ").find(|section| section.starts_with("Set up another login method")).unwrap();
    section.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap()).collect()
}

#[tokio::test]
async fn the_lines_of_the_page_set_the_methods_up() {
    let bao = Bao::start();
    bao.put_v2("", "secret", "app/db", &json!({ "password": "x" }));
    bao.policy("", "secrets-sync", r#"path "secret/data/app/*" { capabilities = ["read"] }"#);
    let folder = tempfile::tempdir().unwrap();
    let at_path = |name: &str| folder.path().join(name);
    let signer = Signer::es256();
    write(&at_path("issuer.pem"), &signer.public_pem());
    let authority = std::fs::read_to_string(bao.authority()).unwrap();
    for name in ["cluster-ca.pem", "clients-ca.pem"] {
        write(&at_path(name), &authority);
    }
    write(&at_path("reviewer.jwt"), "reviewer");
    write(&at_path("password"), "a password");
    bao.issue_client(folder.path(), "client", "app.example.org");
    let good = signer.sign(&service_account("shop", 60));
    let cluster = token_review("shop", good.clone());
    let lines = lines_of_the_page();
    assert_eq!(lines.matches("auth enable").count(), 4, "{lines}");
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools/bin");
    let output = std::process::Command::new("sh")
        .args(["-e", "-c", &lines.replace("https://10.0.0.1:443", &cluster.address())])
        .current_dir(folder.path())
        .env("PATH", format!("{}:/usr/bin:/bin", tools.display()))
        .env("HOME", folder.path())
        .env("BAO_ADDR", bao.address())
        .env("BAO_TOKEN", crate::bao::ROOT)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let named = |mount: &str, token: &str| AuthSpec::Jwt {
        mount: mount.into(),
        role: Some("secrets-sync".into()),
        jwt: value(token),
    };
    let cert = AuthSpec::Cert {
        mount: "cert".into(),
        role: Some("secrets-sync".into()),
        certificate: certificate(folder.path()),
    };
    let source = source("secret", "app/db");
    for (spec, auth) in [
        (at(&bao), named("jwt", &signer.sign(&claims("app", 60)))),
        (at(&bao), named("kubernetes", &good)),
        (at(&bao), userpass("userpass", "secrets-sync", value("a password"))),
        (mutual(&bao, folder.path()), cert),
    ] {
        let store = build(&VaultSpec { auth: Some(vault::set(auth)), ..spec }).unwrap();
        assert_eq!(read(&store, &source, "password").await, "x");
    }
}
