//! Telling Go templates from Tera's. This version renders none; who brings one is shown the Tera spelling.

/// What a message says of a Go template.
pub(super) const UNSUPPORTED: &str = "only Tera templates are supported";

/// The spellings that most templates need.
pub(super) const HINT: &str = "in Tera: {{ .name }} is {{ name }}, {{ index . \"a-b\" }} is {{ data[\"a-b\"] }}, \
                               {{ if .x }}…{{ end }} is {% if x %}…{% endif %}";

/// One `{{ … }}` that only Go understands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct GoAction<'t> {
    /// With its braces.
    pub(super) text: &'t str,
    /// Between braces and trim markers.
    inner: &'t str,
}

/// The first action of `source` that is Go: one with a dot that begins a word (`.name`, `index . "x"`), a variable
/// (`$x`), a comment, or an `end`. None of these is Tera.
pub(super) fn find(source: &str) -> Option<GoAction<'_>> {
    let mut rest = source;
    while let Some(start) = rest.find("{{") {
        let (_, from) = rest.split_at(start);
        let (text, behind) = from.find("}}").map_or((from, ""), |end| from.split_at(end + 2));
        let inner = text.trim_start_matches('{').trim_end_matches('}').trim_matches('-').trim();
        if is_go(inner) {
            return Some(GoAction { text, inner });
        }
        rest = behind;
    }
    None
}

impl GoAction<'_> {
    /// The same in Tera, for the two forms whose translation is certain.
    pub(super) fn in_tera(self) -> Option<String> {
        let is_name = |name: &str| {
            let mut letters = name.chars();
            letters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
                && letters.all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        let translated = if let Some(name) = self.inner.strip_prefix('.') {
            is_name(name).then(|| name.to_owned())?
        } else {
            let name = self.inner.strip_prefix("index")?.trim().strip_prefix('.')?.trim();
            let name =
                name.strip_prefix('"')?.strip_suffix('"').filter(|name| !name.contains(['"', '\\']))?;
            format!("data[\"{name}\"]")
        };
        Some(self.text.replacen(self.inner, &translated, 1))
    }
}

fn is_go(inner: &str) -> bool {
    if inner == "end" || inner == "else" || inner.starts_with("/*") {
        return true;
    }
    let mut quote = None;
    let mut before = ' ';
    for letter in inner.chars() {
        match quote {
            Some(open) if letter == open => quote = None,
            None if matches!(letter, '"' | '\'' | '`') => quote = Some(letter),
            None if matches!(letter, '.' | '$') && (before.is_whitespace() || before == '(') => return true,
            _ => {}
        }
        before = letter;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_go_by_its_dots() {
        for text in [
            "x={{ .name }}",
            "{{.name}}",
            "{{- .name -}}",
            "{{ index . \"a-b\" }}",
            "{{ if eq .a \"x\" }}",
            "{{ name }}{{ end }}",
            "{{ $x := 1 }}",
            "{{ (.a) }}",
            "{{/* note */}}",
            "{{ .broken",
        ] {
            assert!(find(text).is_some(), "{text}");
        }
        for text in [
            "plain .text $x",
            "{{ name }}",
            "{{ data.name }}",
            "{{ data[\"a-b\"] }}",
            "{{ x | default(value=\" .y\") }}",
            "{% if a %}{{ a }}{% endif %}",
            "{{ 1.5 }}",
            "",
        ] {
            assert_eq!(find(text), None, "{text}");
        }
    }

    #[test]
    fn shows_the_spelling_of_tera() {
        for (go, tera) in [
            ("{{ .name }}", Some("{{ name }}")),
            ("{{- .name }}", Some("{{- name }}")),
            ("{{ index . \"a-b\" }}", Some("{{ data[\"a-b\"] }}")),
            ("{{ .a.b }}", None),
            ("{{ if .x }}", None),
        ] {
            assert_eq!(find(go).unwrap().in_tera().as_deref(), tera, "{go}");
        }
    }
}
