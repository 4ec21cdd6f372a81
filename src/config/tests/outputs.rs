//! Secrets and what they write.

use crate::config::secret::Decoding;

use super::*;

/// One secret with these keys, in flow style.
fn secret(keys: &str) -> String {
    format!("{STORE}secrets:\n  - {{name: a, key: k, {keys}}}\n")
}

fn files(files: &str) -> String {
    secret(&format!("files: [{files}]"))
}

#[test]
fn a_file_says_in_one_way_what_it_holds() {
    for (file, expected) in [
        ("path: /a, field: f, format: json", "conflicting-keys secrets[0].files[0]"),
        ("path: /a", "no-content secrets[0].files[0]"),
        ("path: /a, key: f", "unknown-template secrets[0].files[0].key"),
        ("path: /a, field: ''", "bad-value secrets[0].files[0].field"),
        ("path: /a, format: xml", "bad-value secrets[0].files[0].format"),
        ("path: /a, format: json, decoding: base64", "conflicting-keys secrets[0].files[0].decoding"),
        ("path: /a, field: f, decoding: hex", "bad-value secrets[0].files[0].decoding"),
        ("path: /a, template: '{{ x'", "template-syntax secrets[0].files[0].template"),
        ("field: f", "missing-key secrets[0].files[0].path"),
        ("path: '', field: f", "bad-path secrets[0].files[0].path"),
        ("path: /a, field: f, mode: 0602", "bad-mode secrets[0].files[0].mode"),
        ("path: /a, field: f, owner: nobody-of-this-name", "bad-owner secrets[0].files[0].owner"),
        ("path: /a, field: f, group: nobody-of-this-name", "bad-owner secrets[0].files[0].group"),
        ("path: /a, field: f, inPlace: maybe", "bad-value secrets[0].files[0].inPlace"),
    ] {
        assert_eq!(errors(&files(&format!("{{{file}}}"))), [expected], "{file}");
    }
    let config = config(&files("{path: /a, field: f, decoding: base64, inPlace: on, mode: 0440, owner: 7}"));
    let file = &config.secrets[0].files[0];
    assert_eq!(
        (file.decoding, file.placement.in_place, file.placement.mode.bits(), file.placement.owner.user),
        (Decoding::Base64, true, 0o440, Some(7))
    );
}

#[test]
fn owners_that_this_process_cannot_give_files_to_are_warnings() {
    use rustix::process::{getegid, geteuid};
    use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

    let (us, our_group) = (geteuid().as_raw(), getegid().as_raw());
    let own = format!("path: /a, field: f, owner: {us}, group: {our_group}");
    let foreign = "path: /b, field: f, owner: 4000000001, group: 4000000002";
    let text = files(&format!("{{{own}}}, {{{foreign}}}"));
    // Rights are those of a thread: this one gives its own away.
    let found = std::thread::spawn(move || {
        let mut rights = capabilities(None).unwrap();
        rights.effective.remove(CapabilitySet::CHOWN);
        set_capabilities(None, rights).unwrap();
        warnings(&text)
    });
    assert_eq!(
        found.join().unwrap(),
        ["cannot-chown secrets[0].files[1].owner", "cannot-chown secrets[0].files[1].group"]
    );
}

#[test]
fn a_secret_without_outputs_is_an_error() {
    assert_eq!(errors(&secret("")), ["missing-key secrets[0].files"]);
    assert_eq!(errors(&secret("files: []")), ["missing-key secrets[0].files"]);
    assert_eq!(errors(&secret("files: text")), ["wrong-type secrets[0].files"]);
    assert!(errors(&secret("directory: {path: /d}")).is_empty());
}

#[test]
fn files_of_the_go_tool_are_paired_in_document_order_with_a_warning() {
    let text = secret(
        "template: {data: {username: '{{ user }}', password: '{{ pass }}'}}, files: [{path: /u}, {path: ./p}]",
    );
    let loaded = parse(&text).unwrap();
    let [first, second] = &loaded.config.secrets[0].files[..] else { panic!() };
    assert_ne!(first.content, second.content);
    let single = |template: &str| config(&files(&format!("{{path: /u, template: '{template}'}}")));
    assert_eq!(first.content, single("{{ user }}").secrets[0].files[0].content);
    let [warning] = &loaded.warnings.diagnostics[..] else { panic!("{}", loaded.warnings) };
    assert!(warning.message.contains("/u ← username, ./p ← password"), "{}", warning.message);
    assert!(warning.hint.contains("sorted by name"));
}

