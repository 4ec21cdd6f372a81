//! Makes loud what the engine does in silence.
//!
//! The engine refuses to print an undefined variable, but takes it for false in a condition and for an empty text after
//! `~`; it prints `null` as nothing and objects in a notation that is almost JSON, and has no limit on what a loop may
//! cost. Its AST is private, so the source is changed before the engine compiles it: every variable goes through the
//! filter [`DEFINED`], or [`SHALLOW`] if it may be absent, every printed expression and every operand of `~` through
//! [`TEXT`], everything that is iterated or spread through [`ITEMS`], every part of a list or text through [`SLICED`],
//! the right side of every comparison through [`COMPARED`], and each item of a list comprehension through [`SHALLOW`].
//! The body of a loop or a component begins with a call of [`ROUND`].
//!
//! What is accepted is what the engine accepts, and a sign or a `not` after `~`, for which it knows no parentheses.
//! Only insertions are made, and each is recorded, so that errors name their place in the operator's own text.

mod rounds;

use std::collections::HashSet;
use std::ops::Range;

use super::lexer::{CodeToken, TokenKind};
use super::paths::{Path, paths};
use rounds::{Round, Rounds};

/// The filter that lets a value through that is there, or refuses.
pub(super) const DEFINED: &str = "__secrets_sync_defined";
/// The filter that lets a value through that may be absent, unless it is nested too deep.
pub(super) const SHALLOW: &str = "__secrets_sync_shallow";
/// The filter that turns a value into the text of it, or refuses.
pub(super) const TEXT: &str = "__secrets_sync_text";
/// The filter that counts what a loop will go over, or refuses.
pub(super) const ITEMS: &str = "__secrets_sync_items";
/// The filter that counts what a slice has copied.
pub(super) const SLICED: &str = "__secrets_sync_sliced";
/// The filter that counts what a comparison will look at.
pub(super) const COMPARED: &str = "__secrets_sync_compared";
/// The function that counts one round of a loop or one use of a component, and the text that is written in it.
pub(super) const ROUND: &str = "__secrets_sync_round";

/// A template as the engine gets it.
#[derive(Debug)]
pub(super) struct Strict {
    /// The source with the insertions made.
    pub(super) source: Box<str>,
    wraps: Box<[Wrap]>,
    /// Place in the changed source and length of every insertion, in order.
    insertions: Box<[(usize, usize)]>,
}

/// One expression that was put into parentheses and sent through a filter.
#[derive(Debug)]
struct Wrap {
    /// The expression in the operator's text.
    original: Range<usize>,
    filter: &'static str,
    /// Where the filter's name is in the changed source.
    name_at: usize,
}

impl Wrap {
    fn new(original: Range<usize>, filter: &'static str) -> Self {
        Self { original, filter, name_at: 0 }
    }
}

