//! What a secret reads: `key`, or `data` and `dataFrom` in the notation of External Secrets.

pub(super) mod dynamic;
mod find;
mod rewrite;
mod values;

use super::context::CompileContext;
use super::scope::{self, Scope, StoreOfSecret, store_called};
use super::section::Section;
use crate::config::diagnostic::{Code, Diagnostic};
use crate::config::keys::{KeySet, KeySpec, KeyType};
use crate::config::provider::{self, compile_read};
use crate::config::sources::{FieldNames, Property, Source, SourceList, SourceUse, Sources, Taken};
use crate::config::value::Node;
use crate::name::StoreName;
use rewrite::REWRITE_KEYS;
use values::{Reported, VALUE_KEYS, Values};

/// The key that says which value of a secret is meant.
pub(super) const PROPERTY: KeySpec = KeySpec::new(
    "property",
    KeyType::Text,
    "",
    "a field of that name, or else a path into the values such as `users.0.name`; its fields become those of the secret",
);

/// An entry of `data`.
pub(super) static DATA_KEYS: KeySet = KeySet::new(
    "secrets[].data[]",
    &[&[
        KeySpec::needed("secretKey", KeyType::Text, "the field that it becomes"),
        KeySpec::needed("remoteRef", KeyType::Section(&REMOTE_KEYS), "what is read"),
        KeySpec::new("sourceRef", KeyType::Section(&SOURCE_KEYS), "", "another store than the secret's"),
    ]],
);

/// `remoteRef` and `extract`. What the provider adds is in its own module.
static REMOTE_KEYS: KeySet = KeySet {
    of_providers: Some(provider::read_keys),
    ..KeySet::new(
        "secrets[].data[].remoteRef",
        &[
            &[
                KeySpec::needed("key", KeyType::Text, "path below the mount, without `data/`"),
                KeySpec::new(
                    "property",
                    KeyType::Text,
                    "all fields",
                    "a field of that name, or else a path into the values such as `users.0.name`",
                ),
                KeySpec::new(
                    "metadataPolicy",
                    KeyType::Choice(&["None", "Fetch"]),
                    "`None`",
                    "`Fetch` is an error: metadata of a secret cannot be read",
                ),
            ],
            VALUE_KEYS,
        ],
    )
};

/// An entry of `dataFrom`.
pub(super) static DATA_FROM_KEYS: KeySet = KeySet {
    exclusive: &[&["extract"], &["find"], &["vaultDynamic"]],
    ..KeySet::new(
        "secrets[].dataFrom[]",
        &[&[
            KeySpec::new(
                "as",
                KeyType::Text,
                "merged into the secret's",
                "one field that holds the fields, for templates: `{{ db.password }}`",
            ),
            KeySpec::new("extract", KeyType::Section(&REMOTE_KEYS), "", "all fields of one secret"),
            KeySpec::new(
                "find",
                KeyType::Section(&find::FIND_KEYS),
                "",
                "every secret below a path that fits, each as a field of JSON",
            ),
            dynamic::DYNAMIC,
            KeySpec::new(
                "rewrite",
                KeyType::List(&REWRITE_KEYS),
                "",
                "steps that change the names of the fields",
            ),
            KeySpec::new("sourceRef", KeyType::Section(&SOURCE_KEYS), "", "another store than the secret's"),
        ]],
    )
};

static SOURCE_KEYS: KeySet = KeySet::new(
    "secrets[].dataFrom[].sourceRef",
    &[&[
        KeySpec::new("storeRef", KeyType::Section(&STORE_KEYS), "", "the store"),
        KeySpec::new(
            "generatorRef",
            KeyType::Section(&GENERATOR_KEYS),
            "",
            "an error: there are no generators",
        ),
    ]],
);

/// What External Secrets writes there.
static GENERATOR_KEYS: KeySet = KeySet::new(
    "secrets[].dataFrom[].sourceRef.generatorRef",
    &[&[
        KeySpec::new("apiVersion", KeyType::Text, "", "without effect"),
        KeySpec::new("kind", KeyType::Text, "", "without effect"),
        KeySpec::new("name", KeyType::Text, "", "without effect"),
    ]],
);

static STORE_KEYS: KeySet = KeySet::new(
    "secrets[].dataFrom[].sourceRef.storeRef",
    &[&[
        KeySpec::needed("name", KeyType::Text, "a name of `secretStores`"),
        KeySpec::new(
            "kind",
            KeyType::Choice(&["SecretStore", "ClusterSecretStore"]),
            "",
            "without effect: for manifests of External Secrets",
        ),
    ]],
);

