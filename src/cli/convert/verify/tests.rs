//! Comparisons: right conversions are equal, and a mistake in a configuration is found.

use std::fs;

use zeroize::Zeroizing;

use super::*;
use crate::convert::{ConvertInput, ConvertOptions, FieldOutcome, FoundTemplate, convert, originals};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/convert").join(name)
}

/// How many outputs are equal, what differs, and what is not compared, once `break_it` has changed the configuration.
fn verified(
    name: &str,
    text: &str,
    templates: &Path,
    break_it: &dyn Fn(String) -> String,
) -> (usize, Vec<String>, Vec<String>) {
    let input = ConvertInput { name: name.to_owned(), text: Zeroizing::new(text.to_owned()), is_named: true };
    let find = |source: &str, _: &str| {
        let found = templates.join(Path::new(source).file_name().unwrap());
        let text = fs::read_to_string(&found).ok().map(Zeroizing::new);
        text.map(|text| FoundTemplate::of_file(found.display().to_string(), text)).into_iter().collect()
    };
    let inputs = [input];
    let mut conversion = convert(&inputs, &ConvertOptions::default(), &find).unwrap();
    conversion.configuration = break_it(conversion.configuration);
    let before = conversion.report.lines().len();
    verify(&originals(&inputs, &ConvertOptions::default(), &find), &mut conversion);
    let (mut equal, mut different, mut unread) = (0, Vec::new(), Vec::new());
    for line in conversion.report.lines().iter().skip(before) {
        match line.outcome.clone() {
            FieldOutcome::Verified(_) => equal += 1,
            FieldOutcome::Refused(what) => different.push(what),
            FieldOutcome::Unverified(why) => unread.push(why),
            other => panic!("{other:?}"),
        }
    }
    (equal, different, unread)
}

#[test]
fn recorded_configurations_and_manifests_are_equal() {
    let mut inputs: Vec<(PathBuf, PathBuf)> = Vec::new();
    for entry in fs::read_dir(folder("agent")).unwrap() {
        let case = entry.unwrap().path();
        inputs.push((case.join("agent.hcl"), case));
    }
    for entry in fs::read_dir(folder("manifests")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end == "yaml") {
            inputs.push((path, folder("manifests")));
        }
    }
    inputs.sort();
    let (mut total, mut wrong, mut unread) = (0, Vec::new(), Vec::new());
    for (path, templates) in &inputs {
        let Ok(text) = fs::read_to_string(path) else { continue };
        let name = path.file_name().unwrap().to_str().unwrap();
        let (equal, different, unverified) = verified(name, &text, templates, &|text| text);
        total += equal;
        wrong.extend(different.into_iter().map(|what| format!("{}: {what}", path.display())));
        unread.extend(unverified.into_iter().map(|why| format!("{}: {why}", path.display())));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(total >= 70, "{total}\n{}", unread.join("\n"));
}