#[test]
fn files_that_cannot_be_paired_are_one_error() {
    let text = secret("template: {data: {a: x, b: y}}, files: [{path: /u}]");
    assert_eq!(errors(&text), ["no-content secrets[0].files"]);
    let mixed = secret("template: {data: {a: x, b: y}}, files: [{path: /u}, {path: /v, key: b}]");
    assert_eq!(errors(&mixed), ["no-content secrets[0].files[0]"]);
}

#[test]
fn a_template_nobody_names_is_a_warning() {
    let text = secret("template: {data: {a: x, b: y}}, files: [{path: /u, key: a}]");
    assert_eq!(warnings(&text), ["unused-template secrets[0].template.data.b"]);
}

#[test]
fn go_templates_are_read_off_the_text_with_a_warning() {
    let guessed = |template: &str| warnings(&files(&format!("{{path: /a, template: '{template}'}}")));
    assert_eq!(guessed("x={{ .name }}"), ["engine-guessed secrets[0].files[0].template"]);
    assert!(guessed("x={{ name }}").is_empty());
    let stated = |engine: &str, template: &str| {
        secret(&format!(
            "template: {{engine: {engine}, data: {{a: '{template}'}}}}, files: [{{path: /a, key: a}}]"
        ))
    };
    for (engine, template) in
        [("go", "{{ .x | upper }}"), ("consul-template", "{{ .x | toUpper }}"), ("tera", "{{ x }}")]
    {
        let text = stated(engine, template);
        assert!(errors(&text).is_empty() && warnings(&text).is_empty(), "{engine}");
    }
    for (engine, template) in
        [("go", "{{ .x | toUpper }}"), ("consul-template", "{{ .x | upper }}"), ("tera", "{{ .x }}")]
    {
        assert_eq!(
            errors(&stated(engine, template)),
            ["template-syntax secrets[0].template.data.a"],
            "{engine}"
        );
    }
}

#[test]
fn a_template_looks_up_the_sources_of_its_secret_alone() {
    let looking = |path: &str| {
        files(&format!(
            "{{path: /a, template: '{{{{ with secret \"{path}\" }}}}{{{{ .Data }}}}{{{{ end }}}}'}}"
        ))
    };
    let report = parse(&looking("secret/data/other/app")).unwrap_err();
    let unknown = report.diagnostics.iter().find(|one| one.code.as_str() == "unknown-source").unwrap();
    assert_eq!(unknown.hint, "add it to dataFrom: \"- extract: { key: other/app, mountPath: secret }\"");
    let known = unknown.message.rsplit(' ').next().unwrap().to_owned();
    assert!(errors(&looking(&known)).is_empty(), "{known}");
}

