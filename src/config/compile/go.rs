//! Telling Go templates from Tera's.

/// Words that begin an action of Go and no expression of Tera.
const KEYWORDS: [&str; 10] =
    ["block", "define", "else", "end", "if", "pkiCert", "range", "secret", "template", "with"];

/// Whether some `{{ … }}` of `source` is Go: one with a dot that begins a word (`.name`, `index . "x"`), a variable (`$x`),
/// a comment, or a keyword. None of these is Tera.
pub(super) fn is_go_template(source: &str) -> bool {
    let mut rest = source;
    while let Some(start) = rest.find("{{") {
        let (_, from) = rest.split_at(start);
        let (text, behind) = from.find("}}").map_or((from, ""), |end| from.split_at(end + 2));
        let inner = text.trim_start_matches('{').trim_end_matches('}').trim_matches('-').trim();
        if is_go(inner) {
            return true;
        }
        rest = behind;
    }
    false
}

fn is_go(inner: &str) -> bool {
    let mut words = inner.split_whitespace();
    let (first, second) = (words.next().unwrap_or_default(), words.next());
    let is_keyword = KEYWORDS.contains(&first) && (second.is_some() || matches!(first, "end" | "else"));
    if is_keyword && !matches!(second, Some("|" | "==" | "~" | "or" | "and" | "if" | "in")) || first == "else"
    {
        return true;
    }
    if inner.starts_with("/*") {
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
    fn knows_go_by_its_dots_and_words() {
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
            "{{ secret \"a/b\" | toJSON }}",
            "{{- template \"x\" -}}",
        ] {
            assert!(is_go_template(text), "{text}");
        }
        for text in [
            "plain .text $x",
            "{{ name }}",
            "{{ data.name }}",
            "{{ data[\"a-b\"] }}",
            "{{ x | default(value=\" .y\") }}",
            "{% if a %}{{ a }}{% endif %}",
            "{{ 1.5 }}",
            "{{ secret }}",
            "{{ secret | upper }}",
            "{{ template ~ \"x\" }}",
            "",
        ] {
            assert!(!is_go_template(text), "{text}");
        }
    }
}
