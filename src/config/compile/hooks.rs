//! `hooks`, and the names of hooks in a secret.

mod action;

use std::collections::BTreeSet;
use std::time::Duration;

use super::context::CompileContext;
use super::section::Section;
use super::suggest;
use super::text::Text;
use crate::config::diagnostic::{Code, Diagnostic, Place};
use crate::config::hook::{HookMoment, HookSpec, OnHookFailure};
use crate::config::keys::{KeySet, KeySpec, KeyType};
use crate::config::{duration, limits};
use crate::name::HookName;

/// One entry of `hooks`.
pub(super) static KEYS: KeySet = KeySet {
    exclusive: &[&["command"], &["pidFile", "signal"], &["unit", "restart"], &["url", "hmacKeyFile"]],
    later: &["container", "exec", "confirm"],
    ..KeySet::new(
        "hooks.NAME",
        &[
            &[
                KeySpec::new(
                    "on",
                    KeyType::Texts,
                    "`[changed]`",
                    "`[changed]`: after a secret changed; `[staged]`: a gate, before a generation is published",
                ),
                KeySpec::new(
                    "secrets",
                    KeyType::Choice(&["all"]),
                    "those that name it",
                    "`all`: for every secret, also those that do not name it",
                ),
            ],
            action::KEYS,
            &[
                KeySpec::new("timeout", KeyType::Duration, "`30s`", "of one run, at most 10m"),
                KeySpec::new(
                    "settle",
                    KeyType::Duration,
                    "`1s`",
                    "how long no secret of the hook may have changed before it runs; it never waits longer than ten times that. \
                     Gates do not wait",
                ),
                KeySpec::new(
                    "after",
                    KeyType::Texts,
                    "",
                    "hooks that run first if they are due too; while one of them has failed this one waits",
                ),
                KeySpec::new("attempts", KeyType::Integer, "`3`", "runs until it counts as failed, 1 to 100"),
                KeySpec::new(
                    "onFailure",
                    KeyType::Choice(&["retry", "ignore"]),
                    "`retry`",
                    "`retry` repeats it at `MAX_BACKOFF` until it succeeds; `ignore` drops it until the next change",
                ),
                KeySpec::new(
                    "output",
                    KeyType::Choice(&["log", "discard"]),
                    "`log`",
                    "`discard`: what a failed command printed is not logged",
                ),
            ],
        ],
    )
};

const TIMEOUT: Duration = Duration::from_secs(30);
const LONGEST_TIMEOUT: Duration = Duration::from_secs(600);
const SETTLE: Duration = Duration::from_secs(1);
const LONGEST_SETTLE: Duration = Duration::from_secs(3600);
const ATTEMPTS: u32 = 3;
const MOST_ATTEMPTS: usize = 100;

/// Words of `on` that a later version takes.
const LATER_MOMENTS: [&str; 6] = ["failed", "recovered", "refused", "rolled-back", "hook-failed", "expiring"];

/// The hooks of the file.
#[derive(Default)]
pub(super) struct CompiledHooks {
    /// Those without a mistake, in the order of the file.
    pub(super) specs: Vec<HookSpec>,
    /// Every name, with its place: of those with a mistake too.
    names: Vec<(HookName, Place)>,
    /// Those with `secrets: all`.
    of_all: BTreeSet<HookName>,
}

impl CompiledHooks {
    /// Whether one of `names` runs after a change.
    pub(super) fn have_duty(&self, names: &[HookName]) -> bool {
        names.iter().filter_map(|name| self.spec(name)).any(|spec| spec.moment == HookMoment::Changed)
    }

    fn place(&self, name: &HookName) -> Option<&Place> {
        self.names.iter().find(|(known, _)| known == name).map(|(_, place)| place)
    }

    fn spec(&self, name: &HookName) -> Option<&HookSpec> {
        self.specs.iter().find(|spec| spec.name == *name)
    }
}

