//! The tables of keys as text: for the manual page, and for docs/configuration.md.

use super::compile;
use super::keys::{KeySet, KeySpec, KeyType};

/// The keys of one kind of section.
#[derive(Debug)]
pub(crate) struct ReferenceTable {
    /// The path of the section, such as `secrets[].files[]`; empty for the whole file.
    pub(crate) section: &'static str,
    /// The provider whose keys these are; `None` where every store has them.
    pub(crate) provider: Option<&'static str>,
    /// In the order in which they are explained.
    pub(crate) rows: Vec<ReferenceRow>,
}

/// One key, in Markdown.
#[derive(Debug)]
pub(crate) struct ReferenceRow {
    pub(crate) name: &'static str,
    pub(crate) takes: String,
    /// `–` where there is none.
    pub(crate) default: &'static str,
    pub(crate) text: &'static str,
}

/// Every key of the configuration file.
pub(crate) fn reference() -> Vec<ReferenceTable> {
    compile::KEYS.with_below().into_iter().flat_map(tables).collect()
}

fn tables(set: &'static KeySet) -> Vec<ReferenceTable> {
    let table = |provider, groups: &[&'static [KeySpec]]| ReferenceTable {
        section: set.name,
        provider,
        rows: groups.iter().copied().flatten().map(row).collect(),
    };
    let of_providers = set.of_providers.map(|all| all()).unwrap_or_default().into_iter();
    let of_providers = of_providers.filter(|(_, groups)| !groups.is_empty());
    let of_providers = of_providers.map(|(provider, groups)| table(Some(provider), groups));
    std::iter::once(table(None, set.groups)).chain(of_providers).collect()
}

fn row(key: &KeySpec) -> ReferenceRow {
    let default = if key.default.is_empty() { "–" } else { key.default };
    ReferenceRow { name: key.name, takes: takes(&key.takes), default, text: key.text }
}

fn takes(takes: &KeyType) -> String {
    let name = match takes {
        KeyType::Text | KeyType::Credential => "text",
        KeyType::LocalPath => "path",
        KeyType::Template => "template",
        KeyType::Integer => "whole number",
        KeyType::Boolean => "`true`, `false`",
        KeyType::Duration => "duration",
        KeyType::Share => "number",
        KeyType::Size => "size",
        KeyType::Mode => "mode",
        KeyType::Choice(words) => return choice(words),
        KeyType::Section(_) => "mapping",
        KeyType::List(_) => "list of mappings",
        KeyType::Named(_) => "mappings by name",
        KeyType::Texts => "texts",
        KeyType::NamedTexts => "texts by name",
        KeyType::Values(_) => "values by name",
        KeyType::PathOrSection(_) => "path or mapping",
        KeyType::NamedTemplates => "templates by name",
        KeyType::Choices(words) => return format!("list of {}", choice(words)),
        KeyType::NamedChoice(words) => return format!("by name: {}", choice(words)),
    };
    name.to_owned()
}

fn choice(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

/// `text` without the links of Markdown.
pub(crate) fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, link)) = rest.split_once('[') {
        plain.push_str(before);
        match link.split_once("](").and_then(|(name, link)| Some((name, link.split_once(')')?.1))) {
            Some((name, behind)) if !name.contains('[') => {
                plain.push_str(name);
                rest = behind;
            }
            _ => {
                plain.push('[');
                rest = link;
            }
        }
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = include_str!("../../docs/configuration.md");

    /// The line in front of a table on the page.
    fn mark(table: &ReferenceTable) -> String {
        let section = if table.section.is_empty() { "top" } else { table.section };
        let provider = table.provider.map(|provider| format!(", provider {provider}")).unwrap_or_default();
        format!("<!-- keys: {section}{provider} -->\n")
    }

    fn markdown(table: &ReferenceTable) -> String {
        let row = |ReferenceRow { name, takes, default, text }: &ReferenceRow| {
            let takes = takes.replace(", `memory`", "");
            format!("| `{name}` | {takes} | {default} | {text} |\n")
        };
        let rows: String = table.rows.iter().map(row).collect();
        format!("\n| key | takes | default | meaning |\n|---|---|---|---|\n{rows}\n<!-- /keys -->\n")
    }

    /// The table that a wrong one has to be replaced with is printed.
    #[test]
    fn the_page_has_the_table_of_every_section() {
        // Without the provider that only tests have.
        let is_of_tests =
            |table: &ReferenceTable| table.provider == Some("memory") || table.section == "values";
        let tables: Vec<_> = reference().into_iter().filter(|table| !is_of_tests(table)).collect();
        let mut wrong = String::new();
        for table in &tables {
            let [mark, right] = [mark(table), markdown(table)];
            let found = PAGE.split_once(&mark).and_then(|(_, rest)| rest.split_once("<!-- /keys -->\n"));
            if found.is_none_or(|(found, _)| format!("{found}<!-- /keys -->\n") != right) {
                wrong.extend([mark.as_str(), right.as_str(), "\n"]);
            }
        }
        assert!(wrong.is_empty(), "docs/configuration.md should have:\n\n{wrong}");
        assert_eq!(
            PAGE.matches("<!-- keys: ").count(),
            tables.len(),
            "a table of a section that there is not"
        );
    }

    #[test]
    fn links_are_their_text() {
        for (text, expected) in [
            ("see [files.md](files.md#owners)!", "see files.md!"),
            ("`files[].key` and [`a`](b)", "`files[].key` and `a`"),
            ("[", "["),
        ] {
            assert_eq!(plain(text), expected);
        }
    }
}
