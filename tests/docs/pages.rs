//! The Markdown pages of the repository, read line by line.

use std::fs;
use std::path::{Path, PathBuf};

/// Folders that are not ours: what was built, other people's tools, what git keeps.
const NOT_OURS: [&str; 4] = ["target", ".tools", ".git", "run"];

/// A page: its path from the root of the repository, and its text.
pub(crate) struct Page {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// A fenced block.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// The line of its first fence, from 1.
    pub(crate) line: usize,
    pub(crate) language: String,
    pub(crate) text: String,
}

pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below `folder` with this extension.
pub(crate) fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let is_ours = !NOT_OURS.iter().any(|name| path.ends_with(name));
        if path.is_dir() && is_ours {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The path from the root of the repository.
pub(crate) fn short(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned()
}

impl Page {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    pub(crate) fn all() -> Vec<Self> {
        let read = |path: PathBuf| Self::new(&short(&path), &fs::read_to_string(&path).unwrap());
        let pages: Vec<_> = files(&root(), "md").into_iter().map(read).collect();
        assert!(pages.len() > 20, "{} pages found", pages.len());
        pages
    }

    /// Lines outside of fenced blocks, with their numbers from 1.
    pub(crate) fn prose(&self) -> Vec<(usize, &str)> {
        let mut is_code = false;
        let mut prose = Vec::new();
        for (index, line) in self.text.lines().enumerate() {
            if is_fence(line) {
                is_code = !is_code;
            } else if !is_code {
                prose.push((index + 1, line));
            }
        }
        prose
    }

    pub(crate) fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut open: Option<Block> = None;
        for (index, line) in self.text.lines().enumerate() {
            match &mut open {
                None if is_fence(line) => {
                    let language = line.trim().trim_start_matches('`').to_owned();
                    open = Some(Block { line: index + 1, language, text: String::new() });
                }
                None => {}
                Some(_) if is_fence(line) => blocks.extend(open.take()),
                Some(block) => {
                    block.text.push_str(line);
                    block.text.push('\n');
                }
            }
        }
        assert!(open.is_none(), "{}: a fenced block has no end", self.path);
        blocks
    }
}

fn is_fence(line: &str) -> bool {
    line.trim_start().starts_with("```")
}

#[test]
fn blocks_are_not_prose() {
    let page = Page::new("page.md", "one\n```yaml\na: 1\n```\ntwo\n");
    assert_eq!(page.prose(), [(1, "one"), (5, "two")]);
    let block = Block { line: 2, language: "yaml".to_owned(), text: "a: 1\n".to_owned() };
    assert_eq!(page.blocks(), [block]);
}