impl Strict {
    /// Changes `source`, whose code is `tokens`; `None` where brackets do not match.
    pub(super) fn new(source: &str, tokens: &[CodeToken<'_>]) -> Option<Self> {
        let mut wraps = Vec::new();
        let mut rounds = Rounds::default();
        for block in tokens.split_inclusive(|token| token.kind == TokenKind::End) {
            let [start, code @ .., end] = block else { return None };
            wrap_block(start.kind, code, &mut wraps)?;
            rounds.block(start, code.first(), end);
        }
        Some(insert(source, wraps, &rounds.found))
    }

    /// The expression of the operator's text whose inserted filter has its name at this place of the changed source.
    pub(super) fn wrapped(&self, at: usize) -> Option<Range<usize>> {
        self.wraps.iter().find(|wrap| wrap.name_at == at).map(|wrap| wrap.original.clone())
    }

    /// The operator's text that a place in the changed source stands for: the whole expression if the place is the
    /// name of an inserted filter, otherwise the empty range at that place.
    pub(super) fn original(&self, at: usize) -> Range<usize> {
        if let Some(wrapped) = self.wrapped(at) {
            return wrapped;
        }
        let before = self.insertions.iter().take_while(|(place, _)| *place < at);
        let place =
            at.saturating_sub(before.map(|(place, length)| at.saturating_sub(*place).min(*length)).sum());
        place..place
    }

    /// The innermost printed or joined expression of the operator's text that holds `place`.
    pub(super) fn expression(&self, place: usize) -> Option<Range<usize>> {
        let holds = |wrap: &&Wrap| wrap.filter == TEXT && wrap.original.contains(&place);
        self.wraps.iter().filter(holds).map(|wrap| wrap.original.clone()).min_by_key(Range::len)
    }
}

/// What is inserted at a place.
#[derive(Clone, Copy)]
enum Insertion {
    Open,
    /// The end of a wrap, by its index.
    Close(usize),
    Round(usize),
}

/// Makes the insertions. Wraps come innermost first, which is the order their ends have to be written in.
fn insert(source: &str, mut wraps: Vec<Wrap>, rounds: &[Round]) -> Strict {
    let mut edits: Vec<_> = wraps.iter().map(|wrap| (wrap.original.start, Insertion::Open)).collect();
    edits.extend(wraps.iter().enumerate().map(|(index, wrap)| (wrap.original.end, Insertion::Close(index))));
    edits.extend(rounds.iter().enumerate().map(|(index, round)| (round.at, Insertion::Round(index))));
    edits.sort_by_key(|(place, _)| *place);
    let mut changed = String::with_capacity(source.len() + wraps.len() * (TEXT.len() + 4));
    let mut insertions = Vec::with_capacity(edits.len());
    let mut copied = 0;
    for (place, insertion) in edits {
        changed.push_str(source.get(copied..place).unwrap_or_default());
        copied = place;
        let start = changed.len();
        match insertion {
            Insertion::Open => changed.push('('),
            Insertion::Round(index) => changed.extend(rounds.get(index).map(Round::call)),
            Insertion::Close(index) => {
                let Some(wrap) = wraps.get_mut(index) else { continue };
                wrap.name_at = start + 2;
                // The blank keeps the name apart from a keyword that follows.
                changed.extend([")|", wrap.filter, " "]);
            }
        }
        insertions.push((start, changed.len() - start));
    }
    changed.push_str(source.get(copied..).unwrap_or_default());
    Strict { source: changed.into(), wraps: wraps.into(), insertions: insertions.into() }
}

/// Finds what has to be wrapped in the code of one `{{ }}` or `{% %}`; `None` where brackets do not match.
fn wrap_block(kind: TokenKind, code: &[CodeToken<'_>], wraps: &mut Vec<Wrap>) -> Option<()> {
    let (Some(first), Some(last)) = (code.first(), code.last()) else { return Some(()) };
    // A component's definition has defaults and a rest parameter, but no expression.
    if kind == TokenKind::TagStart && first.text == "component" {
        return Some(());
    }
    let mut texts_and_items = Vec::new();
    let mut scan = Scan { wraps: &mut texts_and_items, levels: vec![Level::default()] };
    let mut previous = None;
    for token in code {
        scan.token(token, previous)?;
        previous = Some(token);
    }
    scan.close_level(last.end(), "")?;
    if kind == TokenKind::PrintStart {
        texts_and_items.push(Wrap::new(first.at..last.end(), TEXT));
    }
    // What is turned into text has to be there anyway.
    let texts = texts_and_items.iter().filter(|wrap| wrap.filter == TEXT);
    let texts: HashSet<_> = texts.map(|wrap| wrap.original.clone()).collect();
    // Variables first: nothing that ends where one of them ends is inside it.
    for Path { range, may_be_absent, is_slice } in paths(kind, code)? {
        let filter = if may_be_absent { SHALLOW } else { DEFINED };
        wraps.extend(is_slice.then(|| Wrap::new(range.clone(), SLICED)));
        wraps.extend((!texts.contains(&range)).then(|| Wrap::new(range, filter)));
    }
    wraps.append(&mut texts_and_items);
    Some(())
}

struct Scan<'w> {
    wraps: &'w mut Vec<Wrap>,
    /// One per open bracket, and one for the block itself.
    levels: Vec<Level>,
}

/// What is known between two brackets.
#[derive(Default)]
struct Level {
    /// The bracket that closes it; empty for the block itself.
    closed_by: &'static str,
    /// First byte of what would be the left operand of a `~` that comes next, and the end of it so far.
    operand: Option<Range<usize>>,
    /// That operand is already the right one of a `~`.
    joined: bool,
    /// A `for` was met: the next `in` is followed by what is iterated.
    is_for: bool,
    /// First byte of what is iterated or spread.
    items: Option<usize>,
    /// First byte of the right side of a comparison.
    compared: Option<usize>,
    /// First byte between the brackets.
    start: usize,
    /// In the tag of a component, where `<` and `>` compare nothing.
    in_component: bool,
}

impl Scan<'_> {
    fn token(&mut self, token: &CodeToken<'_>, previous: Option<&CodeToken<'_>>) -> Option<()> {
        let symbol_before =
            previous.filter(|previous| previous.kind == TokenKind::Symbol).map(|previous| previous.text);
        let is_name = matches!(symbol_before, Some("." | "?." | "|"));
        let is_sign =
            symbol_before.is_some_and(|symbol| !matches!(symbol, ")" | "]" | "}")) || self.at_start();
        match (token.kind, token.text) {
            (TokenKind::Symbol, "(") => self.open_level(token, ")"),
            (TokenKind::Symbol, "[" | "?[") => self.open_level(token, "]"),
            (TokenKind::Symbol, "{") => self.open_level(token, "}"),
            (TokenKind::Symbol, bracket @ (")" | "]" | "}")) => {
                self.close_level(token.at, bracket)?;
                self.operand(token);
            }
            (TokenKind::Symbol, "~") => self.join(),
            (TokenKind::Symbol, "**" | "|" | "." | "?.") => self.operand(token),
            (TokenKind::Symbol, "-") if is_sign => self.operand(token),
            (TokenKind::Symbol, "*" | "/" | "//" | "%") => self.factor(token),
            (TokenKind::Symbol, ",") => self.end_items(token.at),
            (TokenKind::Symbol, "<") if self.at_start() => self.component(true),
            (TokenKind::Symbol, "</") => self.component(true),
            (TokenKind::Symbol, ">") if self.in_component() => self.component(false),
            (TokenKind::Symbol, "==" | "!=" | "<" | "<=" | ">" | ">=") => self.compare(token),
            (TokenKind::Symbol, "...") => {
                self.barrier();
                self.change(|level| level.items = Some(token.end()));
            }
            (TokenKind::Symbol, _) => self.barrier(),
            (TokenKind::Word, word) if !is_name => self.word(token, word, previous),
            _ => self.operand(token),
        }
        Some(())
    }

