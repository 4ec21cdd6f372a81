//! `print`, `println` and `printf`: Go's formatting of values.
//!
//! Where Go would write `%!…` into the text, there is an error.

use std::rc::Rc;

use super::super::limits::{self, BoundedOutput, Full, RenderRefusal};
use super::float;
use super::quoting;
use super::value::{DEPTH_LIMIT, GoFault, GoResult, GoValue, IntType, fault};

/// Widest field and most decimals.
const MOST_WIDTH: usize = 1_000_000;
/// More decimals than any number has.
const MOST_DECIMALS: usize = 2_000;

impl From<Full> for GoFault {
    fn from(_: Full) -> Self {
        Self::Refused(RenderRefusal::Text)
    }
}

/// Room for one text.
pub(super) fn text_buffer() -> BoundedOutput {
    BoundedOutput::new(limits::text_left())
}

/// What was written as a value; it is charged.
pub(super) fn finished(output: BoundedOutput) -> GoResult {
    // EXPOSE: an intermediate value of the template
    GoValue::text(output.finish().expose())
}

/// How one verb is to print.
#[expect(clippy::struct_excessive_bools, reason = "the flags of Go's verbs")]
#[derive(Clone, Copy, Default)]
struct VerbFlags {
    minus: bool,
    plus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    /// `%#v`.
    go_syntax: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// Writes `value` as `%v` does.
pub(super) fn display(output: &mut BoundedOutput, value: &GoValue) -> GoResult<()> {
    match value {
        GoValue::Text(bytes) | GoValue::Number(bytes) => Ok(output.push_bytes(bytes)?),
        _ => GoFormatter { output, flags: VerbFlags::default() }.value(value, 'v', 0),
    }
}

/// Values one after the other; `print` puts a blank between two of which none is a string.
pub(super) fn print(values: &[GoValue]) -> GoResult {
    let mut output = text_buffer();
    let mut was_text = true;
    for (index, value) in values.iter().enumerate() {
        // `json.Number` is no `string` to Go, but its kind is.
        let is_text = value.bytes().is_some();
        if index > 0 && !is_text && !was_text {
            output.push(" ")?;
        }
        display(&mut output, value)?;
        was_text = is_text;
    }
    finished(output)
}

/// Values with a blank between, and a line end.
pub(super) fn println(values: &[GoValue]) -> GoResult {
    let mut output = text_buffer();
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            output.push(" ")?;
        }
        display(&mut output, value)?;
    }
    output.push("\n")?;
    finished(output)
}

/// `printf`.
pub(super) fn printf(format: &[u8], values: &[GoValue]) -> GoResult {
    let mut output = text_buffer();
    let mut scan = FormatScan { format, at: 0, values, next: 0, is_reordered: false };
    while let Some(start) = scan.rest().iter().position(|byte| *byte == b'%') {
        output.push_bytes(scan.rest().get(..start).unwrap_or_default())?;
        scan.at += start + 1;
        scan.verb(&mut output)?;
    }
    output.push_bytes(scan.rest())?;
    if !scan.is_reordered && scan.next < values.len() {
        return fault("`printf` has more values than its format uses");
    }
    finished(output)
}

struct FormatScan<'f> {
    format: &'f [u8],
    at: usize,
    values: &'f [GoValue],
    next: usize,
    is_reordered: bool,
}