#[test]
fn arguments_of_a_template_are_the_parameters_of_a_source() {
    let looking = |parameters: &str, call: &str| {
        let of = |name: &str| {
            format!(
                "{{ as: a{name}, vaultDynamic: {{ path: pki/issue/web, kind: certificate, parameters: {{ common_name: {name}, ttl: 24 }} }} }}"
            )
        };
        format!(
            "secretStore: {{ address: 'https://v', token: t }}\nsecrets:\n  - name: a\n    dataFrom: [{}, {}, {{ as: c, vaultDynamic: \
             {{ path: ssh/sign/host, kind: ssh, parameters: {parameters} }} }}]\n    files: [{{ path: /a, template: \
             '{{{{ with {call} }}}}{{{{ end }}}}' }}]\n",
            of("x"),
            of("y")
        )
    };
    let file = "{ public_key: { file: /etc/hosts } }";
    let found = |call: &str| errors(&looking(file, call));
    for call in [
        "secret \"pki/issue/web\" \"common_name=y\" \"ttl=24\"",
        "pkiCert \"/pki/issue/web\" \"ttl=24\" \"common_name=x\"",
        "secret \"pki/issue/web\" (env \"X\")",
        "secret \"ssh/sign/host\" \"public_key=ssh-rsa A\"",
        "secret \"ssh/sign/host\"",
    ] {
        assert_eq!(found(call), Vec::<String>::new(), "{call}");
    }
    for call in [
        "secret \"pki/issue/web\" \"common_name=z\" \"ttl=24\"",
        "secret \"pki/issue/web\" \"common_name=y\"",
        "secret \"pki/issue/web\"",
    ] {
        assert_eq!(found(call), ["unknown-source secrets[0].files[0].template"], "{call}");
    }
    assert_eq!(
        found("secret \"ssh/sign/host\" \"public_key\""),
        ["template-syntax secrets[0].files[0].template"]
    );
    let report = parse(&looking(file, "secret \"pki/issue/web\" \"common_name=hunter2\"")).unwrap_err();
    let unknown = report.diagnostics.iter().find(|one| one.code.as_str() == "unknown-source").unwrap();
    assert_eq!(
        unknown.hint,
        "add it: \"vaultDynamic: { path: pki/issue/web, parameters: { common_name: … } }\""
    );
    assert!(unknown.message.contains("with these arguments"), "{}", unknown.message);
}

#[test]
fn vars_and_delimiters_are_checked() {
    let with = |keys: &str| {
        secret(&format!(
            "template: {{engine: go, {keys}, data: {{a: '[[ .x ]]'}}}}, files: [{{path: /a, key: a}}]"
        ))
    };
    assert!(errors(&with("vars: {A: '${NOPE:-x}', B: 1}, delimiters: ['[[', ']]']")).is_empty());
    assert_eq!(errors(&with("delimiters: ['[[']")), ["bad-value secrets[0].template.delimiters"]);
    assert_eq!(errors(&with("delimiters: x")), ["wrong-type secrets[0].template.delimiters"]);
    assert_eq!(errors(&with("vars: {A: [x]}")), ["wrong-type secrets[0].template.vars.A"]);
    let tera = secret(
        "template: {engine: tera, delimiters: ['[[', ']]'], data: {a: x}}, files: [{path: /a, key: a}]",
    );
    assert_eq!(errors(&tera), ["conflicting-keys secrets[0].template.delimiters"]);
}

#[test]
fn templates_are_not_interpolated() {
    let env_like = files("{path: /a, template: 'cost: ${PRICE} $$5'}");
    assert!(errors(&env_like).is_empty());
}

#[test]
fn outputs_must_not_meet() {
    for (outputs, expected) in [
        (
            "[{path: /d/a, field: f}, {path: /d/./b/../a, field: f}]",
            "duplicate-path secrets[0].files[1].path",
        ),
        ("[{path: x, field: f}, {path: /work/x, field: f}]", "duplicate-path secrets[0].files[1].path"),
        ("[{path: /d/a, field: f}, {path: /d/a/b/c, field: f}]", "path-conflict secrets[0].files[1].path"),
        ("[{path: /d/a/b, field: f}, {path: /d/a, field: f}]", "path-conflict secrets[0].files[0].path"),
    ] {
        assert_eq!(errors(&secret(&format!("files: {outputs}"))), [expected], "{outputs}");
    }
    assert!(errors(&files("{path: /d/a, field: f}, {path: /d/ab, field: f}")).is_empty());
}

#[test]
fn an_output_does_not_overwrite_what_is_read() {
    let text = "\
secretStore: {address: 'unix:///s', roleIdFile: /etc/role, secretIdFile: id, credentials: {b: {tokenFile: /etc/b}}}
secretStores: {lab: {provider: file, path: lab.yaml}}
secrets:
  - {name: a, key: k, files: [{path: ./x/../config.yaml, field: f}, {path: /etc/role, field: f}, {path: /work/id, field: f},
                              {path: /etc/b, field: f}, {path: lab.yaml, field: f}, {path: /etc/c, field: f}]}
";
    let of = |n| format!("path-conflict secrets[0].files[{n}].path");
    assert_eq!(errors(text), (0..5).map(of).collect::<Vec<_>>());
    let report = parse(text).unwrap_err().to_string();
    for name in ["the configuration itself", "secretStore.credentials.b.tokenFile", "secretStores.lab.path"] {
        assert!(report.contains(name), "{name}: {report}");
    }
    let of_variable =
        parse_in(&files("{path: /t, field: f}").replace(", token: t", ""), &[("BAO_TOKEN_FILE", "/t")]);
    assert_eq!(found(&of_variable, Severity::Error), ["path-conflict secrets[0].files[0].path"]);
}

