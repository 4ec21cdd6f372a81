//! `vaultDynamic` as it is written.

mod lease;

use std::collections::BTreeMap;

use super::VaultSpec;
use super::compile::access;
use super::credential::warn_unless_file;
use super::dynamic::{DynamicKind, DynamicMethod, DynamicRead, LeaseTerms, ParameterValue};
use crate::config::compile::context::CompileContext;
use crate::config::compile::path;
use crate::config::compile::section::{Item, Section};
use crate::config::diagnostic::{Code, Diagnostic};
use crate::config::keys::{KeySet, KeySpec, KeyType};
use crate::config::value::MappingEntry;

/// `vaultDynamic` of a secret and of an entry of `dataFrom`.
pub(in crate::config) static DYNAMIC_KEYS: KeySet = KeySet::new(
    "secrets[].vaultDynamic",
    &[&[
        KeySpec::needed("path", KeyType::Text, "path below `v1/`, mount included: `database/creds/app`"),
        KeySpec::new(
            "method",
            KeyType::Choice(&["GET", "POST", "get", "post"]),
            "`POST` with `parameters`, else `GET`",
            "how it is asked",
        ),
        KeySpec::new(
            "parameters",
            KeyType::Values(&PARAMETER_KEYS),
            "",
            "of the body for `POST`, of the query for `GET`: any value, or `{ file: PATH }`. No message shows one",
        ),
        KeySpec::new(
            "kind",
            KeyType::Choice(&["lease", "static", "certificate", "ssh", "read"]),
            "`lease`",
            "`lease`: the answer brings a lease; `static`: a role whose password the server rotates; `certificate`: of PKI; `ssh`: \
             a certificate of SSH; `read`: anything that leases nothing",
        ),
        KeySpec::new(
            "lease",
            KeyType::Section(&lease::LEASE_KEYS),
            "",
            "when the credential is renewed, replaced and retired",
        ),
        KeySpec::new(
            "namespace",
            KeyType::Text,
            "the secret's, or else the store's",
            "`\"\"` is the root namespace",
        ),
        KeySpec::new(
            "credentials",
            KeyType::Text,
            "the secret's, or else the store's own",
            "a name of the store's `credentials`",
        ),
    ]],
);

/// A parameter that is a mapping with this key alone.
static PARAMETER_KEYS: KeySet = KeySet::new(
    "secrets[].vaultDynamic.parameters.NAME",
    &[&[KeySpec::new(
        "file",
        KeyType::LocalPath,
        "",
        "the value is the text of this file, without white space at its ends; it is read for each request",
    )]],
);

const METHODS: [(&str, DynamicMethod); 2] = [("GET", DynamicMethod::Get), ("POST", DynamicMethod::Post)];

/// Compiles `vaultDynamic`. `secret` is the secret that it is a key of, whose `namespace` and `credentials` hold for it.
pub(in crate::config::provider) fn read(
    section: &Section<'_>,
    secret: Option<&Section<'_>>,
    store: Option<&VaultSpec>,
    context: &mut CompileContext<'_>,
) -> Option<DynamicRead> {
    let path = request_path(section, context);
    let method = method(section, context);
    let parameters = parameters(section, method, context);
    let kind = if section.has("kind") {
        section.choice("kind", &DynamicKind::ALL, context)
    } else {
        Some(DynamicKind::Lease)
    };
    let terms = terms(section, kind, context);
    let of = |key: &str| secret.filter(|_| !section.has(key)).unwrap_or(section);
    let (namespace, credentials) = access(of("namespace"), of("credentials"), store, context);
    Some(DynamicRead {
        credentials,
        namespace,
        path: path?,
        method: method?,
        parameters: parameters?,
        kind: kind?,
        terms,
    })
}

