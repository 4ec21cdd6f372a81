//! Texts of a template that are known before anything is read: literals, variables of the environment, and what `printf`
//! and `print` make of them.

/// A text of known pieces.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct FoldedText(pub(super) Vec<FoldedPiece>);

/// One piece.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum FoldedPiece {
    Literal(String),
    /// A variable of the environment.
    Variable(String),
}

impl FoldedText {
    pub(super) fn of(text: &str) -> Self {
        Self(vec![FoldedPiece::Literal(text.to_owned())])
    }

    /// The text, if it is one of letters alone.
    pub(super) fn literal(&self) -> Option<String> {
        let part = |piece: &FoldedPiece| match piece {
            FoldedPiece::Literal(text) => Some(text.clone()),
            FoldedPiece::Variable(_) => None,
        };
        self.0.iter().map(part).collect()
    }

    /// The text as the configuration has it: `${X}` for a variable, other `$` doubled.
    pub(super) fn to_configuration(&self) -> String {
        let part = |piece: &FoldedPiece| match piece {
            FoldedPiece::Literal(text) => text.replace('$', "$$"),
            FoldedPiece::Variable(name) => format!("${{{name}}}"),
        };
        self.0.iter().map(part).collect()
    }
}

/// What a call of `printf` or `print` makes of known texts; nothing where that is not plain.
pub(super) fn call(name: &str, arguments: &[FoldedText]) -> Option<FoldedText> {
    if name == "print" {
        return Some(FoldedText(arguments.iter().flat_map(|text| text.0.clone()).collect()));
    }
    let (format, rest) = arguments.split_first()?;
    let (format, mut rest) = (format.literal()?, rest.iter());
    let (mut pieces, mut literal, mut letters) = (Vec::new(), String::new(), format.chars());
    while let Some(letter) = letters.next() {
        match letter {
            '%' => match letters.next()? {
                '%' => literal.push('%'),
                's' | 'v' | 'd' => {
                    pieces.push(FoldedPiece::Literal(std::mem::take(&mut literal)));
                    pieces.extend(rest.next()?.0.iter().cloned());
                }
                _ => return None,
            },
            letter => literal.push(letter),
        }
    }
    pieces.push(FoldedPiece::Literal(literal));
    rest.next().is_none().then_some(FoldedText(pieces))
}

/// Whether `${name}` can stand in the configuration.
pub(super) fn is_variable(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|letter: char| letter.is_ascii_digit())
        && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_that_are_not_plain_are_not_folded() {
        let texts = |texts: &[&str]| texts.iter().map(|text| FoldedText::of(text)).collect::<Vec<_>>();
        let fold = |arguments: &[&str]| call("printf", &texts(arguments))?.literal();
        assert_eq!(fold(&["a/%s/100%%", "b"]).as_deref(), Some("a/b/100%"));
        for odd in [&["a/%s"][..], &["a/%q", "b"], &["a", "b"], &["a/%5s", "b"], &["a%"]] {
            assert_eq!(fold(odd), None, "{odd:?}");
        }
    }
}