/// Compiles `hooks` of the file `top`.
pub(super) fn compile(top: &Section<'_>, context: &mut CompileContext<'_>) -> CompiledHooks {
    let mut hooks = CompiledHooks::default();
    let Some(all) = top.child("hooks", context) else { return hooks };
    let mut followers = Vec::new();
    for (name, section) in all.children(context) {
        let name = HookName::new(name);
        hooks.names.push((name.clone(), section.place()));
        if section.choice("secrets", &[("all", ())], context).is_some() {
            hooks.of_all.insert(name.clone());
        }
        followers.push((name.clone(), section.placed_texts("after", context)));
        hooks.specs.extend(hook(name, section, context));
    }
    for (name, after) in followers {
        let after = after.iter().filter_map(|(text, place)| followed(&name, text, place, &hooks, context));
        let after = after.collect();
        if let Some(spec) = hooks.specs.iter_mut().find(|spec| spec.name == name) {
            spec.after = after;
        }
    }
    refuse_cycle(&hooks, context);
    hooks
}

fn hook(name: HookName, section: Section<'_>, context: &mut CompileContext<'_>) -> Option<HookSpec> {
    let moment = moment(&section, context);
    if moment == Some(HookMoment::Staged) {
        for key in ["settle", "after", "attempts", "onFailure"] {
            section.ignore(key, "a gate runs once for each change, before it is published", context);
        }
    }
    let action = action::compile(&section, moment, context);
    let timeout = within(&section, "timeout", LONGEST_TIMEOUT, context).unwrap_or(TIMEOUT);
    let settle = within(&section, "settle", LONGEST_SETTLE, context).unwrap_or(SETTLE);
    let attempts = limits::number(&section, "attempts", MOST_ATTEMPTS, context);
    let on_failure = on_failure(&section, context);
    let output = section.choice("output", &[("log", true), ("discard", false)], context);
    section.finish(context);
    Some(HookSpec {
        name,
        moment: moment?,
        action: action?,
        timeout,
        settle,
        after: Vec::new(),
        attempts: attempts.and_then(|number| u32::try_from(number).ok()).unwrap_or(ATTEMPTS),
        on_failure,
        logs_output: output.unwrap_or(true),
    })
}

/// `on`; nothing where it is wrong.
fn moment(section: &Section<'_>, context: &mut CompileContext<'_>) -> Option<HookMoment> {
    if !section.has("on") {
        return Some(HookMoment::Changed);
    }
    let mut moments = Vec::new();
    for (text, place) in section.placed_texts("on", context) {
        match &*text.value {
            "staged" => moments.push(HookMoment::Staged),
            "changed" => moments.push(HookMoment::Changed),
            word if LATER_MOMENTS.contains(&word) => {
                let message = format!("{word:?} is known, and not built in yet");
                context.push(Diagnostic::new(Code::NotBuiltIn, place, message));
                return None;
            }
            _ => {
                let message = text.is_not("one of staged, changed", "");
                context.push(Diagnostic::new(Code::BadValue, place, message).hint("write staged or changed"));
                return None;
            }
        }
    }
    match moments.as_slice() {
        [first, others @ ..] if others.iter().all(|other| other == first) => Some(*first),
        [] => {
            let message = "a hook that is for no moment never runs";
            let empty = Diagnostic::new(Code::BadValue, section.place_of("on"), message);
            context.push(empty.hint("write [staged] or [changed]"));
            None
        }
        _ => {
            let message = "a hook is for one moment: before publishing, or after a change";
            let mixed = Diagnostic::new(Code::ConflictingKeys, section.place_of("on"), message);
            context.push(mixed.hint("write [staged] or [changed], and a second hook for the other moment"));
            None
        }
    }
}

fn within(
    section: &Section<'_>,
    key: &'static str,
    longest: Duration,
    context: &mut CompileContext<'_>,
) -> Option<Duration> {
    let value = section.duration(key, context)?;
    let is_timeout = key == "timeout";
    if value > longest || (is_timeout && value.is_zero()) {
        let from = if is_timeout { "more than 0 and " } else { "" };
        let message = format!("it has to be {from}at most {}", duration::format(longest));
        context.push(Diagnostic::new(Code::OutOfRange, section.place_of(key), message));
    }
    Some(value)
}

fn on_failure(section: &Section<'_>, context: &mut CompileContext<'_>) -> OnHookFailure {
    if section.text_quietly("onFailure", context).is_some_and(|word| word == "rollback") {
        let message = "\"rollback\" is known, and not built in yet";
        let later = Diagnostic::new(Code::NotBuiltIn, section.place_of("onFailure"), message);
        context.push(later.hint("write retry or ignore"));
        return OnHookFailure::Retry;
    }
    let words = [("retry", OnHookFailure::Retry), ("ignore", OnHookFailure::Ignore)];
    section.choice("onFailure", &words, context).unwrap_or(OnHookFailure::Retry)
}

