//! Tree → [`Config`], collecting every mistake of the file on the way.
//!
//! Each part asks a [`section::Section`] for its keys and gets `None` both for what is absent and for what was wrong and
//! is reported already; so one mistake is reported once, and one reported error makes the whole configuration fail.

mod checks;
mod conflicts;
pub(super) mod context;
pub(super) mod env_fallback;
mod generations;
mod go;
mod hooks;
mod local_path;
mod outputs;
pub(super) mod path;
mod scope;
mod secret;
pub(super) mod section;
mod sources;
pub(super) mod suggest;
mod template;
mod text;

use std::collections::{BTreeMap, BTreeSet};

use super::diagnostic::{Code, Diagnostic, Place, Position};
use super::hook::HookSpec;
use super::keys::{KeySet, KeySpec, KeyType};
use super::limits::{self, Limits};
use super::provider::{self, StoreSpec};
use super::secret::SecretSpec;
use super::settings::LogLevel;
use super::value::Node;
use crate::name::{SecretName, StoreName};
use context::CompileContext;
use scope::{CompiledStores, Scope};
use section::{Item, Section};

/// Everything the configuration file says, checked and resolved.
#[derive(Clone, PartialEq, Debug)]
pub struct Config {
    /// `secretStore` under [`StoreName::main`], and `secretStores` under their own names.
    pub stores: BTreeMap<StoreName, StoreSpec>,
    /// `limits`.
    pub limits: Limits,
    /// `logLevel`; comes before `LOG_LEVEL`.
    pub log_level: Option<LogLevel>,
    /// `hooks`, in the order of the file, which is that in which they run.
    pub hooks: Vec<HookSpec>,
    /// `secrets`, in the order of the file.
    pub secrets: Vec<SecretSpec>,
}

impl Config {
    /// The secrets that may be absent: readiness does not wait for them, and their failures are no failure of a command.
    pub(crate) fn optional_secrets(&self) -> BTreeSet<SecretName> {
        self.secrets.iter().filter(|secret| !secret.required).map(|secret| secret.name.clone()).collect()
    }
}

/// The whole file.
pub(super) static KEYS: KeySet = KeySet {
    later: &["engine", "webhook"],
    ..KeySet::new(
        "",
        &[&[
            KeySpec::new("secretStore", KeyType::Section(&provider::STORE_KEYS), "", "the default store"),
            KeySpec::new(
                "secretStores",
                KeyType::Named(&provider::STORE_KEYS),
                "",
                "further stores by name; `default` is reserved",
            ),
            KeySpec::new("limits", KeyType::Section(&limits::KEYS), "", "what the configuration may cost"),
            KeySpec::new(
                "logLevel",
                KeyType::Choice(&["error", "warn", "info", "debug", "trace"]),
                "that of `LOG_LEVEL`",
                "how much is logged; comes before `LOG_LEVEL`, and a reload changes it",
            ),
            KeySpec::new(
                "hooks",
                KeyType::Named(&hooks::KEYS),
                "",
                "what runs before a secret is published and after it changed, by name, in this order ([hooks.md](hooks.md))",
            ),
            KeySpec::needed("secrets", KeyType::List(&secret::KEYS), "what is kept in sync; at least one"),
        ]],
    )
};

const LOG_LEVELS: [(&str, LogLevel); 5] = [
    ("error", LogLevel::Error),
    ("warn", LogLevel::Warn),
    ("info", LogLevel::Info),
    ("debug", LogLevel::Debug),
    ("trace", LogLevel::Trace),
];

