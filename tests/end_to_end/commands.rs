//! The other commands: what they print where, and their exit codes.

use std::fs;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::daemon::{Process, Sandbox};
use crate::server::{server, store};

fn parse(json: &str) -> Value {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {json}"))
}

/// A configuration of the file store, with its source.
fn local(secrets: &str) -> Sandbox {
    let sandbox =
        Sandbox::new(&format!("secretStore: {{ provider: file, path: source.yaml }}\nsecrets:\n{secrets}"));
    sandbox.write("source.yaml", "app: { user: alice, password: wonderland }\n");
    sandbox
}

#[test]
fn isready_is_silent_when_ready_and_else_says_why_in_one_line() {
    let sandbox = local("  - { name: app, key: app, files: [{ path: user, field: user }] }");
    let absent = sandbox.run(&["isready"]);
    assert_eq!(
        (absent.code, absent.stdout.as_str(), absent.stderr.lines().count()),
        (1, "", 1),
        "{absent:?}"
    );
    let daemon = sandbox.ready_daemon();
    let ready = sandbox.run(&["isready"]);
    assert_eq!((ready.code, ready.stdout.as_str(), ready.stderr.as_str()), (0, "", ""));
    let shown = parse(&sandbox.run(&["isready", "--json"]).stdout);
    assert_eq!((&shown["ready"], &shown["status"]["secret_count"]), (&json!(true), &json!(1)));
    assert_eq!(shown["status"]["secrets"][0]["name"], json!("app"));
    daemon.stop();
    let shown = sandbox.run(&["isready", "--json"]);
    assert_eq!((shown.code, &parse(&shown.stdout)["ready"]), (1, &json!(false)));
}

#[test]
fn isready_does_not_believe_a_status_file_whose_daemon_was_killed() {
    let sandbox = local("  - { name: app, key: app, files: [{ path: user, field: user }] }");
    sandbox.ready_daemon().kill();
    let finished = sandbox.run(&["isready"]);
    assert_eq!((finished.code, finished.stderr.lines().count()), (1, 1), "{finished:?}");
    // The lock of the status file is free: that is known at once, whatever the last heartbeat.
    assert!(finished.stderr.contains("ended"), "{finished:?}");
}

#[test]
fn validate_reports_every_error_of_a_file_in_one_run() {
    let sandbox = local(
        "  - { name: app, key: app, mod: x, files: [{ path: user, field: user, mode: '0666' }] }
  - { name: app, key: app, refreshInterval: soon, files: [{ path: user, field: user }] }
  - { name: other, key: app, store: nowhere, files: [{ path: a, template: '{{ user' }, { path: b, field: '${UNSET_NAME}' }] }
",
    );
    let finished = sandbox.run(&["validate"]);
    assert_eq!((finished.code, finished.stdout.as_str()), (3, ""), "{finished:?}");
    for wanted in [
        "config.yaml:3:",
        "mod",
        "mode",
        "config.yaml:4:",
        "soon",
        "duplicate-name",
        "duplicate-path",
        "config.yaml:5:",
        "nowhere",
        "template-syntax",
        "UNSET_NAME",
        "secrets[0]",
        "hint: ",
    ] {
        assert!(finished.stderr.contains(wanted), "{wanted} is not in\n{}", finished.stderr);
    }
    let finished = sandbox.run(&["validate", "--json"]);
    let report = parse(&finished.stdout);
    assert_eq!((finished.code, &report["valid"]), (3, &json!(false)));
    let text = report.to_string();
    for wanted in
        ["\"unknown-key\"", "\"bad-mode\"", "\"bad-duration\"", "\"env-unset\"", "\"line\":3", "\"hint\""]
    {
        assert!(text.contains(wanted), "{wanted} is not in {text}");
    }
}