    fn word(&mut self, token: &CodeToken<'_>, word: &str, previous: Option<&CodeToken<'_>>) {
        match word {
            "for" => {
                self.end_comparison(token.at);
                // An item of a list comprehension is made in each round.
                let item = self.levels.last().filter(|level| level.closed_by == "]").map(|level| level.start);
                self.wraps.extend(item.map(|start| Wrap::new(start..token.at, SHALLOW)));
                self.change(|level| level.is_for = true);
            }
            "in" if self.levels.last().is_some_and(|level| level.is_for) => {
                self.barrier();
                self.change(|level| {
                    level.is_for = false;
                    level.items = Some(token.end());
                });
            }
            // In a list comprehension the condition ends what is iterated; in a tag it is a ternary, which belongs.
            "if" if self.levels.len() > 1 => self.end_items(token.at),
            // `a == not b`: what is true or false costs nothing to compare.
            "not" if self.at_start() => self.change(|level| level.compared = None),
            // Where no operand precedes, it is the name of an argument.
            "in" if !self.at_start() || previous.is_some_and(|word| word.text == "not") => {
                self.compare(token);
            }
            "if" | "else" | "or" | "and" | "not" | "is" => self.end_comparison(token.at),
            _ => self.operand(token),
        }
    }

    fn change(&mut self, change: impl FnOnce(&mut Level)) {
        if let Some(level) = self.levels.last_mut() {
            change(level);
        }
    }

    fn at_start(&self) -> bool {
        self.levels.last().is_some_and(|level| level.operand.is_none())
    }

    /// `token` belongs to the current operand.
    fn operand(&mut self, token: &CodeToken<'_>) {
        self.change(|level| {
            let start = level.operand.as_ref().map_or(token.at, |operand| operand.start);
            level.operand = Some(start..token.end());
        });
    }

    /// `~`: what stood before it is an operand, and so is what follows.
    fn join(&mut self) {
        self.wrap_operand();
        self.change(|level| level.joined = true);
    }

    /// `*` and its like bind as tightly as `~`: they end a right operand, and belong to a left one.
    fn factor(&mut self, token: &CodeToken<'_>) {
        if self.levels.last().is_some_and(|level| level.joined) {
            self.barrier();
        } else {
            self.operand(token);
        }
    }