#[test]
fn a_directory_belongs_to_one_secret() {
    let two = |first: &str, second: &str| {
        format!("{STORE}secrets:\n  - {{name: a, key: k, {first}}}\n  - {{name: b, key: k, {second}}}\n")
    };
    let directory = "directory: {path: /run/app}";
    assert_eq!(
        errors(&two(directory, "directory: {path: /run/app/}")),
        ["duplicate-path secrets[1].directory.path"]
    );
    assert_eq!(
        errors(&two(directory, "directory: {path: /run/app/b}")),
        ["path-conflict secrets[1].directory.path"]
    );
    assert_eq!(
        errors(&two(directory, "files: [{path: /run/app/x, field: f}]")),
        ["path-conflict secrets[1].files[0].path"]
    );
    assert!(errors(&secret("directory: {path: /run/app}, files: [{path: /run/app/x, field: f}]")).is_empty());
}

#[test]
fn generations_have_a_directory_that_is_theirs_and_holds_all_outputs() {
    let two = |first: &str, second: &str| {
        format!("{STORE}secrets:\n  - {{name: a, key: k, {first}}}\n  - {{name: b, key: k, {second}}}\n")
    };
    let file = |path: &str| format!("files: [{{path: {path}, field: f}}]");
    let switched = |path: &str| format!("generations: /run/app, {}", file(path));
    for (keys, expected) in [
        (switched("/run/app/a"), vec![]),
        (switched("/run/app/sub/a"), vec![]),
        (switched("/run/a"), vec!["path-conflict secrets[0].files[0].path"]),
        (switched("/run/app/..a"), vec!["path-conflict secrets[0].files[0].path"]),
        (switched("/run/app"), vec!["duplicate-path secrets[0].generations"]),
        ("generations: /run/app, directory: {path: /run/app}".to_owned(), vec![]),
        ("generations: /run/app, directory: {path: /run/app/sub}".to_owned(), vec![]),
        (
            "generations: /run/app, directory: {path: /run}".to_owned(),
            vec!["path-conflict secrets[0].directory.path"],
        ),
        (
            "generations: /run/app, files: [{path: /run/app/a, field: f, inPlace: true}]".to_owned(),
            vec!["conflicting-keys secrets[0].generations"],
        ),
        (format!("generations: {{}}, {}", file("/a")), vec!["missing-key secrets[0].generations.path"]),
        (format!("generations: [], {}", file("/a")), vec!["wrong-type secrets[0].generations"]),
        (format!("generations: /, {}", file("/a")), vec!["bad-path secrets[0].generations"]),
        (
            format!("generations: {{path: /r, keep: 101, grace: x, directoryMode: 0}}, {}", file("/r/a")),
            vec![
                "out-of-range secrets[0].generations.keep",
                "bad-duration secrets[0].generations.grace",
                "bad-mode secrets[0].generations.directoryMode",
            ],
        ),
    ] {
        let found = errors(&secret(&keys));
        let begins = |(found, expected): (&String, &&str)| found.starts_with(expected);
        assert!(
            found.len() == expected.len() && found.iter().zip(&expected).all(begins),
            "{keys}: {found:?}"
        );
    }
    for (other, expected) in [
        (file("/run/app/b"), "path-conflict secrets[1].files[0].path"),
        (file("/run/app"), "duplicate-path secrets[1].files[0].path"),
        ("directory: {path: /run/app}".to_owned(), "duplicate-path secrets[1].directory.path"),
        ("directory: {path: /run/app/b}".to_owned(), "path-conflict secrets[1].directory.path"),
        ("directory: {path: /run}".to_owned(), "path-conflict secrets[0].generations"),
        (
            format!("generations: /run/app/b, {}", file("/run/app/b/c")),
            "path-conflict secrets[1].generations",
        ),
    ] {
        let found = errors(&two(&switched("/run/app/a"), &other));
        assert!(found.iter().any(|found| found == expected), "{other}: {found:?}");
    }
}

