//! Stanzas → secrets: those that read the same become one secret with several files.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::place::{AgentSource, KvSource};
use super::schedule::AgentSchedule;
use super::stanza::Stanza;
use crate::convert::document::{Commented, Document, numbered};
use crate::convert::dynamic::ConvertedTerms;
use crate::convert::notation::{Notation, StoreKey};
use crate::template::go::lexer::Delimiters;

/// What one secret of the configuration is made of.
struct StanzaGroup {
    sources: BTreeSet<AgentSource>,
    stanzas: Vec<Stanza>,
}

/// How the secrets of one configuration are read.
pub(super) struct SecretReads<'r> {
    pub(super) store: StoreKey,
    pub(super) schedule: &'r AgentSchedule,
}

/// Adds the secrets that `stanzas` become. Gives back those that read nothing, where there is no secret to go with.
pub(super) fn add(
    stanzas: Vec<Stanza>,
    reads: &SecretReads<'_>,
    names: &mut BTreeSet<String>,
    document: &mut Document,
) -> Vec<Stanza> {
    let (reading, mut others): (Vec<_>, Vec<_>) =
        stanzas.into_iter().partition(|stanza| !stanza.sources.is_empty());
    let mut groups: Vec<StanzaGroup> = Vec::new();
    let mut known = HashMap::<_, usize>::new();
    for stanza in reading {
        let reads = (stanza.sources.clone(), stanza.delimiters.clone());
        let group = known.get(&reads).and_then(|at| groups.get_mut(*at));
        if let Some(group) = group {
            group.stanzas.push(stanza);
        } else {
            known.insert(reads, groups.len());
            groups.push(StanzaGroup { sources: stanza.sources.clone(), stanzas: vec![stanza] });
        }
    }
    // A file without secrets is written with the first secret that has its delimiters.
    let mut left = Vec::new();
    for stanza in others.drain(..) {
        match groups.iter_mut().find(|group| delimiters(group) == Some(&stanza.delimiters)) {
            Some(group) => group.stanzas.push(stanza),
            None => left.push(stanza),
        }
    }
    // What is asked for in several secrets has the same terms in all of them.
    let without_hook: BTreeSet<_> =
        groups.iter().filter(|group| !has_hook(group)).flat_map(|group| group.sources.clone()).collect();
    for group in groups {
        let name = numbered(&name(&group.sources), |name| !names.contains(name));
        names.insert(name.clone());
        document.add_interval(reads.schedule.interval);
        let origins = group.stanzas.iter().map(|stanza| stanza.origin.clone()).collect();
        let secret = secret(name, group, reads, &without_hook, document);
        document.add_secret(secret, origins);
    }
    left
}

/// Whether something that runs follows a change of the files.
fn has_hook(group: &StanzaGroup) -> bool {
    group.stanzas.iter().flat_map(|stanza| &stanza.hooks).any(|hook| hook.remedy.is_none())
}

fn delimiters(group: &StanzaGroup) -> Option<&Delimiters> {
    group.stanzas.first().map(|stanza| &stanza.delimiters)
}

/// A name out of the keys: `app-db`.
fn name(sources: &BTreeSet<AgentSource>) -> String {
    let keys: Vec<_> = sources.iter().map(path).take(2).collect();
    let letter = |letter: char| if letter.is_ascii_alphanumeric() || letter == '_' { letter } else { '-' };
    let text: String = keys.join("-").chars().map(letter).collect();
    let parts: Vec<_> = text.split('-').filter(|part| !part.is_empty()).collect();
    if parts.is_empty() { "secret".to_owned() } else { parts.join("-") }
}

/// What names of a source are made of.
fn path(source: &AgentSource) -> &str {
    match source {
        AgentSource::Kv(source) => &source.key,
        AgentSource::Dynamic(source) => &source.path,
    }
}

