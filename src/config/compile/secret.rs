//! One entry of `secrets`.

use std::time::Duration;

use super::conflicts::Outputs;
use super::context::CompileContext;
use super::scope::Scope;
use super::section::Section;
use super::{checks, generations, hooks, outputs, sources, template};
use crate::config::diagnostic::{Code, Diagnostic};
use crate::config::duration;
use crate::config::keys::{KeySet, KeySpec, KeyType};
use crate::config::provider;
use crate::config::secret::{DeletionPolicy, Refresh, SecretSpec};
use crate::config::sources::Sources;
use crate::name::SecretName;

/// One entry of `secrets`. What the provider adds is in its own module.
pub(super) static KEYS: KeySet = KeySet {
    of_providers: Some(provider::read_keys),
    exclusive: &[&["key", "property"], &["data", "dataFrom"], &["vaultDynamic"]],
    ..KeySet::new(
        "secrets[]",
        &[&[
            KeySpec::needed("name", KeyType::Text, "unique; logs, metrics and status use it"),
            KeySpec::new("store", KeyType::Text, "that of `secretStore`", "a name of `secretStores`"),
            KeySpec::new(
                "key",
                KeyType::Text,
                "",
                "path below the mount, without `data/`; no slash at its ends, no empty part, no `.` or `..`. It is needed, or \
                 `data`, `dataFrom` or `vaultDynamic`",
            ),
            sources::PROPERTY,
            KeySpec::new(
                "data",
                KeyType::List(&sources::DATA_KEYS),
                "",
                "single values of several secrets; they win over `dataFrom`",
            ),
            KeySpec::new(
                "dataFrom",
                KeyType::List(&sources::DATA_FROM_KEYS),
                "",
                "all fields of several secrets; the last one wins",
            ),
            sources::dynamic::DYNAMIC,
            KeySpec::new(
                "refreshInterval",
                KeyType::Duration,
                "`1h`",
                "how long after a success it is read again; `\"0\"` reads it once. If `limits.minRefreshInterval` is longer \
                 than 1h, that is the default",
            ),
            KeySpec::new("required", KeyType::Boolean, "`true`", "`false`: readiness does not wait for it"),
            KeySpec::new(
                "deletionPolicy",
                KeyType::Choice(&["retain", "delete"]),
                "`retain`",
                "`retain` keeps the files when the secret is gone, `delete` removes them: the secret's state is then \
                 [`deleted`](observability.md#status), and the daemon is not ready if the secret is required",
            ),
            KeySpec::new(
                "maxStaleness",
                KeyType::Duration,
                "never",
                "older than this is not ready; should be longer than `refreshInterval`",
            ),
            KeySpec::new(
                "template",
                KeyType::Section(&template::KEYS),
                "",
                "templates that files take by name, and how they are read",
            ),
            KeySpec::new(
                "files",
                KeyType::List(&outputs::FILE_KEYS),
                "",
                "the files it becomes; these or a `directory`",
            ),
            KeySpec::new(
                "directory",
                KeyType::Section(&outputs::DIRECTORY_KEYS),
                "",
                "a directory with one file per field",
            ),
            KeySpec::new(
                "generations",
                KeyType::PathOrSection(&generations::KEYS),
                "",
                "a directory in which all files of the secret are switched by one rename: its path, or these keys \
                 ([files.md](files.md#generations))",
            ),
            KeySpec::new(
                "check",
                KeyType::Section(&checks::KEYS),
                "",
                "what its certificates have to be; see [checks.md](checks.md)",
            ),
            KeySpec::new(
                "hooks",
                KeyType::Texts,
                "",
                "names of `hooks` that run for it; those `on: [staged]` need `generations`",
            ),
        ]],
    )
};

const REFRESH: Duration = Duration::from_secs(3600);

pub(super) fn compile(
    mut section: Section<'_>,
    scope: &Scope<'_>,
    written: &mut Outputs,
    context: &mut CompileContext<'_>,
) -> Option<SecretSpec> {
    let name = name(&mut section, context);
    let sources = sources::compile(&mut section, scope, context);
    let refresh = refresh(&mut section, scope.limits.min_refresh_interval, context);
    let required = section.boolean("required", context).unwrap_or(true);
    let policies = [("retain", DeletionPolicy::Retain), ("delete", DeletionPolicy::Delete)];
    let deletion_policy =
        section.choice("deletionPolicy", &policies, context).unwrap_or(DeletionPolicy::Retain);
    if deletion_policy == DeletionPolicy::Delete && sources.as_ref().is_some_and(Sources::has_issued) {
        section.ignore("deletionPolicy", "an issued credential is never gone, it is replaced", context);
    }
    let max_staleness = max_staleness(&mut section, refresh, context);
    let paths = sources.as_ref().map(Sources::answer_paths);
    let (files, directory) = outputs::compile(&mut section, paths, written, context);
    let generations = generations::compile(&section, &files, directory.as_ref(), written, context);
    let hooks = hooks::of_secret(&section, scope.hooks, generations.is_some(), context);
    if !scope.hooks.have_duty(&hooks) {
        sources::dynamic::note_confirmation(&section, context);
    }
    let (check, brakes) = checks::of_secret(&section, &files, directory.as_ref(), context);
    section.finish(context);
    Some(SecretSpec {
        name: name?,
        sources: sources?,
        refresh,
        required,
        deletion_policy,
        max_staleness,
        files,
        directory,
        generations,
        check,
        hooks,
        brakes,
    })
}

fn name(section: &mut Section<'_>, context: &mut CompileContext<'_>) -> Option<SecretName> {
    if !section.has("name") {
        section.missing("name", "logs, metrics and status call the secret by it", context);
    }
    let parse = |text: &str| match text {
        "" => Err("it is empty"),
        _ if text.contains(char::is_control) => Err("it holds a control character"),
        _ => Ok(SecretName::new(text)),
    };
    section.parsed("name", (Code::BadValue, "a name"), parse, context)
}

fn refresh(section: &mut Section<'_>, shortest: Duration, context: &mut CompileContext<'_>) -> Refresh {
    let Some(interval) = section.duration("refreshInterval", context) else {
        return Refresh::Every(REFRESH.max(shortest));
    };
    if interval.is_zero() {
        return Refresh::Once;
    }
    if interval < shortest {
        let message = format!("it is below limits.minRefreshInterval, {}", duration::format(shortest));
        let refused = Diagnostic::new(Code::OutOfRange, section.place_of("refreshInterval"), message);
        context.push(refused.hint("refresh less often, or lower limits.minRefreshInterval (100ms at least)"));
    }
    Refresh::Every(interval)
}

fn max_staleness(
    section: &mut Section<'_>,
    refresh: Refresh,
    context: &mut CompileContext<'_>,
) -> Option<Duration> {
    let age = section.duration("maxStaleness", context)?;
    let place = section.place_of("maxStaleness");
    if age.is_zero() {
        let refused = Diagnostic::new(Code::OutOfRange, place, "every file is older than that");
        context.push(refused.hint("leave \"maxStaleness\" out for \"never\""));
        return None;
    }
    let is_soon = match refresh {
        Refresh::Every(interval) => age <= interval,
        Refresh::Once => true,
    };
    if is_soon {
        let message = "it is over before the next refresh: the secret will make the program unready";
        let warning = Diagnostic::new(Code::StaleBeforeRefresh, place, message);
        context.push(warning.hint("make it a multiple of refreshInterval"));
    }
    Some(age)
}
