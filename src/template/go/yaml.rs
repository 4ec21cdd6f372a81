//! YAML as `toYAML` and `toYaml` write it: the block style of yaml.v2, keys sorted, long lines folded.

use std::fmt::Write as _;

use zeroize::Zeroizing;

use super::super::limits;
use super::float;
use super::number;
use super::value::{DEPTH_LIMIT, GoResult, GoValue, fault};

/// Lines are folded at the first blank behind this column.
const WIDTH: usize = 80;

/// `value` as a YAML document, without the line end at its end.
pub(super) fn encode(value: &GoValue) -> GoResult<Zeroizing<String>> {
    let mut writer = YamlWriter { out: Zeroizing::new(String::new()), column: 0 };
    writer.value(value, 0, 2, 0)?;
    limits::text(writer.out.len())?;
    Ok(writer.out)
}

struct YamlWriter {
    out: Zeroizing<String>,
    column: usize,
}

impl YamlWriter {
    /// `indent` is where a block's lines begin, `text_indent` where the further lines of a text do.
    fn value(&mut self, value: &GoValue, indent: usize, text_indent: usize, depth: usize) -> GoResult<()> {
        if depth > DEPTH_LIMIT {
            return fault(format!("a value is nested more than {DEPTH_LIMIT} levels deep"));
        }
        limits::steps(1)?;
        if self.out.len() > limits::text_left() {
            limits::text(self.out.len())?;
        }
        match value {
            GoValue::Nil => self.push("null"),
            GoValue::Bool(truth) => self.push(&truth.to_string()),
            GoValue::Int(int, _) => self.push(&int.to_string()),
            GoValue::Float(number) => self.push(&number_text(*number)),
            GoValue::Digits(digits, _) => self.push(&String::from_utf8_lossy(digits)),
            GoValue::Number(digits) => self.json_number(&String::from_utf8_lossy(digits)),
            GoValue::Text(bytes) => self.text(bytes, text_indent, false)?,
            GoValue::List(list) if list.items.is_empty() => self.push("[]"),
            GoValue::List(list) => {
                for (index, item) in list.items.iter().enumerate() {
                    if index > 0 {
                        self.line(indent);
                    }
                    self.push("- ");
                    self.value(item, indent + 2, indent + 2, depth + 1)?;
                }
            }
            GoValue::Map(map) if map.entries.borrow().is_empty() => self.push("{}"),
            GoValue::Map(map) => {
                let entries = map.entries.borrow();
                let mut entries: Vec<_> =
                    entries.iter().map(|(key, item)| (String::from_utf8_lossy(key), item)).collect();
                entries.sort_by(|left, right| natural(&left.0, &right.0));
                for (index, (key, item)) in entries.into_iter().enumerate() {
                    if index > 0 {
                        self.line(indent);
                    }
                    self.entry(&key, item, indent, depth)?;
                }
            }
            GoValue::Record(_) => {
                return fault("what `secret` gives has no YAML as a whole: take a field of it");
            }
        }
        Ok(())
    }

    fn entry(&mut self, key: &str, item: &GoValue, indent: usize, depth: usize) -> GoResult<()> {
        self.text(key.as_bytes(), indent, true)?;
        self.push(":");
        match item {
            GoValue::Map(map) if !map.entries.borrow().is_empty() => self.line(indent + 2),
            // A list begins where its key does.
            GoValue::List(list) if !list.items.is_empty() => {
                self.line(indent);
                return self.value(item, indent, indent + 2, depth + 1);
            }
            _ => self.push(" "),
        }
        self.value(item, indent + 2, indent + 2, depth + 1)
    }

    fn push(&mut self, text: &str) {
        self.out.push_str(text);
        self.column += text.chars().count();
    }

    fn line(&mut self, indent: usize) {
        self.out.push('\n');
        self.out.push_str(&" ".repeat(indent));
        self.column = indent;
    }

