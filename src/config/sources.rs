//! What a secret reads, and what becomes of it: `key`, or `data` and `dataFrom`.

mod pattern;
mod property;

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::provider::SecretRead;
use super::provider::vault::KvVersion;
use crate::name::StoreName;
use crate::secret::AnswerPath;
use crate::template::Template;
pub(crate) use pattern::Pattern;
pub(crate) use property::{Property, PropertyStep};

/// What a secret reads. There is at least one source.
#[derive(Clone, PartialEq, Debug)]
pub struct Sources {
    first: Source,
    others: Vec<Source>,
    /// How the fields are made, the last one wins; empty: they are those of the only source, as they are.
    parts: Vec<SourceUse>,
}

/// One read, or one search for secrets to read.
#[derive(Clone, PartialEq, Debug)]
pub struct Source {
    /// A store that exists.
    pub store: StoreName,
    /// What is read there; for a search the folder.
    pub read: SecretRead,
    /// Which secrets below that folder are read.
    pub search: Option<Search>,
}

/// `find`: which secrets below a folder are meant.
#[derive(Clone, PartialEq, Debug)]
pub struct Search {
    /// `name.regexp`, on the path below the mount.
    pub(crate) name: Option<Pattern>,
    /// `tags`: each of these is among the secret's own.
    pub(crate) tags: BTreeMap<String, String>,
}

/// What becomes of a source: an entry of `data` or `dataFrom`.
#[derive(Clone, PartialEq, Debug)]
pub struct SourceUse {
    /// The index of the source.
    pub(crate) source: usize,
    pub(crate) property: Option<Property>,
    pub(crate) takes: Taken,
    pub(crate) decoding: ValueDecoding,
    /// `nullBytePolicy: Fail`.
    pub(crate) refuses_null_bytes: bool,
}

/// Which fields a part gives.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Taken {
    /// `data`: one field of this name.
    One(String),
    /// `dataFrom`: all fields, those of a search being the secrets found; with `under` in one field of that name.
    All { under: Option<String>, names: FieldNames },
}

/// What the fields of `dataFrom` are called.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum FieldNames {
    /// As in the store: for `key`.
    AsTheyAre,
    /// `conversionStrategy`.
    Converted(KeyConversion),
    /// `rewrite`; there is at least one step.
    Rewritten(Vec<RewriteStep>),
}

/// `conversionStrategy`: what becomes of letters that External Secrets does not allow in a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum KeyConversion {
    /// `_`.
    Underscore,
    /// `_U` with the code point and `_`.
    CodePoint,
}

/// `decodingStrategy`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ValueDecoding {
    None,
    Base64,
    Base64Url,
    /// The first of these that the value can be.
    Auto,
}

/// One step of `rewrite`.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum RewriteStep {
    /// `regexp`: in each name, what matches becomes `target`.
    Replace { source: Pattern, target: String },
    /// `merge`.
    Merge(MergeStep),
    /// `transform`: a Go template that makes each name of `.value`.
    Transform(Template),
}

/// `rewrite[].merge`: the fields of values that are objects become fields themselves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct MergeStep {
    /// `priority`: names whose values win, the last one most of all.
    pub(crate) priority: Vec<String>,
    /// `priorityPolicy: IgnoreNotFound`: a name of `priority` may be absent.
    pub(crate) ignores_absent: bool,
    /// `conflictPolicy: Ignore`: two values may have a field of one name.
    pub(crate) ignores_conflicts: bool,
    /// `strategy: JSON`: the fields stay together, in one more field of this name.
    pub(crate) into: Option<String>,
}

impl Sources {
    /// A secret whose fields are those of one source.
    pub fn of(source: Source) -> Self {
        Self { first: source, others: Vec::new(), parts: Vec::new() }
    }

    /// All sources: each distinct read once, in the order of the configuration.
    pub fn all(&self) -> impl Iterator<Item = &Source> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// The source that is read first.
    pub fn first(&self) -> &Source {
        &self.first
    }

    /// The source whose fields are those of the secret, if there is no other and nothing becomes of them.
    pub(crate) fn only(&self) -> Option<&Source> {
        (self.parts.is_empty() && self.others.is_empty()).then_some(&self.first)
    }

    /// What becomes of the sources, in order of precedence: the last wins.
    pub(crate) fn parts(&self) -> &[SourceUse] {
        &self.parts
    }

