//! The line under a diagnostic: the place is marked, and nothing in it can be a secret.

use proptest::prelude::*;

use super::*;

fn report(text: &str) -> Report {
    match parse(text) {
        Ok(loaded) => loaded.warnings,
        Err(report) => report,
    }
}

/// What the report of `text` shows of its lines, with the mark under each.
fn lines(text: &str) -> Vec<String> {
    let report = report(text);
    let shown = report.diagnostics.iter().filter_map(|one| one.excerpt.as_ref());
    shown
        .map(|excerpt| {
            format!("{}\n{}{}", excerpt.line, " ".repeat(excerpt.before), "^".repeat(excerpt.width))
        })
        .collect()
}

/// The last of them.
fn line(text: &str) -> String {
    lines(text).pop().unwrap_or_else(|| panic!("{text}"))
}

#[test]
fn the_place_is_marked() {
    for (text, expected) in [
        ("limits:\n  maxSecrets: many\n", "  maxSecrets: many\n              ^^^^"),
        (
            "limits: { maxSecrets: 5, maxFileSize: 1Mi }\n",
            "limits: { maxSecrets: 5, maxFileSize: 1Mi }\n                                      ^^^",
        ),
        ("limits: { maxFiles: 3 }\n", "limits: { maxFiles: … }\n          ^^^^^^^^"),
        ("\u{feff}limits:\r\n  maxSecrets: 'x'\r\n", "  maxSecrets: 'x'\n              ^^^"),
        ("limits:\n\tmaxSecrets: 1\n", "\\tmaxSecrets: …\n  ^^^^^^^^^^^"),
        ("limits: [\n", "limits: [\n        ^"),
    ] {
        assert_eq!(line(text), expected, "{text}");
    }
}

#[test]
fn an_error_in_a_template_points_into_its_text() {
    let text = format!(
        "{STORE}secrets:\n  - name: a\n    key: b\n    files:\n      - path: /run/a\n        template: |\n          one\n          x {{{{ a. }}}}\n"
    );
    assert_eq!(line(&text), "          x {{ a. }}\n                  ^");
}

#[test]
fn a_long_line_is_shown_around_the_place() {
    let names: Vec<_> = (0..40).map(|n| format!("{{ name: s{n}, key: k, mod: x }}")).collect();
    let text = format!("{STORE}secrets: [{}]\n", names.join(", "));
    let shown = lines(&text);
    assert!(shown.len() >= 40, "{}", shown.len());
    for (n, line) in shown.iter().enumerate().skip(2) {
        let (line, mark) = line.split_once('\n').unwrap();
        assert!(line.chars().count() <= 74, "{line}");
        let marked: String =
            line.chars().zip(mark.chars()).filter(|(_, mark)| *mark == '^').map(|(c, _)| c).collect();
        assert!(["mod", "{"].contains(&marked.as_str()) || marked.starts_with('s'), "{n}: {line}\n{mark}");
    }
}

/// `SECRET` in every place where a value can be and a message may come by.
const SECRETS: &[&str] = &[
    "secretStore: { address: x, token: SECRET, tokne: SECRET }\n",
    "secretStore:\n  tokne: SECRET\n  secret_id: [SECRET, { a: SECRET }]\n",
    "secretStore:\n  roleId: |\n    SECRET\n    SECRET\n  tls: \"SECRET\n    SECRET\"\n",
    "secretStore: { address: 'https://user:SECRET@vault', proxy: 'http://a:SECRET@b:1' }\n",
    "secretStore: { address: x, token: '${TOKEN:-SECRET}' } # SECRET\n",
    "secretStore:\n  <<: { token: SECRET, tokne: SECRET }\n  address: y # SECRET\n",
    "secretStore: { credentials: { team: { authMethod: x, token: SECRET, secret: SECRET } } }\n",
    "secretStore: { token: { SECRET } , credentials: SECRET }\n",
    "secretStore: SECRET\nsecrets: SECRET\n",
    "secretStore: { token: \"SECRET\n",
    "secretStore:\n  token: SECRET: x\n",
    "secretStore:\n  token: x\n   secretId: SECRET\n",
    "secretStore:\n  token: %SECRET\n",
    "secretStore:\n  token: !SECRET x\n",
    "secretStore:\n  token: @SECRET\n",
    "secretStore:\n\ttoken: SECRET\n",
    "secretStore: { token: SECRET, [\n",
    "secretStore: { token: *SECRET }\n",
    "x-token: &t SECRET\nsecretStore: { token: *t, x: *t }\n",
    "SECRET\n",
    "- SECRET\n",
    "secretStore: { address: x, token:SECRET }\n",
    "secretStore: { address: x, token:SECRET, token:SECRET }\n",
    "secretStore:\n  address: x\n  ? token SECRET\n",
    "secrets: [SECRET, { name: a, token: SECRET }]\n",
    "secrets:\n  - { name: a, dataFrom: [{ find: { tags: { team: SECRET }, x: SECRET } }] }\n",
];

#[test]
fn no_line_shows_what_may_be_a_secret() {
    let mut count = 0;
    for text in SECRETS {
        count += lines(text).len();
        let shown = report(text).to_string();
        assert!(!shown.contains("SECRET"), "{text}\n{shown}");
    }
    assert!(count > 40, "{count}");
}

#[test]
fn the_name_of_a_variable_is_shown() {
    let text = "secretStore: { address: x, token: '${TOKEN}' }\n";
    assert_eq!(
        lines(text).last().unwrap(),
        "secretStore: { address: x, token: '${TOKEN}' }\n                                  ^^^^^^^^^^"
    );
}

#[test]
fn what_orders_a_terminal_about_is_escaped() {
    let shown = line("limits: { maxSecrets: \"a\u{202e}b\", x: 1 }\n");
    assert!(shown.starts_with("limits: { maxSecrets: \"a\\u{202e}b\", x: … }"), "{shown}");
}

#[test]
fn thousands_of_mistakes_are_reported_in_time_and_space() {
    let one = "- { name: a, key: b, mod: x, files: [{ path: /run/a, field: f, mod: y }] }";
    let block = format!("{STORE}secrets:\n{}", format!("{one}\n").repeat(5000));
    let flow = format!("{STORE}secrets: [{}]\n", vec![one.trim_start_matches("- "); 5000].join(", "));
    for text in [block, flow] {
        let report = parse(&text).unwrap_err();
        assert!(report.diagnostics.len() > 15_000);
        let shown = report.to_string().len();
        assert!(shown < 15_000 * 500, "{shown}");
    }
}

proptest! {
    /// Wherever a text is broken. Not where the secret becomes the value of another key, or a key.
    #[test]
    fn a_broken_text_shows_no_secret(
        which in 0..SECRETS.len(),
        at in 0_usize..200,
        insert in "[\\[\\]{}:,'\"#&*!|>%@` \\n\\t-]{1,3}",
    ) {
        if ["# SECRET", "//", "*t", "{ SECRET }"].iter().any(|part| SECRETS[which].contains(part)) {
            return Ok(());
        }
        let mut text = SECRETS[which].replace("SECRET", "hvs1SECRET1hvs");
        let at = at % (text.len() + 1);
        // Not into a word: the half of a secret may well be a key.
        if !text.get(..at).is_some_and(|before| before.ends_with(|letter: char| letter.is_alphanumeric())) {
            text.insert_str(at, &insert);
        }
        let shown = report(&text).to_string();
        prop_assert!(shown.contains("unknown key \"hvs1") || !shown.contains("SECRET"), "{text}\n---\n{shown}");
    }
}