#[test]
fn validate_json_is_json_without_a_configuration_and_with_a_wrong_setting_too() {
    let nothing = Sandbox::new("");
    fs::remove_file(nothing.path("config.yaml")).unwrap();
    let wrong = local("  - { name: app, key: app, files: [{ path: user, field: user }] }");
    for (sandbox, variable, code) in
        [(nothing, "LOG_LEVEL", "no-configuration"), (wrong, "MAX_BACKOFF", "bad-variable")]
    {
        let finish = |arguments: &[&str]| {
            let mut command = sandbox.command(arguments);
            command.env(variable, if code == "bad-variable" { "soon" } else { "info" });
            Process::start(command).finish()
        };
        let text = finish(&["validate"]);
        assert_eq!((text.code, text.stdout.as_str()), (3, ""), "{text:?}");
        let shown = finish(&["validate", "--json"]);
        assert_eq!((shown.code, shown.stderr.as_str()), (3, ""), "{shown:?}");
        let report = parse(&shown.stdout);
        assert_eq!((&report["valid"], &report["errors"]), (&json!(false), &json!(1)), "{report:#}");
        let one = &report["diagnostics"][0];
        assert_eq!((&one["code"], &one["severity"]), (&json!(code), &json!("error")), "{report:#}");
        assert!(text.stderr.contains(one["message"].as_str().unwrap()), "{text:?}");
        let keys = |report: &Value| report.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        let valid = local("  - { name: app, key: app, files: [{ path: user, field: user }] }");
        assert_eq!(keys(&report), keys(&parse(&valid.run(&["validate", "--json"]).stdout)), "the same shape");
    }
}

#[test]
fn every_error_has_place_code_and_hint() {
    let sandbox = Sandbox::new(
        "secretStore: { provider: file, path: x.yaml, address: 'http://a' }
limits: { maxFileSize: big, minRefreshInterval: 1ms, maxConcurrentRequests: 0, nothing: 1 }
secrets:
  - { name: a, key: ../x, refreshInterval: 1s, required: maybe, files: [{ path: '', field: user }] }
  - { name: b, key: app, version: 0, files: [{ path: a, template: '{{ user' }, { path: b }, { path: c, key: x, field: y }] }
  - { name: c, key: app, files: [{ path: d, field: user, owner: nobody-at-all, decoding: rot13 }, { path: d/e, field: x }] }
  - { name: d, key: app, directory: { path: f, directoryMode: '9' }, deletionPolicy: x, maxStaleness: -1s }
  - 5
",
    );
    let report = parse(&sandbox.run(&["validate", "--json"]).stdout);
    let diagnostics = report["diagnostics"].as_array().unwrap();
    assert!(diagnostics.len() >= 18, "{report:#}");
    for one in diagnostics {
        let texts = ["file", "path", "code", "message", "hint"];
        let is_complete = texts.iter().all(|name| one[name].as_str().is_some_and(|text| !text.is_empty()))
            && ["line", "column"].iter().all(|name| one[name].is_u64());
        assert!(is_complete, "{one:#}");
    }
}

#[test]
fn validate_sums_up_a_valid_file_and_names_what_came_from_the_environment() {
    let sandbox = Sandbox::new("secrets: [{ name: a, key: a, files: [{ path: a, field: a }] }]");
    let mut command = sandbox.command(&["validate"]);
    command.env("BAO_ADDR", "http://127.0.0.1:1").env("BAO_TOKEN", "marker-of-the-token");
    let finished = Process::start(command).finish();
    assert_eq!(finished.code, 0, "{finished:?}");
    assert!(
        finished.stdout.contains("BAO_ADDR") && finished.stdout.contains("BAO_TOKEN"),
        "{}",
        finished.stdout
    );
    assert!(finished.stdout.contains("valid") && !finished.output().contains("marker-of-the-token"));
}

#[test]
fn validate_online_reads_each_secret_and_tries_each_file_without_writing() {
    let bao = server();
    bao.put("online/good", &json!({ "value": "v" }));
    let sandbox = Sandbox::new(&format!(
        "{}
secrets:
  - {{ name: good, key: online/good, files: [{{ path: out/good, field: value }}] }}
  - {{ name: absent, key: online/absent, files: [{{ path: out/absent, field: value }}] }}
  - {{ name: taken, key: online/good, files: [{{ path: taken, field: value }}] }}
",
        store()
    ));
    fs::create_dir(sandbox.path("taken")).unwrap();
    assert_eq!(sandbox.run(&["validate"]).code, 0);
    let finished = sandbox.run(&["validate", "--online"]);
    assert_eq!(finished.code, 10, "{finished:?}");
    assert!(finished.stdout.contains("good: "), "{finished:?}");
    assert!(finished.stderr.contains("absent: ") && finished.stderr.contains("taken: "), "{finished:?}");
    let report = parse(&sandbox.run(&["validate", "--online", "--json"]).stdout);
    let oks: Vec<_> =
        report["online"].as_array().unwrap().iter().map(|one| one["ok"] == json!(true)).collect();
    assert_eq!(oks, [true, false, false], "{report}");
    assert!(!sandbox.path("out").exists(), "validate has written something");
}

