//! Import cycles between the files of one room. A parent registers its children and a child may use its own parent, so
//! that pair is no cycle; every other way from a file back to itself is one.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{Source, closing};

/// A path as it is written, in segments, and the name it has in the file: the last segment, or what follows `as`.
type Path = (Vec<String>, String);

/// One line per cycle.
pub(crate) fn cycles(sources: &[Source]) -> Vec<String> {
    let found = groups(&Files::new(sources).uses());
    found.iter().map(|group| format!("these files import each other in a circle: {}", join(group))).collect()
}

/// The groups of files that reach each other.
fn groups(uses: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<BTreeSet<String>> {
    let reached: BTreeMap<_, _> = uses.keys().map(|file| (file, reach(uses, file))).collect();
    let group = |file: &String| -> BTreeSet<String> {
        let others = reached.get(file).into_iter().flatten();
        others.filter(|other| reached.get(other).is_some_and(|back| back.contains(file))).cloned().collect()
    };
    uses.keys().map(group).filter(|group| !group.is_empty()).collect()
}

/// Every file that can be reached from `start`, itself only where a way leads back.
fn reach(uses: &BTreeMap<String, BTreeSet<String>>, start: &str) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    let mut open = vec![start.to_owned()];
    while let Some(file) = open.pop() {
        for next in uses.get(&file).into_iter().flatten() {
            if reached.insert(next.clone()) {
                open.push(next.clone());
            }
        }
    }
    reached
}

/// What the production code of each file names, by stem.
struct Files(BTreeMap<String, Named>);

#[derive(Default)]
struct Named {
    imports: Vec<Path>,
    paths: Vec<Vec<String>>,
}

impl Files {
    fn new(sources: &[Source]) -> Self {
        let production = sources.iter().filter(|source| !source.is_test);
        Self(production.map(|source| (source.stem().to_owned(), named(source))).collect())
    }

    /// For each file the files of its room that it uses, its own parent apart.
    fn uses(&self) -> BTreeMap<String, BTreeSet<String>> {
        let used = |file: &String, named: &Named| {
            let paths = named.imports.iter().map(|(path, _)| path).chain(&named.paths);
            let used = paths.filter_map(|path| self.resolve(file, path, 0));
            used.filter(|other| other != file && room(other) == room(file) && other != parent(file)).collect()
        };
        self.0.iter().map(|(file, named)| (file.clone(), used(file, named))).collect()
    }

    /// The file that defines what `path`, written in `file`, names; what is only imported there is followed.
    fn resolve(&self, file: &str, path: &[String], depth: usize) -> Option<String> {
        let mut at = file.to_owned();
        let mut rest = path;
        match path.first()?.as_str() {
            "crate" => (at, rest) = (String::new(), path.get(1..)?),
            "self" => rest = path.get(1..)?,
            "super" => {
                while rest.first().is_some_and(|first| first == "super") {
                    (at, rest) = (parent(&at).to_owned(), rest.get(1..)?);
                }
            }
            child if !self.0.contains_key(&below(&at, child)) => return None,
            _ => {}
        }
        while let Some(name) = rest.first() {
            let child = below(&at, name);
            if self.0.contains_key(&child) {
                (at, rest) = (child, rest.get(1..)?);
                continue;
            }
            let imports = self.0.get(&at).into_iter().flat_map(|named| &named.imports);
            let import = imports.filter(|(_, own)| own == name && depth < 8);
            return match import.map(|(path, _)| self.resolve(&at, path, depth + 1)).next() {
                Some(elsewhere) => elsewhere,
                None => Some(at),
            };
        }
        Some(at)
    }
}

fn below(stem: &str, name: &str) -> String {
    if stem.is_empty() { name.to_owned() } else { format!("{stem}/{name}") }
}

fn parent(stem: &str) -> &str {
    stem.rsplit_once('/').map_or("", |(parent, _)| parent)
}

fn room(stem: &str) -> &str {
    stem.split('/').next().unwrap_or_default()
}

fn join(group: &BTreeSet<String>) -> String {
    group.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// The imports and the inline paths of a file, test code apart.
fn named(source: &Source) -> Named {
    let mut named = Named::default();
    let mut index = 0;
    while let Some(token) = source.tokens.get(index) {
        let production = !source.is_test_line(token.line);
        if token.text == "use" && starts_item(source, index) {
            let end = statement_end(source, index);
            if production {
                tree(source, index + 1, end, &[], &mut named.imports);
            }
            index = end;
        } else if source.text(index + 1) == "::"
            && !["::", "."].contains(&before(source, index))
            && !is_visibility(source, index)
        {
            let mut path = vec![token.text.clone()];
            while source.text(index + 1) == "::" {
                index += 2;
                path.push(source.text(index).to_owned());
            }
            if production {
                named.paths.push(path);
            }
        }
        index += 1;
    }
    named
}

/// Whether `use` is the keyword of an item here, and not that of a precise capture (`impl Trait + use<'_>`).
fn starts_item(source: &Source, index: usize) -> bool {
    source.text(index + 1) != "<"
}

/// Whether a path that begins here is that of `pub(in crate::room)`.
fn is_visibility(source: &Source, index: usize) -> bool {
    before(source, index) == "in" && index.checked_sub(2).is_some_and(|before| source.text(before) == "(")
}

fn before(source: &Source, index: usize) -> &str {
    index.checked_sub(1).map_or("", |before| source.text(before))
}

fn statement_end(source: &Source, start: usize) -> usize {
    let rest = source.tokens.iter().enumerate().skip(start);
    rest.filter(|(_, token)| token.text == ";").map(|(index, _)| index).next().unwrap_or(source.tokens.len())
}

/// The leaves of the use tree between `start` and `end`.
fn tree(source: &Source, start: usize, end: usize, prefix: &[String], found: &mut Vec<Path>) {
    let mut path = prefix.to_vec();
    let mut index = start;
    while index < end {
        match source.text(index) {
            "::" => {}
            "{" => {
                let close = closing(&source.tokens, index);
                let mut from = index + 1;
                while from < close {
                    let to = branch_end(source, from, close);
                    tree(source, from, to, &path, found);
                    from = to + 1;
                }
                return;
            }
            "as" => {
                found.push((path, source.text(index + 1).to_owned()));
                return;
            }
            "self" if !path.is_empty() => {}
            segment => path.push(segment.to_owned()),
        }
        index += 1;
    }
    if let Some(last) = path.last().cloned() {
        found.push((path, last));
    }
}

/// The comma that ends the branch at `from`, or `close`.
fn branch_end(source: &Source, from: usize, close: usize) -> usize {
    let mut index = from;
    while index < close {
        match source.text(index) {
            "," => return index,
            "{" => index = closing(&source.tokens, index),
            _ => {}
        }
        index += 1;
    }
    close
}