const AGENT: &str = "
template {
  destination = \"/run/a\"
  contents = <<EOT
{{- with secret \"secret/data/app/db\" }}
{{ .Data.data.user }} {{ env \"HOST\" }} ${x}
{{ with secret \"kv/app?version=2\" }}{{ range $k, $v := .Data.data }}{{ $k }}={{ $v }}{{ end }}{{ end -}}
{{ .Data.data.key | writeToFile \"/run/k\" \"\" \"\" \"0600\" }}
{{ .Data.data.ca | writeToFile \"/run/k\" \"\" \"\" \"0600\" \"append,newline\" }}
{{ end }}
EOT
}
template {
  destination = \"/run/b\"
  contents = \"{{ with secret \\\"old/app\\\" }}{{ .Data.user }}{{ end }}\"
}
";

const ISSUED: &str = "
template {
  destination = \"/run/tls\"
  contents = <<EOT
{{ with secret \"pki/issue/web\" \"common_name=a\" }}{{ .Data.certificate }}{{ .Data.ca }}{{ end }}
{{ with pkiCert \"pki/issue/web\" \"common_name=b\" }}{{ .Cert }}{{ .Key }}{{ end }}
{{ with secret \"database/creds/app\" }}{{ .Data.username }} {{ .LeaseDuration }}{{ end }}
EOT
}
";

const MANIFEST: &str = "
apiVersion: external-secrets.io/v1
kind: ExternalSecret
metadata: { name: app }
spec:
  secretStoreRef: { name: vault, kind: ClusterSecretStore }
  target:
    template:
      mergePolicy: Merge
      data:
        url: \"postgres://{{ .user }}:{{ .pass | urlquery }}@{{ .DB_host }}\"
  dataFrom:
    - extract: { key: app/db }
      rewrite: [{ regexp: { source: '(.*)', target: 'DB_$1' } }]
  data:
    - { secretKey: user, remoteRef: { key: secret/data/app/api, property: a.b } }
    - { secretKey: pass, remoteRef: { key: app/api, property: password } }
    - { secretKey: all, remoteRef: { key: app/api } }
";

#[test]
fn a_mistake_in_a_configuration_is_found() {
    let right = |name: &str, text: &str| {
        let found = verified(name, text, Path::new("/"), &|text| text);
        assert_eq!((&found.1, &found.2), (&vec![], &vec![]), "{found:?}");
        found.0
    };
    assert_eq!((right("a.hcl", AGENT), right("a.yaml", MANIFEST), right("a.hcl", ISSUED)), (3, 7, 1));
    for (name, text, from, to, word) in [
        ("a.hcl", AGENT, "key: app/db", "key: db", "not load"),
        ("a.hcl", AGENT, "mountPath: kv", "mountPath: secret", "not load"),
        ("a.hcl", AGENT, "version: '2'", "version: '3'", "not load"),
        ("a.hcl", AGENT, "kvVersion: v1", "kvVersion: v2", "fails"),
        ("a.hcl", AGENT, " ${x}\n", " $${x}\n", "line 2"),
        ("a.hcl", AGENT, "{{ end -}}", "{{ end }}", "the original writes"),
        ("a.hcl", AGENT, "{{ .Data.data.ca }}\n", "{{ .Data.data.ca }}", "line 1"),
        ("a.hcl", AGENT, "HOST: ${HOST:-}", "HOST: ${HOSTS:-}", "line 2"),
        ("a.hcl", AGENT, "path: /run/b", "path: /run/c", "no file of the configuration"),
        ("a.hcl", ISSUED, "common_name: b", "common_name: c", "not load"),
        ("a.hcl", ISSUED, "path: database/creds/app", "path: database/creds/other", "not load"),
        ("a.hcl", ISSUED, "\"common_name=b\" }}", "\"common_name=a\" }}", "line 2"),
        ("a.yaml", MANIFEST, "property: a.b", "property: alpha", "line 1"),
        ("a.yaml", MANIFEST, "target: DB_$1", "target: DB$1", "no file of the configuration"),
        ("a.yaml", MANIFEST, "key: app/db", "key: app/api", "line 1"),
        ("a.yaml", MANIFEST, "urlquery", "upper", "line 1"),
        ("a.yaml", MANIFEST, "secretKey: all", "secretKey: most", "no file of the configuration"),
    ] {
        let is_there = |configuration: String| {
            assert!(configuration.contains(from), "{from}\n{configuration}");
            configuration.replacen(from, to, 1)
        };
        let (_, different, unread) = verified(name, text, Path::new("/"), &is_there);
        assert!(different.iter().any(|what| what.contains(word)), "{from}: {different:?} {unread:?}");
    }
}

const GO_TOOL: &str = "
secretStore: { address: 'https://v', authMethod: token, token: '${TOKEN}' }
secrets:
  - name: db
    key: app//db
    mountPath: secret
    kvVersion: v2
    template:
      data: { user: '{{ .username }}', pass: '{{ if .password }}{{ index . \"api-key\" }} {{ .password }}{{ end }}' }
    files: [{ path: /run/user }, { path: ./pass, mode: '0640' }]
";

#[test]
fn files_of_the_go_tool_are_compared() {
    let (equal, different, unread) = verified("a.yaml", GO_TOOL, Path::new("/"), &|text| text);
    assert_eq!((equal, &different, &unread), (2, &Vec::new(), &Vec::new()));
    let swap = |text: String| text.replace("key: user\n", "key: pass\n");
    let (equal, different, _) = verified("a.yaml", GO_TOOL, Path::new("/"), &swap);
    assert!(
        equal == 1 && different.iter().any(|what| what.starts_with("/run/user: line 1")),
        "{different:?}"
    );
    let dots = GO_TOOL.replace("app//db", "x/../app/db");
    let (equal, _, unread) = verified("a.yaml", &dots, Path::new("/"), &|text| text);
    assert!(equal == 0 && unread.iter().any(|why| why.contains("a key with dots")), "{unread:?}");
}

#[test]
fn what_is_not_compared_is_said() {
    for (name, text, word) in [
        (
            "a.hcl",
            "template {\n destination = \"/a\"\n contents = \"{{ with secret \\\"secret/data/a\\\" }}{{ end }}\"\n}\nenv_template \"X\" {\n contents = \"{{ with secret \\\"secret/data/a\\\" }}{{ end }}\"\n}\n",
            "env_template",
        ),
        (
            "a.hcl",
            "template {\n destination = \"/a\"\n contents = \"{{ with secret \\\"secret/data/a\\\" }}{{ .Data.data.x | parseBool }}{{ end }}\"\n}\n",
            "no synthetic value",
        ),
        (
            "a.yaml",
            &MANIFEST.replace(
                "extract: { key: app/db }\n      rewrite: [{ regexp: { source: '(.*)', target: 'DB_$1' } }]",
                "find: { path: app, name: { regexp: x } }",
            ),
            "`find`",
        ),
        (
            "a.yaml",
            &MANIFEST.replace("property: password", "property: password, decodingStrategy: Base64"),
            "decodingStrategy",
        ),
        ("a.hcl", "secret {\n path = \"secret/a\"\n}\n", "envconsul"),
    ] {
        let (_, different, unread) = verified(name, text, Path::new("/"), &|text| text);
        assert!(
            different.is_empty() && unread.iter().any(|why| why.contains(word)),
            "{text}: {different:?} {unread:?}"
        );
    }
}