/// What an entry of `dataFrom` may read; one of these.
const WHAT: [&str; 3] = ["extract", "find", "vaultDynamic"];

/// Names that templates have for something else.
const RESERVED: [&str; 2] = ["data", "vars"];

/// Compiles `key`, or `data` and `dataFrom`.
pub(super) fn compile(
    section: &mut Section<'_>,
    scope: &Scope<'_>,
    context: &mut CompileContext<'_>,
) -> Option<Sources> {
    let store = scope::store(section, scope, context);
    if section.has("vaultDynamic") && !section.has("data") && !section.has("dataFrom") {
        return dynamic::of_secret(section, store, context);
    }
    if !section.has("data") && !section.has("dataFrom") {
        return of_key(section, store.as_ref(), context);
    }
    refuse_keys_of_one_read(section, store.as_ref(), context);
    let compiler = Compiler { scope, store };
    let mut list = SourceList::default();
    let mut is_whole = true;
    for item in section.list("dataFrom", context) {
        is_whole &= item.open(context).and_then(|entry| compiler.fields(entry, &mut list, context)).is_some();
    }
    for item in section.list("data", context) {
        is_whole &= item.open(context).and_then(|entry| compiler.field(entry, &mut list, context)).is_some();
    }
    if list.parts().is_empty() && is_whole && !section.is_refused("data") && !section.is_refused("dataFrom") {
        let key = if section.has("dataFrom") { "dataFrom" } else { "data" };
        let message = "the secret reads nothing";
        context.push(Diagnostic::new(Code::MissingKey, section.place_of(key), message).hint("add an entry"));
    }
    list.finish().filter(|_| is_whole)
}

/// The sources of a secret with a `key`, or of one that should have had it.
fn of_key(
    section: &mut Section<'_>,
    store: Option<&StoreOfSecret<'_>>,
    context: &mut CompileContext<'_>,
) -> Option<Sources> {
    if !section.has("key") {
        section.missing(
            "key",
            "the path of the secret below its mount; or write vaultDynamic, data or dataFrom",
            context,
        );
    }
    let read = compile_read(section, store.and_then(|(_, spec)| *spec), context);
    let property = property(section, context);
    let source = Source::new(store?.0.clone(), read?);
    if !section.has("property") {
        return Some(Sources::of(source));
    }
    let mut list = SourceList::default();
    let source = list.index_of(source);
    let takes = Taken::All { under: None, names: FieldNames::AsTheyAre };
    list.push(Values::default().part(source, Some(property?), takes));
    list.finish()
}

/// Beside `data` and `dataFrom` stands nothing that says what one read reads.
fn refuse_keys_of_one_read(
    section: &mut Section<'_>,
    store: Option<&StoreOfSecret<'_>>,
    context: &mut CompileContext<'_>,
) {
    let of_provider = provider::keys_of_read(store.and_then(|(_, spec)| *spec));
    section.add_keys(of_provider);
    let others = of_provider.iter().copied().flatten().map(|row| row.name);
    for key in ["key", "property", "vaultDynamic"].into_iter().chain(others).filter(|key| section.has(key)) {
        let beside = if section.has("dataFrom") { "dataFrom" } else { "data" };
        let message = format!("{key:?} cannot stand beside {beside:?}");
        let hint = match key {
            "key" => "write it as one more entry: \"dataFrom: [{ extract: { key: … } }]\"".to_owned(),
            "vaultDynamic" => {
                "write it as one more entry: \"dataFrom: [{ vaultDynamic: { path: … } }]\"".to_owned()
            }
            _ => format!("write {key:?} inside \"extract\" or \"remoteRef\""),
        };
        context.push(Diagnostic::new(Code::ConflictingKeys, section.place_of(key), message).hint(hint));
    }
}

/// Whether the secret `node` reads from `secretStore`, where it is well formed.
pub(super) fn reads_main_store(node: &Node) -> bool {
    let is_main = |name: &Node| name.scalar().is_none_or(|name| name.text() == StoreName::main().as_str());
    let own = node.entry("store").is_none_or(is_main);
    let entries = ["dataFrom", "data"].into_iter().filter_map(|key| node.entry(key)?.items()).flatten();
    let stores: Vec<Option<&Node>> =
        entries.map(|entry| entry.entry("sourceRef")?.entry("storeRef")?.entry("name")).collect();
    if stores.is_empty() { own } else { stores.into_iter().any(|store| store.map_or(own, is_main)) }
}