impl<'f> FormatScan<'f> {
    fn rest(&self) -> &'f [u8] {
        self.format.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.rest().first().copied()
    }

    fn skip(&mut self, byte: u8) -> bool {
        let is_here = self.peek() == Some(byte);
        self.at += usize::from(is_here);
        is_here
    }

    /// One verb, behind its `%`.
    fn verb(&mut self, output: &mut BoundedOutput) -> GoResult<()> {
        let mut flags = VerbFlags::default();
        while let Some(byte) = self.peek() {
            match byte {
                b'#' => flags.sharp = true,
                b'0' => flags.zero = !flags.minus,
                b'+' => flags.plus = true,
                b'-' => (flags.minus, flags.zero) = (true, false),
                b' ' => flags.space = true,
                _ => break,
            }
            self.at += 1;
        }
        let mut is_indexed = self.index()?;
        if self.skip(b'*') {
            let width = self.star()?;
            if width < 0 {
                (flags.minus, flags.zero) = (true, false);
            }
            flags.width = Some(bounded(usize::try_from(width.unsigned_abs()).unwrap_or(usize::MAX))?);
            is_indexed = false;
        } else {
            flags.width = self.number()?;
            if is_indexed && flags.width.is_some() {
                return fault("`printf` has a width behind an index");
            }
        }
        if self.skip(b'.') {
            if is_indexed {
                return fault("`printf` has a precision behind an index");
            }
            is_indexed = self.index()?;
            if self.skip(b'*') {
                flags.precision = usize::try_from(self.star()?).ok().map(bounded).transpose()?;
                is_indexed = false;
            } else {
                flags.precision = Some(self.number()?.unwrap_or(0));
            }
        }
        if !is_indexed {
            self.index()?;
        }
        let rest = String::from_utf8_lossy(self.rest().get(..4.min(self.rest().len())).unwrap_or_default());
        let Some(verb) = rest.chars().next() else { return fault("`printf` has a `%` without a verb") };
        self.at += verb.len_utf8();
        if verb == '%' {
            return Ok(output.push("%")?);
        }
        let Some(value) = self.values.get(self.next) else {
            return fault(format!("`printf` has no value for `%{verb}`"));
        };
        self.next += 1;
        if verb == 'v' {
            flags.go_syntax = std::mem::take(&mut flags.sharp);
            flags.plus = false;
        }
        GoFormatter { output, flags }.value(value, verb, 0)
    }

    /// `[3]`.
    fn index(&mut self) -> GoResult<bool> {
        if !self.skip(b'[') {
            return Ok(false);
        }
        self.is_reordered = true;
        let number =
            self.number()?.filter(|number| self.skip(b']') && (1..=self.values.len()).contains(number));
        let Some(number) = number else { return fault("`printf` has an index that no value has") };
        self.next = number - 1;
        Ok(true)
    }

    fn number(&mut self) -> GoResult<Option<usize>> {
        let digits = self.rest().iter().take_while(|byte| byte.is_ascii_digit()).count();
        let text =
            self.rest().get(..digits).and_then(|digits| std::str::from_utf8(digits).ok()).unwrap_or_default();
        self.at += digits;
        if digits == 0 {
            return Ok(None);
        }
        bounded(text.parse::<usize>().unwrap_or(usize::MAX)).map(Some)
    }

    /// A width or precision that is a value.
    fn star(&mut self) -> GoResult<i64> {
        let value = self.values.get(self.next);
        self.next += 1;
        match value {
            Some(GoValue::Int(number, _)) => Ok(*number),
            _ => fault("`printf` needs a whole number for `*`"),
        }
    }
}

fn bounded(number: usize) -> GoResult<usize> {
    if number > MOST_WIDTH {
        fault("`printf` has a width or precision that is too large")
    } else {
        Ok(number)
    }
}

struct GoFormatter<'o> {
    output: &'o mut BoundedOutput,
    flags: VerbFlags,
}

