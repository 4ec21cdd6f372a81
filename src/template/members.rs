//! Whose member a template asks for in vain: the object, and the names of what it has.

use tera::Value;

use super::context::{ALL_FIELDS, Context};
use super::lexer::{CodeToken, TokenKind, tokens};

/// An object of the secret in which something is missing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Holder {
    /// The way to it, from a field on.
    pub(super) name: String,
    /// The names of its members.
    pub(super) members: Vec<String>,
}

/// The innermost object that the variable at byte `at` of `source` leads to, where that is an object and not the whole
/// secret. `None` also where nobody knows without rendering: for variables of the template itself, and for members
/// whose name is computed.
pub(super) fn holder(source: &str, at: usize, context: &Context) -> Option<Holder> {
    let code = tokens(source)?;
    let place = code.iter().position(|token| (token.at..token.end()).contains(&at))?;
    let base = base(&code, place)?;
    let (first, mut next) = (code.get(base)?, base + 1);
    if is_local(&code, first.text) {
        return None;
    }
    let mut value = context.engine().get(first.text)?;
    let mut way = if first.text == ALL_FIELDS { Vec::new() } else { vec![first.text] };
    while let Some((name, end)) = member(&code, next) {
        let Some(inner) = value.as_map()?.iter().find(|(key, _)| key.as_str() == Some(name)) else {
            return found(&way, value);
        };
        way.push(name);
        (value, next) = (inner.1, end);
    }
    None
}

fn found(way: &[&str], value: &Value) -> Option<Holder> {
    if way.is_empty() {
        return None;
    }
    let members = value.as_map()?.iter().filter_map(|(key, _)| key.as_str().map(str::to_owned)).collect();
    Some(Holder { name: way.join("."), members })
}

/// The variable that the token at `index` belongs to: itself, or the one whose member it is.
fn base(code: &[CodeToken<'_>], mut index: usize) -> Option<usize> {
    loop {
        let before = index.checked_sub(1).and_then(|before| code.get(before)).map_or("", |token| token.text);
        match before {
            // What stands before the dot is a name, or the bracket behind one that is written out.
            "." | "?." => index = index.checked_sub(2)?,
            "[" | "?[" if code.get(index)?.kind == TokenKind::Literal => index = index.checked_sub(2)?,
            _ if code.get(index)?.text == "]" => index = index.checked_sub(1)?,
            _ => return (code.get(index)?.kind == TokenKind::Word).then_some(index),
        }
    }
}

/// The name of the member that is asked for at `index`, and where the code goes on behind it.
fn member<'s>(code: &[CodeToken<'s>], index: usize) -> Option<(&'s str, usize)> {
    let token = |index: usize| code.get(index).map(|token| (token.kind, token.text));
    match (token(index)?.1, token(index + 1)?) {
        ("." | "?.", (TokenKind::Word, name)) => Some((name, index + 2)),
        ("[" | "?[", (TokenKind::Literal, text)) if token(index + 2)?.1 == "]" => {
            let quote = text.chars().next().filter(|first| "\"'`".contains(*first))?;
            let name = text.strip_prefix(quote)?.strip_suffix(quote)?;
            // What an escape stands for is not worth a guess.
            (!name.contains('\\')).then_some((name, index + 3))
        }
        _ => None,
    }
}

/// Whether the template gives this name to something of its own, somewhere.
fn is_local(code: &[CodeToken<'_>], name: &str) -> bool {
    let text = |index: Option<usize>| index.and_then(|index| code.get(index)).map_or("", |token| token.text);
    let is_named = |index: usize| {
        let before = |count| text(index.checked_sub(count));
        matches!(before(1), "set" | "set_global" | "for") || (before(1) == "," && before(3) == "for")
    };
    let named = code.iter().enumerate().any(|(index, token)| token.text == name && is_named(index));
    let mut blocks = code.split(|token| token.kind == TokenKind::End);
    let is_parameter = |block: &[CodeToken<'_>]| {
        let tag = block.get(1).map_or("", |token| token.text);
        tag == "component" && block.iter().any(|token| token.text == name)
    };
    named || blocks.any(is_parameter)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::{FieldValue, Fields};

    fn map(members: impl IntoIterator<Item = (&'static str, FieldValue)>) -> Fields {
        members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    #[test]
    fn the_innermost_object_is_found_and_nothing_that_is_none() {
        let inner = map([("host", "db".into()), ("odd name", FieldValue::Null)]);
        let user = map([("name", "x".into()), ("db", FieldValue::Map(inner))]);
        let context = Context::new(&map([("user", FieldValue::Map(user)), ("text", "x".into())]));
        let name = |source: &str| {
            let at = source.find("nope").unwrap();
            holder(source, at, &context)
                .map(|holder| format!("{}: {}", holder.name, holder.members.join(", ")))
        };
        for (source, expected) in [
            ("{{ user.nope }}", "user: db, name"),
            ("{{ data.user.nope }}", "user: db, name"),
            ("{{ data['user'][\"db\"].nope.x }}", "user.db: host, odd name"),
            ("{{ 'a' ~ user.db['nope'] | upper }}", "user.db: host, odd name"),
            ("{% if user.db?.x and user?.nope.x %}", "user: db, name"),
        ] {
            assert_eq!(name(source).as_deref(), Some(expected), "{source}");
        }
        for source in [
            "{{ nope }}",
            "{{ data.nope }}",
            "{{ text.nope }}",
            "{{ user[text].nope }}",
            "{{ (user).nope }}",
            "{{ user['\\x'].nope }}",
            "{% set user = data %}{{ user.nope }}",
            "{% for k, user in data %}{{ user.nope }}{% endfor %}",
            "{% component c(user) %}{{ user.nope }}{% endcomponent c %}",
        ] {
            assert_eq!(name(source), None, "{source}");
        }
    }
}
