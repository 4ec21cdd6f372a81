//! Files that are sources of other tools: recognised by their content, and named with what renders them.

/// What a file is instead.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct ForeignSource {
    /// What it is: "a Helm template".
    pub(super) what: &'static str,
    /// The line that shows it.
    pub(super) line: u32,
    /// What to do.
    pub(super) remedy: &'static str,
}

/// One kind of source, and how its lines look.
struct ForeignKind {
    what: &'static str,
    remedy: &'static str,
    is_line: fn(&str) -> bool,
}

/// In the order in which they are looked for: the surest first.
const KINDS: [ForeignKind; 7] = [
    ForeignKind {
        what: "a source of Helm",
        remedy: "render it first: `helm template NAME CHART --values FILE`, and convert what that prints",
        is_line: is_helm,
    },
    ForeignKind {
        what: "a source of vals",
        remedy: "name the secrets in a configuration: `secrets-sync init` prints a first one; \"ref+vault://MOUNT/data/KEY#/FIELD\" \
                 is mountPath, key and field",
        is_line: |line| line.contains("ref+vault://"),
    },
    ForeignKind {
        what: "a source of Ansible",
        remedy: "let the playbook run, or name the secrets in a configuration: `secrets-sync init` prints a first one",
        is_line: is_ansible,
    },
    ForeignKind {
        what: "a source of Jinja",
        remedy: "render it first, for example with `ansible-playbook` or `jinja2 FILE VALUES`, and convert the result",
        is_line: |line| line.contains("{%"),
    },
    ForeignKind {
        what: "a source of Terraform",
        remedy: "let `terraform apply` or `tofu apply` write the file, and convert the result",
        is_line: is_terraform,
    },
    ForeignKind {
        what: "a script that calls the client of Vault or OpenBao",
        remedy: "name the secrets in a configuration: `secrets-sync init` prints a first one, and `vault kv get -mount=M KEY` is \
                 mountPath and key",
        is_line: is_client_call,
    },
    ForeignKind {
        what: "a file of Docker Compose",
        remedy: "it holds no paths of a store: `secrets-sync init` prints a configuration, and docs/deploy/compose.md says how a \
                 service reads its files",
        is_line: |_| false,
    },
];

/// What a text is instead of a manifest or a configuration, as its lines show it.
pub(super) fn recognise(text: &str) -> Option<ForeignSource> {
    KINDS.iter().find_map(|kind| {
        let line = text.lines().position(|line| (kind.is_line)(line))?;
        Some(ForeignSource { what: kind.what, line: number(line), remedy: kind.remedy })
    })
}

/// What a text is that is no YAML: marks that mean less in a text that is.
pub(super) fn recognise_broken(text: &str) -> Option<ForeignSource> {
    let is_escaped = |line: &str| {
        ["{{ \"{{", "{{\"{{", "{{`", "{{ `", "{{- if", "{{- with", "{{- range"]
            .iter()
            .any(|mark| line.contains(mark))
    };
    let helm = KINDS.first()?;
    recognise(text).or_else(|| {
        let line = text.lines().position(is_escaped)?;
        Some(ForeignSource { what: helm.what, line: number(line), remedy: helm.remedy })
    })
}

/// A file of Docker Compose, whose keys show it.
pub(super) fn compose(line: u32) -> Option<ForeignSource> {
    let kind = KINDS.last()?;
    Some(ForeignSource { what: kind.what, line, remedy: kind.remedy })
}

/// What to do about a source of Helm.
pub(super) const HELM_REMEDY: &str = "a source of Helm: render it first, `helm template NAME CHART --values FILE`, and convert what that prints";

/// Whether an object of Helm stands in an action: no template of External Secrets or of the Agent has fields below a
/// field of these names.
pub(super) fn is_helm(line: &str) -> bool {
    const OBJECTS: [&str; 6] =
        [".Values.", ".Release.", ".Chart.", ".Capabilities.", "include \"", ".Files.Get"];
    let mut rest = line;
    while let Some((_, behind)) = rest.split_once("{{") {
        let action = behind.split_once("}}").map_or(behind, |(action, _)| action);
        if OBJECTS.iter().any(|object| action.contains(object)) {
            return true;
        }
        rest = behind;
    }
    false
}

fn is_ansible(line: &str) -> bool {
    let begins = |key: &str| line.trim_start_matches(['-', ' ']).starts_with(key);
    let marks = ["hashi_vault", "hashivault_", ": !vault |"];
    marks.iter().any(|mark| line.contains(mark)) || (line.starts_with("- ") && begins("hosts:"))
}

fn is_terraform(line: &str) -> bool {
    const BLOCKS: [&str; 7] = [
        "resource \"",
        "data \"vault_",
        "provider \"",
        "variable \"",
        "module \"",
        "terraform {",
        "output \"",
    ];
    BLOCKS.iter().any(|block| line.starts_with(block)) || line.contains("%{ if") || line.contains("%{ for")
}

fn is_client_call(line: &str) -> bool {
    let is_comment = line.trim_start().starts_with('#');
    let calls = ["vault kv get", "bao kv get", "vault read ", "bao read "];
    !is_comment && calls.iter().any(|call| line.contains(call))
}

fn number(line: usize) -> u32 {
    u32::try_from(line + 1).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_known_by_their_lines() {
        for (text, what, line) in [
            ("a: 1\nb: {{ .Values.x | quote }}\n", "a source of Helm", 2),
            ("b: {{- include \"app.name\" . }}\n", "a source of Helm", 1),
            ("db: ref+vault://secret/data/a#/b\n", "a source of vals", 1),
            ("- hosts: all\n  tasks: []\n", "a source of Ansible", 1),
            ("x: \"{{ lookup('community.hashi_vault.hashi_vault', 'a') }}\"\n", "a source of Ansible", 1),
            ("a: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n", "a source of Ansible", 1),
            ("template {\n{% raw %}\n}\n", "a source of Jinja", 2),
            ("resource \"vault_kv_secret_v2\" \"x\" {\n}\n", "a source of Terraform", 1),
            (
                "#!/bin/sh\nA=$(vault kv get -field=a secret/x)\n",
                "a script that calls the client of Vault or OpenBao",
                2,
            ),
        ] {
            let found = recognise(text).map(|found| (found.what, found.line));
            assert_eq!(found, Some((what, line)), "{text}");
        }
    }

    #[test]
    fn templates_of_external_secrets_are_none_of_them() {
        for text in [
            "a: \"{{ .user }}\"\n",
            "a: '{{ \"{{\" }}album{{ \"}}\" }}'\n",
            "a: |\n  {{- range $k, $v := . }}\n  {{ $k }}\n  {{- end }}\n",
            "# vault kv get secret/a\na: 1\n",
        ] {
            assert_eq!(recognise(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_no_yaml_may_be_an_escaped_template() {
        let text = "a:\n{{- if .enabled }}\n  b: 1\n{{- end }}\n";
        assert_eq!(recognise(text), None);
        assert_eq!(recognise_broken(text).map(|found| found.line), Some(2));
    }
}
