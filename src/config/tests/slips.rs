//! What people try, and what they are told: other words, other tools' notations, paths that only a shell understands.

use std::path::Path;

use super::*;
use crate::config::provider::StoreSpec;

fn secret(keys: &str) -> String {
    format!("{STORE}secrets:\n  - {{name: a, files: [{{path: /run/a, field: user}}], {keys}}}\n")
}

fn file(keys: &str) -> String {
    format!("{STORE}secrets:\n  - {{name: a, key: app, files: [{{{keys}}}]}}\n")
}

fn only_message(text: &str) -> String {
    let report = match parse(text) {
        Ok(loaded) => loaded.warnings,
        Err(report) => report,
    };
    assert_eq!(report.diagnostics.len(), 1, "{report}");
    report.to_string()
}

#[test]
fn words_of_other_tools_name_the_right_key() {
    for (text, right) in [
        (secret("key: a, interval: 5m"), "refreshInterval"),
        (secret("key: a, refresh: 5m"), "refreshInterval"),
        (secret("key: a, mount: kv"), "mountPath"),
        (secret("key: a, refresh_interval: 5m"), "refreshInterval"),
        (file("path: /x, field: f, permissions: '0600'"), "mode"),
        (file("path: /x, field: f, perms: '0600'"), "mode"),
        (file("path: /x, field: f, uid: 0"), "owner"),
        (file("path: /x, field: f, user: root"), "owner"),
        (file("path: /x, field: f, gid: 0"), "group"),
        (format!("secretStore: {{address: 'https://v', token: t, url: x}}\n{SECRET}"), "address"),
        (format!("secretStore: {{address: 'https://v', token: t, addr: x}}\n{SECRET}"), "address"),
        (format!("secretStore: {{address: 'https://v', token: t, mount: x}}\n{SECRET}"), "mountPath"),
        (format!("secretStore: {{address: 'https://v', token: t, insecure: x}}\n{SECRET}"), "tlsSkipVerify"),
    ] {
        let shown = only_message(&text);
        assert!(shown.contains(&format!("did you mean \"{right}\"?")), "{shown}");
        assert!(!shown.contains("keys here"), "{shown}");
    }
    let both = parse(&secret("path: app/db")).unwrap_err().to_string();
    assert!(both.contains("\"path\"; did you mean \"key\"?"), "{both}");
}

#[test]
fn a_kv_version_may_be_a_number() {
    for (written, version) in [("1", KvVersion::V1), ("2", KvVersion::V2), ("'2'", KvVersion::V2)] {
        let config = config(&secret(&format!("key: app, kvVersion: {written}")));
        assert_eq!(config.secrets[0].sources.first().read.vault().unwrap().kv_version, version);
    }
}

#[test]
fn an_agent_in_between_needs_no_credentials() {
    let store = "secretStore: {address: 'unix:///run/agent.sock', authMethod: none}\n";
    assert_eq!(
        vault(&config(&format!("{store}{SECRET}"))).auth.as_ref().map(|set| &set.auth),
        Some(&AuthSpec::None)
    );
    let token = format!("secretStore: {{address: 'https://v', authMethod: none, token: t}}\n{SECRET}");
    assert_eq!(warnings(&token), ["ignored-key secretStore.token"]);
}

#[test]
fn other_login_methods_name_the_way_out() {
    for method in ["aws", "gcp", "azure", "github", "oidc"] {
        let shown =
            only_message(&format!("secretStore: {{address: 'https://v', authMethod: {method}}}\n{SECRET}"));
        assert!(shown.contains("bao agent") && shown.contains("tokenFile"), "{shown}");
    }
    let shown = only_message(&format!("secretStore: {{address: 'https://v'}}\n{SECRET}"));
    assert!(shown.contains("there are no credentials") && shown.contains("authMethod: none"), "{shown}");
}

#[test]
fn parts_of_a_url_in_a_key_are_warned_of() {
    for (keys, code, hint) in [
        ("key: secret/app/db", "mount-prefix", "write \"key: app/db\""),
        ("key: secret/data/app/db", "mount-prefix", "write \"key: app/db\""),
        ("key: kv/team/app, mountPath: kv/team", "mount-prefix", "write \"key: app\""),
        ("key: secret/data/app, kvVersion: v1", "mount-prefix", "write \"key: data/app\""),
        ("key: data/app", "data-prefix", "leave \"data/\" out"),
        ("key: metadata/app", "data-prefix", "leave \"metadata/\" out"),
        ("key: v1/secret/data/app", "data-prefix", "below the mount"),
        ("key: 'app#password'", "field-in-key", "field"),
        ("key: 'app?version=2'", "field-in-key", "version"),
    ] {
        let shown = only_message(&secret(keys));
        assert!(shown.contains(code) && shown.contains(hint), "{shown}");
    }
    assert!(warnings(&secret("key: secrets/app")).is_empty());
    let private = format!("{STORE}secrets: [{{name: a, key: '${{KEY}}', files: [{{path: /x, field: f}}]}}]");
    let loaded = parse_in(&private, &[("KEY", "secret/hunter2")]).unwrap();
    assert!(!loaded.warnings.is_empty() && !loaded.warnings.to_string().contains("hunter2"));
}