fn secret(
    name: String,
    group: StanzaGroup,
    reads: &SecretReads<'_>,
    without_hook: &BTreeSet<AgentSource>,
    document: &mut Document,
) -> Commented {
    let StanzaGroup { sources, mut stanzas } = group;
    let mut comments: Vec<_> =
        stanzas.iter().map(|stanza| format!("from {}", stanza.origin.comment())).collect();
    let (mut hooks, mut silent) = (BTreeSet::new(), BTreeSet::new());
    for hook in stanzas.iter_mut().flat_map(|stanza| std::mem::take(&mut stanza.hooks)) {
        let names = if hook.remedy.is_none() { &mut hooks } else { &mut silent };
        names.insert(document.add_hook(hook));
    }
    if !silent.is_empty() {
        comments.push(format!("hooks: [{}]", silent.into_iter().collect::<Vec<_>>().join(", ")));
    }
    let mut entries = vec![("name", Notation::text(name)), ("store", Notation::Store(reads.store.clone()))];
    let reissue_at = reads.schedule.reissue_at.as_deref();
    let terms = |source| ConvertedTerms { reissue_at, has_hook: !without_hook.contains(source) };
    if let (1, Some(only)) = (sources.len(), sources.first()) {
        match only {
            AgentSource::Kv(source) => entries.extend(keys(source)),
            AgentSource::Dynamic(source) => entries.push(("vaultDynamic", source.notation(&terms(only)))),
        }
    } else {
        let mut taken = BTreeSet::from(["data".to_owned(), "vars".to_owned()]);
        let items = sources.iter().map(|source| {
            let alias = numbered_word(&alias(path(source)), &mut taken);
            let read = match source {
                AgentSource::Kv(source) => ("extract", Notation::map(keys(source))),
                AgentSource::Dynamic(dynamic) => ("vaultDynamic", dynamic.notation(&terms(source))),
            };
            Notation::map([("as", Notation::text(alias)), read])
        });
        entries.push(("dataFrom", Notation::List(items.collect())));
    }
    entries.push(("refreshInterval", Notation::text(&reads.schedule.text)));
    let mut template = vec![("engine", Notation::text("consul-template"))];
    if let Some(Delimiters { left, right }) =
        stanzas.first().map(|stanza| &stanza.delimiters).filter(|found| **found != Delimiters::default())
    {
        template.push(("delimiters", Notation::List(vec![Notation::as_is(left), Notation::as_is(right)])));
    }
    let variables: BTreeMap<_, _> = stanzas.iter().flat_map(|stanza| stanza.variables.clone()).collect();
    if !variables.is_empty() {
        let variable = |(name, default): (String, Option<String>)| {
            let value = match default {
                Some(default) => format!("${{{name}:-{}}}", default.replace('$', "$$")),
                None => format!("${{{name}}}"),
            };
            (Cow::Owned(name), Notation::as_is(value))
        };
        template.push(("vars", Notation::Map(variables.into_iter().map(variable).collect())));
    }
    entries.push(("template", Notation::map(template)));
    entries.push(("files", Notation::List(stanzas.into_iter().map(file).collect())));
    if !hooks.is_empty() {
        entries.push(("hooks", Notation::List(hooks.into_iter().map(Notation::Text).collect())));
    }
    Commented { comments, value: Notation::map(entries) }
}

fn keys(source: &KvSource) -> Vec<(&'static str, Notation)> {
    let mut keys = vec![("key", Notation::as_is(&source.key))];
    if source.mount != "secret" {
        keys.push(("mountPath", Notation::as_is(&source.mount)));
    }
    if !source.is_v2 {
        keys.push(("kvVersion", Notation::text("v1")));
    }
    keys.extend(source.version.as_ref().map(|version| ("version", Notation::as_is(version))));
    keys
}

fn file(stanza: Stanza) -> Notation {
    let mut entries = vec![("path", Notation::text(stanza.path)), ("mode", Notation::text(stanza.mode))];
    entries.extend(stanza.owner.map(|owner| ("owner", Notation::text(owner))));
    entries.extend(stanza.group.map(|group| ("group", Notation::text(group))));
    entries.push(("template", Notation::AsIs(stanza.text)));
    Notation::map(entries)
}

/// The last part of a key as an identifier.
fn alias(key: &str) -> String {
    let last = key.rsplit('/').next().unwrap_or_default();
    let word: String =
        last.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' }).collect();
    if word.starts_with(|letter: char| letter.is_ascii_alphabetic()) { word } else { format!("s{word}") }
}

fn numbered_word(word: &str, taken: &mut BTreeSet<String>) -> String {
    let free = numbered(word, |word| !taken.contains(&word.replace('-', "_"))).replace('-', "_");
    taken.insert(free.clone());
    free
}
