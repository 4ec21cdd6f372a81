//! `dataFrom[].find`: which secrets below a folder are read.

use std::collections::BTreeMap;

use super::values::{self, Reported, VALUE_KEYS, Values};
use crate::config::compile::context::CompileContext;
use crate::config::compile::scope::StoreOfSecret;
use crate::config::compile::section::Section;
use crate::config::diagnostic::{Code, Diagnostic};
use crate::config::keys::{KeySet, KeySpec, KeyType};
use crate::config::provider::{self, compile_folder};
use crate::config::sources::{Pattern, Search, Source};

/// `find`. What the provider adds is in its own module.
pub(super) static FIND_KEYS: KeySet = KeySet {
    of_providers: Some(provider::folder_keys),
    ..KeySet::new(
        "secrets[].dataFrom[].find",
        &[
            &[
                KeySpec::new(
                    "path",
                    KeyType::Text,
                    "the whole mount",
                    "folder below the mount; everything below it is listed, which needs `list` on it",
                ),
                KeySpec::new("name", KeyType::Section(&NAME_KEYS), "", "by path; `name` or `tags` is needed"),
                KeySpec::new(
                    "tags",
                    KeyType::NamedTexts,
                    "",
                    "by custom metadata, which needs `read` on the metadata; KV v2 only",
                ),
            ],
            VALUE_KEYS,
        ],
    )
};

static NAME_KEYS: KeySet = KeySet::new(
    "secrets[].dataFrom[].find.name",
    &[&[KeySpec::needed(
        "regexp",
        KeyType::Template,
        "a regular expression that matches anywhere in the path below the mount, `path` included",
    )]],
);

/// The search, and what becomes of what it finds; each `None` is wrong and has been reported.
pub(super) fn compile(
    mut section: Section<'_>,
    (store, spec): StoreOfSecret<'_>,
    context: &mut CompileContext<'_>,
) -> (Option<Source>, Option<Values>) {
    let folder = compile_folder(&mut section, spec, context);
    let name = name(&section, context);
    let tags = tags(&section, context);
    let values = values::compile(&section, context);
    if !section.has("name") && !section.has("tags") {
        section.missing("name", "write \"name: { regexp: … }\"; \".*\" matches everything", context);
    }
    if let Some(read) = &folder
        && section.has("tags")
        && !read.may_have_tags()
    {
        let message = "KV v1 keeps no custom metadata, and files have none";
        let refused = Diagnostic::new(Code::ConflictingKeys, section.place_of("tags"), message);
        context.push(refused.hint("find by name"));
    }
    section.finish(context);
    let source =
        || Some(Source { store, read: folder?, search: Some(Search { name: name.ok()?, tags: tags? }) });
    (source(), values)
}

/// `name`, if it is there.
fn name(section: &Section<'_>, context: &mut CompileContext<'_>) -> Result<Option<Pattern>, Reported> {
    if !section.has("name") {
        return Ok(None);
    }
    let name = section.child("name", context).ok_or(Reported)?;
    if !name.has("regexp") {
        name.missing("regexp", "\".*\" matches everything", context);
    }
    let pattern = pattern("regexp", &name, context);
    name.finish(context);
    pattern.map(Some).ok_or(Reported)
}

/// The regular expression under `key`, which is not interpolated: `${1}` is a group.
pub(super) fn pattern(
    key: &'static str,
    section: &Section<'_>,
    context: &mut CompileContext<'_>,
) -> Option<Pattern> {
    let text = section.template(key, context)?.scalar()?.text();
    match Pattern::parse(text) {
        Ok(pattern) => Some(pattern),
        Err(reason) => {
            let message = format!("{text:?} is not a regular expression: {reason}");
            context.push(Diagnostic::new(Code::BadValue, section.place_of(key), message));
            None
        }
    }
}

fn tags(section: &Section<'_>, context: &mut CompileContext<'_>) -> Option<BTreeMap<String, String>> {
    if !section.has("tags") {
        return Some(BTreeMap::new());
    }
    section.child("tags", context)?.named_texts(context)
}
