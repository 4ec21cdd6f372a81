//! A type name stands for one thing in the whole crate.

use std::collections::BTreeMap;

use super::source::Source;

/// One line per name that is defined in several places.
pub(crate) fn duplicates(sources: &[Source]) -> Vec<String> {
    let mut defined: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for source in sources {
        for (line, name) in types(source) {
            defined.entry(name).or_default().push(format!("{}:{line}", source.path));
        }
    }
    let twice = defined.iter().filter(|(_, places)| places.len() > 1);
    let complain = |(name, places): (&String, &Vec<String>)| {
        format!("`{name}` is defined in {}: give each its own name", places.join(" and "))
    };
    twice.map(complain).collect()
}

/// Line and name of each type of the production code; associated types apart.
fn types(source: &Source) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    if source.is_test {
        return found;
    }
    let mut depth = 0_usize;
    for (index, token) in source.tokens.iter().enumerate() {
        let defines = match token.text.as_str() {
            "struct" | "enum" | "trait" | "union" => true,
            "type" => depth == 0,
            "{" => {
                depth += 1;
                false
            }
            "}" => {
                depth = depth.saturating_sub(1);
                false
            }
            _ => false,
        };
        let name = source.text(index + 1);
        let is_name = name.starts_with(|c: char| c.is_ascii_uppercase());
        if defines && is_name && !source.is_test_line(token.line) {
            found.push((token.line, name.to_owned()));
        }
    }
    found
}
