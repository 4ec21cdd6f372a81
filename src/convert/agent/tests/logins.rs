//! Methods of the Agent that become logins.

use super::*;

#[test]
fn methods_of_the_agent_become_logins() {
    let template = "template {\n destination = \"/a\"\n contents = \"{{ with secret \\\"secret/data/a\\\" }}{{ end }}\"\n}\n";
    for (method, lines) in [
        (
            "\"jwt\" { mount_path = \"auth/ci/jwt\"\n config { role = \"app\"\n path = \"/run/jwt\"\n remove_jwt_after_reading = false } }",
            &["authMethod: jwt", "role: app", "jwtFile: /run/jwt", "authMount: ci/jwt"][..],
        ),
        (
            "\"kubernetes\" { config { role = \"app\"\n token_path = \"/run/token\" } }",
            &["authMethod: kubernetes", "role: app", "jwtFile: /run/token"],
        ),
        ("\"kubernetes\" { config { } }", &["authMethod: kubernetes", "role: ${VAULT_ROLE}"]),
        (
            "\"cert\" { config { name = \"web\"\n client_cert = \"/c.pem\"\n client_key = \"/k.pem\"\n reload = true } }",
            &["authMethod: cert", "certRole: web", "tlsClientCert: /c.pem", "tlsClientKey: /k.pem"],
        ),
        (
            "\"cert\" { config { } }",
            &["tlsClientCert: ${VAULT_CLIENT_CERT}", "tlsClientKey: ${VAULT_CLIENT_KEY}"],
        ),
        (
            "\"ldap\" { namespace = \"logins\"\n config { username = \"bob\"\n password_file_path = \"/p\" } }",
            &["authMethod: ldap", "username: bob", "passwordFile: /p", "authNamespace: logins"],
        ),
        (
            "\"userpass\" { config { username = \"bob\"\n password = \"Zq7marker\" } }",
            &["authMethod: userpass", "username: bob", "password: ${VAULT_PASSWORD}"],
        ),
        ("\"jwt\" { config { } }", &["authMethod: jwt", "jwt: ${VAULT_JWT}"]),
    ] {
        let Conversion { configuration, report } =
            converted(&format!("auto_auth {{\n method {method}\n}}\n{template}"));
        let shown = format!("{configuration}\n{}", report.to_text(true));
        assert!(lines.iter().all(|line| configuration.contains(line)), "{method}: {shown}");
        assert!(!configuration.contains("approle") && !shown.contains("Zq7marker"), "{method}: {shown}");
    }
}

#[test]
fn a_login_in_another_namespace_leaves_the_reads_where_they_are() {
    let template = "template {\n destination = \"/a\"\n contents = \"{{ with secret \\\"secret/data/a\\\" }}{{ end }}\"\n}\n";
    let text = |vault: &str, login: &str| {
        format!(
            "vault {{\n address = \"https://v\"\n {vault}\n}}\nauto_auth {{\n method \"token_file\" {{\n namespace = \"{login}\"\n config {{ token_file_path = \"/t\" }}\n }}\n}}\n{template}"
        )
    };
    let configuration = converted(&text("namespace = \"reads\"", "logins")).configuration;
    assert!(configuration.contains("  namespace: reads\n"), "{configuration}");
    assert!(configuration.contains("authNamespace: logins"), "{configuration}");
    let same = converted(&text("namespace = \"reads\"", "reads")).configuration;
    assert!(same.contains("namespace: reads") && !same.contains("authNamespace"), "{same}");
    let root = converted(&text("", "logins")).configuration;
    assert!(root.contains("authNamespace: logins") && !root.contains("  namespace:"), "{root}");
}

#[test]
fn a_certificate_of_the_method_takes_the_place_of_that_of_the_vault_block() {
    let text = "vault {\n address = \"https://v\"\n client_cert = \"/old.pem\"\n client_key = \"/old.key\"\n}\n\
        auto_auth {\n method \"cert\" { config { client_cert = \"/new.pem\"\n client_key = \"/new.key\" } }\n}\n\
        template {\n destination = \"/a\"\n contents = \"{{ with secret \\\"secret/data/a\\\" }}{{ end }}\"\n}\n";
    let Conversion { configuration, report } = converted(text);
    assert!(
        configuration.contains("tlsClientCert: /new.pem") && !configuration.contains("/old"),
        "{configuration}"
    );
    assert!(report.to_text(false).contains("one is used for logins and reads"), "{}", report.to_text(false));
}

#[test]
fn consul_template_logs_in_with_its_service_account() {
    let template = "template {\n destination = \"/a\"\n contents = \"{{ with secret \\\"secret/data/a\\\" }}{{ end }}\"\n}\n";
    let store = |keys: &str| {
        let Conversion { configuration, report } = converted(&format!("vault {{\n{keys}\n}}\n{template}"));
        (configuration, report.to_text(true))
    };
    let (file, _) = store(
        "k8s_auth_role_name = \"app\"\nk8s_service_account_token_path = \"/run/jwt\"\nk8s_service_mount_path = \"auth/k8s\"\ntoken = \"Zq7marker\"",
    );
    let login = "  authMethod: kubernetes\n  role: app\n  jwtFile: /run/jwt\n  authMount: k8s\n";
    assert!(file.contains(login) && !file.contains("token:"), "{file}");
    let (literal, report) = store("k8s_auth_role_name = \"app\"\nk8s_service_account_token = \"Zq7marker\"");
    assert!(literal.contains("  role: app\n  jwt: ${VAULT_JWT}\n"), "{literal}");
    assert!(!literal.contains("Zq7marker") && !report.contains("Zq7marker"), "{literal}{report}");
    let (absent, report) = store("k8s_auth_role_name = \"app\"");
    assert!(!absent.contains("jwtFile:") && report.contains("service account"), "{absent}{report}");
}
