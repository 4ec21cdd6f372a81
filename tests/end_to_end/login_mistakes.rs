//! What an operator does wrong when a login is set up: the message names the place, the cause and a remedy that helps, and
//! shows nothing of a credential.

use serde_json::json;

use crate::bao::Bao;
use crate::daemon::Sandbox;
use crate::fake::Fake;

/// Parts of a JWT, of a token and of a secret id that must not be shown.
const JWT: &str = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhcHAifQ.c2lnbmF0dXJl";
const TOKEN: &str = "hvs.CAESIJ0123456789abcdefghij";
const ID: &str = "5f0c2e9a-3b41-4d7e-9a55-0123456789ab";

const USER: &str = "authMethod: userpass, username: app, password: hunter2-hunter2";

/// One secret of a store at `address` with these settings.
fn config(address: &str, settings: &str) -> String {
    format!(
        "secretStore: {{ address: '{address}', mountPath: secret, kvVersion: v2, {settings} }}
secrets: [{{ name: one, key: app, files: [{{ path: out, field: password }}] }}]"
    )
}

/// What `validate` with `arguments` says of a store with these settings.
fn told(address: &str, settings: &str, arguments: &[&str]) -> String {
    let sandbox = Sandbox::new(&config(address, settings));
    let done = sandbox.run(&[&["validate"], arguments].concat());
    format!("{}{}", done.stdout, done.stderr)
}

#[track_caller]
fn says(told: &str, parts: &[&str]) {
    for part in parts {
        assert!(told.contains(part), "{part:?} is not in:\n{told}");
    }
}

#[test]
fn a_mistake_in_the_file_is_told_with_a_remedy_that_helps() {
    for (settings, parts) in [
        ("authMethod: userpass, username: a/b, password: p", &["it holds a slash", "[bad-value]"][..]),
        (
            "authMethod: userpass, username: a",
            &["\"password\" is missing", "hint: set password or passwordFile\n"],
        ),
        ("authMethod: jwt, role: a", &["\"jwt\" is missing", "hint: set jwt or jwtFile\n"]),
        ("authMethod: approle", &["\"roleId\" is missing", "set roleId or roleIdFile", "VAULT_ROLE_ID"]),
        ("authMethod: jwt, role: a, jwt: /run/jwt", &["\"jwt\" holds the path of a file", "jwtFile"]),
        ("token: ./token", &["\"token\" holds the path of a file", "tokenFile"]),
    ] {
        let told = told("http://127.0.0.1:1", settings, &[]);
        says(&told, parts);
        // What it says of other keys.
        assert!(!told.contains("such as app/database"), "{told}");
    }
}

#[test]
fn a_credential_in_the_place_of_its_files_path_is_shown_nowhere() {
    for (settings, secret) in [
        (format!("authMethod: jwt, role: a, jwtFile: {JWT}"), JWT),
        (format!("authMethod: token, tokenFile: {TOKEN}"), TOKEN),
        (format!("authMethod: approle, roleId: r, secretIdFile: {ID}"), ID),
    ] {
        let sandbox = Sandbox::new(&config("http://127.0.0.1:1", &settings));
        for arguments in [&["validate"][..], &["validate", "--online"], &["run", "--once"]] {
            let done = sandbox.run(arguments);
            let told = format!("{}{}", done.stdout, done.stderr);
            assert!(!told.contains(secret), "{arguments:?}: {told}");
            says(&told, &["File holds a credential, and not the path of a file", "give the path"]);
            assert_eq!(done.code, 3, "{told}");
        }
    }
    // A file of such a name is a file.
    let sandbox = Sandbox::new(&config("http://127.0.0.1:1", &format!("tokenFile: {ID}")));
    sandbox.write(ID, "token");
    assert_eq!(sandbox.run(&["validate"]).code, 0);
}

#[test]
fn what_a_server_answers_to_a_login_is_told_with_what_to_check() {
    let denied = r#"{"errors":["permission denied"]}"#;
    let jwt = "authMethod: jwt, role: app, jwt: a.b.c";
    for (settings, status, answer, parts) in [
        // Nothing is mounted there, or the user is locked.
        (
            USER,
            403,
            denied,
            &[
                "check authMount, namespace and authNamespace first",
                "username and password",
                "locks the user",
            ][..],
        ),
        (jwt, 403, denied, &["check authMount, namespace and authNamespace first", "Then check role"]),
        (USER, 400, r#"{"errors":["invalid username or password"]}"#, &["hint: check username and password"]),
        (USER, 404, r#"{"errors":["unsupported path"]}"#, &["takes no such login", "username"]),
        (jwt, 500, r#"{"errors":["missing role_id"]}"#, &["missing role_id", "authMount", "tried again"]),
        (USER, 200, r#"{"auth":null,"wrap_info":{"token":""}}"#, &["holds no wrapping token", "address"]),
    ] {
        let fake = Fake::always(status, answer);
        let told = told(&fake.address(), settings, &["--online"]);
        says(&told, parts);
        assert!(!told.contains("hunter2"), "{told}");
        assert_eq!(fake.log().len(), 1, "one login: {:?}", fake.targets());
    }
}

#[test]
fn without_a_token_the_policy_is_not_the_first_to_be_blamed() {
    let told = told(&Bao::shared().address(), "authMethod: none", &["--online"]);
    says(&told, &["hint: with authMethod: none no token is sent", "agent or proxy"]);
}

#[test]
fn a_token_of_another_namespace_is_told_where_to_log_in_and_that_helps() {
    let bao = Bao::shared();
    bao.namespace("mistakes");
    bao.must("POST", "mistakes", "sys/auth/userpass", &json!({ "type": "userpass" }));
    bao.must("POST", "", "sys/auth/mistakes", &json!({ "type": "userpass" }));
    bao.policy("", "mistakes", r#"path "secret/data/app" { capabilities = ["read"] }"#);
    let user = json!({ "password": "hunter2-hunter2", "token_policies": ["mistakes"] });
    bao.must("POST", "mistakes", "auth/userpass/users/app", &user);
    bao.must("POST", "", "auth/mistakes/users/app", &user);
    bao.put_v2("", "secret", "app", &json!({ "password": "x" }));
    let wrong = told(&bao.address(), &format!("{USER}, authNamespace: mistakes"), &["--online"]);
    says(&wrong, &["with authNamespace: \"\" for example", "reach nothing outside of it"]);
    let right =
        told(&bao.address(), &format!("{USER}, authNamespace: '', authMount: mistakes"), &["--online"]);
    says(&right, &["one: readable"]);
}

#[test]
fn a_client_certificate_that_has_ended_is_not_shown_to_the_server() {
    let sandbox = Sandbox::new("");
    let bao = Bao::shared();
    bao.issue_ended_client(&sandbox.path(""), "client", "app.test");
    let tls = "tlsClientCert: client.pem, tlsClientKey: client.key";
    let ca = bao.authority().display().to_string();
    for (login, parts) in [
        (
            "authMethod: cert",
            &["the certificate in tlsClientCert", "client.pem ended at 2000-01-01", "not shown"][..],
        ),
        // With another login method the certificate is shown to the listener alone.
        (USER, &["the certificate of tlsClientCert has expired", "renew the client certificate"]),
    ] {
        let settings = format!("{login}, {tls}, tlsCACert: '{ca}'");
        sandbox.write("config.yaml", config(&bao.mutual_tls_address(), &settings));
        let done = sandbox.run(&["validate", "--online"]);
        says(&format!("{}{}", done.stdout, done.stderr), parts);
    }
}