    /// yaml.v2 reads the number first; what is no `int64` loses its digits there, and here too.
    fn json_number(&mut self, digits: &str) {
        let text = match (digits.parse::<i64>(), digits.parse::<f64>()) {
            (Ok(int), _) => int.to_string(),
            (_, Ok(number)) if number.is_finite() => number_text(number),
            _ => digits.to_owned(),
        };
        self.push(&text);
    }

    fn text(&mut self, bytes: &[u8], indent: usize, is_key: bool) -> GoResult<()> {
        limits::text(bytes.len())?;
        let Ok(text) = std::str::from_utf8(bytes) else {
            use base64::Engine as _;
            self.push("!!binary ");
            self.push(&base64::engine::general_purpose::STANDARD.encode(bytes));
            return Ok(());
        };
        let traits = TextTraits::of(text);
        let may_be_plain = !resolves(text) && !is_base60(text);
        if text.contains('\n') && traits.may_be_block && !is_key {
            self.literal(text, indent);
        } else if !text.contains('\n') && may_be_plain && traits.may_be_plain {
            self.folded(text, indent, is_key, None);
        } else if !text.contains('\n') && may_be_plain && traits.may_be_single {
            self.push("'");
            self.folded(text, indent, is_key, Some('\''));
            self.push("'");
        } else {
            self.push("\"");
            self.double_quoted(text, indent, is_key);
            self.push("\"");
        }
        Ok(())
    }

    fn literal(&mut self, text: &str, indent: usize) {
        self.push("|");
        if text.starts_with([' ', '\n']) {
            self.push("2");
        }
        if !text.ends_with('\n') {
            self.push("-");
        } else if text == "\n" || text.ends_with("\n\n") {
            self.push("+");
        }
        for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
            self.line(if line.is_empty() { 0 } else { indent });
            self.push(line);
        }
        // What ends in an empty line is trimmed by the caller.
        if text.ends_with('\n') {
            self.trailing_break();
        }
    }

    /// The line end that a literal text brings is the one before whatever follows.
    fn trailing_break(&mut self) {
        if self.out.ends_with('\n') {
            self.out.push('\n');
        }
    }

    /// Plain or single-quoted text, with line ends at blanks where it is long.
    fn folded(&mut self, text: &str, indent: usize, is_key: bool, quote: Option<char>) {
        let mut was_space = false;
        let mut letters = text.char_indices().peekable();
        while let Some((at, letter)) = letters.next() {
            let next = letters.peek().map(|(_, next)| *next);
            let is_inside = quote.is_none() || at > 0 && next.is_some();
            if letter == ' ' && !is_key && !was_space && self.column > WIDTH && next != Some(' ') && is_inside
            {
                self.line(indent);
            } else {
                if Some(letter) == quote {
                    self.push("'");
                }
                self.push(letter.encode_utf8(&mut [0; 4]));
            }
            was_space = letter == ' ';
        }
    }

    fn double_quoted(&mut self, text: &str, indent: usize, is_key: bool) {
        let mut was_space = false;
        let mut letters = text.char_indices().peekable();
        while let Some((at, letter)) = letters.next() {
            let next = letters.peek().map(|(_, next)| *next);
            let code = u32::from(letter);
            if !is_printable(letter)
                || letter == '\n'
                || matches!(letter, '"' | '\\' | '\u{2028}' | '\u{2029}')
            {
                self.push(&escape(letter, code));
                was_space = false;
            } else if letter == ' ' {
                if !is_key && !was_space && self.column > WIDTH && at > 0 && next.is_some() {
                    self.line(indent);
                    if next == Some(' ') {
                        self.push("\\");
                    }
                } else {
                    self.push(" ");
                }
                was_space = true;
            } else {
                self.push(letter.encode_utf8(&mut [0; 4]));
                was_space = false;
            }
        }
    }
}

