//! Annotations, and what becomes of them: tests/convert/manifests has the configurations.

use std::fs;
use std::path::Path;

use zeroize::Zeroizing;

use crate::config::Config;
use crate::config::env::Env;
use crate::config::hook::HookAction;
use crate::config::yaml;
use crate::convert::object::{child, objects};
use crate::convert::workload::PodTemplate;
use crate::convert::{Conversion, ConvertInput, ConvertOptions, convert};
use crate::lifecycle::ProcessSignal;

fn converted(texts: &[(&str, &str)]) -> Conversion {
    let input = |(name, text): &(&str, &str)| ConvertInput {
        name: (*name).to_owned(),
        text: Zeroizing::new((*text).to_owned()),
        is_named: true,
    };
    let options = ConvertOptions::default();
    let inputs: Vec<_> = texts.iter().map(input).collect();
    convert(&inputs, &options, &|_, _| Vec::new()).unwrap()
}

#[test]
fn every_annotation_has_a_line_in_the_report() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/convert/manifests");
    let mut count = 0;
    for name in ["injector", "injector-annotations", "injector-refused", "injector-workloads"] {
        let text = fs::read_to_string(folder.join(format!("{name}.yaml"))).unwrap();
        let report = converted(&[(name, &text)]).report;
        for root in yaml::documents(&text).unwrap() {
            for object in objects(name, &root).unwrap() {
                let pod = PodTemplate::of(&object).unwrap();
                let inner = pod.annotations().and_then(|node| node.entries()).unwrap_or_default();
                let outer = child(object.node, "metadata").and_then(|node| child(node, "annotations"));
                for entry in inner.iter().chain(outer.and_then(|node| node.entries()).unwrap_or_default()) {
                    let is_meant = |line: &&crate::convert::ReportLine| {
                        line.object == object.title()
                            && line.path.ends_with(&format!("annotations.{}", entry.key))
                    };
                    assert!(
                        report.lines().iter().any(|line| is_meant(&line)),
                        "{name}: {}\n{}",
                        entry.key,
                        report.to_text(true)
                    );
                    count += 1;
                }
            }
        }
    }
    assert!(count > 80, "{count}");
}

#[test]
fn a_template_file_is_looked_for_in_the_input() {
    let pod = "kind: Pod\nmetadata:\n  name: p\n  annotations:\n    vault.hashicorp.com/agent-inject: 'true'\n    \
               vault.hashicorp.com/agent-inject-template-file-x: /vault/custom/x.ctmpl\n";
    let template = "{{ with secret \"secret/data/app/db\" }}\n{{ .Data.data.user }}{{ end }}\n";
    let Conversion { configuration, report } = converted(&[("pod.yaml", pod), ("x.ctmpl", template)]);
    assert_eq!(report.refusals(), 0, "{}", report.to_text(true));
    assert!(configuration.contains("path: ./secrets/p/x\n"), "{configuration}");
    let bad = converted(&[
        ("pod.yaml", pod),
        ("x.ctmpl", "{{ with secret \"secret/data/a\" }}\n{{ file \"/x\" }}{{ end }}"),
    ]);
    assert!(bad.report.to_text(false).contains("x.ctmpl:2:4: error"), "{}", bad.report.to_text(false));
}

#[test]
fn secrets_of_manifests_and_of_agents_have_names_of_their_own() {
    let external = "apiVersion: external-secrets.io/v1\nkind: ExternalSecret\nmetadata: { name: app-db }\nspec:\n  secretStoreRef: { name: s }\n  \
                    data: [{ secretKey: a, remoteRef: { key: app/db, property: a } }]\n";
    let template = "{{ with secret \"secret/data/app/db\" }}{{ .Data.data.a }}{{ end }}\n";
    let Conversion { configuration, report } = converted(&[("a.yaml", external), ("x.ctmpl", template)]);
    assert_eq!(report.refusals(), 0, "{}", report.to_text(true));
    for name in ["- name: app-db\n", "- name: app-db-2\n"] {
        assert!(configuration.contains(name), "{configuration}");
    }
}

#[test]
fn hooks_load_and_do_what_the_commands_did() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/convert/manifests");
    let text = fs::read_to_string(folder.join("injector-hooks.yaml")).unwrap();
    // Owners are those of the machine.
    let configuration = converted(&[("a.yaml", &text.replace("chown app:web", "chown 1:2"))]).configuration;
    let names = ["VAULT_ADDR", "VAULT_ROLE_ID", "VAULT_SECRET_ID"];
    let env = Env::from_pairs(names.map(|name| (name, "https://placeholder")));
    let config = Config::parse(&configuration, "", &env, Path::new("/")).unwrap().config;
    let found: Vec<_> = config.hooks.iter().map(|hook| (hook.name.as_str(), hook.action.clone())).collect();
    let expected = [
        ("signal-app", HookAction::PidFile { path: "/run/app.pid".into(), signal: ProcessSignal::Hup }),
        ("reload-nginx", HookAction::Unit { unit: "nginx.service".to_owned(), restart: false }),
        (
            "haproxy",
            HookAction::Command { argv: ["/usr/sbin/haproxy", "-c", "$x"].map(str::to_owned).into() },
        ),
    ];
    assert_eq!(found, expected);
    let of_secrets: Vec<Vec<_>> = config
        .secrets
        .iter()
        .map(|secret| secret.hooks.iter().map(|name| name.as_str().to_owned()).collect())
        .collect();
    assert_eq!(of_secrets, [vec!["signal-app", "reload-nginx", "haproxy"], vec!["reload-nginx"]]);
}

/// A pod with `count` annotations for files, and one of each text in `more`.
fn pod(count: usize, more: &[String]) -> String {
    let mut text =
        "kind: Pod\nmetadata:\n  name: p\n  annotations:\n    vault.hashicorp.com/agent-inject: 'true'\n"
            .to_owned();
    for number in 0..count {
        let annotation = format!("agent-inject-secret-{number}: secret/data/app/{number}");
        text.extend(["    vault.hashicorp.com/", annotation.as_str(), "\n"]);
    }
    for (number, value) in more.iter().enumerate() {
        let annotation =
            format!("agent-inject-template-m{number}: {}", serde_json::Value::from(value.as_str()));
        text.extend(["    vault.hashicorp.com/", annotation.as_str(), "\n"]);
    }
    text
}

#[test]
fn odd_annotations_end_with_a_report() {
    let Conversion { configuration, report } = converted(&[("many.yaml", &pod(2_000, &[]))]);
    assert_eq!(report.refusals(), 0, "{}", report.to_text(false));
    assert_eq!(configuration.matches("- path: ").count(), 2_000);
    let call = "{{ with secret \"secret/data/app\" }}";
    let long = [
        "x".repeat(1 << 20),
        format!("{call}{}{{{{ end }}}}", "y".repeat(1 << 20)),
        format!("{call}{}{{{{ end }}}}", "{{".repeat(10_000)),
        format!("{}{}", "{{ if true }}".repeat(10_000), "{{ end }}".repeat(10_000)),
        format!("{{{{ {}1{} }}}}", "(".repeat(10_000), ")".repeat(10_000)),
        "{{ with secret (print".to_owned(),
        "{{\"".to_owned(),
    ];
    let report = converted(&[("long.yaml", &pod(0, &long))]).report;
    assert!(report.refusals() >= 4, "{}", report.to_text(false));
    for line in
        report.lines().iter().filter(|line| matches!(line.outcome, crate::convert::FieldOutcome::Refused(_)))
    {
        assert!(line.position.line > 4 || line.path.is_empty(), "{line:?}");
    }
}
