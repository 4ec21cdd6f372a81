//! What engines make when they are asked: `vaultDynamic`.

use super::*;

fn template(path: &str, contents: &str) -> String {
    format!("template {{\n  destination = \"{path}\"\n  contents = <<EOT\n{contents}\nEOT\n}}\n")
}

/// The configuration behind `secrets:`, and the lines of the report that are warnings or errors.
fn secrets(text: &str) -> (String, String) {
    let Conversion { configuration, report } = converted(text);
    let secrets = configuration.split_once("secrets:\n").map(|(_, secrets)| secrets.to_owned());
    (secrets.unwrap_or_default(), report.to_text(false))
}

const WEB: &str = "\"pki/issue/web\" \"common_name=web.internal\" \"ttl=24h\"";

#[test]
fn the_same_call_of_several_templates_is_one_source() {
    let text = [
        template("/tls/crt", &format!("{{{{ with secret {WEB} }}}}{{{{ .Data.certificate }}}}{{{{ end }}}}")),
        template("/tls/key", &format!("{{{{ with pkiCert {WEB} }}}}{{{{ .Data.Key }}}}{{{{ end }}}}")),
        template(
            "/tls/ca",
            "{{ with secret \"/pki/issue/web\" \"ttl = 24h\" \"common_name=web.internal\" }}{{ .Data.issuing_ca }}{{ end }}",
        ),
    ];
    let (found, lines) = secrets(&text.concat());
    assert_eq!(lines, "");
    let begin = "\n  - name: pki-issue-web\n    vaultDynamic:\n      path: pki/issue/web\n      kind: certificate\n      parameters:\n        \
                 common_name: web.internal\n        ttl: 24h\n    refreshInterval: 5m\n";
    assert!(found.contains(begin) && found.matches("- name:").count() == 1, "{found}");
    assert_eq!(found.matches("- path: /tls/").count(), 3, "{found}");
}

#[test]
fn calls_of_one_path_with_other_arguments_are_other_sources() {
    let call = |name: &str| {
        format!(
            "{{{{ with secret \"pki/issue/web\" \"common_name={name}\" }}}}{{{{ .Data.certificate }}}}{{{{ end }}}}"
        )
    };
    let both = format!(
        "{}{}{{{{ with secret \"database/creds/app\" }}}}{{{{ .Data.username }}}}{{{{ end }}}}",
        call("a"),
        call("b")
    );
    let (found, lines) = secrets(&[template("/both", &both), template("/a", &call("a"))].concat());
    assert_eq!(lines, "");
    for part in [
        "- as: app\n        vaultDynamic:\n          path: database/creds/app\n          lease:\n            retire: 'false'\n",
        "- as: web\n        vaultDynamic:\n          path: pki/issue/web\n          kind: certificate\n          parameters:\n            common_name: a\n",
        "- as: web_2\n        vaultDynamic:\n",
        "\n  - name: pki-issue-web\n    vaultDynamic:\n",
    ] {
        assert!(found.contains(part), "{part}\n{found}");
    }
}

#[test]
fn a_call_may_have_several_lines() {
    let call = "{{- with pkiCert\n  \"pki-int-srv/issue/nginx\"\n  \"common_name=vault\"\n  \"alt_names=vault.home.arpa,vault\" -}}\n\n\
                {{- .Key  | writeToFile \"/vault/vault.key\" \"0\" \"0\" \"0600\" -}}\n{{- end -}}";
    let (found, lines) = secrets(&template("/crt", call));
    assert!(lines.is_empty() && found.contains("alt_names: vault.home.arpa,vault\n"), "{found}\n{lines}");
    assert!(found.contains("- path: /vault/vault.key\n"), "{found}");
}

#[test]
fn variables_of_the_environment_may_stand_in_arguments() {
    let text = template(
        "/crt",
        "{{ with secret \"pki/issue/web\" (printf \"common_name=%s.internal\" (env \"HOST\")) \"alt_names=a$b\" }}{{ .Data.certificate }}{{ end }}",
    );
    let (found, _) = secrets(&text);
    assert!(found.contains("common_name: ${HOST}.internal\n"), "{found}");
    assert!(found.contains("alt_names: a$$b\n") && found.contains("HOST: ${HOST:-}"), "{found}");
}

#[test]
fn each_engine_has_its_kind() {
    for (call, part) in [
        (
            "\"database/creds/app\"",
            "vaultDynamic:\n      path: database/creds/app\n      lease:\n        retire: 'false'\n    refresh",
        ),
        ("\"rabbitmq/creds/app\"", "path: rabbitmq/creds/app\n      lease:\n"),
        (
            "\"aws/sts/app\" \"ttl=15m\"",
            "path: aws/sts/app\n      parameters:\n        ttl: 15m\n      lease:\n",
        ),
        ("\"database/static-creds/app\"", "kind: static\n    refresh"),
        ("\"ssh/sign/host\" \"public_key=ssh-ed25519 AAAA\"", "kind: ssh\n      parameters:\n"),
        ("\"transit/decrypt/app\" \"ciphertext=vault:v1:x\"", "kind: read\n      parameters:\n"),
        ("\"totp/code/app\"", "kind: read\n    refresh"),
    ] {
        let (found, lines) =
            secrets(&template("/a", &format!("{{{{ with secret {call} }}}}{{{{ .Data.x }}}}{{{{ end }}}}")));
        assert!(lines.is_empty() && found.contains(part), "{call}\n{found}\n{lines}");
    }
}

