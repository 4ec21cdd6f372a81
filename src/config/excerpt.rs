//! The line of the file under a diagnostic, with a mark under the place.
//!
//! A line may hold a secret. So a value is shown only where the tables of keys say what it is, and that it is no
//! credential; all else is replaced by `…`: credentials, values of keys that there are not, comments, and whatever stands
//! behind a syntax error. `${NAME}` is shown, because it is no value.

use std::collections::{BTreeMap, BTreeSet};

use super::compile;
use super::diagnostic::{Code, Excerpt, Position, Report, shown_key};
use super::keys::{KeySet, KeyType};
use super::yaml::{Part, PartKind, parts};
use crate::printable::Printable;

/// In place of what is not shown.
const HIDDEN: char = '…';

/// Most columns of a line that are shown: with the line's number they fit on a terminal.
const WIDTH: usize = 72;

/// Columns that are shown before the place, where the line is longer.
const BEFORE: usize = 40;

/// Gives each diagnostic the line that it speaks of.
pub(super) fn add_excerpts(report: &mut Report, text: &str) {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let placed = || report.diagnostics.iter().filter_map(|one| Some((one.code, one.place.position?)));
    let wanted: BTreeSet<u32> = placed().map(|(_, position)| position.line).collect();
    if wanted.is_empty() {
        return;
    }
    let quotes_key = |code| matches!(code, Code::UnknownKey | Code::DuplicateKey);
    let quoted = placed().filter(|(code, _)| quotes_key(*code)).map(|(_, position)| position).collect();
    let pieces = pieces(text, &wanted, &quoted);
    let lines = (1..).zip(text.lines()).filter(|(number, _)| wanted.contains(number));
    let lines: BTreeMap<u32, MaskedLine> = lines
        .map(|(number, line)| (number, MaskedLine::new(line, pieces.get(&number).map_or(&[], Vec::as_slice))))
        .collect();
    for diagnostic in &mut report.diagnostics {
        let Some(position) = diagnostic.place.position else { continue };
        let line = lines.get(&position.line);
        diagnostic.excerpt = line.map(|line| Box::new(line.around(column(position.column))));
    }
}

/// A scalar or an alias in one line, or what of it is in that line. Columns start at 0.
struct Piece {
    start: usize,
    end: usize,
    is_shown: bool,
}

fn column(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX).saturating_sub(1)
}

/// What stands in the lines of `wanted`, in its order. Keys that a message quotes are at the places of `quoted`.
fn pieces(text: &str, wanted: &BTreeSet<u32>, quoted: &BTreeSet<Position>) -> BTreeMap<u32, Vec<Piece>> {
    let mut pieces = BTreeMap::<u32, Vec<Piece>>::new();
    let mut walk = Walk { open: Vec::new() };
    for part in parts(text) {
        if wanted.last().is_some_and(|last| part.start.line > *last) {
            break;
        }
        let is_shown = walk.shows(&part.kind, quoted.contains(&part.start));
        let Part { kind: PartKind::Scalar(_) | PartKind::Alias, start, end } = part else { continue };
        for line in wanted.range(start.line..=end.line.max(start.line)) {
            let from = if *line == start.line { column(start.column) } else { 0 };
            let to = if *line == end.line { column(end.column) } else { usize::MAX };
            if from < to {
                pieces.entry(*line).or_default().push(Piece { start: from, end: to, is_shown });
            }
        }
    }
    pieces
}

/// The collections around the next part.
struct Walk {
    open: Vec<Collection>,
}

struct Collection {
    contents: Contents,
    /// The contents of the next value; nothing where a key is next. Items of a list need none.
    value: Option<Contents>,
    is_list: bool,
}

