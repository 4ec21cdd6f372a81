//! What becomes of names and values on their way into the secret: `decodingStrategy`, `conversionStrategy`,
//! `nullBytePolicy`.

use crate::config::compile::context::CompileContext;
use crate::config::compile::section::Section;
use crate::config::keys::{KeySpec, KeyType};
use crate::config::sources::{KeyConversion, Property, SourceUse, Taken, ValueDecoding};

pub(super) const VALUE_KEYS: &[KeySpec] = &[
    KeySpec::new(
        "decodingStrategy",
        KeyType::Choice(&["None", "Base64", "Base64URL", "Auto"]),
        "`None`",
        "how values are decoded; `Auto` takes what fits and may change values that only look encoded",
    ),
    KeySpec::new(
        "conversionStrategy",
        KeyType::Choice(&["Default", "Unicode"]),
        "`Default`",
        "what becomes of letters in names other than letters, digits, `-`, `.` and `_`: `_`, or `_U0000_`; in `dataFrom`, \
         without `rewrite`",
    ),
    KeySpec::new(
        "nullBytePolicy",
        KeyType::Choice(&["Ignore", "Fail"]),
        "`Ignore`",
        "`Fail`: a value that holds a NUL byte is an error",
    ),
];

/// A value is there and wrong, and that has been reported.
pub(super) struct Reported;

/// These keys, compiled.
#[derive(Clone, Copy)]
pub(super) struct Values {
    decoding: ValueDecoding,
    pub(super) conversion: KeyConversion,
    refuses_null_bytes: bool,
}

/// Values as they are.
impl Default for Values {
    fn default() -> Self {
        let (decoding, conversion) = (ValueDecoding::None, KeyConversion::Underscore);
        Self { decoding, conversion, refuses_null_bytes: false }
    }
}

impl Values {
    pub(super) fn part(self, source: usize, property: Option<Property>, takes: Taken) -> SourceUse {
        let Self { decoding, conversion: _, refuses_null_bytes } = self;
        SourceUse { source, property, takes, decoding, refuses_null_bytes }
    }
}

/// Nothing where one of them is wrong.
pub(super) fn compile(section: &Section<'_>, context: &mut CompileContext<'_>) -> Option<Values> {
    let decodings = [
        ("None", ValueDecoding::None),
        ("Base64", ValueDecoding::Base64),
        ("Base64URL", ValueDecoding::Base64Url),
        ("Auto", ValueDecoding::Auto),
    ];
    let decoding = word(section, "decodingStrategy", &decodings, ValueDecoding::None, context);
    let conversions = [("Default", KeyConversion::Underscore), ("Unicode", KeyConversion::CodePoint)];
    let conversion = word(section, "conversionStrategy", &conversions, KeyConversion::Underscore, context);
    let policies = [("Ignore", false), ("Fail", true)];
    let refuses_null_bytes = word(section, "nullBytePolicy", &policies, false, context);
    Some(Values { decoding: decoding?, conversion: conversion?, refuses_null_bytes: refuses_null_bytes? })
}

/// One of `words`, or `usual` where the key is absent.
pub(super) fn word<T: Copy>(
    section: &Section<'_>,
    key: &'static str,
    words: &[(&'static str, T)],
    usual: T,
    context: &mut CompileContext<'_>,
) -> Option<T> {
    if section.has(key) { section.choice(key, words, context) } else { Some(usual) }
}