#[test]
fn plan_tells_creations_changes_repairs_and_what_is_unchanged_but_no_value() {
    let sandbox = local(
        "  - { name: app, key: app, files: [{ path: user, field: user }, { path: password, field: password },
      { path: both, template: '{{ user }} {{ password }}' }, { path: mode, field: user }] }
",
    );
    let finished = sandbox.run(&["plan"]);
    assert_eq!(finished.code, 0, "{finished:?}");
    assert_eq!(
        finished.stdout.lines().filter(|line| line.starts_with("create")).count(),
        4,
        "{}",
        finished.stdout
    );
    assert!(!sandbox.path("user").exists(), "plan has written something");

    assert_eq!(sandbox.run(&["run", "--once"]).code, 0);
    let unchanged = sandbox.run(&["plan"]);
    assert_eq!(
        unchanged.stdout.lines().filter(|line| line.starts_with("unchanged")).count(),
        4,
        "{unchanged:?}"
    );
    assert!(!unchanged.stdout.contains("fingerprint="), "{unchanged:?}");

    sandbox.write("source.yaml", "app: { user: alice, password: looking-glass }\n");
    fs::remove_file(sandbox.path("user")).unwrap();
    fs::set_permissions(sandbox.path("mode"), std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let finished = sandbox.run(&["plan"]);
    let actions: Vec<_> = finished.stdout.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(actions, ["create", "change", "change", "repair", "plan:"], "{}", finished.stdout);
    let summary = finished.stdout.lines().last();
    assert_eq!(summary, Some("plan: 1 to create, 2 to change, 1 to repair"), "{}", finished.stdout);
    for value in ["alice", "wonderland", "looking-glass"] {
        assert!(!finished.output().contains(value), "{value} is in {}", finished.output());
    }
}

#[test]
fn plan_prints_what_it_can_and_the_faults_on_stderr() {
    let sandbox = local(
        "  - { name: app, key: app, files: [{ path: user, field: user }] }
  - { name: absent, key: nothing, files: [{ path: a, field: user }] }
",
    );
    let finished = sandbox.run(&["plan"]);
    assert_eq!((finished.code, finished.stdout.lines().count()), (6, 2), "{finished:?}");
    // With the place of the secret, as the configuration's own errors have theirs.
    let lines: Vec<_> = finished.stderr.lines().collect();
    assert!(lines.len() == 3 && lines[0].starts_with("error: absent: "), "{lines:?}");
    assert!(lines[1].starts_with("  --> ") && lines[1].ends_with(".yaml:4:5"), "{lines:?}");
    assert!(lines[2].starts_with("  hint: "), "{lines:?}");
}

#[test]
fn an_absent_secret_that_is_not_required_is_a_note() {
    let sandbox = local(
        "  - { name: app, key: app, files: [{ path: user, field: user }] }
  - { name: absent, key: nothing, required: false, files: [{ path: a, field: user }] }
",
    );
    for command in [&["plan"][..], &["validate", "--online"]] {
        let finished = sandbox.run(command);
        assert_eq!(finished.code, 0, "{finished:?}");
        assert!(finished.stderr.contains("note: absent: "), "{finished:?}");
        assert!(!finished.stderr.contains("error: "), "{finished:?}");
    }
    assert!(sandbox.run(&["validate", "--online"]).stdout.contains(": valid, 2 secrets"));
}