/// Compiles the whole file; nothing when it is too broken to go on. `context` has the report.
pub(super) fn compile(root: &Node, context: &mut CompileContext<'_>) -> Option<Config> {
    if root.is_null() {
        let place = Place { path: String::new(), position: None };
        let empty = Diagnostic::new(Code::MissingKey, place, "the configuration is empty");
        context.push(empty.hint("\"secrets-sync init\" prints a first one"));
        return None;
    }
    let mut top = Section::open(root, String::new(), &KEYS, context)?;
    let log_level = top.choice("logLevel", &LOG_LEVELS, context);
    let limits = limits::compile(&mut top, context);
    let items = top.list("secrets", context);
    let stores = stores(&mut top, uses_main_store(&items), context);
    let hooks = hooks::compile(&top, context);
    let secrets = secrets(&top, items, &Scope { stores: &stores, limits: &limits, hooks: &hooks }, context);
    hooks::warn_of_unused(&hooks, secrets.iter().flat_map(|secret| &secret.hooks), context);
    top.finish(context);
    provider::warn_of_ignored_variables(root, context);
    let stores = stores.into_iter().filter_map(|(name, spec)| Some((name, spec?))).collect();
    Some(Config { stores, limits, log_level, hooks: hooks.specs, secrets })
}

/// Compiles `hooks` of the file, and nothing else.
pub(super) fn hooks_alone(root: &Node, context: &mut CompileContext<'_>) -> Vec<HookSpec> {
    let top = Section::open(root, String::new(), &KEYS, context);
    top.map(|top| hooks::compile(&top, context).specs).unwrap_or_default()
}

/// Whether any secret reads from `secretStore`: only then may the environment make one.
fn uses_main_store(items: &[Item<'_>]) -> bool {
    items.iter().any(|item| sources::reads_main_store(item.node))
}

fn stores(top: &mut Section<'_>, main_is_used: bool, context: &mut CompileContext<'_>) -> CompiledStores {
    let mut stores = CompiledStores::new();
    if let Some(section) = top.child("secretStore", context) {
        stores.insert(StoreName::main(), provider::compile_main(section, context));
    } else if top.has("secretStore") {
        stores.insert(StoreName::main(), None);
    } else if main_is_used {
        stores.insert(StoreName::main(), provider::compile_absent(top, context));
    }
    for (name, child) in
        top.child("secretStores", context).map(|all| all.children(context)).into_iter().flatten()
    {
        if name == StoreName::main().as_str() {
            let message = "\"default\" is the name of secretStore";
            context.push(
                Diagnostic::new(Code::ReservedName, child.place(), message).hint("choose another name"),
            );
        } else {
            stores.insert(StoreName::new(name), provider::compile_store(child, context));
        }
    }
    stores
}

fn secrets(
    top: &Section<'_>,
    items: Vec<Item<'_>>,
    scope: &Scope<'_>,
    context: &mut CompileContext<'_>,
) -> Vec<SecretSpec> {
    if items.is_empty() && !top.is_refused("secrets") {
        let missing = Diagnostic::new(Code::MissingKey, top.place_of("secrets"), "there is no secret");
        context.push(missing.hint("list at least one under \"secrets:\""));
    }
    let most = scope.limits.max_secrets;
    if items.len() > most {
        let message = format!("there are {} secrets, more than limits.maxSecrets: {most}", items.len());
        context.push(Diagnostic::new(Code::TooManySecrets, top.place_of("secrets"), message));
        return Vec::new();
    }
    let mut outputs = conflicts::Outputs::default();
    let mut compiled = Vec::with_capacity(items.len());
    for section in items.into_iter().filter_map(|item| item.open(context)).collect::<Vec<_>>() {
        check_name(&section, context);
        outputs.begin_secret();
        compiled.extend(secret::compile(section, scope, &mut outputs, context));
    }
    outputs.check(context);
    compiled
}

fn check_name(section: &Section<'_>, context: &mut CompileContext<'_>) {
    let Some(name) = section.text_quietly("name", context) else { return };
    match context.positions.get(&name) {
        Some(Position { line, .. }) => {
            let message = format!("the secret in line {line} has the same name");
            let duplicate = Diagnostic::new(Code::DuplicateName, section.place_of("name"), message);
            context.push(
                duplicate.hint("logs, metrics and status identify a secret by its name: give each its own"),
            );
        }
        None => drop(context.positions.insert(name, section.position())),
    }
}