    /// What `secret` of a Go template may look up.
    pub(crate) fn answer_paths(&self) -> Vec<AnswerPath> {
        self.all().filter_map(Source::answer_path).collect()
    }

    /// Whether one of them is no read: what it gives is issued.
    pub(crate) fn has_issued(&self) -> bool {
        self.all().any(|source| source.read.issued().is_some())
    }

    /// Whether one of them is read in one version only, also when newer ones are written.
    pub(crate) fn is_pinned(&self) -> bool {
        self.all().any(|source| source.read.is_pinned())
    }

    /// The same, read in one version; `None` where there are several sources, or the provider has no versions.
    pub(crate) fn at_version(&self, version: u64) -> Option<Self> {
        if !self.others.is_empty() || self.first.search.is_some() {
            return None;
        }
        let first = Source { read: self.first.read.at_version(version)?, ..self.first.clone() };
        Some(Self { first, others: Vec::new(), parts: self.parts.clone() })
    }

    /// The names of the stores, each once, as logs have them.
    pub(crate) fn store_names(&self) -> Cow<'_, str> {
        if self.others.is_empty() {
            return Cow::Borrowed(self.first.store.as_str());
        }
        joined(self.all().map(|source| Cow::Borrowed(source.store.as_str())))
    }

    /// The paths of all sources, as logs have them.
    pub(crate) fn paths(&self) -> String {
        joined(self.all().map(|source| Cow::Owned(source.path()))).into_owned()
    }
}

impl Source {
    /// The secret at `read`.
    pub fn new(store: StoreName, read: SecretRead) -> Self {
        Self { store, read, search: None }
    }

    /// Its path as a template of the Agent has it; nothing for a search, and for stores without such paths.
    pub(crate) fn answer_path(&self) -> Option<AnswerPath> {
        match &self.read {
            SecretRead::Vault(read) if self.search.is_none() => Some(match read.kv_version {
                KvVersion::V1 => AnswerPath::plain(&format!("{}/{}", read.mount, read.key)),
                KvVersion::V2 | KvVersion::Auto => AnswerPath::kv2(&read.mount, &read.key, read.version),
            }),
            SecretRead::VaultDynamic(read) => {
                Some(AnswerPath::with_parameters(&read.path, read.parameters_as_texts()))
            }
            _ => None,
        }
    }

    /// Whether its answer has the shape of KV version 2, which alone has metadata.
    pub(crate) fn is_kv2(&self, has_metadata: bool) -> bool {
        let SecretRead::Vault(read) = &self.read else { return false };
        match read.kv_version {
            KvVersion::V1 => false,
            KvVersion::V2 => true,
            KvVersion::Auto => has_metadata,
        }
    }

    /// What messages and status call it: the path, and of a search the folder with `/*`.
    pub fn path(&self) -> String {
        match self.search {
            None => self.read.path(),
            Some(_) => format!("{}/*", self.read.path().trim_end_matches('/')),
        }
    }
}

/// Those that differ, with commas between them.
fn joined<'t>(texts: impl Iterator<Item = Cow<'t, str>>) -> Cow<'t, str> {
    let mut distinct: Vec<Cow<'t, str>> = Vec::new();
    for text in texts {
        if !distinct.contains(&text) {
            distinct.push(text);
        }
    }
    match distinct.len() {
        1 => distinct.remove(0),
        _ => Cow::Owned(distinct.join(", ")),
    }
}

/// Collects the sources and parts of one secret.
#[derive(Default)]
pub(super) struct SourceList {
    sources: Vec<Source>,
    parts: Vec<SourceUse>,
}

impl SourceList {
    /// The index of `source`, which is read once however often it is named.
    pub(super) fn index_of(&mut self, source: Source) -> usize {
        let known = self.sources.iter().position(|known| *known == source);
        known.unwrap_or_else(|| {
            self.sources.push(source);
            self.sources.len() - 1
        })
    }

    pub(super) fn push(&mut self, part: SourceUse) {
        self.parts.push(part);
    }

    pub(super) fn parts(&self) -> &[SourceUse] {
        &self.parts
    }

    /// Nothing if there is no source.
    pub(super) fn finish(self) -> Option<Sources> {
        let mut sources = self.sources.into_iter();
        Some(Sources { first: sources.next()?, others: sources.collect(), parts: self.parts })
    }
}
