//! `property`: a field of that name, or else a path into the values of the secret, in the notation of GJSON.

/// A property. What messages call it is its text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Property {
    text: String,
    steps: Vec<PropertyStep>,
}

/// One step of a path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum PropertyStep {
    /// A field of an object, or a number of a list, from 0.
    Name(String),
    /// `#` at the end: how many items there are.
    Count,
    /// `#` in between: the rest of the path, of every item that has it.
    Each,
}

/// What GJSON knows and this program does not.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum PropertyError {
    #[error("it is empty")]
    Empty,
    #[error("a query (\"#(…)\") is not supported")]
    Query,
    #[error("a modifier (\"@…\") is not supported")]
    Modifier,
    #[error("a wildcard (\"*\" or \"?\") is not supported; with a backslash before it, it stands for itself")]
    Wildcard,
    #[error("\"|\" is not supported; write \".\"")]
    Pipe,
    #[error("several paths at once (\"{{…}}\" or \"[…]\") are not supported")]
    Several,
    #[error("a literal (\"!…\") is not supported")]
    Literal,
}

impl Property {
    pub(crate) fn parse(text: &str) -> Result<Self, PropertyError> {
        if text.is_empty() {
            return Err(PropertyError::Empty);
        }
        let words = words(text)?;
        let last = words.len() - 1;
        let step = |(index, word): (usize, Word)| match word {
            Word::Hash if index == last => PropertyStep::Count,
            Word::Hash => PropertyStep::Each,
            Word::Name(name) => PropertyStep::Name(name),
        };
        Ok(Self { text: text.to_owned(), steps: words.into_iter().enumerate().map(step).collect() })
    }

    /// As it is written: the name of a field that has precedence over the path.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn steps(&self) -> &[PropertyStep] {
        &self.steps
    }
}

enum Word {
    Name(String),
    Hash,
}

/// The parts between the dots; a backslash takes what follows as it is.
fn words(text: &str) -> Result<Vec<Word>, PropertyError> {
    let mut words = Vec::new();
    let (mut name, mut is_hash) = (String::new(), false);
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        let is_first = name.is_empty() && !is_hash;
        match letter {
            '.' if is_hash => {
                words.push(Word::Hash);
                is_hash = false;
            }
            '.' => words.push(Word::Name(std::mem::take(&mut name))),
            '\\' => name.extend(letters.next()),
            '#' if is_first => is_hash = true,
            _ if is_hash => return Err(PropertyError::Query),
            '*' | '?' => return Err(PropertyError::Wildcard),
            '|' => return Err(PropertyError::Pipe),
            '@' if is_first => return Err(PropertyError::Modifier),
            '{' | '[' if is_first => return Err(PropertyError::Several),
            '!' if is_first => return Err(PropertyError::Literal),
            _ => name.push(letter),
        }
    }
    words.push(if is_hash { Word::Hash } else { Word::Name(name) });
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(text: &str) -> Vec<PropertyStep> {
        Property::parse(text).unwrap().steps
    }

    fn name(text: &str) -> PropertyStep {
        PropertyStep::Name(text.to_owned())
    }

    #[test]
    fn a_path_is_read_as_gjson_reads_it() {
        assert_eq!(steps("a"), [name("a")]);
        assert_eq!(steps("a.b.0"), [name("a"), name("b"), name("0")]);
        assert_eq!(steps("list.#"), [name("list"), PropertyStep::Count]);
        assert_eq!(steps("list.#.x"), [name("list"), PropertyStep::Each, name("x")]);
        assert_eq!(steps(r"a\.b.c\*"), [name("a.b"), name("c*")]);
        assert_eq!(steps(".dockerconfigjson"), [name(""), name("dockerconfigjson")]);
        assert_eq!(steps("a@b.c#d"), [name("a@b"), name("c#d")]);
    }

    #[test]
    fn what_is_not_supported_is_refused_by_name() {
        for (text, error) in [
            ("", PropertyError::Empty),
            ("list.#(name==\"x\").v", PropertyError::Query),
            ("list.#(a>1)#", PropertyError::Query),
            ("a.@reverse", PropertyError::Modifier),
            ("@this", PropertyError::Modifier),
            ("a.*", PropertyError::Wildcard),
            ("a?", PropertyError::Wildcard),
            ("a|b", PropertyError::Pipe),
            ("{a,b}", PropertyError::Several),
            ("x.[a,b]", PropertyError::Several),
            ("!\"x\"", PropertyError::Literal),
        ] {
            assert_eq!(Property::parse(text), Err(error), "{text}");
        }
    }
}