struct Compiler<'s> {
    scope: &'s Scope<'s>,
    /// The secret's own store; nothing where that is wrong.
    store: Option<StoreOfSecret<'s>>,
}

impl<'s> Compiler<'s> {
    /// An entry of `dataFrom`.
    fn fields(
        &self,
        entry: Section<'_>,
        list: &mut SourceList,
        context: &mut CompileContext<'_>,
    ) -> Option<()> {
        let store = self.store_of(&entry, context);
        let under = under(&entry, list, context);
        let steps = rewrite::compile(&entry, context);
        let found = found(&entry, store, context);
        entry.finish(context);
        let ((source, property, values), steps) = (found?, steps?);
        let names = match values {
            _ if !steps.is_empty() => FieldNames::Rewritten(steps),
            Some(values) => FieldNames::Converted(values.conversion),
            None => FieldNames::AsTheyAre,
        };
        let takes = Taken::All { under: under.ok()?, names };
        let source = list.index_of(source);
        list.push(values.unwrap_or_default().part(source, property, takes));
        Some(())
    }

    /// An entry of `data`.
    fn field(
        &self,
        entry: Section<'_>,
        list: &mut SourceList,
        context: &mut CompileContext<'_>,
    ) -> Option<()> {
        let store = self.store_of(&entry, context);
        let name = field_name(&entry, list, context);
        if !entry.has("remoteRef") {
            entry.missing("remoteRef", "say what is read: \"remoteRef: { key: … }\"", context);
        }
        let remote = entry.child("remoteRef", context).zip(store);
        let remote = remote.map(|(section, store)| remote_of(section, store, context));
        entry.finish(context);
        let (source, property, values) = remote?;
        let (source, property, values, name) = (source?, property.ok()?, values?, name?);
        let source = list.index_of(source);
        list.push(values.part(source, property, Taken::One(name)));
        Some(())
    }

    /// The store that `sourceRef` names, or else the secret's.
    fn store_of(&self, entry: &Section<'_>, context: &mut CompileContext<'_>) -> Option<StoreOfSecret<'s>> {
        if !entry.has("sourceRef") {
            return self.store.clone();
        }
        let section = entry.child("sourceRef", context)?;
        if let Some(generator) = section.child("generatorRef", context) {
            for key in ["apiVersion", "kind", "name"] {
                generator.text(key, context);
            }
            generator.finish(context);
            let message = "\"generatorRef\" is not supported: there are no generators";
            let hint = "write the value into the store, and read it from there; for VaultDynamicSecret write vaultDynamic";
            context.push(
                Diagnostic::new(Code::NotSupported, section.place_of("generatorRef"), message).hint(hint),
            );
        } else if !section.has("storeRef") && !section.has("generatorRef") {
            section.missing("storeRef", "name a store: \"storeRef: { name: … }\"", context);
        }
        let store = section.child("storeRef", context).and_then(|reference| {
            let words = [("SecretStore", ()), ("ClusterSecretStore", ())];
            reference.choice("kind", &words, context);
            if !reference.has("name") {
                reference.missing("name", "a name of secretStores", context);
            }
            let store = store_called("name", &reference, self.scope, context);
            reference.finish(context);
            store
        });
        let is_right = !section.has("generatorRef");
        section.finish(context);
        store.filter(|_| is_right)
    }
}

/// What an entry of `dataFrom` reads, which of it, and how the values are taken where it is an entry of External Secrets.
type SourceOfEntry = (Source, Option<Property>, Option<Values>);

/// What an entry of `dataFrom` reads.
fn found(
    entry: &Section<'_>,
    store: Option<StoreOfSecret<'_>>,
    context: &mut CompileContext<'_>,
) -> Option<SourceOfEntry> {
    let mut given = WHAT.into_iter().filter(|key| entry.has(key));
    let (what, other) = (given.next(), given.next());
    if let (Some(what), Some(other)) = (what, other) {
        let message = format!("{what:?} and {other:?} exclude each other");
        let hint = "make two entries of them";
        context.push(Diagnostic::new(Code::ConflictingKeys, entry.place(), message).hint(hint));
        return None;
    }
    let Some(what) = what else {
        if !has_generator(entry) {
            let hint = "write extract for one secret, find for several, or vaultDynamic";
            entry.missing("extract", hint, context);
        }
        return None;
    };
    let section = entry.child(what, context)?;
    match what {
        "find" => {
            let (source, values) = find::compile(section, store?, context);
            Some((source?, None, Some(values?)))
        }
        "vaultDynamic" => Some((dynamic::source(section, None, store?, context)?, None, None)),
        _ => {
            let (source, property, values) = remote_of(section, store?, context);
            Some((source?, property.ok()?, Some(values?)))
        }
    }
}

