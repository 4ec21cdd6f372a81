//! Keys that take one of a few words, and lists of texts whose places matter.

use super::{Section, interpolated, wrong_type};
use crate::config::compile::context::CompileContext;
use crate::config::compile::suggest;
use crate::config::compile::text::Text;
use crate::config::diagnostic::{Code, Diagnostic, Place};
use crate::config::keys::KeyType;
use crate::config::value::{MappingEntry, Node};

impl<'a> Section<'a> {
    /// The texts of the list under `key`, with the place of each; none where it is absent.
    pub(in crate::config) fn placed_texts(
        &self,
        key: &'static str,
        context: &mut CompileContext<'_>,
    ) -> Vec<(Text<'a>, Place)> {
        let Some(node) = self.node(key) else { return Vec::new() };
        let Some(items) = node.items() else {
            context.push(wrong_type(self.place_of(key), "a list", node));
            return Vec::new();
        };
        let path = self.path_of(key);
        let text = |(index, item): (usize, &'a Node)| {
            let place = Place { path: format!("{path}[{index}]"), position: Some(item.position) };
            Some((interpolated(item, place.clone(), context)?, place))
        };
        items.iter().enumerate().filter_map(text).collect()
    }

    /// One of a few words.
    pub(in crate::config) fn choice<T: Copy>(
        &self,
        key: &'static str,
        words: &[(&'static str, T)],
        context: &mut CompileContext<'_>,
    ) -> Option<T> {
        let known: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        self.choice_or(key, words, &format!("write {}", known.join(" or ")), context)
    }

    /// The same with a hint for a word that is none of them.
    pub(in crate::config) fn choice_or<T: Copy>(
        &self,
        key: &'static str,
        words: &[(&'static str, T)],
        otherwise: &str,
        context: &mut CompileContext<'_>,
    ) -> Option<T> {
        debug_assert!(self.takes(key, words), "the words of {key:?} are not those of its table");
        let text = self.text(key, context)?;
        one_of(&text, words, otherwise, self.place_of(key), context)
    }

    /// One of a few words for each name in the mapping under `key`, whose keys are the operator's own.
    pub(in crate::config) fn named_choices<T: Copy>(
        &self,
        key: &'static str,
        words: &[(&'static str, T)],
        otherwise: &str,
        context: &mut CompileContext<'_>,
    ) -> Vec<(&'a MappingEntry, T)> {
        debug_assert!(self.takes(key, words), "the words of {key:?} are not those of its table");
        let Some(section) = self.child(key, context) else { return Vec::new() };
        let choice = |entry: &'a MappingEntry| {
            let text = interpolated(&entry.node, section.place_of(&entry.key), context)?;
            let word = one_of(&text, words, otherwise, section.place_of(&entry.key), context)?;
            Some((entry, word))
        };
        section.entries.iter().filter_map(choice).collect()
    }

    /// Some of a few words, in their order; each once.
    pub(in crate::config) fn choices<T: Copy + PartialEq>(
        &self,
        key: &'static str,
        words: &[(&'static str, T)],
        context: &mut CompileContext<'_>,
    ) -> Vec<T> {
        debug_assert!(self.takes(key, words), "the words of {key:?} are not those of its table");
        let known: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        let otherwise = format!("write some of {}", known.join(", "));
        let mut chosen = Vec::new();
        for (text, place) in self.placed_texts(key, context) {
            let word = one_of(&text, words, &otherwise, place, context);
            chosen.extend(word.filter(|word| !chosen.contains(word)));
        }
        chosen
    }

    fn takes<T>(&self, key: &str, words: &[(&str, T)]) -> bool {
        let (KeyType::Choice(known) | KeyType::Choices(known) | KeyType::NamedChoice(known)) =
            self.row(key).map_or(&KeyType::Text, |row| &row.takes)
        else {
            return false;
        };
        known.iter().eq(words.iter().map(|(word, _)| word))
    }
}

/// What the word `text` stands for; a hint for one that is none of `words`.
fn one_of<T: Copy>(
    text: &Text<'_>,
    words: &[(&'static str, T)],
    otherwise: &str,
    place: Place,
    context: &mut CompileContext<'_>,
) -> Option<T> {
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == text.value) {
        return Some(*value);
    }
    let known: Vec<_> = words.iter().map(|(word, _)| *word).collect();
    let message = text.is_not(&format!("one of {}", known.join(", ")), "");
    let hint = match suggest::nearest(&text.value, known.iter().copied()) {
        Some(near) => format!("did you mean {near:?}?"),
        None => otherwise.to_owned(),
    };
    context.push(Diagnostic::new(Code::BadValue, place, message).hint(hint));
    None
}