impl GoFormatter<'_> {
    fn value(&mut self, value: &GoValue, verb: char, depth: usize) -> GoResult<()> {
        if depth > DEPTH_LIMIT {
            return fault(format!("a value is nested more than {DEPTH_LIMIT} levels deep"));
        }
        limits::steps(1)?;
        if matches!((verb, value), ('T', GoValue::Nil)) && depth == 0 {
            return self.padded(b"<nil>");
        }
        if verb == 'T' && depth == 0 {
            return self.text(value.type_name().as_bytes());
        }
        match value {
            GoValue::Nil if depth > 0 && self.flags.go_syntax => self.raw("interface {}(nil)"),
            GoValue::Nil if depth > 0 => self.raw("<nil>"),
            GoValue::Nil if verb == 'v' => self.padded(b"<nil>"),
            GoValue::Bool(truth) if matches!(verb, 't' | 'v') => self.padded(truth.to_string().as_bytes()),
            GoValue::Int(int, of) => self.int(*int, *of, verb),
            GoValue::Digits(digits, _) if verb == 'v' => self.padded(digits),
            GoValue::Float(float) | GoValue::Digits(_, float) => self.float(*float, verb),
            GoValue::Text(bytes) | GoValue::Number(bytes) => self.string(value, bytes, verb),
            GoValue::List(list) => {
                let is_syntax = self.flags.go_syntax;
                self.raw(if is_syntax { value.type_name() } else { "" })?;
                self.raw(if is_syntax { "{" } else { "[" })?;
                let flags = self.flags;
                for (index, item) in list.items.iter().enumerate() {
                    self.separate(index)?;
                    self.flags = flags;
                    self.value(item, verb, depth + 1)?;
                }
                self.raw(if is_syntax { "}" } else { "]" })
            }
            GoValue::Map(map) => {
                let is_syntax = self.flags.go_syntax;
                self.raw(if is_syntax { value.type_name() } else { "map" })?;
                self.raw(if is_syntax { "{" } else { "[" })?;
                let flags = self.flags;
                for (index, (key, item)) in map.entries.borrow().iter().enumerate() {
                    self.separate(index)?;
                    self.value(&GoValue::Text(Rc::clone(key)), verb, depth + 1)?;
                    self.raw(":")?;
                    self.flags = flags;
                    self.value(item, verb, depth + 1)?;
                }
                self.raw(if is_syntax { "}" } else { "]" })
            }
            GoValue::Record(_) => {
                fault("what `secret` gives cannot be printed as a whole: print a field of it")
            }
            GoValue::Nil | GoValue::Bool(_) => bad_verb(verb, value),
        }
    }

    fn separate(&mut self, index: usize) -> GoResult<()> {
        match (index, self.flags.go_syntax) {
            (0, _) => Ok(()),
            (_, true) => self.raw(", "),
            (_, false) => self.raw(" "),
        }
    }

    fn raw(&mut self, text: &str) -> GoResult<()> {
        Ok(self.output.push(text)?)
    }

    /// Text within the width.
    fn padded(&mut self, text: &[u8]) -> GoResult<()> {
        let length = String::from_utf8_lossy(text).chars().count();
        let missing = self.flags.width.unwrap_or(0).saturating_sub(length);
        let padding = if self.flags.zero { b'0' } else { b' ' };
        let padding = vec![padding; missing];
        if !self.flags.minus {
            self.output.push_bytes(&padding)?;
        }
        self.output.push_bytes(text)?;
        if self.flags.minus {
            self.output.push_bytes(&padding)?;
        }
        Ok(())
    }

    /// Text within width and precision.
    fn text(&mut self, text: &[u8]) -> GoResult<()> {
        let end = self.truncated(text);
        self.padded(text.get(..end).unwrap_or(text))
    }

    /// How many bytes the precision, in letters, leaves.
    fn truncated(&self, text: &[u8]) -> usize {
        let Some(precision) = self.flags.precision else { return text.len() };
        let letters = text.utf8_chunks().flat_map(|chunk| {
            let valid = chunk.valid().chars().map(char::len_utf8);
            valid.chain(chunk.invalid().iter().map(|_| 1))
        });
        letters.take(precision).sum()
    }

    fn string(&mut self, value: &GoValue, bytes: &[u8], verb: char) -> GoResult<()> {
        match verb {
            'v' | 's' if !(verb == 'v' && self.flags.go_syntax) => self.text(bytes),
            'v' | 'q' => {
                let end = self.truncated(bytes);
                self.quoted(bytes.get(..end).unwrap_or(bytes))
            }
            'x' | 'X' => self.hex(bytes, verb == 'X'),
            _ => bad_verb(verb, value),
        }
    }

    fn quoted(&mut self, bytes: &[u8]) -> GoResult<()> {
        if self.flags.sharp
            && let Ok(text) = std::str::from_utf8(bytes)
            && quoting::can_backquote(text)
        {
            return self.padded(format!("`{text}`").as_bytes());
        }
        self.padded(quoting::quoted(bytes, self.flags.plus).as_bytes())
    }

    fn hex(&mut self, bytes: &[u8], is_upper: bool) -> GoResult<()> {
        let bytes =
            bytes.get(..self.flags.precision.unwrap_or(bytes.len()).min(bytes.len())).unwrap_or(bytes);
        limits::text(bytes.len())?;
        let prefix = if is_upper { "0X" } else { "0x" };
        let mut text = String::with_capacity(bytes.len() * 2);
        for (index, byte) in bytes.iter().enumerate() {
            if self.flags.space && index > 0 {
                text.push(' ');
            }
            if self.flags.sharp && (self.flags.space || index == 0) {
                text.push_str(prefix);
            }
            let digits = if is_upper { format!("{byte:02X}") } else { format!("{byte:02x}") };
            text.push_str(&digits);
        }
        self.padded(text.as_bytes())
    }

    fn int(&mut self, int: i64, of: IntType, verb: char) -> GoResult<()> {
        let letter =
            || u32::try_from(int).ok().and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER);
        let magnitude = int.unsigned_abs();
        let (digits, prefix) = match verb {
            'v' if of == IntType::Uint8 && self.flags.go_syntax => (format!("{magnitude:x}"), "0x"),
            'v' | 'd' => (magnitude.to_string(), ""),
            'b' => (format!("{magnitude:b}"), "0b"),
            'o' | 'O' => (format!("{magnitude:o}"), if verb == 'O' { "0o" } else { "0" }),
            'x' => (format!("{magnitude:x}"), "0x"),
            'X' => (format!("{magnitude:X}"), "0X"),
            'c' => return self.padded(letter().encode_utf8(&mut [0; 4]).as_bytes()),
            'q' => return self.padded(quoting::quoted_char(letter(), self.flags.plus).as_bytes()),
            'U' => return self.unicode(int, letter()),
            _ => return bad_verb(verb, &GoValue::Int(int, of)),
        };
        let sign = self.sign(int < 0);
        let least = match self.flags.precision {
            Some(0) if int == 0 => {
                self.flags.zero = false;
                return self.padded(b"");
            }
            Some(precision) => precision,
            None if self.flags.zero => self.flags.width.unwrap_or(0).saturating_sub(sign.len()),
            None => 0,
        };
        let mut text = format!("{digits:0>least$}");
        let is_octal = verb == 'o' && text.starts_with('0');
        let is_prefixed = verb == 'O' || prefix == "0x" && verb == 'v' || self.flags.sharp && !is_octal;
        if is_prefixed {
            text.insert_str(0, prefix);
        }
        text.insert_str(0, sign);
        self.flags.zero = false;
        self.padded(text.as_bytes())
    }

    fn sign(&self, is_negative: bool) -> &'static str {
        match (is_negative, self.flags.plus, self.flags.space) {
            (true, ..) => "-",
            (_, true, _) => "+",
            (_, _, true) => " ",
            _ => "",
        }
    }

    fn unicode(&mut self, code: i64, letter: char) -> GoResult<()> {
        let least = self.flags.precision.unwrap_or(4).max(4);
        let digits = format!("{code:X}");
        let mut text = format!("U+{digits:0>least$}");
        if self.flags.sharp && quoting::is_printable(letter) {
            text = format!("{text} '{letter}'");
        }
        self.flags.zero = false;
        self.padded(text.as_bytes())
    }

    fn float(&mut self, number: f64, verb: char) -> GoResult<()> {
        let lower = verb.to_ascii_lowercase();
        let precision = self.flags.precision.map(|precision| precision.min(MOST_DECIMALS));
        let text = match verb {
            'v' | 'g' | 'G' => float::written(number, 'g', precision),
            'e' | 'E' | 'f' | 'F' => float::written(number, lower, Some(precision.unwrap_or(6))),
            'x' | 'X' | 'b' if precision.is_none() => float::written(number, lower, None),
            _ => return bad_verb(verb, &GoValue::Float(number)),
        };
        if self.flags.sharp {
            return fault("`printf` with `#` for a number with a fraction is not supported");
        }
        let is_upper = matches!(verb, 'G' | 'E' | 'X');
        let text = if is_upper && number.is_finite() { text.to_ascii_uppercase() } else { text };
        let is_negative = text.starts_with('-');
        let digits = text.trim_start_matches(['-', '+']);
        let sign = if number.is_infinite() && !is_negative && !self.flags.space {
            "+"
        } else {
            self.sign(is_negative)
        };
        if !number.is_finite() {
            self.flags.zero = false;
        }
        if self.flags.zero {
            let least = self.flags.width.unwrap_or(0).saturating_sub(sign.len());
            return self.raw(&format!("{sign}{digits:0>least$}"));
        }
        self.padded(format!("{sign}{digits}").as_bytes())
    }
}

fn bad_verb(verb: char, value: &GoValue) -> GoResult<()> {
    fault(format!("`printf` cannot print a value of type {} with `%{verb}`", value.type_name()))
}
