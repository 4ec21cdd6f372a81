//! `vaultDynamic`: a path whose answer is no secret of KV.

use crate::config::compile::context::CompileContext;
use crate::config::compile::scope::StoreOfSecret;
use crate::config::compile::section::Section;
use crate::config::diagnostic::{Code, Diagnostic, Place};
use crate::config::keys::{KeySpec, KeyType};
use crate::config::provider::vault::dynamic::DynamicRead;
use crate::config::provider::{self, DYNAMIC_KEYS, SecretRead, compile_dynamic};
use crate::config::sources::{Source, Sources};
use crate::config::value::Node;
use crate::name::StoreName;

/// The key of a secret and of an entry of `dataFrom`.
pub(in crate::config::compile) const DYNAMIC: KeySpec = KeySpec::new(
    "vaultDynamic",
    KeyType::Section(&DYNAMIC_KEYS),
    "",
    "a path that issues credentials, or that answers otherwise than KV does ([dynamic-secrets.md](dynamic-secrets.md))",
);

/// What says which secret of KV is read, and cannot stand beside `vaultDynamic`.
const OF_KV: [&str; 5] = ["key", "property", "mountPath", "kvVersion", "version"];

/// The source of a secret with `vaultDynamic`.
pub(super) fn of_secret(
    section: &mut Section<'_>,
    store: Option<StoreOfSecret<'_>>,
    context: &mut CompileContext<'_>,
) -> Option<Sources> {
    section.add_keys(provider::keys_of_read(store.as_ref().and_then(|(_, spec)| *spec)));
    for key in OF_KV.into_iter().filter(|key| section.has(key)) {
        let message = format!("{key:?} cannot stand beside \"vaultDynamic\", which reads no secret of KV");
        let hint = match key {
            "key" => "keep one of them; for both write \"dataFrom\" with an entry for each",
            _ => "remove it, or keep the \"key\" and remove \"vaultDynamic\"",
        };
        context.push(Diagnostic::new(Code::ConflictingKeys, section.place_of(key), message).hint(hint));
    }
    let dynamic = section.child("vaultDynamic", context)?;
    source(dynamic, Some(section), store?, context).map(Sources::of)
}

/// What `section` says, which is `vaultDynamic` of `secret` or of an entry of `dataFrom`.
pub(super) fn source(
    section: Section<'_>,
    secret: Option<&Section<'_>>,
    (store, spec): StoreOfSecret<'_>,
    context: &mut CompileContext<'_>,
) -> Option<Source> {
    let read = compile_dynamic(&section, secret, spec, context);
    if let Some(read) = &read {
        refuse_other_terms(&store, read, &section, context);
    }
    section.finish(context);
    Some(Source::new(store, SecretRead::VaultDynamic(Box::new(read?))))
}

/// What is asked twice is one credential, which has one `lease`.
fn refuse_other_terms(
    store: &StoreName,
    read: &DynamicRead,
    section: &Section<'_>,
    context: &mut CompileContext<'_>,
) {
    let request = (store.clone(), read.request());
    let known = (read.kind, read.terms, section.position());
    let (kind, terms, position) = *context.dynamic.entry(request).or_insert(known);
    let key = match (kind == read.kind, terms == read.terms) {
        (true, true) => return,
        (false, _) => "kind",
        (true, false) => "lease",
    };
    let message =
        format!("line {} asks the same with another {key:?}, and both share what is answered", position.line);
    context.push(Diagnostic::new(Code::LeaseConflict, section.place_of(key), message));
}

/// Notes `confirm: hooks` in a secret that has no hook to wait for.
pub(in crate::config::compile) fn note_confirmation(secret: &Section<'_>, context: &mut CompileContext<'_>) {
    let path = secret.path_of("dataFrom");
    let entries = secret.node("dataFrom").and_then(Node::items).unwrap_or_default().iter().enumerate();
    let entries = entries
        .filter_map(|(n, entry)| Some((format!("{path}[{n}].vaultDynamic"), entry.entry("vaultDynamic")?)));
    let own = secret.node("vaultDynamic").map(|node| (secret.path_of("vaultDynamic"), node));
    for (path, node) in own.into_iter().chain(entries) {
        let Some(confirm) = node.entry("lease").and_then(|lease| lease.entry("confirm")) else { continue };
        if confirm.scalar().is_some_and(|word| word.text() == "hooks") {
            let place = Place { path: format!("{path}.lease.confirm"), position: Some(confirm.position) };
            let message = "no hook runs after a change of this secret: it confirms when it is published";
            let hint = "name a hook in \"hooks\" of the secret, or write \"confirm: published\"";
            context.push(Diagnostic::new(Code::IgnoredKey, place, message).hint(hint));
        }
    }
}