fn escape(letter: char, code: u32) -> String {
    let short = match letter {
        '\0' => "\\0",
        '\u{7}' => "\\a",
        '\u{8}' => "\\b",
        '\t' => "\\t",
        '\n' => "\\n",
        '\u{b}' => "\\v",
        '\u{c}' => "\\f",
        '\r' => "\\r",
        '\u{1b}' => "\\e",
        '"' => "\\\"",
        '\\' => "\\\\",
        '\u{85}' => "\\N",
        '\u{a0}' => "\\_",
        '\u{2028}' => "\\L",
        '\u{2029}' => "\\P",
        _ => "",
    };
    let mut text = short.to_owned();
    if short.is_empty() {
        let _written = match code {
            0..=0xff => write!(text, "\\x{code:02X}"),
            0x100..=0xffff => write!(text, "\\u{code:04X}"),
            _ => write!(text, "\\U{code:08X}"),
        };
    }
    text
}

/// What yaml.v2 writes as it is; letters beyond the first plane it escapes.
fn is_printable(letter: char) -> bool {
    match letter {
        '\n' | ' '..='~' => true,
        '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{ffff}' => {
            !matches!(letter, '\u{feff}' | '\u{fffe}' | '\u{ffff}')
        }
        _ => false,
    }
}

/// What the letters of a text allow.
struct TextTraits {
    may_be_plain: bool,
    may_be_single: bool,
    may_be_block: bool,
}

