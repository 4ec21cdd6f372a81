//! Names of variables as envconsul makes them: its prefix first, then its format, then the rules for letters.

use zeroize::Zeroizing;

use crate::convert::{Conversion, ConvertInput, ConvertOptions, FieldOutcome, convert};

fn converted(text: &str) -> Conversion {
    let options = ConvertOptions::default();
    let text = Zeroizing::new(text.to_owned());
    let input = ConvertInput { name: "env.hcl".to_owned(), text, is_named: true };
    convert(&[input], &options, &|_, _| Vec::new()).unwrap()
}

/// The text of the file.
fn template(text: &str) -> String {
    let Conversion { configuration, report } = converted(text);
    let (_, template) =
        configuration.split_once("template: |-\n").unwrap_or_else(|| panic!("{}", report.to_text(true)));
    template.lines().map(str::trim_start).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_format_goes_around_the_prefix() {
    let block = |keys: &str| format!("secret {{\n path = \"kv/data/app/db\"\n {keys}\n}}\n");
    for (keys, name) in [
        ("no_prefix = true", "{{ printf \"%s\" $k }}"),
        ("", "{{ printf \"kv_data_app_db_%s\" $k }}"),
        ("format = \"X_{{key}}_{{ key }}\"", "{{ printf \"X_kv_data_app_db_%s_kv_data_app_db_%s\" $k $k }}"),
        ("no_prefix = true\n format = \"100%_{{  key }}\"", "{{ printf \"100%%_%s\" $k }}"),
        ("no_prefix = true\n format = \"\"", "{{ printf \"%s\" $k }}"),
    ] {
        let expected = format!(
            "{{{{ with secret \"kv/data/app/db\" }}}}{{{{ range $k, $v := .Data.data }}}}{name}={{{{ $v }}}}\n{{{{ end }}}}{{{{ end }}}}"
        );
        assert_eq!(template(&block(keys)), expected, "{keys}");
    }
    let keys = "key {\n name = \"user\"\n}\nkey {\n name = \"pass\"\n format = \"PG_{{ key }}\"\n}";
    assert_eq!(
        template(&format!("upcase = true\n{}", block(keys))),
        "{{ with secret \"kv/data/app/db\" }}KV_DATA_APP_DB_USER={{ index .Data.data \"user\" }}\n\
         PG_KV_DATA_APP_DB_PASS={{ index .Data.data \"pass\" }}\n{{ end }}"
    );
}

#[test]
fn what_cannot_be_read_is_refused_with_its_place() {
    for (text, line, path, word) in [
        (
            "secret {\n path = \"kv/a\"\n format = \"X_{{ key | replaceKey `a` `b` }}\"\n}\n",
            3,
            "secret.format",
            "only `{{ key }}` is read",
        ),
        (
            "secret {\n path = \"kv/a\"\n key {\n  name = \"x\"\n  format = \"{{ key\"\n }\n}\n",
            5,
            "secret.key.format",
            "only `{{ key }}` is read",
        ),
        ("secret {\n path = \"pki/issue/web\"\n}\n", 2, "secret.path", "need parameters"),
        ("upcase = true\nwait = \"2s:8s\"\n", 1, "", "no secret of a store is named"),
    ] {
        let Conversion { configuration, report } = converted(text);
        assert!(!configuration.contains("- name:"), "{configuration}");
        let is_it = |outcome: &FieldOutcome| matches!(outcome, FieldOutcome::Refused(reason) if reason.contains(word));
        let found =
            report.lines().iter().any(|at| at.position.line == line && at.path == path && is_it(&at.outcome));
        assert!(found, "{}", report.to_text(true));
    }
}
