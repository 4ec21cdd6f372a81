//! Tree → [`Config`], collecting every mistake of the file on the way.
//!
//! Each part asks a [`cursor::Section`] for its keys and gets `None` both for what is absent and for what was wrong and
//! is reported already; so one mistake is told once, and whatever was reported makes the whole configuration fail.

pub(super) mod address;
mod auth;
mod cursor;
mod filling;
mod go;
mod kv;
mod outputs;
mod overlap;
mod secret;
mod spelling;
mod store;
mod template;
mod text;
mod tls;

use std::collections::BTreeMap;

use super::diagnostic::{Code, Diagnostic, Place, Position};
use super::limits::Limits;
use super::provider::StoreSpec;
use super::secret::SecretSpec;
use super::settings::LogLevel;
use super::value::Node;
use crate::name::StoreName;
use cursor::Item;

pub(super) use cursor::{Pass, Section};
pub(super) use secret::A_DURATION;

/// Everything the configuration file says, checked and resolved.
#[derive(Clone, PartialEq, Debug)]
pub struct Config {
    /// `secretStore` under [`StoreName::main`], and `secretStores` under their own names.
    pub stores: BTreeMap<StoreName, StoreSpec>,
    /// `limits`.
    pub limits: Limits,
    /// `logLevel`; comes before `LOG_LEVEL`.
    pub log_level: Option<LogLevel>,
    /// `secrets`, in the order of the file.
    pub secrets: Vec<SecretSpec>,
}

/// The stores of the file; `None` is one whose description is wrong and has been reported.
type Stores = BTreeMap<StoreName, Option<StoreSpec>>;

const LOG_LEVELS: [(&str, LogLevel); 5] = [
    ("error", LogLevel::Error),
    ("warn", LogLevel::Warn),
    ("info", LogLevel::Info),
    ("debug", LogLevel::Debug),
    ("trace", LogLevel::Trace),
];

/// Compiles the whole file; nothing when it is too broken to go on. `pass` has the report.
pub(super) fn compile(root: &Node, pass: &mut Pass<'_>) -> Option<Config> {
    if root.is_null() {
        let place = Place { path: String::new(), position: None };
        let empty = Diagnostic::new(Code::MissingKey, place, "the configuration is empty");
        pass.push(empty.hint("\"secrets-sync init\" prints a first one"));
        return None;
    }
    let mut top = Section::open(root, String::new(), pass)?;
    let log_level = top.choice("logLevel", &LOG_LEVELS, pass);
    let limits = super::limits::compile(&mut top, pass);
    let items = top.list("secrets", pass);
    let stores = stores(&mut top, uses_main_store(&items), pass);
    let secrets = secrets(&top, items, &Surroundings { stores: &stores, limits: &limits }, pass);
    top.finish(pass);
    filling::warn_of_ignored(root, pass);
    let stores = stores.into_iter().filter_map(|(name, spec)| Some((name, spec?))).collect();
    Some(Config { stores, limits, log_level, secrets })
}

/// What a secret is compiled against.
struct Surroundings<'s> {
    stores: &'s Stores,
    limits: &'s Limits,
}

/// Whether any secret reads from `secretStore`: only then the environment alone may make one.
fn uses_main_store(items: &[Item<'_>]) -> bool {
    let reads_main = |item: &Item<'_>| {
        let store = item.node.entries().into_iter().flatten().find(|entry| entry.key == "store");
        let name = store.and_then(|entry| entry.node.scalar()).filter(|scalar| !scalar.is_null());
        name.is_none_or(|name| name.text() == StoreName::main().as_str())
    };
    items.iter().any(reads_main)
}

fn stores(top: &mut Section<'_>, main_is_used: bool, pass: &mut Pass<'_>) -> Stores {
    let mut stores = Stores::new();
    if let Some(section) = top.child("secretStore", pass) {
        stores.insert(StoreName::main(), store::compile(section.filled(), pass));
    } else if top.has("secretStore") {
        stores.insert(StoreName::main(), None);
    } else if main_is_used {
        stores.insert(StoreName::main(), store::from_environment(top, pass));
    }
    for (name, child) in top.child("secretStores", pass).map(|all| all.children(pass)).into_iter().flatten() {
        if name == StoreName::main().as_str() {
            let message = "\"default\" is the name of secretStore";
            pass.push(
                Diagnostic::new(Code::ReservedName, child.place(), message).hint("choose another name"),
            );
        } else {
            stores.insert(StoreName::new(name), store::compile(child, pass));
        }
    }
    stores
}

fn secrets(
    top: &Section<'_>,
    items: Vec<Item<'_>>,
    around: &Surroundings<'_>,
    pass: &mut Pass<'_>,
) -> Vec<SecretSpec> {
    if items.is_empty() && !top.is_refused("secrets") {
        let missing = Diagnostic::new(Code::MissingKey, top.place_of("secrets"), "there is no secret");
        pass.push(missing.hint("list at least one under \"secrets:\""));
    }
    let most = around.limits.max_secrets;
    if items.len() > most {
        let message = format!("there are {} secrets, more than limits.maxSecrets: {most}", items.len());
        pass.push(Diagnostic::new(Code::TooManySecrets, top.place_of("secrets"), message));
        return Vec::new();
    }
    let mut names = BTreeMap::new();
    let mut outputs = overlap::Outputs::default();
    let mut compiled = Vec::with_capacity(items.len());
    for Item { node, path } in items {
        let Some(mut section) = Section::open(node, path, pass) else { continue };
        check_name(&section, &mut names, pass);
        outputs.begin_secret();
        compiled.extend(secret::compile(&mut section, around, &mut outputs, pass));
        section.finish(pass);
    }
    outputs.check(pass);
    compiled
}

fn check_name(section: &Section<'_>, names: &mut BTreeMap<String, Position>, pass: &mut Pass<'_>) {
    let Some(name) = section.peek_text("name", pass) else { return };
    match names.get(&name) {
        Some(Position { line, .. }) => {
            let message = format!("the secret in line {line} has the same name");
            let duplicate = Diagnostic::new(Code::DuplicateName, section.place_of("name"), message);
            pass.push(
                duplicate.hint("names tell secrets apart in logs, metrics and status: give each its own"),
            );
        }
        None => drop(names.insert(name, section.position())),
    }
}
