//! Links from page to page, to files and to headings lead somewhere. Nothing asks the network.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::pages::{Page, root};

/// Where the links of a line lead; those in code are none.
fn targets(line: &str) -> Vec<&str> {
    let text = line.split('`').step_by(2);
    text.flat_map(|text| text.split("](").skip(1).filter_map(|rest| rest.split(')').next())).collect()
}

/// A line with every text between backticks emptied, so that a link whose text is code is still seen.
fn without_code(line: &str) -> String {
    let parts = line.split('`').enumerate().map(|(index, part)| if index % 2 == 0 { part } else { "" });
    parts.collect()
}

/// The names that a forge gives to the headings of a page.
fn anchors(page: &Page) -> BTreeSet<String> {
    let mut seen = BTreeMap::<String, usize>::new();
    let headings = page.prose().into_iter().filter_map(|(_, line)| {
        let text = line.trim_start_matches('#');
        (line.starts_with('#') && text.starts_with(' ')).then(|| text.trim())
    });
    let mut anchor = |heading: &str| {
        let is_kept = |c: &char| c.is_alphanumeric() || [' ', '-', '_'].contains(c);
        let name = heading.to_lowercase().chars().filter(is_kept).collect::<String>().replace(' ', "-");
        let count = seen.entry(name.clone()).and_modify(|count| *count += 1).or_default();
        if *count == 0 { name } else { format!("{name}-{count}") }
    };
    headings.map(&mut anchor).collect()
}

/// Resolves `.` and `..` by name.
fn resolved(path: &Path) -> PathBuf {
    let mut resolved = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(resolved.pop()),
            Component::CurDir => {}
            part => resolved.push(part),
        }
    }
    resolved
}

fn broken(page: &Page, pages: &[Page]) -> Vec<String> {
    let folder = Path::new(&page.path).parent().unwrap();
    let is_broken = |target: &str| {
        let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
        let file = if file.is_empty() { PathBuf::from(&page.path) } else { resolved(&folder.join(file)) };
        let linked = pages.iter().find(|linked| Path::new(&linked.path) == file);
        match linked {
            Some(linked) => !anchor.is_empty() && !anchors(linked).contains(anchor),
            None => !anchor.is_empty() || fs::metadata(root().join(file)).is_err(),
        }
    };
    let mut found = Vec::new();
    for (number, line) in page.prose() {
        let line = without_code(line);
        let local = targets(&line).into_iter().filter(|target| !target.contains("://"));
        let broken = local.filter(|target| is_broken(target));
        found.extend(broken.map(|target| format!("{}:{number}: {target} leads nowhere", page.path)));
    }
    found
}

#[test]
fn every_link_leads_somewhere() {
    let pages = Page::all();
    let found: Vec<_> = pages.iter().flat_map(|page| broken(page, &pages)).collect();
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn a_link_that_leads_nowhere_is_found() {
    let page = |text| Page::new("docs/one.md", text);
    let other = || Page::new("docs/other.md", "# A `code` heading\n## Same\n## Same\n```\n# no heading\n```");
    let broken = |text| broken(&page(text), &[page(text), other()]).len();
    assert_eq!(broken("[a](other.md) [b](other.md#a-code-heading) [c](other.md#same-1)"), 0);
    assert_eq!(
        broken("# Here\n[a](#here) [`b`](../Cargo.toml) [c](../src) [d](https://vault.example/#x)"),
        0
    );
    assert_eq!(broken("[a](another.md)"), 1);
    assert_eq!(broken("[`a`](another.md)"), 1, "a text that is code");
    assert_eq!(broken("[a](other.md#no-heading) [b](#here)"), 2);
    assert_eq!(broken("[a](../Cargo.toml#package)"), 1, "a file has no headings");
    assert_eq!(broken("`[a](another.md)`"), 0, "code");
}