#[test]
fn generations_have_defaults_and_belong_to_whom_the_files_belong() {
    let of = |keys: &str| config(&secret(keys)).secrets[0].generations.clone().unwrap();
    let short = of("generations: /run/app/, files: [{path: /run/app/a, field: f}]");
    assert_eq!((short.path.as_path(), short.keep, short.grace.as_secs()), (Path::new("/run/app"), 1, 60));
    assert_eq!((short.directory_mode.bits(), short.owner), (0o750, crate::disk::Owner::default()));
    let long = of("generations: {path: /r, keep: 0, grace: 5m, directoryMode: 0755, group: 9}, \
                   files: [{path: /r/a, field: f, owner: 7, group: 8}, {path: /r/b, field: f, owner: 7}]");
    assert_eq!((long.keep, long.grace.as_secs(), long.directory_mode.bits()), (0, 300, 0o755));
    assert_eq!((long.owner.user, long.owner.group), (Some(7), Some(9)));
    let mixed =
        of("generations: /r, files: [{path: /r/a, field: f, owner: 7}, {path: /r/b, field: f, owner: 8}]");
    assert_eq!(mixed.owner.user, None);
}

#[test]
fn the_keys_of_a_secret_are_checked() {
    for (keys, expected) in [
        ("refreshInterval: 10s", "out-of-range secrets[0].refreshInterval"),
        ("refreshInterval: 60", "bad-duration secrets[0].refreshInterval"),
        ("maxStaleness: 0", "out-of-range secrets[0].maxStaleness"),
        ("version: 0", "out-of-range secrets[0].version"),
        ("version: 1, kvVersion: v1", "conflicting-keys secrets[0].version"),
        ("kvVersion: 3", "bad-value secrets[0].kvVersion"),
        ("mountPath: /", "bad-key secrets[0].mountPath"),
        ("namespace: a/../b", "bad-key secrets[0].namespace"),
        ("deletionPolicy: keep", "bad-value secrets[0].deletionPolicy"),
        ("store: lab", "unknown-store secrets[0].store"),
        ("credentials: b", "unknown-credentials secrets[0].credentials"),
    ] {
        let text = secret(&format!("{keys}, files: [{{path: /a, field: f}}]"));
        assert_eq!(errors(&text), [expected], "{keys}");
    }
}

#[test]
fn a_key_must_stay_below_its_mount() {
    for key in ["''", "a/../b", "/a", "a/", "\"a\\tb\""] {
        let text = format!("{STORE}secrets: [{{name: a, key: {key}, files: [{{path: /a, field: f}}]}}]");
        assert_eq!(errors(&text), ["bad-key secrets[0].key"], "{key}");
    }
    let data = format!("{STORE}secrets: [{{name: a, key: data/x, files: [{{path: /a, field: f}}]}}]");
    assert_eq!(warnings(&data), ["data-prefix secrets[0].key"]);
}

#[test]
fn staleness_before_the_next_refresh_is_a_warning() {
    let text = secret("refreshInterval: 1h, maxStaleness: 30m, files: [{path: /a, field: f}]");
    assert_eq!(warnings(&text), ["stale-before-refresh secrets[0].maxStaleness"]);
}

#[test]
fn a_secret_inherits_from_its_store_and_may_say_otherwise() {
    let store =
        "secretStore: {address: 'https://v', token: t, namespace: team, mountPath: kv, kvVersion: v1}\n";
    let inherited = config(&format!("{store}{SECRET}"));
    let source = inherited.secrets[0].sources.first().read.vault().unwrap();
    assert_eq!(
        (source.namespace.as_deref(), source.mount.as_str(), source.kv_version),
        (Some("team"), "kv", KvVersion::V1)
    );
    let own = SECRET.replace("name: a", "name: a, namespace: '', mountPath: /other/, kvVersion: auto");
    let own = config(&format!("{store}{own}"));
    let source = own.secrets[0].sources.first().read.vault().unwrap();
    assert_eq!(
        (source.namespace.as_deref(), source.mount.as_str(), source.kv_version),
        (None, "other", KvVersion::Auto)
    );
}

