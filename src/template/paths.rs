//! Finds the variables in the code of a template, each with its members: `user`, `data["a"].b[c]`.
//!
//! The engine takes one that is not there for false, or for a value like any other, unless it is printed. All that are
//! found here are checked by `strict`. Apart from them are those whose author asks whether they are there with `?.` or
//! `?[`; not found are those with `is defined`, `is undefined` or `| default`.

use std::ops::Range;

use super::lexer::{CodeToken, TokenKind};

/// A variable with its members.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Path {
    pub(super) range: Range<usize>,
    /// It has a `?.` or `?[`.
    pub(super) may_be_absent: bool,
    /// It copies a part of a list or a text: `a[1:3]`.
    pub(super) is_slice: bool,
}

/// The variables in the code of one `{{ }}` or `{% %}` that their author does not ask for; those in brackets of
/// another come after it. `None` where brackets do not match.
pub(super) fn paths(kind: TokenKind, code: &[CodeToken<'_>]) -> Option<Vec<Path>> {
    let closing = closing_brackets(code)?;
    let mut names = Names::new(kind, code);
    let mut paths = Vec::new();
    for (index, token) in code.iter().enumerate() {
        let is_name = names.next(index, token);
        let Some(base) = base(code, &closing, index).filter(|_| !is_name) else { continue };
        let (end, may_be_absent, is_slice) = members(code, &closing, base);
        let is_path = token.kind == TokenKind::Word || end > base;
        let last = end.checked_sub(1).and_then(|last| code.get(last)).filter(|_| is_path);
        if let Some(last) = last.filter(|_| !is_asked_for(code, &closing, index, end)) {
            paths.push(Path { range: token.at..last.end(), may_be_absent, is_slice });
        }
    }
    Some(paths)
}

/// For the index of every opening bracket that of its closing one.
fn closing_brackets(code: &[CodeToken<'_>]) -> Option<Vec<usize>> {
    let mut closing = vec![0; code.len()];
    let mut open = Vec::new();
    for (index, token) in code.iter().enumerate() {
        match (token.kind, token.text) {
            (TokenKind::Symbol, "(" | "[" | "?[" | "{") => open.push(index),
            (TokenKind::Symbol, ")" | "]" | "}") => *closing.get_mut(open.pop()?)? = index,
            _ => {}
        }
    }
    open.is_empty().then_some(closing)
}

/// Where the members begin of what could be a variable at `index`, or an expression in parentheses.
fn base(code: &[CodeToken<'_>], closing: &[usize], index: usize) -> Option<usize> {
    let token = code.get(index)?;
    let previous = index.checked_sub(1).and_then(|previous| code.get(previous));
    match token.kind {
        TokenKind::Word if is_keyword(token.text) => None,
        TokenKind::Word => Some(index + 1),
        // After a name these are the arguments of a call.
        TokenKind::Symbol if token.text == "(" => {
            let is_call = previous
                .is_some_and(|previous| previous.kind == TokenKind::Word && !is_keyword(previous.text));
            (!is_call).then_some(closing.get(index)? + 1)
        }
        _ => None,
    }
}

/// The end of the members that begin at `index`, whether one of them may be absent, and whether one is a slice.
fn members(code: &[CodeToken<'_>], closing: &[usize], mut index: usize) -> (usize, bool, bool) {
    let (mut may_be_absent, mut is_slice) = (false, false);
    while let Some(token) = code.get(index).filter(|token| token.kind == TokenKind::Symbol) {
        may_be_absent |= matches!(token.text, "?." | "?[");
        index = match token.text {
            "." | "?." => index + 2,
            "[" | "?[" => {
                let close = closing.get(index).map_or(index, |close| *close);
                is_slice |=
                    code.get(index..close).is_some_and(|code| code.iter().any(|inner| inner.text == ":"));
                close + 1
            }
            _ => break,
        };
    }
    (index, may_be_absent, is_slice)
}

/// The author asks whether what is from `start` to `end` is there. Parentheses around it change nothing.
fn is_asked_for(code: &[CodeToken<'_>], closing: &[usize], mut start: usize, mut end: usize) -> bool {
    while let Some(before) = start.checked_sub(1)
        && closing.get(before) == Some(&end)
        && code.get(before).is_some_and(|token| token.text == "(")
        && base(code, closing, before).is_some()
    {
        (start, end) = (before, end + 1);
    }
    let word = |index: usize| code.get(index).map_or("", |token| token.text);
    let tested = if word(end + 1) == "not" { end + 2 } else { end + 1 };
    // `a == b is defined` asks for the result of the comparison.
    let is_compared = start
        .checked_sub(1)
        .is_some_and(|previous| matches!(word(previous), "==" | "!=" | "<" | "<=" | ">" | ">=" | "in"));
    (word(end) == "|" && word(end + 1) == "default")
        || (word(end) == "is" && matches!(word(tested), "defined" | "undefined") && !is_compared)
}

fn is_keyword(word: &str) -> bool {
    let literal = matches!(word, "true" | "True" | "false" | "False" | "none" | "None" | "null");
    literal || matches!(word, "not" | "and" | "or" | "in" | "is" | "if" | "elif" | "else" | "for")
}

/// Tells the words that are variables from those that name something else.
struct Names<'c> {
    code: &'c [CodeToken<'c>],
    /// How many words at the start belong to the tag.
    head: usize,
    /// Between `for` and `in`.
    in_for: bool,
    /// Per open bracket: in the tag of a component, but not in an argument of it.
    in_component: Vec<bool>,
}

impl<'c> Names<'c> {
    fn new(kind: TokenKind, code: &'c [CodeToken<'c>]) -> Self {
        let head = match code.first() {
            Some(first) if kind == TokenKind::TagStart => {
                if matches!(first.text, "if" | "elif") {
                    1
                } else {
                    2
                }
            }
            _ => 0,
        };
        Self { code, head, in_for: false, in_component: vec![false] }
    }

    /// Whether the next token, `token` at `index`, names no variable.
    fn next(&mut self, index: usize, token: &CodeToken<'_>) -> bool {
        let text = |index: Option<usize>| {
            index.and_then(|index| self.code.get(index)).map_or("", |token| token.text)
        };
        let (before, previous) = (text(index.checked_sub(2)), text(index.checked_sub(1)));
        let is_member = matches!(previous, "." | "?." | "|");
        let is_test = previous == "is" || (previous == "not" && before == "is");
        let is_called_or_set = matches!(text(Some(index + 1)), "(" | "=");
        let names_something = is_member || is_test || is_called_or_set;
        match token.kind {
            TokenKind::Symbol => {
                self.symbol(index, token.text);
                false
            }
            TokenKind::Word if names_something => true,
            TokenKind::Word => {
                self.in_for = token.text == "for" || (self.in_for && token.text != "in");
                self.in_for || index < self.head || self.in_component.last() == Some(&true)
            }
            _ => false,
        }
    }

    fn symbol(&mut self, index: usize, symbol: &str) {
        match symbol {
            "(" | "[" | "?[" | "{" => self.in_component.push(false),
            ")" | "]" | "}" => {
                self.in_component.pop();
            }
            "<" if !self.follows_operand(index) => self.set_component(true),
            "</" => self.set_component(true),
            ">" => self.set_component(false),
            _ => {}
        }
    }

    fn set_component(&mut self, in_component: bool) {
        if let Some(innermost) = self.in_component.last_mut() {
            *innermost = in_component;
        }
    }

    /// Whether the token at `index` stands where an operator does.
    fn follows_operand(&self, index: usize) -> bool {
        let previous = index.checked_sub(1).and_then(|previous| self.code.get(previous));
        previous.is_some_and(|previous| match previous.kind {
            TokenKind::Word => !matches!(previous.text, "not" | "and" | "or" | "in" | "if" | "elif" | "else"),
            TokenKind::Symbol => matches!(previous.text, ")" | "]" | "}"),
            _ => true,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::lexer::tokens;
    use super::*;

    /// The variables of a source of one tag.
    fn found(source: &str) -> Vec<&str> {
        let tokens = tokens(source).unwrap();
        let [start, code @ .., _end] = &*tokens else { panic!("{source}") };
        let required = paths(start.kind, code).unwrap().into_iter().filter(|path| !path.may_be_absent);
        required.map(|path| source.get(path.range).unwrap()).collect()
    }

    #[test]
    fn variables_are_found_with_all_their_members() {
        for (source, expected) in [
            ("{{ a }}", &["a"][..]),
            ("{{ a.b['c'][d.e].in }}", &["a.b['c'][d.e].in", "d.e"]),
            ("{{ a[1:b] }}", &["a[1:b]", "b"]),
            ("{{ -a + b ~ not c }}", &["a", "b", "c"]),
            ("{{ [x for x, y in a if y] }}", &["x", "a", "y"]),
            ("{{ {'a': b, ...c} }}", &["b", "c"]),
            ("{{ (a)['b'] }}", &["(a)['b']", "a"]),
            ("{{ (a | b)[c] | d }}", &["(a | b)[c]", "a", "c"]),
            ("{{ loop.index is odd and loop is not string }}", &["loop.index", "loop"]),
            ("{% if a < b and c > d %}", &["a", "b", "c", "d"]),
            ("{% if a if b else c %}", &["a", "b", "c"]),
            ("{% elif a %}", &["a"]),
            ("{% for a, b in c.d if e else f %}", &["c.d", "e", "f"]),
            ("{% set a = b or c %}", &["b", "c"]),
            ("{% filter a(b=c) | d %}", &["c"]),
        ] {
            assert_eq!(found(source), expected, "{source}");
        }
    }

    #[test]
    fn names_of_other_things_are_no_variables() {
        for source in [
            "{{ true or False or none or null }}",
            "{{ range(end=1) | first | nth(n=1) is not divisible_by(divisor=2) }}",
            "{{ 'a' is string }}",
            "{{ <a.b c d='e' {...{} } /> }}",
            "{{ 1 if <c d /> else <e f /> }}",
            "{% <a b> %}",
            "{% </a.b> %}",
            "{% endcomponent a %}",
            "{% set a %}",
            "{% set a | b %}",
            "{% endif %}",
        ] {
            assert_eq!(found(source), Vec::<&str>::new(), "{source}");
        }
        assert_eq!(found("{{ <a b={c} {...d} e /> ~ f }}"), ["c", "d", "f"]);
    }

    #[test]
    fn what_is_asked_for_is_not_found() {
        for source in [
            "{{ a.b | default(value=1) }}",
            "{% if a is defined and not b['c'] is not defined %}",
            "{% if a is undefined %}",
            "{{ a?.b or c.d?['e'] or (1)?['f'] }}",
            "{{ (a) | default(value=1) ~ ((b.c)) | default(value=2) }}",
            "{% if (a) is defined and not ((b)) is not defined and (c['d']) is undefined %}",
        ] {
            assert_eq!(found(source), Vec::<&str>::new(), "{source}");
        }
        assert_eq!(found("{{ a?[b] | default(value=c) }}"), ["b", "c"]);
        assert_eq!(found("{{ a == b is defined }}"), ["a", "b"]);
        assert_eq!(found("{{ a | b | default }}"), ["a"]);
        assert_eq!(found("{{ (a | b) | default ~ (a).b | default ~ (a) }}"), ["a", "a", "a"]);
        assert_eq!(found("{{ range(end=a) | default ~ f(a) | default ~ [a] | default }}"), ["a", "a", "a"]);
        assert_eq!(found("{% if a == (b) is defined %}"), ["a", "b"]);
    }

    #[test]
    fn brackets_that_do_not_match_have_no_variables() {
        for source in ["{{ a) }}", "{{ (a }}"] {
            let tokens = tokens(source).unwrap();
            assert_eq!(paths(TokenKind::PrintStart, &tokens), None, "{source}");
        }
    }
}