#[test]
fn plan_tells_owners_modes_and_removals() {
    let us = nix::unistd::getuid();
    let sandbox = local(&format!(
        "  - {{ name: app, key: app, files: [{{ path: user, field: user, owner: '{us}', mode: '0640' }}] }}
  - {{ name: gone, key: gone, deletionPolicy: delete, files: [{{ path: a, field: user }}, {{ path: b, field: user }}] }}
  - {{ name: kept, key: gone, files: [{{ path: c, field: user }}] }}
"
    ));
    sandbox.write("user", "something else");
    fs::set_permissions(sandbox.path("user"), std::os::unix::fs::PermissionsExt::from_mode(0o604)).unwrap();
    sandbox.write("a", "x");
    sandbox.write("c", "x");
    let finished = sandbox.run(&["plan"]);
    assert_eq!(finished.code, 6, "{finished:?}");
    let lines: Vec<_> = finished.stdout.lines().collect();
    assert_eq!(lines.len(), 3, "{}", finished.stdout);
    assert!(lines[0].starts_with("change ") && lines[0].contains("mode=0604→0640"), "{}", lines[0]);
    assert!(lines[0].ends_with(&format!("  owner={us}")), "{}", lines[0]);
    assert!(lines[1].starts_with(&format!("remove    {}  ", sandbox.path("a").display())), "{}", lines[1]);
    assert!(lines[1].ends_with("  size=1  (only if the absence is confirmed)"), "{}", lines[1]);
    assert!(sandbox.path("a").exists(), "plan has removed something");
}

#[test]
fn init_prints_a_configuration_that_is_valid() {
    let sandbox = Sandbox::new("");
    let starter = sandbox.run(&["init"]);
    assert_eq!((starter.code, starter.stderr.as_str()), (0, ""));
    assert!(starter.stdout.lines().filter(|line| line.trim_start().starts_with('#')).count() > 5);
    sandbox.write("config.yaml", &starter.stdout);
    for variables in
        [&[("VAULT_ADDR", "https://127.0.0.1:1"), ("VAULT_TOKEN", "t")][..], &[("BAO_TOKEN", "t")]]
    {
        let mut command = sandbox.command(&["validate"]);
        command.envs(variables.iter().copied());
        let finished = Process::start(command).finish();
        assert_eq!((finished.code, finished.stderr.as_str()), (0, ""), "{variables:?}");
    }
}

#[test]
fn a_code_is_explained_and_a_mistyped_one_is_not_repeated() {
    let sandbox = Sandbox::new("");
    for code in ["unknown-key", "error[unknown-key]"] {
        let finished = sandbox.run(&["explain", code]);
        assert_eq!((finished.code, finished.stderr.as_str()), (0, ""));
        let parts = ["unknown-key (error): ", "\nWrong:\n\n    ", "\nRight:\n\n    "];
        assert!(parts.iter().all(|part| finished.stdout.contains(part)), "{}", finished.stdout);
    }
    let finished = sandbox.run(&["explain", "unknown-kay"]);
    assert_eq!((finished.code, finished.stdout.as_str()), (2, ""));
    assert!(
        finished.stderr.contains("did you mean \"secrets-sync explain unknown-key\"?"),
        "{}",
        finished.stderr
    );
    let finished = sandbox.run(&["explain", "hunter2"]);
    assert!(finished.code == 2 && !finished.stderr.contains("hunter2"), "{}", finished.stderr);
    assert!(sandbox.run(&["explain"]).stdout.lines().count() > 40);
}

/// What bash offers for the last of some words.
fn completed_by_bash(words: &str) -> String {
    const PROGRAM: &str = "\
source \"$1\"; shift
function=$(complete -p secrets-sync | sed 's/.*-F \\([^ ]*\\).*/\\1/')
COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1))
\"$function\" secrets-sync \"${COMP_WORDS[COMP_CWORD]}\" \"${COMP_WORDS[COMP_CWORD - 1]}\"
echo \"${COMPREPLY[@]}\"
";
    let sandbox = Sandbox::new("");
    sandbox.write("completions", sandbox.run(&["completions", "bash"]).stdout);
    let mut bash = std::process::Command::new("bash");
    bash.args(["-c", PROGRAM, "bash"]).arg(sandbox.path("completions")).args(words.split(' '));
    let output = bash.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn a_shell_completes_commands_and_their_options() {
    assert_eq!(completed_by_bash("secrets-sync val"), "validate");
    assert_eq!(completed_by_bash("secrets-sync validate --onl"), "--online");
    assert_eq!(completed_by_bash("secrets-sync completions f"), "fish");
    let sandbox = Sandbox::new("");
    assert!(sandbox.run(&["completions", "zsh"]).stdout.starts_with("#compdef secrets-sync\n"));
    assert!(sandbox.run(&["completions", "fish"]).stdout.contains("complete -c secrets-sync "));
    assert_eq!(sandbox.run(&["completions", "csh"]).code, 2);
}