#[test]
fn braces_that_tera_keeps_as_text_are_no_go_template() {
    for template in ["{% raw %}{{ .x }}{% endraw %}", "{# {{ .x }} #}a"] {
        assert!(errors(&files(&format!("{{path: /a, template: '{template}'}}"))).is_empty(), "{template}");
    }
}

#[test]
fn a_directory_cannot_be_one_that_the_program_reads_from() {
    let output = "directory: {path: /run/app}";
    let reads = |token: &str| format!("{{address: 'http://127.0.0.1', tokenFile: {token}}}");
    let config =
        |token| format!("secretStore: {}\nsecrets:\n  - {{name: a, key: k, {output}}}\n", reads(token));
    assert_eq!(errors(&config("/run/app/token")), ["path-conflict secrets[0].directory.path"]);
    assert!(errors(&config("/run/token")).is_empty());
}

#[test]
fn no_output_replaces_what_the_program_reads_through_a_symlink() {
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name).display().to_string();
    std::fs::create_dir(at("real")).unwrap();
    std::os::unix::fs::symlink("real", at("link")).unwrap();
    std::os::unix::fs::symlink("real/token-1", at("token")).unwrap();
    let config = |read: &str, output: &str| {
        let store = format!("secretStore: {{address: 'https://v', tokenFile: '{}'}}", at(read));
        format!("{store}\nsecrets:\n  - {{name: a, key: k, {output}}}\n")
    };
    let file = |path: &str| format!("files: [{{path: '{}', field: f}}]", at(path));
    let directory = |path: &str| format!("directory: {{path: '{}'}}", at(path));
    std::fs::File::create_new(at("real/token-1")).unwrap();
    let (of_file, of_directory) =
        ("path-conflict secrets[0].files[0].path", "path-conflict secrets[0].directory.path");
    for read in ["token", "real/token-1", "link/token-1"] {
        for path in ["real/token-1", "link/token-1"] {
            assert_eq!(errors(&config(read, &file(path))), [of_file], "{read} {path}");
        }
        for path in ["real", "link"] {
            assert_eq!(errors(&config(read, &directory(path))), [of_directory], "{read} {path}");
        }
        assert!(errors(&config(read, &file("real/token-2"))).is_empty(), "{read}");
    }
}

#[test]
fn outputs_that_meet_through_a_symlink_are_refused() {
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name).display().to_string();
    std::fs::create_dir(at("real")).unwrap();
    std::os::unix::fs::symlink("real", at("link")).unwrap();
    let file = |path: &str| format!("files: [{{path: '{}', field: f}}]", at(path));
    let directory = |path: &str| format!("directory: {{path: '{}'}}", at(path));
    let of_two = |first: &str, second: &str| {
        let store = "secretStore: {address: 'http://127.0.0.1', token: t}\nsecrets:";
        let text = format!("{store}\n  - {{name: a, key: a, {first}}}\n  - {{name: b, key: b, {second}}}\n");
        let result = parse(&text);
        [found(&result, Severity::Error), found(&result, Severity::Warning)].concat()
    };
    let (of_file, of_directory) =
        ("duplicate-path secrets[1].files[0].path", "duplicate-path secrets[1].directory.path");
    assert_eq!(of_two(&file("real/x"), &file("link/x")), [of_file]);
    assert_eq!(of_two(&directory("real"), &file("link/x")), [of_file]);
    assert_eq!(of_two(&directory("link"), &directory("real")), [of_directory]);
    assert!(of_two(&file("real/x"), &file("link/y")).is_empty());
    assert!(of_two(&file("real/x"), &file("gone/x")).is_empty());
    // A symlink that another user planted must not have the next reload refused.
    std::os::unix::fs::lchown(at("link"), Some(54_321), None).unwrap();
    assert_eq!(of_two(&file("real/x"), &file("link/x")), ["same-file secrets[1].files[0].path"]);
}
