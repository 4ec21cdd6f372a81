//! Configurations of the Agent, and what they become: tests/convert/agent holds them, with what the Agent would write.

mod dynamic;
mod logins;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;
use zeroize::Zeroizing;

use crate::config::value::Node;
use crate::config::yaml;
use crate::convert::{
    Conversion, ConversionResult, ConvertInput, ConvertOptions, FieldOutcome, FoundTemplate, convert, hcl,
};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/convert").join(name)
}

fn cases() -> Vec<PathBuf> {
    let entries = fs::read_dir(folder("agent")).unwrap().map(|entry| entry.unwrap().path());
    let mut cases: Vec<_> = entries.filter(|path| path.join("agent.hcl").is_file()).collect();
    cases.sort();
    assert!(cases.len() >= 46, "{}", cases.len());
    cases
}

fn json(path: &Path) -> Json {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn input(name: &str, text: &str) -> ConvertInput {
    ConvertInput { name: name.to_owned(), text: Zeroizing::new(text.to_owned()), is_named: true }
}

fn converted(text: &str) -> Conversion {
    convert(&[input("agent.hcl", text)], &ConvertOptions::default(), &|_, _| Vec::new()).unwrap()
}

fn of_case(case: &Path) -> Conversion {
    let text = fs::read_to_string(case.join("agent.hcl")).unwrap();
    let find = |path: &str, _: &str| {
        let found = case.join(Path::new(path).file_name().unwrap());
        let text = fs::read_to_string(&found).ok().map(Zeroizing::new);
        text.map(|text| FoundTemplate::of_file(found.display().to_string(), text)).into_iter().collect()
    };
    convert(&[input("agent.hcl", &text)], &ConvertOptions::default(), &find).unwrap()
}

/// What a case must become.
fn verdict(case: &Path) -> ConversionResult {
    let case = json(&case.join("case.json"));
    match case["verdict"].as_str().unwrap() {
        "lossless" => ConversionResult::Lossless,
        "warning" => ConversionResult::Warnings,
        _ => ConversionResult::Refused,
    }
}

#[test]
fn each_case_has_its_verdict() {
    let wrong: Vec<_> = cases()
        .into_iter()
        .map(|case| (of_case(&case).report, verdict(&case), case))
        .filter(|(report, verdict, _)| report.result() != *verdict)
        .map(|(report, verdict, case)| {
            format!("{}: not {verdict:?}\n{}", case.display(), report.to_text(true))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The paths of all leaves of a tree.
fn leaves(node: &Node, path: &str, found: &mut BTreeSet<String>) {
    for entry in node.entries().unwrap_or_default() {
        let path = if path.is_empty() { entry.key.clone() } else { format!("{path}.{}", entry.key) };
        leaves(&entry.node, &path, found);
    }
    for (n, item) in node.items().unwrap_or_default().iter().enumerate() {
        // A list of texts has one line.
        let path = if item.scalar().is_some() { path.to_owned() } else { format!("{path}[{n}]") };
        leaves(item, &path, found);
    }
    if node.scalar().is_some() {
        found.insert(path.to_owned());
    }
}

fn assert_every_key_has_a_line(name: &str, text: &str) {
    let report = converted(text).report;
    let mut expected = BTreeSet::new();
    leaves(&hcl::parse(text).unwrap(), "", &mut expected);
    for path in expected {
        // A list of texts has one line.
        assert!(
            report.lines().iter().any(|line| line.path.starts_with(path.as_str())),
            "{name}: {path}\n{}",
            report.to_text(true)
        );
    }
}

#[test]
fn every_key_has_a_line_in_the_report() {
    for case in cases() {
        let text = fs::read_to_string(case.join("agent.hcl")).unwrap();
        assert_every_key_has_a_line(&case.display().to_string(), &text);
    }
    for file in ["envconsul.hcl", "nomad.hcl"] {
        assert_every_key_has_a_line(file, &fs::read_to_string(folder("inputs").join(file)).unwrap());
    }
    let odd = "x { y { z = 1 } }\nvault { a = 1\n retry { b = [1] } }\nauto_auth { method \"gcp\" { config { type = \"gce\" } }\n\
               sink { type = \"file\" config { path = \"/t\" } } }\ntemplate { destination = \"/a\" contents = \"\" q = [{r = 1}]\n\
               exec { command = [\"a\"] timeout = \"1s\" } }\ncache { }\nlistener \"tcp\" { address = \"x\" }\n";
    assert_every_key_has_a_line("odd", odd);
}

/// What a server answers at `path`, and the configuration's own words for it.
fn answer_paths(configuration: &str) -> Vec<BTreeSet<String>> {
    let root = yaml::parse(configuration).unwrap_or_else(|_| panic!("{configuration}"));
    let get = |node: &Node, key: &str| {
        crate::convert::object::child(node, key)
            .and_then(|node| node.scalar())
            .map(|scalar| scalar.text().to_owned())
    };
    let child = |node: &'_ Node, key: &str| crate::convert::object::child(node, key).cloned();
    let path = |source: &Node| {
        if let Some(dynamic) = child(source, "vaultDynamic") {
            return get(&dynamic, "path").unwrap();
        }
        let source = child(source, "extract").unwrap_or_else(|| source.clone());
        let source = &source;
        let (mount, key) =
            (get(source, "mountPath").unwrap_or("secret".to_owned()), get(source, "key").unwrap());
        let data = if get(source, "kvVersion").as_deref() == Some("v1") { "" } else { "data/" };
        format!("{mount}/{data}{key}")
    };
    let secrets = child(&root, "secrets").unwrap();
    let of_secret = |secret: &Node| match child(secret, "dataFrom") {
        Some(sources) => sources.items().unwrap().iter().map(path).collect(),
        None => BTreeSet::from([path(secret)]),
    };
    secrets.items().unwrap().iter().map(of_secret).collect()
}

#[test]
fn the_secrets_read_what_the_templates_read() {
    for case in cases() {
        if verdict(&case) == ConversionResult::Refused {
            continue;
        }
        let expected = json(&case.join("expected.json"));
        let paths = |file: &Json| -> BTreeSet<String> {
            let texts = file["secrets"].as_array().unwrap().iter().map(|path| path.as_str().unwrap());
            // The Agent puts the `data/` in where it is missing.
            let full = |path: &str| match path.strip_prefix("secret/") {
                Some(key) if !key.starts_with("data/") => format!("secret/data/{key}"),
                _ => path.to_owned(),
            };
            texts.map(full).collect()
        };
        let expected: BTreeSet<_> = expected["files"].as_array().unwrap().iter().map(paths).collect();
        let found = answer_paths(&of_case(&case).configuration);
        assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected, "{}", case.display());
    }
}

#[test]
fn refused_constructs_have_their_place_and_a_remedy() {
    for (case, line, column, word) in [
        ("03-source-absent", 15, 3, "--template-dir"),
        ("07-sink-only", 1, 1, "no template"),
        ("17-perms-refused", 16, 3, "mode"),
        ("41-path-from-data", 17, 48, "known before"),
        ("48-consul-key", 17, 4, "`key`"),
        ("49-plugin", 17, 4, "`plugin`"),
        ("50-file-function", 17, 4, "`file`"),
        ("55-jinja-wrapped", 17, 1, "Jinja"),
    ] {
        let report = of_case(&folder("agent").join(case)).report;
        let is_refusal =
            |line: &&crate::convert::ReportLine| matches!(line.outcome, FieldOutcome::Refused(_));
        let found = report.lines().iter().find(is_refusal).unwrap();
        assert_eq!((found.position.line, found.position.column), (line, column), "{case}: {found:?}");
        assert!(
            matches!(&found.outcome, FieldOutcome::Refused(text) if text.contains(word)),
            "{case}: {found:?}"
        );
    }
}

/// The refusals of one text: path, line and what is said.
fn refusals(name: &str, text: &str) -> Vec<(String, u32, String)> {
    let report =
        convert(&[input(name, text)], &ConvertOptions::default(), &|_, _| Vec::new()).unwrap().report;
    let refused = |line: &crate::convert::ReportLine| match &line.outcome {
        FieldOutcome::Refused(reason) => Some((line.path.clone(), line.position.line, reason.clone())),
        _ => None,
    };
    report.lines().iter().filter_map(refused).collect()
}

#[test]
fn expressions_are_refused_where_their_value_is_needed() {
    let job = |task: &str| {
        format!(
            "variable \"x\" {{ default = 1 }}\njob \"a\" {{\n datacenters = var.dcs\n group \"g\" {{\n count = var.n\n task \"t\" {{\n{task}\n}} }} }}\n"
        )
    };
    let template = |data: &str, path: &str| {
        format!(
            "template {{\n data = <<E\n{{{{ with secret \"secret/data/a\" }}}}{data}{{{{ end }}}}\nE\n destination = {path}\n}}"
        )
    };
    assert_eq!(refusals("a.nomad", &job(&template("${NOMAD_X} $${y}", "\"a\""))), []);
    for (task, path, line, word) in [
        (
            template("x", "var.path"),
            "job.a.group.g.task.t.template.destination",
            11,
            "`var.path`: only Nomad",
        ),
        (template("${var.x}", "\"a\""), "job.a.group.g.task.t.template.data", 9, "`${var.x}`: only Nomad"),
        ("vault { namespace = var.ns }".to_owned(), "job.a.group.g.task.t.vault.namespace", 7, "`var.ns`"),
        (
            "dynamic \"template\" { for_each = var.l }".to_owned(),
            "job.a.group.g.task.t.dynamic",
            7,
            "`dynamic \"template\"`",
        ),
    ] {
        let refused = refusals("a.nomad", &job(&task));
        assert!(
            refused.iter().any(|(at, on, reason)| at == path && *on == line && reason.contains(word)),
            "{task}: {refused:?}"
        );
    }
    for (name, text) in [
        ("a.hcl", "pid_file = \"x\"\nvault { address = var.a }\n"),
        ("b.hcl", "secret { path = local.x }\nprefix { }\n"),
    ] {
        let refused = refusals(name, text);
        assert!(refused.iter().any(|(_, _, reason)| reason.contains("expression of HCL 2")), "{refused:?}");
    }
}

#[test]
fn a_job_has_one_namespace_and_its_tasks_may_stand_in_no_group() {
    let task = |name: &str, namespace: &str| {
        format!(
            "task \"{name}\" {{ vault {{ namespace = \"{namespace}\" }}\n template {{ destination = \"{name}\"\n data = \"{{{{ with secret \\\"secret/data/a\\\" }}}}{{{{ end }}}}\" }} }}\n"
        )
    };
    let job = |second: &str| format!("job \"a\" {{\n{}{}}}\n", task("one", "n"), task("two", second));
    let Conversion { configuration, .. } =
        convert(&[input("a.nomad", &job("n"))], &ConvertOptions::default(), &|_, _| Vec::new()).unwrap();
    assert_eq!(configuration.matches("namespace: 'n'").count(), 1, "{configuration}");
    assert!(
        configuration.contains("./secrets/one") && configuration.contains("./secrets/two"),
        "{configuration}"
    );
    let refused = refusals("a.nomad", &job("m"));
    assert!(refused.iter().any(|(path, ..)| path == "job.a.task[1].two.vault.namespace"), "{refused:?}");
}

#[test]
fn files_that_a_template_writes_belong_to_its_secret() {
    let write = |arguments: &str| {
        format!(
            "template {{\n destination = \"/run/a\"\n contents = <<E\nx {{{{ with secret \"secret/data/a\" }}}}{{{{ .Data.data.k | writeToFile \
             {arguments} }}}}{{{{ end }}}}\nE\n}}\n"
        )
    };
    let Conversion { configuration, report } =
        converted(&write("\"/run/k\" \"root\" \"adm\" \"0440\" \"newline\""));
    assert_eq!(report.result(), ConversionResult::Lossless, "{}", report.to_text(true));
    assert_eq!(configuration.matches("- name:").count(), 1, "{configuration}");
    for part in
        ["path: /run/k\n        mode: '0440'\n        owner: root\n        group: adm\n", "path: /run/a\n"]
    {
        assert!(configuration.contains(part), "{part}\n{configuration}");
    }
    for (arguments, word) in [
        ("\"/run/a\" \"\" \"\" \"0600\"", "another one does so too"),
        ("\"/run/k\" \"\" \"\" \"0666\"", "the mode"),
        ("\"/run/k\" \"\" \"\" \"0600\" | print", "the last of an action"),
    ] {
        let refused = refusals("agent.hcl", &write(arguments));
        assert!(refused.iter().any(|(_, _, reason)| reason.contains(word)), "{arguments}: {refused:?}");
    }
}

#[test]
fn credentials_of_the_input_are_nowhere() {
    for text in [
        "vault {\n token = \"Zq7marker\"\n}\n",
        "vault {\n ssl { key = [\"Zq7marker\"] }\n}\n",
        "auto_auth {\n method \"approle\" { config { role_id = \"Zq7marker\"\n secret_id = \"Zq7marker\" } }\n}\n",
        "auto_auth {\n method { type = \"token\"\n config { token = \"Zq7marker\" } }\n}\n",
        "auto_auth {\n method \"userpass\" { config { username = \"u\"\n password = \"Zq7marker\" } }\n}\n",
        "auto_auth {\n method \"token_file\" { config { token = \"Zq7marker\" } }\n}\n",
    ] {
        let template = "template {\n destination = \"/a\"\n contents = \"{{ with secret \\\"secret/data/a\\\" }}{{ end }}\"\n}\n";
        let Conversion { configuration, report } = converted(&format!("{text}{template}"));
        assert!(!configuration.contains("Zq7marker") && configuration.contains("/a"), "{configuration}");
        assert!(!report.to_text(true).contains("Zq7marker"), "{}", report.to_text(true));
        assert_ne!(report.result(), ConversionResult::Lossless, "{}", report.to_text(true));
    }
    let broken = convert(
        &[input("a.hcl", "vault {\n token = \"Zq7marker\" }}\n")],
        &ConvertOptions::default(),
        &|_, _| Vec::new(),
    );
    let broken: String = broken.unwrap_err().iter().map(ToString::to_string).collect();
    assert!(broken.starts_with("a.hcl:2:23: error") && !broken.contains("Zq7marker"), "{broken}");
}

#[test]
fn stanzas_that_read_the_same_are_one_secret() {
    let stanza = |path: &str, secrets: &[&str]| {
        let call = |secret: &&str| format!("{{{{ (secret \"{secret}\").Data.data.x }}}}");
        let calls = secrets.iter().map(call).collect::<Vec<_>>().concat();
        format!("template {{\n destination = \"{path}\"\n contents = <<EOT\n{calls}\nEOT\n}}\n")
    };
    let text = [
        stanza("/a", &["secret/data/x", "kv/data/y"]),
        stanza("/b", &["kv/data/y", "secret/x"]),
        stanza("/c", &["secret/data/x"]),
        stanza("/d", &[]),
        stanza("relative/e", &["kv/data/y?version=3"]),
    ];
    let Conversion { configuration, report } = converted(&text.concat());
    assert_eq!(report.result(), ConversionResult::Lossless, "{}", report.to_text(false));
    assert_eq!(configuration.matches("- name:").count(), 3, "{configuration}");
    for part in
        ["path: /d", "path: ./secrets/relative/e", "version: '3'", "mountPath: kv", "as: x", "as: 'y'"]
    {
        assert!(configuration.contains(part), "{part}\n{configuration}");
    }
    let twice = format!("{}{}", stanza("/a", &["secret/data/x"]), stanza("/a", &["secret/data/y"]));
    assert_eq!(converted(&twice).report.result(), ConversionResult::Refused);
}

#[test]
fn templates_alone_get_a_store_from_the_environment() {
    let template =
        input("conf/app.env.ctmpl", "{{ with secret \"secret/data/a\" }}A={{ .Data.data.a }}{{ end }}\n");
    let Conversion { configuration, report } =
        convert(&[template], &ConvertOptions::default(), &|_, _| Vec::new()).unwrap();
    assert_eq!(report.result(), ConversionResult::Lossless, "{}", report.to_text(true));
    for part in
        ["address: ${VAULT_ADDR}", "token: ${VAULT_TOKEN}", "path: ./secrets/app.env", "refreshInterval: 5m"]
    {
        assert!(configuration.contains(part), "{part}\n{configuration}");
    }
}

#[test]
fn a_template_of_the_input_is_what_its_configuration_means() {
    let agent =
        input("a.hcl", "template {\n source = \"/etc/x/app.ctmpl\"\n destination = \"/run/app\"\n}\n");
    let template = input("t/app.ctmpl", "{{ with secret \"secret/data/a\" }}{{ file \"x\" }}{{ end }}\n");
    let report = convert(&[agent, template], &ConvertOptions::default(), &|_, _| Vec::new()).unwrap().report;
    let refused: Vec<_> = report.to_text(false).lines().map(str::to_owned).collect();
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert!(refused.iter().all(|line| line.starts_with("t/app.ctmpl:1:37: error")), "{refused:?}");
}

#[test]
fn what_another_program_was_to_fill_in_is_a_warning() {
    let agent = |address: &str, contents: &str| {
        format!(
            "vault {{ address = \"{address}\" }}\nauto_auth {{ method \"token_file\" {{ config = {{ token_file_path = \"/t\" }} }} }}\n\
             template {{\n  contents = \"{{{{ with secret \\\"kv/data/a\\\" }}}}{{{{ .Data.data.b }}}}{contents}{{{{ end }}}}\"\n  destination = \"/a\"\n}}\n"
        )
    };
    let warnings = |text: &str| {
        let report = convert(&[input("agent.hcl", text)], &ConvertOptions::default(), &|_, _| Vec::new())
            .unwrap()
            .report;
        let lines = report.lines().iter().filter(|line| line.is_warning);
        lines.map(|line| (line.path.clone(), line.position.line)).collect::<Vec<_>>()
    };
    assert_eq!(warnings(&agent("${vault_addr}", "")), [("vault.address".to_owned(), 1)]);
    assert_eq!(warnings(&agent("https://$${x}y-${a.b}", "")), [("vault.address".to_owned(), 1)]);
    for (address, contents) in [("https://v", "${HOME}"), ("https://v/$x", ""), ("https://v/${ a b }", "")] {
        assert_eq!(warnings(&agent(address, contents)), [], "{address} {contents}");
    }
}

#[test]
fn what_would_not_load_is_refused_at_the_line_it_comes_from() {
    let template = |destination: &str| {
        let text = "{{ with secret \\\"secret/data/x\\\" }}{{ .Data.data.y }}{{ end }}";
        format!("template {{\n  destination = \"{destination}\"\n  contents = \"{text}\"\n}}\n")
    };
    let agent = ["/run/a", "/run/b", "/run/a/c"].map(template).concat();
    let manifest = "apiVersion: external-secrets.io/v1\nkind: ExternalSecret\nmetadata: { name: run }\nspec:\n  dataFrom: [{ extract: { key: app } }]\n  \
                    target: { template: { data: { b: '{{ .x }}' } } }\n";
    let options = ConvertOptions { output_dir: String::new(), ..ConvertOptions::default() };
    let refused = |inputs: &[ConvertInput]| {
        let converted = convert(inputs, &options, &|_, _| Vec::new()).unwrap();
        let lines = converted.report.lines().iter();
        let refused = lines.filter(|line| matches!(line.outcome, FieldOutcome::Refused(_)));
        let shown = refused.map(|line| format!("{}:{} {}", line.file, line.position.line, line.object));
        (shown.collect::<Vec<_>>(), converted.configuration)
    };
    let (lines, configuration) = refused(&[input("first.yaml", ""), input("agent.hcl", &agent)]);
    assert!(lines.contains(&"agent.hcl:9 template[2]".to_owned()), "{lines:?}");
    assert!(!configuration.contains("secrets:"), "{configuration}");
    // What another file has taken: of a secret of its own, at its own first line.
    let agent = format!("\n\n{}", template("/run/b"));
    let (lines, _) = refused(&[input("eso.yaml", &format!("---\n{manifest}")), input("agent.hcl", &agent)]);
    assert_eq!(lines, ["agent.hcl:3 template"]);
}

#[test]
fn a_destination_stays_below_the_output_directory() {
    let template = |destination: &str| {
        let text = "{{ with secret \\\"secret/data/x\\\" }}{{ .Data.data.y }}{{ end }}";
        format!("template {{\n destination = \"{destination}\"\n contents = \"{text}\"\n}}\n")
    };
    for out in ["../../etc/passwd", "./a/../../b", "a/.."] {
        let refused = refusals("agent.hcl", &template(out));
        assert!(
            refused.iter().any(|(.., reason)| reason.contains("leads out of --output-dir")),
            "{refused:?}"
        );
    }
    for fine in ["a..b/c", "/run/app/x", "./x"] {
        assert_eq!(converted(&template(fine)).report.result(), ConversionResult::Lossless, "{fine}");
    }
}
