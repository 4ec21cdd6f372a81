//! What a hook does: exactly one of `command`, `pidFile`, `unit` and `url`.

use std::path::Path;

use url::Url;

use super::super::context::CompileContext;
use super::super::section::Section;
use crate::config::diagnostic::{Code, Diagnostic};
use crate::config::hook::{HookAction, HookMoment, HookUrl};
use crate::config::keys::{KeySpec, KeyType};
use crate::config::provider::vault::address::is_exposed;
use crate::lifecycle::ProcessSignal;
use crate::net::Address;

pub(super) const KEYS: &[KeySpec] = &[
    KeySpec::new(
        "command",
        KeyType::Texts,
        "",
        "a program, by its absolute path, and its arguments; no shell. In those of a gate, `{staging}` is the directory of the \
         generation and `{generation}` its name",
    ),
    KeySpec::new("pidFile", KeyType::LocalPath, "", "the process of this file gets a signal"),
    KeySpec::new(
        "signal",
        KeyType::Choice(&["HUP", "INT", "QUIT", "TERM", "USR1", "USR2", "WINCH"]),
        "`HUP`",
        "with `pidFile`",
    ),
    KeySpec::new(
        "unit",
        KeyType::Text,
        "",
        "this unit of systemd is reloaded, or restarted where it cannot; never started",
    ),
    KeySpec::new("restart", KeyType::Boolean, "`false`", "with `unit`: restarts it, if it is active"),
    KeySpec::new("url", KeyType::Credential, "", "a POST request with the event; 2xx is success"),
    KeySpec::new(
        "hmacKeyFile",
        KeyType::LocalPath,
        "",
        "with `url`: a file with one key per line, of which the first signs the event; read at each use",
    ),
];

/// The actions, and the keys that go with them.
const ACTIONS: [(&str, Option<&str>); 4] =
    [("command", None), ("pidFile", Some("signal")), ("unit", Some("restart")), ("url", Some("hmacKeyFile"))];

/// The placeholders of a gate's arguments.
const PLACEHOLDERS: [&str; 2] = ["{staging}", "{generation}"];

pub(super) fn compile(
    section: &Section<'_>,
    moment: Option<HookMoment>,
    context: &mut CompileContext<'_>,
) -> Option<HookAction> {
    for (action, with) in ACTIONS {
        if let Some(with) = with.filter(|with| section.has(with) && !section.has(action)) {
            let message = format!("{with:?} goes with {action:?}");
            context.push(Diagnostic::new(Code::ConflictingKeys, section.place_of(with), message));
        }
    }
    let given: Vec<_> = ACTIONS.iter().filter(|(action, _)| section.has(action)).collect();
    if let [_, (second, _), ..] = given.as_slice() {
        let message = "a hook does one thing: command, pidFile, unit or url";
        let two = Diagnostic::new(Code::ConflictingKeys, section.place_of(second), message);
        context.push(two.hint("make a hook of each; \"after\" orders them"));
    }
    let command = command(section, moment, context);
    let pid_file = section.local_path("pidFile", context);
    let signal = section.choice("signal", &ProcessSignal::NAMES, context).unwrap_or(ProcessSignal::Hup);
    let unit = section.parsed("unit", (Code::BadValue, "the name of a unit"), unit_name, context);
    let restart = section.boolean("restart", context).unwrap_or(false);
    let url = url(section, context);
    let hmac_key_file = section.local_path("hmacKeyFile", context);
    match given.as_slice() {
        [("command", _)] => command.map(|argv| HookAction::Command { argv }),
        [("pidFile", _)] => pid_file.map(|path| HookAction::PidFile { path, signal }),
        [("unit", _)] => unit.map(|unit| HookAction::Unit { unit, restart }),
        [("url", _)] => url.map(|url| HookAction::Url { url, hmac_key_file }),
        [] if !section.has("container") => {
            let message = "the hook does nothing";
            let missing = Diagnostic::new(Code::MissingKey, section.place(), message);
            context.push(missing.hint("add one of command, pidFile, unit and url"));
            None
        }
        _ => None,
    }
}

fn command(
    section: &Section<'_>,
    moment: Option<HookMoment>,
    context: &mut CompileContext<'_>,
) -> Option<Vec<String>> {
    let key = "command";
    if !section.has(key) {
        return None;
    }
    if section.node(key)?.scalar().is_some() {
        let message = "a list is expected here, and this is a text: there is no shell that takes it apart";
        let text = Diagnostic::new(Code::WrongType, section.place_of(key), message);
        context.push(text.hint("write [/usr/bin/program, argument]; [/bin/sh, -c, …] runs a shell"));
        return None;
    }
    let argv = section.placed_texts(key, context);
    let Some((program, place)) = argv.first() else {
        context.push(
            Diagnostic::new(Code::BadValue, section.place_of(key), "it is empty")
                .hint("write the absolute path of a program, and its arguments"),
        );
        return None;
    };
    if !Path::new(&*program.value).is_absolute() {
        let message = program.is_not("an absolute path", "the program is not looked for in PATH");
        let relative = Diagnostic::new(Code::BadPath, place.clone(), message);
        context.push(relative.hint("write where it is, such as /usr/sbin/nginx"));
        return None;
    }
    for (text, place) in &argv {
        if text.value.contains('\0') {
            let message = text.is_not("an argument", "it holds a NUL");
            context.push(Diagnostic::new(Code::BadValue, place.clone(), message));
            return None;
        }
        let is_duty = moment == Some(HookMoment::Changed);
        if let Some(word) = PLACEHOLDERS.iter().find(|word| is_duty && text.value.contains(**word)) {
            let message = format!("{word} is replaced in the command of a gate only");
            let misplaced = Diagnostic::new(Code::BadValue, place.clone(), message);
            context.push(misplaced.hint("add \"on: [staged]\", or name the published path"));
            return None;
        }
    }
    Some(argv.into_iter().map(|(text, _)| text.value.into_owned()).collect())
}

/// systemd.unit(5): letters, digits and `:-_.\@`.
fn unit_name(text: &str) -> Result<String, &'static str> {
    let is_allowed = |letter: char| letter.is_ascii_alphanumeric() || ":-_.\\@".contains(letter);
    match text {
        "" => Err("it is empty"),
        _ if text.starts_with('-') => Err("it begins with \"-\""),
        _ if !text.chars().all(is_allowed) => Err("it may hold letters, digits and :-_.\\@"),
        _ => Ok(text.to_owned()),
    }
}

fn url(section: &Section<'_>, context: &mut CompileContext<'_>) -> Option<HookUrl> {
    let key = "url";
    let text = section.text(key, context)?;
    let hint = "for example http://127.0.0.1:9090/-/reload";
    let mut refuse = |message: &str| {
        context.push(Diagnostic::new(Code::BadAddress, section.place_of(key), message).hint(hint));
    };
    let Ok(url) = Url::parse(&text.value) else {
        refuse("it is not a URL");
        return None;
    };
    if !matches!(url.scheme(), "http" | "https") {
        refuse("the scheme is none of https and http");
        return None;
    }
    if !url.username().is_empty() || url.password().is_some() {
        refuse("the URL holds a user name or a password; \"hmacKeyFile\" lets the receiver know the sender");
        return None;
    }
    let address = Address::Http(url.clone());
    if is_exposed(&address) {
        let message =
            "plain http: the names of secrets cross the network unencrypted, and others can send the same";
        context.push(Diagnostic::new(Code::PlainHttp, section.place_of(key), message).hint("use https"));
    }
    Some(HookUrl::new(url))
}
