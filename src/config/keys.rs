//! The keys of the configuration file, a table for each section. A section asks for keys of its table and for no others,
//! and what the tables do not have is an unknown key; the schema and the documentation are made of the same rows.

use std::fmt;

/// The default of a key that has to be there.
const NEEDED: &str = "needed";

/// One key.
#[derive(Debug)]
pub(in crate::config) struct KeySpec {
    pub(in crate::config) name: &'static str,
    pub(in crate::config) takes: KeyType,
    /// In Markdown: a literal one in backticks, any other in words; empty where there is none.
    pub(in crate::config) default: &'static str,
    /// What it is for, in Markdown, on one line.
    pub(in crate::config) text: &'static str,
}

impl KeySpec {
    pub(in crate::config) const fn new(
        name: &'static str,
        takes: KeyType,
        default: &'static str,
        text: &'static str,
    ) -> Self {
        Self { name, takes, default, text }
    }

    /// A key that has to be there, whatever else is.
    pub(in crate::config) const fn needed(name: &'static str, takes: KeyType, text: &'static str) -> Self {
        Self::new(name, takes, NEEDED, text)
    }

    pub(in crate::config) fn is_needed(&self) -> bool {
        self.default == NEEDED
    }

    /// The default, where it is one text.
    pub(in crate::config) fn literal_default(&self) -> Option<&'static str> {
        let inner = self.default.strip_prefix('`')?.strip_suffix('`')?;
        (!inner.contains('`')).then_some(inner)
    }
}

/// What a key takes.
#[derive(Debug)]
pub(in crate::config) enum KeyType {
    Text,
    /// A text that no message shows.
    Credential,
    /// A path in the local file system.
    LocalPath,
    /// A text that is not interpolated.
    Template,
    /// A list of texts.
    Texts,
    Integer,
    Boolean,
    Duration,
    /// A number above 0 and below 1.
    Share,
    Size,
    /// Octal digits.
    Mode,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A list of some of these words.
    Choices(&'static [&'static str]),
    Section(&'static KeySet),
    /// The one path that matters, or a section.
    PathOrSection(&'static KeySet),
    /// A list of sections.
    List(&'static KeySet),
    /// Sections by names of the operator's own.
    Named(&'static KeySet),
    /// Texts by names of the operator's own.
    NamedTexts,
    /// Values of any type by names of the operator's own; no message shows one. A mapping may have these keys instead.
    Values(&'static KeySet),
    /// Templates by names of the operator's own.
    NamedTemplates,
    /// One of these words for each name of the operator's own.
    NamedChoice(&'static [&'static str]),
}

impl KeyType {
    /// The keys of the sections that it takes.
    pub(in crate::config) fn keys(&self) -> Option<&'static KeySet> {
        match self {
            Self::Section(keys)
            | Self::PathOrSection(keys)
            | Self::List(keys)
            | Self::Named(keys)
            | Self::Values(keys) => Some(keys),
            _ => None,
        }
    }
}

/// Groups of keys, each of which several sections may share.
pub(in crate::config) type Groups = &'static [&'static [KeySpec]];

/// Keys by the name of the provider that has them.
pub(in crate::config) type ProviderKeys = Vec<(&'static str, Groups)>;

/// The keys of one kind of section.
pub(in crate::config) struct KeySet {
    /// As the documentation calls it: the YAML path with `[]` for the items of a list.
    pub(in crate::config) name: &'static str,
    pub(in crate::config) groups: Groups,
    /// Further keys, which depend on the provider of the store.
    pub(in crate::config) of_providers: Option<fn() -> ProviderKeys>,
    /// Keys of a later version.
    pub(in crate::config) later: &'static [&'static str],
    /// Keys of one of these groups exclude those of the others.
    pub(in crate::config) exclusive: &'static [&'static [&'static str]],
}

impl KeySet {
    pub(in crate::config) const fn new(name: &'static str, groups: Groups) -> Self {
        Self { name, groups, of_providers: None, later: &[], exclusive: &[] }
    }

    /// Every key, whichever provider has it.
    pub(in crate::config) fn all(&self) -> impl Iterator<Item = &'static KeySpec> {
        let of_providers = self.of_providers.map(|all| all()).unwrap_or_default();
        let of_providers = of_providers.into_iter().flat_map(|(_, groups)| groups);
        self.groups.iter().chain(of_providers).copied().flatten()
    }

    /// This set and those below it, each once.
    pub(in crate::config) fn with_below(&'static self) -> Vec<&'static Self> {
        let mut found = vec![self];
        let mut next = 0;
        while let Some(set) = found.get(next).copied() {
            for keys in set.all().filter_map(|row| row.takes.keys()) {
                if !found.iter().any(|known| std::ptr::eq(*known, keys)) {
                    found.push(keys);
                }
            }
            next += 1;
        }
        found
    }

    /// The names of the sections that have a key of this name.
    pub(in crate::config) fn sections_with(&'static self, name: &str) -> Vec<&'static str> {
        let mut sets = self.with_below();
        sets.retain(|set| set.all().any(|row| row.name == name));
        sets.into_iter().map(|set| if set.name.is_empty() { "the top level" } else { set.name }).collect()
    }
}

/// Without the sets below it.
impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeySet({})", self.name)
    }
}
