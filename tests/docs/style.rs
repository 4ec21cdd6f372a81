//! Pages read well as plain text: short lines, tables whose columns have names.

use crate::pages::Page;

const LINE: usize = 160;

/// Reference pages. A row of a Markdown table cannot be broken, and these have long ones.
const LONG_ROWS: [&str; 11] = [
    "docs/adr/",
    "docs/architecture.md",
    "docs/configuration.md",
    "docs/fuzzing.md",
    "docs/observability.md",
    "docs/performance.md",
    "docs/reliability.md",
    "docs/security.md",
    "docs/stores.md",
    "docs/supply-chain.md",
    "docs/templates.md",
];

fn long_lines(page: &Page) -> Vec<String> {
    let prose = page.prose();
    let may_be_long = |number: usize, line: &str| {
        let is_row = line.starts_with('|') && prose.iter().any(|(found, _)| *found == number);
        is_row && LONG_ROWS.iter().any(|reference| page.path.starts_with(reference))
    };
    let lines = page.text.lines().enumerate().map(|(index, line)| (index + 1, line));
    lines
        .filter(|(number, line)| line.chars().count() > LINE && !may_be_long(*number, line))
        .map(|(number, line)| {
            format!("{}:{number}: {} characters of {LINE}", page.path, line.chars().count())
        })
        .collect()
}

fn empty_headings(page: &Page) -> Vec<String> {
    let prose = page.prose();
    let pairs = prose.iter().zip(prose.iter().skip(1));
    let headings = pairs.filter(|(_, (_, next))| next.starts_with("|-")).map(|(heading, _)| heading);
    let has_empty_cell =
        |line: &str| line.trim().trim_matches('|').split('|').any(|cell| cell.trim().is_empty());
    headings
        .filter(|(_, line)| has_empty_cell(line))
        .map(|(number, _)| format!("{}:{number}: a column without a name", page.path))
        .collect()
}

/// Code that continues in the next line: forges join it, people who search for it do not find it.
fn broken_code(page: &Page) -> Vec<String> {
    let prose = page.prose().into_iter().filter(|(_, line)| !line.starts_with("    "));
    prose
        .filter(|(_, line)| line.matches('`').count() % 2 == 1)
        .map(|(number, _)| format!("{}:{number}: code that does not end in its line", page.path))
        .collect()
}

fn every_page(rule: fn(&Page) -> Vec<String>) {
    let found: Vec<_> = Page::all().iter().flat_map(rule).collect();
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn no_line_is_longer_than_160_characters() {
    every_page(long_lines);
}

#[test]
fn every_column_of_a_table_has_a_name() {
    every_page(empty_headings);
}

#[test]
fn code_ends_in_the_line_where_it_begins() {
    every_page(broken_code);
}

#[test]
fn the_rules_fire_for_what_they_forbid() {
    let fires = |path, text: &str| {
        let page = Page::new(path, text);
        (long_lines(&page).len(), empty_headings(&page).len())
    };
    let (fits, long) = ("ü".repeat(160), "ü".repeat(161));
    assert_eq!(fires("docs/faq.md", &fits), (0, 0));
    assert_eq!(fires("docs/faq.md", &long), (1, 0));
    assert_eq!(fires("docs/faq.md", &format!("| {long} |")), (1, 0));
    assert_eq!(fires("docs/stores.md", &format!("| {long} |")), (0, 0));
    assert_eq!(fires("docs/stores.md", &format!("```\n| {long} |\n```")), (1, 0), "not a table");
    assert_eq!(fires("docs/faq.md", "| a | b |\n|---|---|\n| | 1 |"), (0, 0));
    assert_eq!(broken_code(&Page::new("docs/faq.md", "`a`\nb `c\nd` `e`\n```\n`\n```")).len(), 2);
    assert_eq!(fires("docs/faq.md", "| a | |\n|---|---|\n| 1 | 2 |"), (0, 1));
}
