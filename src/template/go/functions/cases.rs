//! `snakecase` and `kebabcase`: the words of an identifier, as the library of sprig finds them.

use super::text::lower;

/// What a run of letters is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LetterRun {
    Digits,
    /// A word that begins with a capital, or capitals alone.
    Capitals,
    Letters,
    Connectors,
    Punctuation,
    /// Signs, and writings without capitals.
    Other,
}

/// `text` in small letters, with `connector` between its words: `HTTPServer2` is `http_server2`.
pub(super) fn in_small_letters(text: &str, connector: char) -> String {
    let runs = runs(text);
    let mut out = String::with_capacity(text.len() + 8);
    let mut at = 0;
    let kind = |index: usize| runs.get(index).map(|(run, _)| *run);
    while let Some((run, part)) = runs.get(at) {
        write(&mut out, *run, part, connector);
        at += 1;
        match run {
            LetterRun::Connectors | LetterRun::Punctuation => continue,
            LetterRun::Digits => at = with_letters(&mut out, &runs, at, connector),
            // A number at the end of a word belongs to it (`Server2`), but not one that small letters follow (`2xx`).
            _ if kind(at) == Some(LetterRun::Digits) && runs.len() > at + 1 => {
                if kind(at + 1) == Some(LetterRun::Letters) {
                    out.push(connector);
                }
                let digits = runs.get(at).map_or("", |(_, part)| part);
                out.push_str(digits);
                at += 1;
                if kind(at) == Some(LetterRun::Letters) {
                    at = with_letters(&mut out, &runs, at, connector);
                }
            }
            _ if kind(at) == Some(LetterRun::Digits) => continue,
            _ => {}
        }
        if kind(at).is_some_and(|next| !matches!(next, LetterRun::Connectors | LetterRun::Punctuation)) {
            out.push(connector);
        }
    }
    out
}

/// Writes the small letters and digits from `at` on, which are one word with the number before them.
fn with_letters(out: &mut String, runs: &[(LetterRun, &str)], mut at: usize, connector: char) -> usize {
    while let Some((run @ (LetterRun::Letters | LetterRun::Digits), part)) = runs.get(at) {
        write(out, *run, part, connector);
        at += 1;
    }
    at
}

fn write(out: &mut String, run: LetterRun, part: &str, connector: char) {
    match run {
        LetterRun::Connectors => out.extend(part.chars().map(|_| connector)),
        LetterRun::Capitals => out.extend(part.chars().map(lower)),
        _ => out.push_str(part),
    }
}

/// `text` in runs of one kind.
fn runs(text: &str) -> Vec<(LetterRun, &str)> {
    let mut runs = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let run = kind_of(first);
        let end = match run {
            LetterRun::Capitals => end_of_capitals(rest),
            LetterRun::Letters => end_of(rest, |letter| kind_of(letter) == LetterRun::Letters),
            LetterRun::Other => end_of(rest, |letter| matches!(kind_of(letter), LetterRun::Other)),
            run => end_of(rest, |letter| kind_of(letter) == run),
        };
        let (part, left) = rest.split_at(end.max(first.len_utf8()));
        runs.push((run, part));
        rest = left;
    }
    runs
}

/// Capitals, and the small letters behind a single one. The last of several begins the next word: `HTTP` and `Status`.
fn end_of_capitals(text: &str) -> usize {
    let capitals = end_of(text, char::is_uppercase);
    let letters =
        |from: usize| end_of(text.get(from..).unwrap_or_default(), |l| kind_of(l) == LetterRun::Letters);
    let last = text.get(..capitals).and_then(|part| part.char_indices().next_back()).map_or(0, |(at, _)| at);
    match (last, letters(capitals)) {
        (0, small) => capitals + small,
        (_, 0) => capitals,
        (last, _) => last,
    }
}

fn end_of(text: &str, is_in: impl Fn(char) -> bool) -> usize {
    text.find(|letter| !is_in(letter)).unwrap_or(text.len())
}

fn kind_of(letter: char) -> LetterRun {
    match letter {
        _ if is_connector(letter) => LetterRun::Connectors,
        _ if is_punctuation(letter) => LetterRun::Punctuation,
        _ if letter.is_uppercase() => LetterRun::Capitals,
        '\u{2e80}'..='\u{fe4f}' => LetterRun::Other,
        _ if letter.is_numeric() => LetterRun::Digits,
        _ if letter.is_alphabetic() => LetterRun::Letters,
        _ => LetterRun::Other,
    }
}

/// What separates words.
pub(super) fn is_connector(letter: char) -> bool {
    matches!(letter, '-' | '_') || letter.is_whitespace()
}

/// Unicode's punctuation, the part that texts of secrets have: not the signs (`$`, `+`, `<`, `=`, `>`, `^`, `|`, `~`, a backquote).
fn is_punctuation(letter: char) -> bool {
    let is_sign = matches!(letter, '$' | '+' | '<' | '=' | '>' | '^' | '|' | '~' | '`');
    letter.is_ascii_punctuation() && !is_sign
        || matches!(letter, '¡' | '§' | '«' | '¶' | '·' | '»' | '¿' | '\u{2010}'..='\u{2027}' | '\u{2030}'..='\u{205e}')
}