#[test]
fn what_the_agent_has_of_certificates_and_leases_is_supported_or_named() {
    let body = |text: &str| template("/a", text);
    for (text, word) in [
        (
            format!("{{{{ with pkiCert {WEB} }}}}{{{{ .Serial }}}}{{{{ end }}}}"),
            "`.Serial`: what pkiCert gives has only",
        ),
        (
            format!("{{{{ with secret {WEB} }}}}{{{{ .LeaseID }}}}{{{{ end }}}}"),
            "`.LeaseID`: what this path answers",
        ),
        (format!("{{{{ with secret {WEB} }}}}{{{{ .RequestID }}}}{{{{ end }}}}"), "`.RequestID`"),
        (
            "{{ with secret \"database/creds/app\" }}{{ .LeaseDuration }}{{ end }}".to_owned(),
            "as at the issue",
        ),
        (
            "{{ with secret \"pki/issue/a\" (printf \"csr=%s\" (file \"/csr\")) }}{{ end }}".to_owned(),
            "{ file: PATH }",
        ),
        ("{{ with secret \"pki/issue/a\" \"x\" }}{{ end }}".to_owned(), "\"name=value\""),
        ("{{ with secret \"kv/data/a\" \"x=y\" }}{{ end }}".to_owned(), "a write"),
        (
            "{{ with secret \"pki/issue/a\" \"common_name=${HOST}\" }}{{ end }}".to_owned(),
            "sent as it stands",
        ),
        ("{{ with secret \"pki/issue/a\" }}{{ end }}".to_owned(), "need parameters"),
    ] {
        let (_, lines) = secrets(&body(&text));
        assert!(lines.contains(word), "{text}\n{lines}");
    }
    let fine = format!(
        "{{{{ with $c := pkiCert {WEB} }}}}{{{{ $c.Cert }}}}{{{{ .Data.CA }}}}{{{{ range .CAChain }}}}{{{{ . }}}}{{{{ end }}}}{{{{ .Key | writeToFile \"/k\" \"\" \"\" \"0600\" }}}}{{{{ end }}}}"
    );
    let (found, lines) = secrets(&body(&fine));
    assert!(lines.is_empty() && found.contains("- path: /k\n"), "{found}\n{lines}");
}

#[test]
fn times_of_the_tools_become_ours() {
    let both = [
        template("/a", &format!("{{{{ with secret {WEB} }}}}{{{{ .Data.certificate }}}}{{{{ end }}}}")),
        template("/b", "{{ with secret \"database/creds/app\" }}{{ .Data.username }}{{ end }}"),
    ];
    for (keys, interval) in [
        ("template_config {\n lease_renewal_threshold = 0.8\n}\n", "5m"),
        ("vault {\n lease_renewal_threshold = 0.8\n default_lease_duration = \"60s\"\n}\n", "1m"),
    ] {
        let (found, _) = secrets(&format!("{keys}{}", both.concat()));
        assert_eq!(found.matches("      lease:\n        reissueAt: '0.8'\n").count(), 1, "{keys}\n{found}");
        assert_eq!(found.matches(&format!("refreshInterval: {interval}\n")).count(), 2, "{keys}\n{found}");
    }
    let (found, _) =
        secrets(&format!("template_config {{\n lease_renewal_threshold = 1.5\n}}\n{}", both.concat()));
    assert!(found.contains("vaultDynamic") && !found.contains("reissueAt"), "{found}");
}

#[test]
fn a_login_without_a_hook_is_left_to_its_end() {
    let login = "{{ with secret \"database/creds/app\" }}{{ .Data.username }}{{ end }}";
    let both = "{{ with secret \"database/creds/app\" }}{{ .Data.username }}{{ end }}{{ with secret \"kv/data/a\" }}{{ .Data.data.x }}{{ end }}";
    let with = |text: &str, command: &str| text.replace("destination", &format!("{command}\n  destination"));
    let reload = |text: &str| with(text, "command = \"systemctl reload app\"");
    let (hooked, _) = secrets(&reload(&template("/a", login)));
    assert!(hooked.contains("- reload-app") && !hooked.contains("retire"), "{hooked}");
    // A hook that is commented out is none.
    let (silent, _) = secrets(&with(&template("/a", login), "command = \"killall app\""));
    assert_eq!(silent.matches("retire: 'false'").count(), 1, "{silent}");
    let (two, _) = secrets(&[reload(&template("/a", login)), template("/b", both)].concat());
    assert_eq!(two.matches("retire: 'false'").count(), 2, "{two}");
}