    /// Anything that binds less tightly than `~`, or separates expressions.
    fn barrier(&mut self) {
        if self.levels.last().is_some_and(|level| level.joined) {
            self.wrap_operand();
        }
        self.change(|level| {
            level.operand = None;
            level.joined = false;
        });
    }

    fn wrap_operand(&mut self) {
        if let Some(original) = self.levels.last_mut().and_then(|level| level.operand.take()) {
            self.wraps.push(Wrap::new(original, TEXT));
        }
    }

    /// What follows is the right side of a comparison.
    fn compare(&mut self, token: &CodeToken<'_>) {
        self.end_comparison(token.at);
        self.change(|level| level.compared = Some(token.end()));
    }

    fn end_comparison(&mut self, at: usize) {
        self.barrier();
        if let Some(start) = self.levels.last_mut().and_then(|level| level.compared.take()) {
            self.wraps.push(Wrap::new(start..at, COMPARED));
        }
    }

    fn in_component(&self) -> bool {
        self.levels.last().is_some_and(|level| level.in_component)
    }

    fn component(&mut self, begins: bool) {
        self.barrier();
        self.change(|level| level.in_component = begins);
    }

    fn end_items(&mut self, at: usize) {
        self.end_comparison(at);
        if let Some(start) = self.levels.last_mut().and_then(|level| level.items.take()) {
            self.wraps.push(Wrap::new(start..at, ITEMS));
        }
    }

    fn open_level(&mut self, token: &CodeToken<'_>, closed_by: &'static str) {
        self.operand(token);
        self.levels.push(Level { closed_by, start: token.end(), ..Level::default() });
    }

