//! Reports: all mistakes at once, each in its place, none with a value that came from outside.

use proptest::prelude::*;

use super::*;

fn load(path: &Path) -> Result<Loaded, Report> {
    Loader::find(Some(path), Env::default(), "/work".into()).unwrap().load()
}

/// `line:column code path` of each diagnostic.
fn places(text: &str) -> Vec<String> {
    let place = |one: &crate::config::diagnostic::Diagnostic| {
        let position = one.place.position.unwrap();
        format!("{}:{} {} {}", position.line, position.column, one.code, one.place.path)
    };
    parse(text).unwrap_err().diagnostics.iter().map(place).collect()
}

const TEN_MISTAKES: &str = "\
secretStore:
  address: vault:8200
  token: t
  timeout: 10
  timout: 10s
limits: {maxFileSize: 1Mi}
secrets:
  - name: a
    key: /abs
    refreshInterval: ${NOT_SET}
    files:
      - {path: /run/a, mod: 0600, field: user}
      - path: /run/a
        format: toml
  - name: a
    key: ok
    key: again
    files: [{path: /run/b, field: x}]
";

#[test]
fn ten_mistakes_give_ten_diagnostics_in_their_places() {
    assert_eq!(
        places(TEN_MISTAKES),
        [
            "2:12 bad-address secretStore.address",
            "4:12 bad-duration secretStore.timeout",
            "5:3 unknown-key secretStore.timout",
            "6:23 bad-size limits.maxFileSize",
            "9:10 bad-key secrets[0].key",
            "10:22 env-unset secrets[0].refreshInterval",
            "12:24 unknown-key secrets[0].files[0].mod",
            "13:15 duplicate-path secrets[0].files[1].path",
            "14:17 bad-value secrets[0].files[1].format",
            "15:11 duplicate-name secrets[1].name",
            "17:5 duplicate-key secrets[1].key",
        ]
    );
}

#[test]
fn the_report_reads_well() {
    let shown = parse(TEN_MISTAKES).unwrap_err().to_string();
    for lines in [
        "error[unknown-key]: unknown key \"timout\"; did you mean \"timeout\"?\n  --> config.yaml:5:3 (secretStore.timout)\n  |\n\
         5 |   timout: …\n  |   ^^^^^^\n  hint: write \"timeout\"\n\n",
        "error[bad-duration]: \"10\" is not a duration such as 30s, 1h or 1d: a unit is missing; for seconds write \"10s\"\n",
        "error[env-unset]: the environment variable NOT_SET is not set\n  --> config.yaml:10:22 (secrets[0].refreshInterval)\n   \
         |\n10 |     refreshInterval: ${NOT_SET}\n   |                      ^^^^^^^^^^\n  hint: set it, or write \
         \"${NOT_SET:-default}\"",
        "error[duplicate-key]: \"key\" is there already, in line 16, column 5\n",
    ] {
        assert!(shown.contains(lines), "{lines}\n---\n{shown}");
    }
}

#[test]
fn a_value_from_the_environment_is_never_shown() {
    let value = "hunter2 \u{1b}[0m";
    let pairs: Vec<_> = ["X", "VAULT_ADDR", "VAULT_NAMESPACE", "VAULT_CACERT", "VAULT_SKIP_VERIFY"]
        .into_iter()
        .map(|name| (name, value))
        .collect();
    let everywhere = "\
secretStore: {authMethod: '${X}', timeout: '${X}', kvVersion: '${X}', mountPath: '${X}', tlsCAPath: '${X}',
  credentials: {b: {token: '${X}', authMethod: '${X}'}}}
secretStores: {c: {provider: '${X}'}}
limits: {maxSecrets: '${X}', maxFileSize: '${X}', minRefreshInterval: '${X}'}
secrets:
  - {name: '${X}', store: '${X}', key: '${X}', kvVersion: '${X}', namespace: '${X}', credentials: '${X}', version: '${X}',
     refreshInterval: '${X}', required: '${X}', deletionPolicy: '${X}', maxStaleness: '${X}', template: {engine: '${X}'},
     files: [{path: '${X}', key: '${X}', mode: '${X}', owner: '${X}', decoding: '${X}', inPlace: '${X}', format: '${X}'},
             {path: '${X}', field: a}, {path: '${X}/b', field: a}]}
  - {name: '${X}', key: a, credentials: '${X}', directory: {path: '/${X}', mode: '${X}', directoryMode: '${X}', group: '${X}'}}
";
    let report = parse_in(everywhere, &pairs).unwrap_err();
    assert!(report.diagnostics.len() > 25, "{report}");
    let shown = format!("{report}{:?}", report.to_json());
    assert!(!shown.contains("hunter2") && !shown.contains('\u{1b}'), "{shown}");
}

#[test]
fn tokens_of_the_file_are_never_shown() {
    let text = format!(
        "secretStore: {{address: 'https://v', token: \"hunter2\\n\", tokenFile: a, roleId: \"hunter2\\t\", secretId: \
         \"hunter2\\0\", credentials: {{b: {{token: 'hunter2${{'}}, c: {{token: [hunter2]}}}}}}\n{SECRET}"
    );
    let report = parse(&text).unwrap_err();
    assert!(report.diagnostics.len() >= 5, "{report}");
    assert!(!report.to_string().contains("hunter2"), "{report}");
}

