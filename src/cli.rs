//! The command line: arguments → a command → an exit code. The only place that prints.

mod args;
mod completions;
mod control;
mod convert;
mod explain;
mod history;
mod hook;
mod init;
mod isready;
mod man;
mod output;
mod plan;
mod run;
mod schema;
mod setup;
mod status;
mod validate;
mod version;

use std::panic::{self, PanicHookInfo};

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::app;
use crate::fault::ExitStatus;
use crate::lifecycle;
use crate::telemetry::{event, log};
use args::{Command, RunArgs};

/// Runs the command that the process's arguments ask for.
pub fn main() -> ExitStatus {
    lifecycle::hold_signals();
    if app::serve_as_runner(&std::env::args_os().next().unwrap_or_default()) {
        return ExitStatus::Success;
    }
    panic::set_hook(Box::new(|panic| event::panicked(&place(panic))));
    let ended = panic::catch_unwind(|| dispatch().unwrap_or_else(|status| status)).unwrap_or_else(|_| {
        output::error("a defect ended this command", "please report it with the command and LOG_LEVEL=debug");
        ExitStatus::Failed
    });
    log::flush();
    ended
}

/// The payload is not asked for: it may quote a value.
fn place(panic: &PanicHookInfo<'_>) -> String {
    panic.location().map(ToString::to_string).unwrap_or_default()
}

/// `Err` is an exit status too: of a command that could not do its work and has said why.
fn dispatch() -> Result<ExitStatus, ExitStatus> {
    let (common, args) = match args::parse(std::env::args_os()) {
        Ok(read) => read,
        Err(error) => return usage(&redact(error)),
    };
    let command = args.command.unwrap_or(Command::Run(RunArgs::default()));
    if !matches!(command, Command::Run(_)) {
        lifecycle::release_signals();
    }
    match command {
        Command::Run(run) => run::run(&common, &run),
        Command::Isready(isready) => isready::isready(&common, &isready),
        Command::Validate(validate) => validate::validate(&common, &validate),
        Command::Plan(_) => plan::plan(&common),
        Command::Status(status) => status::status(&common, &status),
        Command::Refresh(refresh) => control::refresh(&common, &refresh),
        Command::Rollback(rollback) => control::rollback(&common, &rollback),
        Command::Release(release) => control::release(&common, &release),
        Command::Approve(approve) => control::approve(&common, &approve),
        Command::Leases(leases) => control::leases(&common, &leases),
        Command::Rotate(rotate) => control::rotate(&common, &rotate),
        Command::Hook(hook) => hook::hook(&common, &hook),
        Command::History(history) => history::history(&common, &history),
        Command::Init => init::init(),
        Command::Schema => schema::schema(),
        Command::Completions(completions) => completions::completions(&completions),
        Command::Man(man) => man::man(&man),
        Command::Convert(convert) => convert::convert(&convert),
        Command::Explain(explain) => explain::explain(&explain),
        Command::Version => version::version(),
    }
}

/// Words that people try, and what does what they mean.
const OTHER_WORDS: [(&str, &str); 6] = [
    ("reload", "SIGHUP makes the running daemon load its configuration again"),
    ("sync", "\"run --once\" syncs every secret once"),
    ("once", "\"run --once\" syncs every secret once"),
    ("--once", "\"run --once\" syncs every secret once"),
    ("check", "\"validate\" checks a configuration, \"isready\" a running daemon"),
    ("start", "\"run\" keeps the files in sync"),
];

/// Most bytes of a mistyped name.
const NAME: usize = 24;

/// What was typed may be a token or a password, and stderr outlives a command line: values are hidden, and so is an
/// argument without a name unless it is nearly a command's. Names of options are shown.
fn redact(mut error: clap::Error) -> clap::Error {
    let is_name = |text: &str| {
        text.len() <= NAME && text.bytes().all(|byte| byte.is_ascii_alphabetic() || b"-_".contains(&byte))
    };
    // "To pass it as a value, use --": no value of ours begins with a hyphen.
    error.remove(ContextKind::Suggested);
    let is_typed = error.kind() == ErrorKind::UnknownArgument;
    if meant(&error).is_some() {
        error.remove(ContextKind::SuggestedSubcommand);
        return error;
    }
    let has_suggestion = error.get(ContextKind::SuggestedSubcommand).is_some();
    for kind in [ContextKind::InvalidArg, ContextKind::InvalidSubcommand, ContextKind::InvalidValue] {
        let Some(ContextValue::String(text)) = error.get(kind) else { continue };
        let is_shown = match kind {
            ContextKind::InvalidArg if !is_typed => true,
            ContextKind::InvalidArg if text.starts_with('-') => is_name(text),
            ContextKind::InvalidValue => text.is_empty(),
            _ => has_suggestion && is_name(text) || is_configuration(text),
        };
        if !is_shown {
            error.insert(kind, ContextValue::String("(not shown)".to_owned()));
        }
    }
    error
}