#[test]
fn a_manual_page_is_what_man_reads() {
    let sandbox = Sandbox::new("");
    assert_eq!(sandbox.run(&["man"]).stdout, sandbox.run(&["man", "1"]).stdout);
    for (section, title) in [("1", ".TH secrets-sync 1 "), ("5", ".TH secrets-sync.yaml 5 ")] {
        let page = sandbox.run(&["man", section]).stdout;
        assert!(page.lines().any(|line| line.starts_with(title)), "{page}");
        let asked = page.lines().filter(|line| line.starts_with(".SH")).count();
        assert!(asked >= 6, "{asked} headings: {page}");
    }
    assert_eq!(sandbox.run(&["man", "8"]).code, 2);
}

#[test]
fn version_and_help_are_results() {
    let sandbox = Sandbox::new("");
    let version = format!("secrets-sync {} (", env!("CARGO_PKG_VERSION"));
    for line in ["version", "--version", "-V"] {
        let finished = sandbox.run(&[line]);
        assert_eq!((finished.code, finished.stderr.as_str()), (0, ""));
        assert!(
            finished.stdout.starts_with(&version) && finished.stdout.ends_with("linux/x86_64)\n"),
            "{finished:?}"
        );
        assert_eq!(finished.stdout, sandbox.run(&["version"]).stdout, "{line}");
    }
    for line in [&["help"] as &[&str], &["--help"], &["-h"], &["help", "run"], &["run", "--help"]] {
        let finished = sandbox.run(line);
        assert_eq!((finished.code, finished.stderr.as_str()), (0, ""), "{line:?}");
        assert!(finished.stdout.contains("--config"), "{line:?}: {}", finished.stdout);
    }
    let help = sandbox.run(&["help"]).stdout;
    for command in [
        "run",
        "isready",
        "validate",
        "plan",
        "init",
        "schema",
        "convert",
        "explain",
        "completions",
        "man",
        "version",
    ] {
        assert!(help.contains(&format!("\n  {command} ")), "{command} is not in {help}");
    }
}

#[test]
fn the_configuration_is_found_by_flag_then_variable_then_working_directory() {
    let sandbox = local("  - { name: app, key: app, files: [{ path: user, field: user }] }");
    let text = sandbox.read("config.yaml");
    for (file, secrets) in [("flag.yaml", 2), ("variable.yaml", 3)] {
        let one = |i| format!("\n  - {{ name: s{i}, key: app, files: [{{ path: f{i}, field: user }}] }}");
        let more = (1..secrets).map(one).collect::<Vec<_>>().concat();
        sandbox.write(file, format!("{text}{more}\n"));
    }
    let counted = |arguments: &[&str], variable: Option<&str>| {
        let mut command = sandbox.command(arguments);
        command.envs(variable.map(|file| ("CONFIG_FILE", file)));
        Process::start(command).finish().stdout
    };
    assert!(counted(&["-c", "flag.yaml", "validate"], Some("variable.yaml")).contains("2 secrets"));
    assert!(counted(&["validate", "-c", "flag.yaml"], Some("variable.yaml")).contains("2 secrets"));
    assert!(counted(&["validate"], Some("variable.yaml")).contains("3 secrets"));
    assert!(counted(&["validate"], None).contains("1 secret"));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let sandbox = local("  - { name: app, key: app, files: [{ path: user, field: user }] }");
    for line in ["init", "plan", "validate", "schema", "explain", "man", "help", "version"] {
        let mut child =
            sandbox.command(&[line]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let finished = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&finished.stderr);
        assert_eq!((finished.status.code(), &*stderr), (Some(0), ""), "{line}");
    }
}

#[test]
fn run_is_the_default_command_and_prints_nothing_on_stdout() {
    let sandbox = local("  - { name: app, key: app, files: [{ path: user, field: user }] }");
    let daemon = Process::start(sandbox.command(&[]));
    sandbox.wait_until_ready(&daemon);
    let (finished, _) = daemon.stop();
    assert_eq!((finished.code, finished.stdout.as_str()), (0, ""));
    // Not a terminal: every line of the log is JSON with time, level and message.
    for line in finished.stderr.lines() {
        let event = parse(line);
        assert!(["ts", "level", "msg"].iter().all(|field| event[field].is_string()), "{line}");
    }
}