#[test]
fn control_characters_of_the_file_do_not_reach_the_terminal() {
    let text = format!(
        "{STORE}secrets: [{{name: a, key: k, \"\\e[31m\": 1, kvVersion: \"\\e[31m\", directory: {{path: /d}}}}]"
    );
    assert!(!parse(&text).unwrap_err().to_string().contains('\u{1b}'));
}

#[test]
fn wrong_types_are_named_once() {
    for (text, expected) in [
        ("- a\n", "1:1 wrong-type "),
        ("text\n", "1:1 wrong-type "),
        (
            "secretStore: []\nsecrets: [{name: a, key: k, directory: {path: /d}}]\n",
            "1:14 wrong-type secretStore",
        ),
        ("secretStore: {provider: file, path: x}\nsecrets: {}\n", "2:10 wrong-type secrets"),
        ("secretStore: {provider: file, path: x}\nsecrets: [a]\n", "2:11 wrong-type secrets[0]"),
        (
            "secretStore: {provider: file, path: [x]}\nsecrets: [{name: a, key: k, directory: {path: /d}}]\n",
            "1:37 wrong-type secretStore.path",
        ),
        ("secretStore: {provider: file, path: x}\nsecrets: []\n", "2:10 missing-key secrets"),
    ] {
        assert_eq!(places(text), [expected], "{text}");
    }
    assert_eq!(errors(""), ["missing-key "]);
}

#[test]
fn too_many_secrets_are_one_error() {
    let many: String = (0..20).map(|_| "  - {name: same, nonsense: 1}\n").collect();
    assert_eq!(
        errors(&format!("{STORE}limits: {{maxSecrets: 19}}\nsecrets:\n{many}")),
        ["too-many-secrets secrets"]
    );
}

#[test]
fn limits_have_limits() {
    for (limit, expected) in [
        ("minRefreshInterval: 99ms", "out-of-range limits.minRefreshInterval"),
        ("maxSecrets: 0", "out-of-range limits.maxSecrets"),
        ("maxSecrets: -1", "bad-value limits.maxSecrets"),
        ("maxFileSize: 0", "out-of-range limits.maxFileSize"),
        ("maxConcurrentRequests: 100000", "out-of-range limits.maxConcurrentRequests"),
    ] {
        assert_eq!(errors(&format!("{STORE}limits: {{{limit}}}\n{SECRET}")), [expected], "{limit}");
    }
    let raised = config(&format!("{STORE}limits: {{minRefreshInterval: 2h}}\n{SECRET}"));
    assert_eq!(raised.secrets[0].refresh, Refresh::Every(std::time::Duration::from_secs(7200)));
}

#[test]
fn extreme_numbers_are_refused_or_can_be_reckoned_with() {
    let years = "5000000h";
    let text = format!(
        "{STORE}secrets:\n  - {{name: a, key: a, refreshInterval: {years}, maxStaleness: 584y, files: [{{path: /run/a, field: a}}]}}\n"
    );
    assert_eq!(errors(&text), ["bad-duration secrets[0].maxStaleness"]);
    let text = text.replace("584y", "5100000h");
    let Refresh::Every(interval) = config(&text).secrets[0].refresh else { panic!("{years}") };
    assert!(std::time::Instant::now().checked_add(interval * 10).is_some());
    for extreme in ["1000000000h", "18446744073709551616ns", "1e300s", "-1s", "99999999999999999999999w", "∞"]
    {
        let secret = SECRET.replace("key:", &format!("refreshInterval: '{extreme}', key:"));
        assert_eq!(
            errors(&format!("{STORE}{secret}")),
            ["bad-duration secrets[0].refreshInterval"],
            "{extreme}"
        );
    }
    for port in ["65536", "99999999999", "-1"] {
        let store = STORE.replace("vault:8200", &format!("vault:{port}"));
        assert_eq!(errors(&format!("{store}{SECRET}")), ["bad-address secretStore.address"], "{port}");
    }
    for version in ["-1", "18446744073709551616", "1e3", "1.5"] {
        let secret = SECRET.replace("key:", &format!("version: {version}, key:"));
        assert_eq!(errors(&format!("{STORE}{secret}")).len(), 1, "{version}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_a_report_with_its_name() {
    let directory = tempfile::tempdir().unwrap();
    let report = load(directory.path()).unwrap_err();
    assert!(
        report.to_string().starts_with("error[unreadable-file]: ")
            && report.to_string().contains(&format!("\n  --> {}\n  hint: ", directory.path().display()))
    );
}

#[test]
fn a_file_is_loaded() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::io::Write::write_all(&mut file.as_file(), format!("{STORE}{SECRET}").as_bytes()).unwrap();
    assert!(load(file.path()).is_ok());
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "[a-z${}\\[\\]: \n'\"&*<#|>-]{0,120}") {
        drop(parse(&text));
    }

    #[test]
    fn no_value_makes_it_panic(value in any::<String>(), key in 0..14_usize) {
        let keys = [
            "name", "store", "key", "mountPath", "kvVersion", "version", "namespace", "credentials",
            "refreshInterval", "required", "deletionPolicy", "maxStaleness", "template", "files",
        ];
        let value = serde_json::Value::from(value);
        let secret = serde_json::json!({ keys[key]: value, "directory": { "path": value } });
        let store = serde_json::json!({ "address": value, "token": value, "timeout": value, "credentials": { "a": value } });
        let text = serde_json::json!({ "secretStore": store, "secrets": [secret] }).to_string();
        prop_assert!(parse(&text).is_err());
    }
}
