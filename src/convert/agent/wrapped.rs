//! Templates that are the source of another tool's template: they must be rendered by that tool first.

use crate::convert::foreign;

const JINJA: &str =
    "this is a source of Jinja, which Ansible renders: let the playbook write the file, and convert that";

const HELM: &str = "this is a source of Helm: render it first, `helm template NAME CHART --values FILE`, and convert what that prints";

const TERRAFORM: &str =
    "this is a source of Terraform: let `terraform apply` or `tofu apply` write the file, and convert that";

/// Statements of Jinja. A text for other readers may hold `{%` as well.
const STATEMENTS: [&str; 8] = ["raw", "endraw", "if", "endif", "for", "endfor", "set", "include"];

/// Expressions that Terraform fills in.
const EXPRESSIONS: [&str; 7] = ["${var.", "${local.", "${data.", "${module.", "${path.", "%{ if", "%{ for"];

/// The byte that shows another tool's source, and what to do.
pub(super) fn find(text: &str) -> Option<(usize, &'static str)> {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if let Some(column) = statement(line) {
            return Some((at + column, JINJA));
        }
        if foreign::is_helm(line)
            || ["{{ \"{{", "{{\"{{", "{{`{{", "{{ `{{"].iter().any(|mark| line.contains(mark))
        {
            return Some((at + line.find("{{").unwrap_or_default(), HELM));
        }
        if let Some(column) = EXPRESSIONS.iter().find_map(|mark| line.find(mark)) {
            return Some((at + column, TERRAFORM));
        }
        at += line.len();
    }
    None
}

/// Where a statement of Jinja begins.
fn statement(line: &str) -> Option<usize> {
    line.match_indices("{%").map(|(column, _)| column).find(|column| {
        let inner = line.get(column + 2..).unwrap_or_default();
        let inner = inner.trim_start_matches(['-', '+']).trim_start();
        let word: String = inner.chars().take_while(char::is_ascii_alphabetic).collect();
        STATEMENTS.contains(&word.as_str())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_of_other_tools_are_known_and_other_texts_are_not() {
        for (text, at, message) in [
            ("a\n{% raw %}\n", 2, JINJA),
            ("x {%- if a %}", 2, JINJA),
            ("a {{ .Values.x }}", 2, HELM),
            ("{{ \"{{\" }} with", 0, HELM),
            ("a ${var.x}", 2, TERRAFORM),
        ] {
            assert_eq!(find(text), Some((at, message)), "{text}");
        }
        for text in
            ["a {% b %} {# c #}", "${HOME} ${x}", "{{ with secret \"a/b\" }}{{ .Data.values.x }}{{ end }}"]
        {
            assert_eq!(find(text), None, "{text}");
        }
    }
}
