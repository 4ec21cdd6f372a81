//! A dotenv file that `sh` sources gives every value back byte for byte.

use std::process::Command;

use serde_json::{Map, Value};

use crate::daemon::Sandbox;
use crate::server::{server, store};

/// Values that a careless writer would lose or, worse, run.
const NASTY: [&str; 24] = [
    "plain",
    "",
    " space at both ends ",
    "it's",
    "'",
    "''",
    "a \"quoted\" word",
    "$HOME and ${HOME} and $(id) and `id`",
    "$$",
    "two\nlines",
    "ends in newlines\n\n",
    "\n",
    "carriage\r\nreturn",
    "tab\there",
    "# no comment",
    "a # b",
    "back\\slash \\n \\\\ \\",
    "ends in a backslash\\",
    "!history!",
    "a=b&c;d|e>f<g(h)",
    "*?[a-z]~",
    "ünïcödé → 日本 🦀",
    "-n",
    "%s %d %%",
];

#[test]
fn sh_gives_every_value_back() {
    let fields: Map<_, _> =
        NASTY.iter().enumerate().map(|(i, value)| (format!("VALUE_{i}"), Value::from(*value))).collect();
    server().put("dotenv/nasty", &Value::Object(fields));
    let sandbox = Sandbox::new(&format!(
        "{}\nsecrets: [{{ name: nasty, key: dotenv/nasty, files: [{{ path: app.env, format: dotenv }}] }}]",
        store()
    ));
    let finished = sandbox.run(&["run", "--once"]);
    assert_eq!(finished.code, 0, "{}", finished.stderr);

    let names: Vec<_> = (0..NASTY.len()).map(|i| format!("\"$VALUE_{i}\"")).collect();
    let script = format!("set -eu; . ./app.env; printf '%s\\0' {}", names.join(" "));
    let shell = Command::new("sh").arg("-c").arg(script).current_dir(sandbox.path("")).output().unwrap();
    assert!(
        shell.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&shell.stderr),
        sandbox.read("app.env")
    );
    let printed = String::from_utf8(shell.stdout).unwrap();
    let values: Vec<_> = printed.strip_suffix('\0').unwrap().split('\0').collect();
    assert_eq!(values, NASTY);
}

/// As Docker's and Podman's `--env-file` do: a line without its end, split at the first `=`.
#[test]
fn a_raw_reader_gives_every_value_of_one_line_back_and_others_are_refused() {
    let is_raw = |value: &&str| !value.contains('\n') && !value.ends_with('\r');
    let values: Vec<_> = NASTY.iter().copied().filter(|value| is_raw(value)).collect();
    let fields: Map<_, _> =
        values.iter().enumerate().map(|(i, value)| (format!("VALUE_{i}"), Value::from(*value))).collect();
    server().put("dotenv/raw", &Value::Object(fields));
    server().put("dotenv/lines", &serde_json::json!({ "KEY": "two\nlines" }));
    let sandbox = Sandbox::new(&format!(
        "{}\nsecrets:\n  - {{ name: raw, key: dotenv/raw, files: [{{ path: raw.env, format: dotenv-raw }}] }}
  - {{ name: lines, key: dotenv/lines, files: [{{ path: lines.env, format: dotenv-raw }}] }}",
        store()
    ));
    let finished = sandbox.run(&["run", "--once"]);
    assert_eq!(finished.code, 7, "{}", finished.stderr);
    assert!(finished.stderr.contains("field `KEY` holds a line break"), "{}", finished.stderr);
    let reader = "import sys\nfor line in open('raw.env', newline='\\n', encoding='utf-8'):\n \
                  sys.stdout.buffer.write(line[:-1].split('=', 1)[1].encode() + b'\\0')";
    let python = Command::new("python3").args(["-c", reader]).current_dir(sandbox.path("")).output().unwrap();
    assert!(python.status.success(), "{}", String::from_utf8_lossy(&python.stderr));
    let printed = String::from_utf8(python.stdout).unwrap();
    // Names are sorted as text: VALUE_10 comes before VALUE_2.
    let mut names: Vec<_> = (0..values.len()).map(|i| format!("VALUE_{i}")).collect();
    names.sort();
    let expected: Vec<_> = names
        .iter()
        .map(|name| values[name.trim_start_matches("VALUE_").parse::<usize>().unwrap()])
        .collect();
    assert_eq!(printed.strip_suffix('\0').unwrap().split('\0').collect::<Vec<_>>(), expected);
}