/// The hint for a typed word of [`OTHER_WORDS`].
fn meant(error: &clap::Error) -> Option<&'static str> {
    // A word of the list can also be the name of an option that has a wrong value.
    if !matches!(error.kind(), ErrorKind::InvalidSubcommand | ErrorKind::UnknownArgument) {
        return None;
    }
    let typed = error.get(ContextKind::InvalidSubcommand).or_else(|| error.get(ContextKind::InvalidArg))?;
    OTHER_WORDS
        .iter()
        .find(|(word, _)| *typed == ContextValue::String((*word).to_owned()))
        .map(|(_, hint)| *hint)
}

/// Whether `text` is surely the name of a configuration file.
fn is_configuration(text: &str) -> bool {
    [".yaml", ".yml"].iter().any(|ending| text.ends_with(ending))
}

/// Help and version are results and go to stdout; anything else is wrong usage.
fn usage(error: &clap::Error) -> Result<ExitStatus, ExitStatus> {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            output::result(&error.render().to_string())?;
            Ok(ExitStatus::Success)
        }
        _ => {
            output::note(&error.render().to_string());
            if let Some(hint) = meant(error) {
                output::note(&format!("hint: {hint}"));
            }
            if let Some(ContextValue::String(text)) = error.get(ContextKind::InvalidSubcommand)
                && is_configuration(text)
            {
                output::note("hint: a configuration file is named by --config (-c)");
            }
            Ok(ExitStatus::Usage)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::thread;

    use super::*;

    #[test]
    fn the_place_of_a_panic_is_told_and_its_payload_is_not() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let (before, sink) = (panic::take_hook(), Arc::clone(&told));
        lifecycle::hold_signals();
        panic::set_hook(Box::new(move |panic| sink.lock().unwrap().push(place(panic))));
        let payloads: [fn(); 3] = [
            || panic!("Zq7marker"),
            || panic::panic_any("Zq7marker".to_owned()),
            || assert_eq!("Zq7marker", ""),
        ];
        for payload in payloads {
            thread::spawn(payload).join().unwrap_err();
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async { tokio::spawn(async { panic!("Zq7marker") }).await }).unwrap_err();
        panic::set_hook(before);
        let told = told.lock().unwrap();
        let ours: Vec<_> = told.iter().filter(|place| place.starts_with("src/cli.rs:")).collect();
        assert!(ours.len() == 4 && !told.concat().contains("marker"), "{told:?}");
    }

    #[test]
    fn names_of_options_are_shown_and_values_are_not() {
        let error = |line: &[&str]| {
            let line = std::iter::once("secrets-sync").chain(line.iter().copied()).map(Into::into);
            redact(args::parse(line).unwrap_err())
        };
        let message = |line: &[&str]| error(line).render().to_string();
        for (line, shown) in [
            (&["validat"] as &[&str], "'validat'"),
            (&["run", "--once", "--timeout", "hunter2"], "'--timeout <DURATION>'"),
            (&["--config"], "'--config <FILE>'"),
            (&["-c", "a", "-c", "b"], "'--config <FILE>'"),
            (&["--lock-memry", "x"], "'--lock-memry'"),
            (&["config.yaml"], "'config.yaml'"),
            (&["run", "--once=hunter2-hunter2"], "'--once'"),
        ] {
            let message = message(line);
            assert!(message.contains(shown) && !message.contains("hunter2"), "{message}");
        }
        assert!(!message(&["plan", "--json"]).contains("as a value"));
        for line in [&["reload"] as &[&str], &["check"], &["--once"]] {
            let error = error(line);
            assert!(meant(&error).is_some() && !error.render().to_string().contains("similar"), "{error}");
        }
        for line in [&["hvs.hunter2hunter2"] as &[&str], &["hunter2"], &["run", "hunter2"], &["--hunter2"]] {
            let message = message(line);
            assert!(message.contains("(not shown)") && !message.contains("hunter2"), "{message}");
        }
    }
}