/// The duty that `name` comes after.
fn followed(
    name: &HookName,
    text: &Text<'_>,
    place: &Place,
    hooks: &CompiledHooks,
    context: &mut CompileContext<'_>,
) -> Option<HookName> {
    let other = known(text, place, hooks, context)?;
    if hooks.spec(&other).is_some_and(|spec| spec.moment == HookMoment::Staged) {
        let message =
            format!("{:?} is a gate, which has run before: {name} always comes after it", other.as_str());
        let useless = Diagnostic::new(Code::IgnoredKey, place.clone(), message);
        context.push(useless.hint("remove it from \"after\""));
        return None;
    }
    Some(other)
}

/// The hook that `text` names.
fn known(
    text: &Text<'_>,
    place: &Place,
    hooks: &CompiledHooks,
    context: &mut CompileContext<'_>,
) -> Option<HookName> {
    let name = HookName::new(&text.value);
    if hooks.place(&name).is_some() {
        return Some(name);
    }
    let unknown = Diagnostic::new(Code::UnknownHook, place.clone(), text.is_not("a name of hooks", ""));
    let names = hooks.names.iter().map(|(name, _)| name.as_str());
    context.push(match suggest::nearest(&text.value, names) {
        Some(near) => unknown.hint(format!("did you mean {near:?}?")),
        None => unknown,
    });
    None
}

/// Reports duties that wait for each other.
fn refuse_cycle(hooks: &CompiledHooks, context: &mut CompileContext<'_>) {
    let mut waiting: Vec<&HookSpec> = hooks.specs.iter().collect();
    loop {
        let before = waiting.len();
        let still: BTreeSet<&HookName> = waiting.iter().map(|spec| &spec.name).collect();
        waiting.retain(|spec| spec.after.iter().any(|other| still.contains(other)));
        if waiting.len() == before {
            break;
        }
    }
    let Some(first) = waiting.first() else { return };
    let names: Vec<_> = waiting.iter().map(|spec| spec.name.as_str()).collect();
    let message = format!("hooks wait for each other: {}", names.join(", "));
    if let Some(place) = hooks.place(&first.name) {
        let cycle = Diagnostic::new(Code::ConflictingKeys, place.clone(), message);
        context.push(cycle.hint("remove one of them from an \"after\""));
    }
}

/// `hooks` of a secret, and those for all, in the order of the file.
pub(super) fn of_secret(
    secret: &Section<'_>,
    hooks: &CompiledHooks,
    has_generations: bool,
    context: &mut CompileContext<'_>,
) -> Vec<HookName> {
    let mut chosen = hooks.of_all.clone();
    for (text, place) in secret.placed_texts("hooks", context) {
        chosen.extend(known(&text, &place, hooks, context));
    }
    let of_secret = || hooks.specs.iter().filter(|spec| chosen.contains(&spec.name));
    if let Some(gate) = of_secret().find(|spec| spec.moment == HookMoment::Staged && !has_generations) {
        let message = format!("{:?} looks at a generation, and this secret has none", gate.name.as_str());
        let missing = Diagnostic::new(Code::MissingKey, secret.place_of("hooks"), message);
        context.push(missing.hint("add \"generations: DIRECTORY\", which holds all files of the secret"));
    }
    of_secret().map(|spec| spec.name.clone()).collect()
}

/// Warns of hooks that no secret names. Of one with a mistake it is not known: secrets have only the others.
pub(super) fn warn_of_unused<'s>(
    hooks: &CompiledHooks,
    used: impl Iterator<Item = &'s HookName>,
    context: &mut CompileContext<'_>,
) {
    let used: BTreeSet<_> = used.collect();
    let is_unused = |name: &HookName| hooks.spec(name).is_some() && !used.contains(name);
    for (name, place) in hooks.names.iter().filter(|(name, _)| is_unused(name)) {
        let message = format!("no secret names the hook {:?}", name.as_str());
        context.push(Diagnostic::new(Code::UnusedHook, place.clone(), message));
    }
}