    fn close_level(&mut self, at: usize, bracket: &str) -> Option<()> {
        self.end_items(at);
        self.levels.pop().filter(|level| level.closed_by == bracket).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::super::lexer::tokens;
    use super::*;

    fn strict(source: &str) -> Strict {
        Strict::new(source, &tokens(source).unwrap()).unwrap()
    }

    /// The changed source with short filter names.
    fn changed(source: &str) -> String {
        let mut changed = strict(source).source.to_string();
        for (name, short) in [(TEXT, "T"), (ITEMS, "I"), (DEFINED, "D"), (SHALLOW, "S")] {
            changed = changed.replace(name, short);
        }
        changed.replace(SLICED, "P").replace(COMPARED, "C").replace(ROUND, "R")
    }

    #[test]
    fn wraps_what_is_printed() {
        assert_eq!(changed("a {{ b }} {{-c.d|e(f=1)-}}"), "a {{ (b)|T  }} {{-((c.d)|D |e(f=1))|T -}}");
        assert_eq!(changed("{{ a if b else c }}"), "{{ ((a)|D  if (b)|D  else (c)|D )|T  }}");
        assert_eq!(changed("{{ <card title={a ~ b} /> }}"), "{{ (<card title={(a)|T  ~ (b)|T } />)|T  }}");
        assert_eq!(
            changed("{# {{ a }} #}{% raw %}{{ a }}{% endraw %}"),
            "{# {{ a }} #}{% raw %}{{ a }}{% endraw %}"
        );
    }

    #[test]
    fn wraps_each_operand_of_a_concatenation() {
        for (source, expected) in [
            ("{% set x = a ~ b.c ~ 'd' %}", "{% set x = (a)|T  ~ (b.c)|T  ~ ('d')|T  %}"),
            ("{% if not a ~ b == c %}", "{% if not (a)|T  ~ (b)|T  ==( (c)|D )|C  %}"),
            ("{% if a + b|x ~ c and d %}", "{% if (a)|D  + ((b)|D |x)|T  ~ (c)|T  and (d)|D  %}"),
            ("{% if -a * -b ~ c ** 2 %}", "{% if (-(a)|D  * -(b)|D )|T  ~ ((c)|D  ** 2)|T  %}"),
            ("{% if (a ~ b)|c ~ d[e ~ f] %}", "{% if (((a)|T  ~ (b)|T )|c)|T  ~ (d[(e)|T  ~ (f)|T ])|T  %}"),
            ("{% if x|f(in=a ~ b, c=d) %}", "{% if (x)|D |f(in=(a)|T  ~ (b)|T , c=(d)|D ) %}"),
            ("{% if {'a': b ~ c} %}", "{% if {'a': (b)|T  ~ (c)|T } %}"),
            ("{% if a ~ data.in ~ b|or %}", "{% if (a)|T  ~ (data.in)|T  ~ ((b)|D |or)|T  %}"),
        ] {
            assert_eq!(changed(source), expected);
        }
    }

    #[test]
    fn wraps_what_is_iterated_or_spread() {
        for (source, expected) in [
            ("{% for a in b %}", "{% for a in( (b)|D )|I  %}{% if R(text=0) %}{% endif %}"),
            (
                "{% for k, v in b if c else d -%}x{% endfor %}y",
                "{% for k, v in( (b)|D  if (c)|D  else (d)|D )|I  -%}{% if R(text=1) %}{% endif -%}x{% endfor %}y",
            ),
            (
                "{% set x = [a for a in b if a in c] %}",
                "{% set x = [((a)|D  )|S for a in( (b)|D  )|I if (a)|D  in( (c)|D )|C ] %}",
            ),
            ("{% set x = a[1:b] ~ c[:] %}", "{% set x = ((a[1:(b)|D ])|P )|T  ~ ((c[:])|P )|T  %}"),
            ("{% set x = [...a, ...b] %}", "{% set x = [...((a)|D )|I , ...((b)|D )|I ] %}"),
            (
                "{% component c(a: String = 'x', ...rest) %}é{% for a in b %}xy{% endfor %}",
                "{% component c(a: String = 'x', ...rest) %}{% if R(text=2) %}{% endif %}é\
                 {% for a in( (b)|D )|I  %}{% if R(text=2) %}{% endif %}xy{% endfor %}",
            ),
        ] {
            assert_eq!(changed(source), expected);
        }
    }

    #[test]
    fn wraps_each_variable_that_is_not_asked_for() {
        for (source, expected) in [
            ("{% if a.b and not c is defined %}", "{% if (a.b)|D  and not c is defined %}"),
            ("{% set x = data?.y or data[k].z %}", "{% set x = (data?.y)|S  or (data[(k)|D ].z)|D  %}"),
            ("{{ a | default(value=b) }}", "{{ (a | default(value=(b)|D ))|T  }}"),
        ] {
            assert_eq!(changed(source), expected);
        }
    }

    #[test]
    fn wraps_the_right_side_of_each_comparison() {
        for (source, expected) in [
            ("{% if a == b + 1 and c %}", "{% if (a)|D  ==( (b)|D  + 1 )|C and (c)|D  %}"),
            ("{% if a not in b == c %}", "{% if (a)|D  not in( (b)|D  )|C ==( (c)|D )|C  %}"),
            ("{% if a < b is string %}", "{% if (a)|D  <( (b)|D  )|C is string %}"),
            ("{% if a != not b == c %}", "{% if (a)|D  != not (b)|D  ==( (c)|D )|C  %}"),
            ("{% if (a >= b) or c %}", "{% if ((a)|D  >=( (b)|D )|C ) or (c)|D  %}"),
            ("{{ <c d={1 > e} /> }}", "{{ (<c d={1 >( (e)|D )|C } />)|T  }}"),
            ("{{ 1 if <c /> else <e f /> }}", "{{ (1 if <c /> else <e f />)|T  }}"),
            ("{% <c d='x'> %}{% </c> %}", "{% <c d='x'> %}{% </c> %}"),
        ] {
            assert_eq!(changed(source), expected);
        }
    }

    #[test]
    fn brackets_that_do_not_match_are_not_made_to() {
        for source in ["{{ a) ~ (b }}", "{{ (a }}", "{{ a] }}", "{% if (a %}"] {
            assert!(Strict::new(source, &tokens(source).unwrap()).is_none(), "{source}");
        }
    }

    #[test]
    fn every_place_maps_back_to_the_operators_text() {
        let source = "x {% for a in b %}{{ a ~ cc }}{% endfor %} {{ dd|upper }}";
        let strict = strict(source);
        for name in ["cc", "dd", "upper", "endfor"] {
            let at = strict.source.find(name).unwrap();
            assert_eq!(strict.original(at).start, source.find(name).unwrap(), "{name}");
        }
        let whole = strict.source.rfind(TEXT).unwrap();
        assert_eq!(source.get(strict.original(whole)), Some("dd|upper"));
        let innermost = strict.expression(source.find("cc").unwrap()).unwrap();
        assert_eq!(source.get(innermost), Some("cc"));
    }
}