#[test]
fn an_address_that_goes_on_into_the_api_is_warned_of() {
    for address in
        ["https://v:8200/v1", "https://v:8200/v1/", "https://v/ui/vault/secrets", "https://v/v1/secret"]
    {
        let text = format!("secretStore: {{address: '{address}', token: t}}\n{SECRET}");
        assert_eq!(warnings(&text), ["api-path secretStore.address"], "{address}");
    }
    assert!(warnings(&format!("secretStore: {{address: 'https://v/vault', token: t}}\n{SECRET}")).is_empty());
}

#[test]
fn paths_that_only_a_shell_understands_are_errors() {
    for path in ["~/x", "~", "$HOME/y", "/run/$USER/y", "${NONE:-$HOME/y}", "/x/{{ name }}", "%h/x", "C:\\x"]
    {
        assert_eq!(
            errors(&file(&format!("path: '{path}', field: f"))),
            ["bad-path secrets[0].files[0].path"]
        );
        let text = format!("secretStore: {{address: 'https://v', tokenFile: '{path}'}}\n{SECRET}");
        assert!(errors(&text).contains(&"bad-path secretStore.tokenFile".to_owned()), "{path}");
    }
    for path in ["/run/a~b/5$", "./o/$$x", "$$HOME/y", "${NONE:-$$x}"] {
        assert!(errors(&file(&format!("path: '{path}', field: f"))).is_empty(), "{path}");
        let text = format!("secretStore: {{provider: file, path: '{path}'}}\n{SECRET}");
        assert!(!errors(&text).contains(&"bad-path secretStore.path".to_owned()), "{path}");
    }
}

#[test]
fn what_stands_in_the_way_of_an_output_is_warned_of() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().display();
    assert_eq!(warnings(&file(&format!("path: {path}, field: f"))), ["not-a-file secrets[0].files[0].path"]);
    for kernel in ["/proc/sys/a", "/sys/a", "/dev/a"] {
        let text = file(&format!("path: {kernel}, field: f"));
        assert_eq!(warnings(&text), ["not-a-file secrets[0].files[0].path"], "{kernel}");
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    let text =
        format!("{STORE}secrets: [{{name: a, key: k, directory: {{path: {}}}}}]", file.path().display());
    assert_eq!(warnings(&text), ["not-a-file secrets[0].directory.path"]);
}

#[test]
fn what_is_no_file_where_a_credential_is_read_is_warned_of() {
    let home = tempfile::tempdir().unwrap();
    let pipe = home.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR).unwrap();
    let large = tempfile::NamedTempFile::new().unwrap();
    large.as_file().set_len(64 * 1024 + 1).unwrap();
    for path in [home.path(), &pipe, Path::new("/dev/null"), large.path()] {
        let text = format!("secretStore: {{address: 'https://v', tokenFile: {}}}\n{SECRET}", path.display());
        assert_eq!(warnings(&text), ["not-a-file secretStore.tokenFile"], "{}", path.display());
    }
    let later = home.path().join("later");
    let text = format!("secretStore: {{address: 'https://v', tokenFile: {}}}\n{SECRET}", later.display());
    assert!(warnings(&text).is_empty());
}

#[test]
fn odd_modes_show_both_readings_and_unreadable_ones_are_refused() {
    let mode = |mode: &str| file(&format!("path: /run/a, field: f, mode: {mode}"));
    let shown = only_message(&mode("420"));
    assert!(
        shown.contains("odd-mode") && shown.contains("\"0420\"") && shown.contains("\"0644\""),
        "{shown}"
    );
    for odd in ["'0620'", "'0040'"] {
        assert_eq!(warnings(&mode(odd)), ["odd-mode secrets[0].files[0].mode"], "{odd}");
    }
    for (decimal, octal) in
        [("256", "0400"), ("288", "0440"), ("384", "0600"), ("416", "0640"), ("292", "0444")]
    {
        let shown = only_message(&mode(decimal));
        assert!(shown.contains("bad-mode") && shown.contains(&format!("write \"{octal}\"")), "{shown}");
    }
    for unreadable in ["0", "'0000'", "'0200'", "'0310'"] {
        assert_eq!(errors(&mode(unreadable)), ["bad-mode secrets[0].files[0].mode"], "{unreadable}");
    }
    for usual in ["600", "0600", "'0440'", "'0o660'", "444", "400"] {
        assert!(warnings(&mode(usual)).is_empty(), "{usual}");
    }
    let pair = only_message(&file("path: /run/a, field: f, owner: '1000:1000'"));
    assert!(pair.contains("owner and group are two keys"), "{pair}");
}