/// `as`, if it is there.
fn under(
    entry: &Section<'_>,
    list: &SourceList,
    context: &mut CompileContext<'_>,
) -> Result<Option<String>, Reported> {
    if !entry.has("as") {
        return Ok(None);
    }
    let is_identifier = |text: &str| {
        text.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_')
            && text.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
    };
    let reason = "it has letters, digits and \"_\", and begins with no digit";
    let parse = |text: &str| is_identifier(text).then(|| text.to_owned()).ok_or(reason);
    let name =
        entry.parsed("as", (Code::BadValue, "a name for templates"), parse, context).ok_or(Reported)?;
    let place = entry.place_of("as");
    if RESERVED.contains(&name.as_str()) {
        let message = format!("{name:?} is something else in templates");
        context.push(Diagnostic::new(Code::ReservedName, place, message).hint("choose another name"));
        return Err(Reported);
    }
    let is_same =
        |part: &SourceUse| matches!(&part.takes, Taken::All { under: Some(other), .. } if *other == name);
    if list.parts().iter().any(is_same) {
        let message = format!("another entry has \"as: {name}\", too");
        context.push(Diagnostic::new(Code::DuplicateName, place, message).hint("choose another name"));
        return Err(Reported);
    }
    Ok(Some(name))
}

/// `secretKey`.
fn field_name(entry: &Section<'_>, list: &SourceList, context: &mut CompileContext<'_>) -> Option<String> {
    if !entry.has("secretKey") {
        entry.missing("secretKey", "the field that it becomes", context);
    }
    let parse = |text: &str| if text.is_empty() { Err("it is empty") } else { Ok(text.to_owned()) };
    let name = entry.parsed("secretKey", (Code::BadValue, "the name of a field"), parse, context)?;
    let taken = list.parts().iter().find_map(|part| match &part.takes {
        Taken::One(other) if *other == name => Some("another entry has this name, too"),
        Taken::All { under: Some(other), .. } if *other == name => {
            Some("an entry of dataFrom has this name in \"as\"")
        }
        _ => None,
    });
    if let Some(message) = taken {
        let duplicate = Diagnostic::new(Code::DuplicateName, entry.place_of("secretKey"), message);
        context.push(duplicate.hint("give each field its own name"));
        return None;
    }
    Some(name)
}

/// What `remoteRef` or `extract` says: each `None` is wrong and has been reported.
type Remote = (Option<Source>, Result<Option<Property>, Reported>, Option<Values>);

fn remote_of(
    mut section: Section<'_>,
    (name, spec): StoreOfSecret<'_>,
    context: &mut CompileContext<'_>,
) -> Remote {
    let read = compile_read(&mut section, spec, context);
    let has_property = section.has("property");
    let property = property(&section, context);
    let values = values::compile(&section, context);
    let fetches = section.choice("metadataPolicy", &[("None", false), ("Fetch", true)], context);
    if fetches == Some(true) {
        let message = "\"metadataPolicy: Fetch\" is not supported";
        let place = section.place_of("metadataPolicy");
        let hint = "a Go template shows metadata: {{ (secret \"…\").Data.metadata.custom_metadata.owner }}";
        context.push(Diagnostic::new(Code::NotSupported, place, message).hint(hint));
    }
    section.finish(context);
    let property = if has_property { property.map(Some).ok_or(Reported) } else { Ok(None) };
    (read.map(|read| Source::new(name, read)), property, values)
}

/// `property`, if it is there and right.
fn property(section: &Section<'_>, context: &mut CompileContext<'_>) -> Option<Property> {
    section.parsed("property", (Code::BadValue, "a property"), Property::parse, context)
}

/// Whether a generator stands where the source is missing; that has been reported.
fn has_generator(entry: &Section<'_>) -> bool {
    entry.node("sourceRef").and_then(|node| node.entry("generatorRef")).is_some()
}