/// `path`, which is no path of a URL and none of KV.
fn request_path(section: &Section<'_>, context: &mut CompileContext<'_>) -> Option<String> {
    if !section.has("path") {
        section.missing("path", "the path of the API behind \"v1/\", such as database/creds/app", context);
    }
    let path = section.parsed("path", (Code::BadKey, "a path of the API"), path::key, context)?;
    let place = section.place_of("path");
    if path.starts_with("v1/") {
        let message = "the path begins with \"v1/\", which is put in front of it";
        context.push(Diagnostic::new(Code::BadKey, place, message).hint("leave \"v1/\" out"));
        return None;
    }
    if let Some(mark) = ["?", "#"].into_iter().find(|mark| path.contains(mark)) {
        let message = format!("the path holds {mark:?}, which is taken as a part of it");
        let odd = Diagnostic::new(Code::FieldInKey, place, message);
        context.push(odd.hint("write what follows it in \"parameters\""));
    } else if path.split('/').nth(1) == Some("data") {
        let message = "this is how KV v2 has its secrets in URLs, and KV issues nothing";
        let hint = "for a secret of KV write \"key\" and \"mountPath\" instead of \"vaultDynamic\"";
        context.push(Diagnostic::new(Code::DataPrefix, place, message).hint(hint));
    }
    Some(path)
}

/// `method`, in any case of letters.
fn method(section: &Section<'_>, context: &mut CompileContext<'_>) -> Option<DynamicMethod> {
    if !section.has("method") {
        let has_parameters =
            section.node("parameters").is_some_and(|node| node.entries().is_none_or(|all| !all.is_empty()));
        return Some(if has_parameters { DynamicMethod::Post } else { DynamicMethod::Get });
    }
    let parse = |text: &str| {
        METHODS.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, method)| *method).ok_or("")
    };
    section.parsed("method", (Code::BadValue, "GET or POST"), parse, context)
}

/// `parameters`; `None` where one is wrong. One without a value is absent.
fn parameters(
    section: &Section<'_>,
    method: Option<DynamicMethod>,
    context: &mut CompileContext<'_>,
) -> Option<BTreeMap<String, ParameterValue>> {
    let mut parameters = BTreeMap::new();
    let mut is_whole = true;
    for (name, item) in section.named_items("parameters", context)? {
        if item.node.is_null() {
            continue;
        }
        match parameter(name, item, method, context) {
            Some(value) => drop(parameters.insert(name.to_owned(), value)),
            None => is_whole = false,
        }
    }
    is_whole.then_some(parameters)
}

fn parameter(
    name: &str,
    item: Item<'_>,
    method: Option<DynamicMethod>,
    context: &mut CompileContext<'_>,
) -> Option<ParameterValue> {
    let is_file = |entries: &[MappingEntry]| matches!(entries, [only] if only.key == "file");
    if item.node.entries().is_some_and(is_file) {
        let file = item.open(context)?;
        let path = file.local_path("file", context);
        if let Some(path) = &path {
            warn_unless_file(&format!("the parameter {name}"), path, file.place_of("file"), context);
        }
        file.finish(context);
        return path.map(ParameterValue::File);
    }
    if method == Some(DynamicMethod::Get) && item.node.scalar().is_none() {
        let message = "a parameter of GET is one text, number or boolean";
        let refused = Diagnostic::new(Code::BadValue, item.place(), message);
        context.push(refused.hint("write \"method: POST\", or one value"));
        return None;
    }
    item.json(context).map(ParameterValue::Json)
}

/// `lease`, with a note where it has no effect.
fn terms(section: &Section<'_>, kind: Option<DynamicKind>, context: &mut CompileContext<'_>) -> LeaseTerms {
    let reason = match kind {
        Some(DynamicKind::Static) => "a static role has no lease; the server says when it is read again",
        Some(DynamicKind::Read) => "\"kind: read\" has no lease; it is read at the refreshInterval",
        _ => return lease::compile(section, kind, context),
    };
    section.ignore("lease", reason, context);
    LeaseTerms::default()
}