#[test]
fn templates_that_are_hardly_meant_are_warned_of() {
    let template = |template: &str| file(&format!("path: /run/a, template: '{template}'"));
    let shown = only_message(&template("A=${username}"));
    assert!(shown.contains("literal-variable") && shown.contains("{{ username }}"), "{shown}");
    for asked in
        ["{{ env.HOME }}", "{{ env.A | default(value=1) }}", "{% if env.A %}a{% endif %}", "{{ env[\"A\"] }}"]
    {
        let shown = only_message(&template(asked));
        assert!(
            shown.contains("literal-variable") && shown.contains("no access to the environment"),
            "{shown}"
        );
    }
    let shown = only_message(&template("{{ db-password }}"));
    assert!(shown.contains("hyphen-in-template") && shown.contains("data[\"db-password\"]"), "{shown}");
    for fine in [
        "{% set env = x %}{{ env.a }}",
        "{% for k, env in x %}{{ env.a }}{% endfor %}",
        "{{ a.env.b }}",
        "{{ a - 1 }}",
        "{{- a -}}",
        "{{ a | default(value=\"b-c\") }}",
        "$5 {a}",
        "${1}",
    ] {
        assert!(warnings(&template(fine)).is_empty(), "{fine}");
    }
}

#[test]
fn a_proxy_is_used_for_https_to_other_machines() {
    let used = |keys: &str, pairs: &[(&str, &str)]| {
        let loaded = parse_in(&format!("secretStore: {{token: t, {keys}}}\n{SECRET}"), pairs).unwrap();
        let Some(StoreSpec::Vault(spec)) = loaded.config.stores.values().next() else { panic!() };
        (spec.proxy.as_ref().map(ToString::to_string), loaded.origins.names("HTTPS_PROXY"))
    };
    let env = [("HTTPS_PROXY", "http://me:hunter2@proxy:3128"), ("NO_PROXY", "intern,10.0.0.0/8")];
    let (proxy, other) = (Some("http://proxy:3128".to_owned()), Some("http://other:80".to_owned()));
    assert_eq!(used("address: 'https://v'", &env), (proxy.clone(), true));
    assert_eq!(used("address: 'https://v', proxy: 'http://other:80'", &env), (other.clone(), false));
    assert_eq!(used("address: 'https://intern', proxy: 'http://other:80'", &env), (other, false));
    for direct in
        ["https://vault.intern", "https://10.1.2.3", "https://127.0.0.1", "http://v", "unix:///run/v"]
    {
        assert_eq!(used(&format!("address: '{direct}'"), &env), (None, false), "{direct}");
    }
    for none in ["none", "''"] {
        assert_eq!(used(&format!("address: 'https://v', proxy: {none}"), &env), (None, false));
    }
    assert_eq!(used("address: 'https://v'", &[("all_proxy", "proxy:3128")]).0, proxy);
    let text = format!("{STORE}{SECRET}");
    let socks = parse_in(&text, &[("ALL_PROXY", "socks5://me:hunter2@p")]).unwrap();
    assert!(socks.warnings.to_string().contains("ALL_PROXY is ignored"), "{}", socks.warnings);
    assert!(!socks.warnings.to_string().contains("hunter2"));
    let plain =
        format!("secretStore: {{address: 'http://127.0.0.1', token: t, proxy: 'http://p:1'}}\n{SECRET}");
    assert_eq!(warnings(&plain), ["ignored-key secretStore.proxy"]);
}

#[test]
fn braces_without_quotes_are_one_error() {
    let refused = |text: &str| errors(&file(&format!("path: /run/a, {text}")));
    assert_eq!(refused("template: {{ password }}"), ["yaml-syntax secrets[0].files[0].template"]);
    assert_eq!(refused("template: {password: a}"), ["wrong-type secrets[0].files[0].template"]);
}

#[test]
fn a_version_that_is_no_number_says_how_to_ask_for_the_newest() {
    for (version, expected) in [("latest", "leave it out"), ("99999999999999999999", "too large")] {
        let text = file("path: /run/a, field: f").replace("key: ", &format!("version: {version}, key: "));
        let shown = only_message(&text);
        assert!(shown.contains(expected), "{shown}");
    }
}

#[test]
fn a_key_of_another_section_is_named_with_it_and_keys_are_listed_once() {
    let text = format!(
        "{STORE}secrets:\n  - {{name: a, key: b, directoryMode: 1, zzzzz: 1, yyyyyy: 2, files: [{{path: /run/a, field: x}}]}}\n"
    );
    let hints: Vec<_> = parse(&text).unwrap_err().diagnostics.into_iter().map(|one| one.hint).collect();
    assert_eq!(
        hints[0],
        "it is a key of secrets[].directory and secrets[].generations: check the indentation"
    );
    assert!(hints[1].starts_with("keys here: name, "), "{hints:?}");
    assert_eq!(hints[2], "remove it, or look its name up among the keys above");
}