impl TextTraits {
    fn of(text: &str) -> Self {
        let is_break = |letter: char| matches!(letter, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}');
        let is_blank = |letter: Option<&char>| {
            letter.is_none_or(|letter| *letter == ' ' || *letter == '\t' || is_break(*letter))
        };
        let letters: Vec<char> = text.chars().collect();
        let (first, last) = (letters.first().copied().unwrap_or(' '), letters.last().copied().unwrap_or(' '));
        let mut has_indicator = text.starts_with("---") || text.starts_with("...");
        let (mut is_special, mut has_space_break, mut has_break_space) = (false, false, false);
        for (index, letter) in letters.iter().enumerate() {
            let is_followed = is_blank(letters.get(index + 1));
            let before = index.checked_sub(1).and_then(|before| letters.get(before));
            has_indicator |= match letter {
                ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`' => {
                    index == 0
                }
                '?' | '-' => index == 0 && is_followed,
                ':' => is_followed,
                '#' => is_blank(before),
                _ => false,
            };
            is_special |= !is_printable(*letter) && !is_break(*letter);
            is_special |= matches!(letter, '\r' | '\u{85}');
            has_space_break |= is_break(*letter) && before == Some(&' ');
            has_break_space |= *letter == ' ' && before.is_some_and(|before| is_break(*before));
        }
        let has_break = letters.iter().any(|letter| is_break(*letter));
        let is_edged = [first, last].iter().any(|letter| *letter == ' ' || is_break(*letter));
        let is_bad = is_special || has_space_break;
        Self {
            may_be_plain: !(is_edged || has_break || has_break_space || is_bad || has_indicator),
            may_be_single: !(has_break_space || is_bad),
            may_be_block: !text.is_empty() && last != ' ' && !is_bad,
        }
    }
}

/// Whether YAML 1.1 reads the plain text as something else than text.
fn resolves(text: &str) -> bool {
    const WORDS: [&str; 43] = [
        "", "~", "null", "Null", "NULL", "y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On",
        "ON", "n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF", ".nan", ".NaN",
        ".NAN", ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF", "-.inf", "-.Inf", "-.INF", "<<", "0b",
        "+", "-",
    ];
    if matches!(text, "0b" | "+" | "-") {
        return false;
    }
    if WORDS.contains(&text) {
        return true;
    }
    if !text.starts_with(|first: char| first.is_ascii_digit() || "+-.".contains(first)) {
        return false;
    }
    let plain = text.replace('_', "");
    let is_decimal = plain.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    let is_float =
        is_decimal && plain.bytes().any(|byte| byte.is_ascii_digit()) && plain.parse::<f64>().is_ok();
    let is_dot_float = text.starts_with('.') && text.parse::<f64>().is_ok();
    number::whole(&plain).is_some() || is_float || is_dot_float || is_date(text)
}

/// `2006-01-02`, perhaps with a time.
fn is_date(text: &str) -> bool {
    let (date, time) = match text.find(['T', 't', ' ']) {
        Some(at) => text.split_at(at),
        None => (text, ""),
    };
    let mut parts = date.split('-');
    let mut number = |lengths: std::ops::RangeInclusive<usize>, range: std::ops::RangeInclusive<u32>| {
        let part = parts.next().unwrap_or_default();
        lengths.contains(&part.len())
            && part.bytes().all(|byte| byte.is_ascii_digit())
            && part.parse().is_ok_and(|number| range.contains(&number))
    };
    let is_date = number(4..=4, 0..=9999) && number(1..=2, 1..=12) && number(1..=2, 1..=31);
    let is_time = time.get(1..).unwrap_or_default().split(':').count() == 3
        && time
            .get(1..)
            .unwrap_or_default()
            .bytes()
            .all(|byte| byte.is_ascii_digit() || b":.Z+-".contains(&byte));
    is_date && parts.next().is_none() && (time.is_empty() || is_time)
}

/// `190:20:30`.
fn is_base60(text: &str) -> bool {
    let digits = text.trim_start_matches(['+', '-']);
    let mut parts = digits.split(':');
    let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
    let first = parts.next().unwrap_or_default();
    let rest: Vec<&str> = parts.collect();
    let is_sexagesimal = |part: &&str| {
        let whole = part.split('.').next().unwrap_or_default();
        whole.parse::<u32>().is_ok_and(|number| number < 60) && whole.len() <= 2
    };
    text.len() - digits.len() < 2
        && first.starts_with(|first: char| first.is_ascii_digit())
        && is_number(first)
        && !rest.is_empty()
        && rest.iter().all(is_sexagesimal)
        && rest.iter().rev().skip(1).all(|part| !part.contains('.'))
}

fn number_text(number: f64) -> String {
    match float::shortest(number).as_str() {
        "+Inf" => ".inf".to_owned(),
        "-Inf" => "-.inf".to_owned(),
        "NaN" => ".nan".to_owned(),
        text => text.to_owned(),
    }
}

/// The order of yaml.v2: letters behind other signs, numbers by their value.
fn natural(left: &str, right: &str) -> std::cmp::Ordering {
    use std::cmp::Ordering;
    let (a, b): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let mut is_digits = false;
    for (index, (x, y)) in a.iter().zip(&b).enumerate() {
        if x == y {
            is_digits = x.is_numeric();
            continue;
        }
        match (x.is_alphabetic(), y.is_alphabetic()) {
            (true, true) => return x.cmp(y),
            (true, false) => return if is_digits { Ordering::Less } else { Ordering::Greater },
            (false, true) => return if is_digits { Ordering::Greater } else { Ordering::Less },
            (false, false) => {}
        }
        let before = a.get(..index).unwrap_or_default();
        let leads = (*x == '0' || *y == '0')
            && before.iter().rev().take_while(|letter| letter.is_numeric()).any(|letter| *letter != '0');
        let number = |letters: &[char]| {
            let digits =
                letters.get(index..).unwrap_or_default().iter().take_while(|letter| letter.is_ascii_digit());
            let start = u64::from(leads);
            digits.fold((start, 0_usize), |(number, count), digit| {
                let digit = u64::from(digit.to_digit(10).unwrap_or(0));
                (number.wrapping_mul(10).wrapping_add(digit), count + 1)
            })
        };
        return number(&a).cmp(&number(&b)).then(x.cmp(y));
    }
    a.len().cmp(&b.len())
}
