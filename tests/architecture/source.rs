//! One source file as the rules see it: its tokens without comments and literals, and which lines are test code.

use std::path::Path;
use std::{fs, io};

/// A file below `src`.
pub(crate) struct Source {
    /// Relative to `src`, with slashes: `store/file.rs`.
    pub(crate) path: String,
    /// The text as it is, line by line.
    pub(crate) lines: Vec<String>,
    /// Identifiers, `::`, and every other visible character alone; no comments, no literals.
    pub(crate) tokens: Vec<Token>,
    /// Whether the whole file is test code.
    pub(crate) is_test: bool,
    test_lines: Vec<(usize, usize)>,
}

/// One token and the line it is on, from 1.
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) line: usize,
}

impl Source {
    pub(crate) fn parse(path: &str, text: &str) -> Self {
        let tokens = tokens(&mask(text));
        let test_lines = test_lines(&tokens);
        let lines = text.lines().map(str::to_owned).collect();
        Self { path: path.to_owned(), lines, is_test: false, tokens, test_lines }
    }

    /// Every file below `src`, sorted by path; files behind `#[cfg(test)] mod name;` are marked as test code.
    pub(crate) fn all(src: &Path) -> io::Result<Vec<Self>> {
        let mut paths = Vec::new();
        collect(src, "", &mut paths)?;
        paths.sort();
        let read = |path: &String| Ok(Self::parse(path, &fs::read_to_string(src.join(path))?));
        let mut sources = paths.iter().map(read).collect::<io::Result<Vec<_>>>()?;
        let tests: Vec<_> = sources.iter().flat_map(Self::test_children).collect();
        for source in &mut sources {
            source.is_test = tests.iter().any(|test| source.is_within(test));
        }
        Ok(sources)
    }

    /// The path without `.rs`, which is the module's path: `store/file`.
    pub(crate) fn stem(&self) -> &str {
        self.path.strip_suffix(".rs").unwrap_or(&self.path)
    }

    /// The root module the file belongs to: `store`.
    pub(crate) fn module(&self) -> &str {
        self.stem().split('/').next().unwrap_or_default()
    }

    /// Whether the file is `stem.rs` or lies below `stem/`.
    pub(crate) fn is_within(&self, stem: &str) -> bool {
        self.stem().strip_prefix(stem).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Whether line `line`, from 1, is test code.
    pub(crate) fn is_test_line(&self, line: usize) -> bool {
        self.is_test || self.test_lines.iter().any(|(first, last)| (*first..=*last).contains(&line))
    }

    /// The text of token `index`; empty past either end.
    pub(crate) fn text(&self, index: usize) -> &str {
        self.tokens.get(index).map_or("", |token| &token.text)
    }

    /// The stems of the modules this file declares as `#[cfg(test)] mod name;`.
    fn test_children(&self) -> Vec<String> {
        let parent = match self.stem() {
            "lib" | "main" => String::new(),
            stem => format!("{stem}/"),
        };
        let children = (0..self.tokens.len()).filter(|i| self.text(*i) == "mod" && self.text(i + 2) == ";");
        let tests = children.filter(|i| self.tokens.get(*i).is_some_and(|t| self.is_test_line(t.line)));
        tests.map(|i| format!("{parent}{}", self.text(i + 1))).collect()
    }
}

/// The index of the token that closes the bracket opened at `open`; the end of the file where nothing does.
pub(crate) fn closing(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate().skip(open) {
        match token.text.as_str() {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return index;
        }
    }
    tokens.len().saturating_sub(1)
}

fn collect(directory: &Path, prefix: &str, paths: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), &format!("{path}/"), paths)?;
        } else if entry.path().extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
    Ok(())
}

/// Lines of items under `#[cfg(test)]`, from the attribute to the closing brace or semicolon.
fn test_lines(tokens: &[Token]) -> Vec<(usize, usize)> {
    let is_cfg_test =
        |window: &[Token]| window.iter().map(|t| t.text.as_str()).eq(["cfg", "(", "test", ")", "]"]);
    let mut found = Vec::new();
    for (start, window) in tokens.windows(5).enumerate().filter(|(_, window)| is_cfg_test(window)) {
        let body = tokens.iter().enumerate().skip(start + 5).find(|(_, t)| t.text == "{" || t.text == ";");
        let end =
            body.map_or(tokens.len(), |(i, token)| if token.text == "{" { closing(tokens, i) } else { i });
        let last = tokens.get(end).map_or(usize::MAX, |token| token.line);
        found.extend(window.first().map(|first| (first.line, last)));
    }
    found
}

fn tokens(code: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    for (number, line) in code.lines().enumerate() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            let length = match word {
                0 if rest.starts_with("::") => 2,
                0 => first.len_utf8(),
                word => word,
            };
            let (text, tail) = rest.split_at(length);
            tokens.push(Token { text: text.to_owned(), line: number + 1 });
            rest = tail.trim_start();
        }
    }
    tokens
}

/// `text` with comments and literals blanked out, line breaks kept.
fn mask(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let may_start = matches!(first, '/' | '\'' | '"' | 'b' | 'c' | 'r');
        let skipped = may_start.then(|| literal_or_comment(rest, code.chars().next_back())).flatten();
        let (head, tail) = rest.split_at(skipped.unwrap_or(first.len_utf8()));
        match skipped {
            Some(_) => code.extend(head.chars().map(|c| if c == '\n' { '\n' } else { ' ' })),
            None => code.push_str(head),
        }
        rest = tail;
    }
    code
}

/// The length of the comment or literal that `rest` starts with.
fn literal_or_comment(rest: &str, before: Option<char>) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(block_comment(rest));
    }
    if rest.starts_with('\'') {
        return char_literal(rest);
    }
    let in_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let prefix = if in_word { 0 } else { rest.find(|c| c != 'b' && c != 'c' && c != 'r').unwrap_or(0) };
    let (prefix, body) = rest.split_at(prefix);
    let hashes = if prefix.ends_with('r') { body.len() - body.trim_start_matches('#').len() } else { 0 };
    let content = body.get(hashes..)?.strip_prefix('"')?;
    let opening = prefix.len() + hashes + 1;
    if prefix.ends_with('r') {
        let end = format!("\"{}", "#".repeat(hashes));
        return Some(content.find(&end).map_or(rest.len(), |at| opening + at + end.len()));
    }
    Some(opening + quoted(content, '"'))
}

fn block_comment(rest: &str) -> usize {
    let mut depth = 0_usize;
    for (at, _) in rest.char_indices() {
        let tail = rest.get(at..).unwrap_or_default();
        if tail.starts_with("/*") {
            depth += 1;
        } else if tail.starts_with("*/") {
            depth = depth.saturating_sub(1);
            if depth == 0 {
                return at + 2;
            }
        }
    }
    rest.len()
}

/// The length of a character literal; `None` for a lifetime, which has no second quote.
fn char_literal(rest: &str) -> Option<usize> {
    let content = rest.get(1..)?;
    let first = content.chars().next()?;
    let closed = content.get(first.len_utf8()..)?.starts_with('\'');
    (first == '\\' || closed).then(|| 1 + quoted(content, '\''))
}

/// How long `content` is up to and including the first `quote` that no backslash precedes.
fn quoted(content: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in content.char_indices() {
        if c == quote && !escaped {
            return at + quote.len_utf8();
        }
        escaped = c == '\\' && !escaped;
    }
    content.len()
}