/// What the tables say of a node.
#[derive(Clone, Copy)]
enum Contents {
    /// A mapping with these keys.
    Keys(&'static KeySet),
    /// A list of such mappings, or a mapping with any keys to such mappings.
    Several(&'static KeySet),
    /// A list of texts that are shown, or a mapping with any keys to such texts.
    Texts,
    /// A text that is shown.
    Text,
    /// Anything, and not shown.
    Unknown,
}

impl Walk {
    /// Takes the next part; whether it is shown. A key that there is not is if a message quotes it.
    fn shows(&mut self, part: &PartKind, is_quoted: bool) -> bool {
        if matches!(part, PartKind::End) {
            self.open.pop();
            return true;
        }
        let contents = match self.open.last_mut() {
            None => Contents::Keys(&compile::KEYS),
            Some(Collection { contents, is_list: true, .. }) => contents.inner(),
            Some(collection) => match (collection.value.take(), part) {
                (Some(contents), _) => contents,
                (None, PartKind::Scalar(key)) => {
                    let contents = collection.contents;
                    collection.value = Some(contents.under(key));
                    let is_name = matches!(contents, Contents::Several(_) | Contents::Texts);
                    return is_name || is_key(key) || is_quoted && shown_key(key) == key.as_str();
                }
                (None, _) => {
                    // A key that is no text; its value is nothing that could be known.
                    collection.value = Some(Contents::Unknown);
                    Contents::Unknown
                }
            },
        };
        match part {
            PartKind::Scalar(text) => {
                matches!(contents, Contents::Text) && !may_hold_password(text) || is_variable(text)
            }
            PartKind::Mapping | PartKind::Sequence => {
                self.open.push(Collection {
                    contents,
                    value: None,
                    is_list: matches!(part, PartKind::Sequence),
                });
                true
            }
            PartKind::Alias | PartKind::End => true,
        }
    }
}

impl Contents {
    /// What an item of a list is.
    fn inner(self) -> Self {
        match self {
            Self::Several(keys) => Self::Keys(keys),
            Self::Texts => Self::Text,
            _ => Self::Unknown,
        }
    }

    /// What `key` of a mapping is.
    fn under(self, key: &str) -> Self {
        match self {
            _ if key == "<<" => self,
            Self::Keys(keys) => of_key(keys, key),
            Self::Several(keys) => Self::Keys(keys),
            Self::Texts => Self::Text,
            Self::Text | Self::Unknown => Self::Unknown,
        }
    }
}

/// Where providers differ, a credential of one of them is a credential.
fn of_key(keys: &KeySet, name: &str) -> Contents {
    let mut found = Contents::Unknown;
    for row in keys.all().filter(|row| row.name == name) {
        found = match row.takes {
            KeyType::Credential => return Contents::Unknown,
            KeyType::Section(keys) | KeyType::PathOrSection(keys) => Contents::Keys(keys),
            KeyType::List(keys) | KeyType::Named(keys) => Contents::Several(keys),
            KeyType::NamedTemplates | KeyType::Texts | KeyType::Choices(_) => Contents::Texts,
            // Constants: one may be a password.
            KeyType::NamedTexts | KeyType::Values(_) => Contents::Unknown,
            _ => Contents::Text,
        };
    }
    found
}

/// Whether `text` is `${NAME}` and nothing else.
fn is_variable(text: &str) -> bool {
    let name = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
    name.is_some_and(|name| name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_'))
}

/// Whether `text` may be a URL, perhaps one that is written wrong, with a password or a token in it.
fn may_hold_password(text: &str) -> bool {
    text.contains('@') || text.contains("//") && text.contains(['?', '#'])
}

/// A line as it is shown.
#[derive(Default)]
struct MaskedLine {
    letters: Vec<char>,
    runs: Vec<Run>,
}

/// Letters that are shown together.
struct Run {
    /// Where they stand in the file.
    column: usize,
    /// Where they stand in what is shown.
    at: usize,
    /// Their number, if they are one piece.
    width: usize,
}

impl MaskedLine {
    fn new(line: &str, pieces: &[Piece]) -> Self {
        let letters: Vec<char> = line.chars().collect();
        let mut masked = Self::default();
        let mut behind = 0;
        for piece in pieces {
            let end = piece.end.min(letters.len());
            masked.gap(&letters, behind, piece.start);
            let inside = letters.get(piece.start..end).unwrap_or_default();
            if piece.is_shown {
                masked.push(piece.start, inside);
            } else if !inside.is_empty() {
                masked.push(piece.start, &[HIDDEN]);
            }
            behind = end;
        }
        masked.gap(&letters, behind, letters.len());
        masked
    }

    fn push(&mut self, column: usize, letters: &[char]) {
        let at = self.letters.len();
        for letter in letters {
            self.letters.extend(Printable(letter.encode_utf8(&mut [0; 4])).to_string().chars());
        }
        self.runs.push(Run { column, at, width: self.letters.len() - at });
    }

    /// What stands between pieces: the punctuation of YAML is shown. So is a word where the text is no YAML any more, if
    /// it is the key of a table.
    fn gap(&mut self, letters: &[char], start: usize, end: usize) {
        let mut column = start;
        while let Some(rest) = letters.get(column..end).filter(|rest| !rest.is_empty()) {
            let word: Vec<char> = rest.iter().copied().take_while(|letter| !letter.is_whitespace()).collect();
            let is_first =
                column == 0 || letters.get(column - 1).is_some_and(|letter| letter.is_whitespace());
            match word.first() {
                Some('#') if is_first => return self.push(column, &[HIDDEN]),
                Some(letter) if !"-?:,[]{}|>+".contains(*letter) => {
                    let text: String = word.iter().collect();
                    let is_shown = text.strip_suffix(':').is_some_and(is_key);
                    self.push(column, if is_shown { &word } else { &[HIDDEN] });
                    column += word.len();
                }
                _ => {
                    self.push(column, rest.get(..1).unwrap_or_default());
                    column += 1;
                }
            }
        }
    }

    /// The part of the line around `column`.
    fn around(&self, column: usize) -> Excerpt {
        let run = self.runs.partition_point(|run| run.column <= column).checked_sub(1);
        let run = run.and_then(|index| self.runs.get(index));
        let (at, width) = run.map_or((0, 1), |run| match column - run.column {
            0 => (run.at, run.width),
            inside => (run.at + inside.min(run.width), 1),
        });
        let from = if self.letters.len() <= WIDTH { 0 } else { at.saturating_sub(BEFORE) };
        let to = self.letters.len().min(from + WIDTH);
        let mut line: String = if from > 0 { HIDDEN.into() } else { String::new() };
        let before = at - from + usize::from(from > 0);
        line.extend(self.letters.get(from..to).unwrap_or_default());
        if to < self.letters.len() {
            line.push(HIDDEN);
        }
        Excerpt { line: line.trim_end().to_owned(), before, width: width.clamp(1, (to.max(at + 1)) - at) }
    }
}

/// Whether some table has this key.
fn is_key(name: &str) -> bool {
    !compile::KEYS.sections_with(name).is_empty()
}
