//! A command of another tool → what a hook does.

use crate::lifecycle::ProcessSignal;

/// What a command does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum CommandMeaning {
    /// Sends a signal to the process of a pid file.
    PidFile { path: String, signal: &'static str },
    /// Reloads or restarts a unit of systemd.
    Unit { unit: String, restarts: bool },
    /// Starts a program by its absolute path.
    Program(Vec<String>),
    /// Sends a signal to processes of a name.
    Process { name: String, signal: &'static str },
    /// Starts a program that has to be looked for.
    Relative(Vec<String>),
    /// Needs a shell.
    Shell(String),
}

/// A command, and what its line says besides.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct ReadCommand {
    pub(super) meaning: CommandMeaning,
    /// `|| true`.
    pub(super) ignores_failure: bool,
    /// `>/dev/null`.
    pub(super) discards_output: bool,
}

/// Ends of lines that ignore a failure.
const IGNORED: [&str; 4] = ["|| true", "||true", "|| :", "|| exit 0"];

/// Ends of lines that throw the output away.
const DISCARDED: [&str; 7] =
    ["2>&1", "&>/dev/null", "2>/dev/null", "2> /dev/null", ">/dev/null", "> /dev/null", "1>/dev/null"];

impl ReadCommand {
    /// Reads a command: one line, which a shell would take apart, or a program and its arguments.
    pub(super) fn of(words: &[String]) -> Self {
        let [line] = words else {
            return Self { meaning: of_argv(words.to_vec()), ignores_failure: false, discards_output: false };
        };
        let mut rest = line.trim();
        let (mut ignores_failure, mut discards_output) = (false, false);
        loop {
            let cut = |ends: &[&str]| ends.iter().find_map(|end| rest.strip_suffix(end)).map(str::trim_end);
            if let Some(shorter) = cut(&IGNORED) {
                (rest, ignores_failure) = (shorter, true);
            } else if let Some(shorter) = cut(&DISCARDED) {
                (rest, discards_output) = (shorter, true);
            } else {
                break;
            }
        }
        let meaning = signal_by_file(rest).or_else(|| split(rest).map(of_argv));
        match meaning {
            Some(meaning) => Self { meaning, ignores_failure, discards_output },
            None => Self {
                meaning: CommandMeaning::Shell(line.trim().to_owned()),
                ignores_failure: false,
                discards_output: false,
            },
        }
    }
}

/// The words of a line, if a shell would do nothing but take them apart.
pub(super) fn split(line: &str) -> Option<Vec<String>> {
    const SPECIAL: &str = "|&;<>()$`\\*?[]{}~#!=\n";
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for letter in line.chars() {
        match (quote, letter) {
            (Some(open), letter) if letter == open => quote = None,
            (Some('"'), '$' | '`' | '\\') => return None,
            (None, '"' | '\'') => {
                word.get_or_insert_default();
                quote = Some(letter);
            }
            (None, ' ' | '\t') => words.extend(word.take()),
            // `--name=value` is a word; `NAME=value` in front is a variable.
            (None, '=') if word.as_ref().is_some_and(|word| word.starts_with('-')) => {
                word.get_or_insert_default().push('=');
            }
            (None, letter) if SPECIAL.contains(letter) => return None,
            (_, letter) => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    (quote.is_none() && !words.is_empty()).then_some(words)
}

/// `kill -HUP $(cat FILE)` in its usual forms.
fn signal_by_file(line: &str) -> Option<CommandMeaning> {
    let (before, inner) = if let Some((left, right)) = line.split_once('|') {
        let right = right.trim().strip_prefix("xargs")?.trim_start();
        (right.strip_prefix("-r").unwrap_or(right).trim(), left.trim())
    } else {
        let (before, inner) = line.split_once("$(").or_else(|| line.split_once('`'))?;
        let inner = inner.strip_suffix('"').unwrap_or(inner);
        let inner = inner.strip_suffix(')').or_else(|| inner.strip_suffix('`'))?;
        let before = before.trim_end();
        (before.strip_suffix('"').unwrap_or(before).trim_end(), inner.trim())
    };
    let path = inner.strip_prefix("cat ").or_else(|| inner.strip_prefix('<'))?;
    let path = split(path).filter(|words| words.len() == 1)?.pop()?;
    let words = split(before)?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let words = words.strip_prefix(&["sudo"]).unwrap_or(&words);
    let signal = match words {
        ["kill" | "/bin/kill" | "/usr/bin/kill", flags @ ..] => match signal_of(flags)? {
            (signal, []) => signal,
            _ => return None,
        },
        _ => return None,
    };
    path.starts_with('/').then_some(CommandMeaning::PidFile { path, signal })
}

/// The signal of the flags of `kill`, and what stands behind them; TERM where there is none.
fn signal_of<'w>(flags: &'w [&'w str]) -> Option<(&'static str, &'w [&'w str])> {
    match flags {
        ["-s" | "--signal" | "-n", signal, rest @ ..] => Some((known(signal)?, rest)),
        [flag, rest @ ..] if flag.starts_with("--signal=") => {
            Some((known(flag.trim_start_matches("--signal="))?, rest))
        }
        [flag, rest @ ..] if flag.starts_with('-') && known(flag.trim_start_matches('-')).is_some() => {
            Some((known(flag.trim_start_matches('-'))?, rest))
        }
        rest => Some(("TERM", rest)),
    }
}

/// A signal that a hook can send, by its name or number.
pub(super) fn known(signal: &str) -> Option<&'static str> {
    const NUMBERS: [(&str, &str); 7] = [
        ("1", "HUP"),
        ("2", "INT"),
        ("3", "QUIT"),
        ("10", "USR1"),
        ("12", "USR2"),
        ("15", "TERM"),
        ("28", "WINCH"),
    ];
    let upper = signal.to_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let name = NUMBERS.iter().find(|(number, _)| *number == name).map_or(name, |(_, name)| name);
    ProcessSignal::NAMES.iter().map(|(known, _)| *known).find(|known| *known == name)
}

fn of_argv(argv: Vec<String>) -> CommandMeaning {
    let words: Vec<&str> = argv.iter().map(String::as_str).collect();
    let words = words.strip_prefix(&["sudo"]).unwrap_or(&words);
    if let Some(meaning) = of_unit(words).or_else(|| of_process(words)) {
        return meaning;
    }
    let is_odd = argv
        .iter()
        .any(|word| word.contains('\0') || word.contains("{staging}") || word.contains("{generation}"));
    match argv.first() {
        Some(program) if program.starts_with('/') && !is_odd => CommandMeaning::Program(argv),
        _ => CommandMeaning::Relative(argv),
    }
}

/// `systemctl reload X`, `service X restart`.
fn of_unit(words: &[&str]) -> Option<CommandMeaning> {
    let (program, rest) = words.split_first()?;
    let (verb, unit) = match (program.rsplit('/').next()?, rest) {
        ("systemctl", [flags @ .., verb, unit])
            if flags.iter().all(|flag| {
                matches!(*flag, "-q" | "--quiet" | "--no-block" | "--no-ask-password" | "--system")
            }) =>
        {
            (*verb, *unit)
        }
        ("service", [unit, verb]) => (*verb, *unit),
        _ => return None,
    };
    let restarts = match verb {
        "reload" | "force-reload" | "reload-or-restart" | "try-reload-or-restart" => false,
        "restart" | "try-restart" | "condrestart" => true,
        _ => return None,
    };
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || ":-_.\\@".contains(letter);
    if unit.is_empty() || unit.starts_with('-') || !unit.chars().all(is_letter) {
        return None;
    }
    let is_whole =
        [".service", ".socket", ".target", ".timer", ".path"].iter().any(|end| unit.ends_with(end));
    let unit = if is_whole { unit.to_owned() } else { format!("{unit}.service") };
    Some(CommandMeaning::Unit { unit, restarts })
}

/// `pkill -HUP X`, `killall -HUP X`, unless they are named by their absolute paths.
fn of_process(words: &[&str]) -> Option<CommandMeaning> {
    let (program, rest) = words.split_first()?;
    if !matches!(*program, "pkill" | "killall") {
        return None;
    }
    let is_plain = |flag: &&&str| !matches!(**flag, "-x" | "-q" | "-e" | "-o" | "-n");
    let flags: Vec<&str> = rest.iter().filter(is_plain).copied().collect();
    match signal_of(&flags)? {
        (signal, [name]) if !name.starts_with('-') => {
            Some(CommandMeaning::Process { name: (*name).to_owned(), signal })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> CommandMeaning {
        ReadCommand::of(&[line.to_owned()]).meaning
    }

    fn program(words: &[&str]) -> CommandMeaning {
        CommandMeaning::Program(words.iter().map(|word| (*word).to_owned()).collect())
    }

    #[test]
    fn signals_by_a_pid_file_are_known_in_every_form() {
        for (line, signal) in [
            ("kill -HUP $(cat /run/x.pid)", "HUP"),
            ("kill -SIGHUP \"$(cat /run/x.pid)\"", "HUP"),
            ("kill -1 `cat /run/x.pid`", "HUP"),
            ("sudo /bin/kill -s USR1 $(< /run/x.pid)", "USR1"),
            ("kill $(cat '/run/x.pid') 2>/dev/null || true", "TERM"),
            ("cat /run/x.pid | xargs kill -usr2", "USR2"),
        ] {
            let expected = CommandMeaning::PidFile { path: "/run/x.pid".to_owned(), signal };
            assert_eq!(read(line), expected, "{line}");
        }
        for line in [
            "kill -HUP $(pidof nginx)",
            "kill -HUP $(cat x.pid)",
            "kill -STOP $(cat /run/x.pid)",
            "kill -HUP $(cat /run/x.pid) $(cat /run/y.pid)",
            "kill -HUP $(cat /run/*.pid)",
            "cat /run/x.pid | sort | xargs kill",
        ] {
            assert_eq!(read(line), CommandMeaning::Shell(line.to_owned()), "{line}");
        }
    }

    #[test]
    fn units_are_reloaded_or_restarted() {
        for (line, unit, restarts) in [
            ("systemctl reload nginx", "nginx.service", false),
            ("sudo systemctl --no-block try-restart app@1.service", "app@1.service", true),
            ("/bin/systemctl reload-or-restart x.socket >/dev/null 2>&1", "x.socket", false),
            ("service nginx reload || :", "nginx.service", false),
            ("/usr/sbin/service nginx restart", "nginx.service", true),
        ] {
            assert_eq!(read(line), CommandMeaning::Unit { unit: unit.to_owned(), restarts }, "{line}");
        }
        for line in [
            "systemctl --user reload x",
            "systemctl kill -s HUP x",
            "systemctl reload a b",
            "systemctl daemon-reload",
        ] {
            assert!(matches!(read(line), CommandMeaning::Relative(_)), "{line}");
        }
    }

    #[test]
    fn programs_have_absolute_paths_and_no_shell() {
        assert_eq!(read("/usr/sbin/nginx -s reload"), program(&["/usr/sbin/nginx", "-s", "reload"]));
        assert_eq!(read("/bin/a 'b c' \"d\" --e=f ''"), program(&["/bin/a", "b c", "d", "--e=f", ""]));
        let read_all = ReadCommand::of(&["/bin/a >/dev/null 2>&1 || true".to_owned()]);
        assert_eq!(
            read_all,
            ReadCommand { meaning: program(&["/bin/a"]), ignores_failure: true, discards_output: true }
        );
        for line in ["nginx -s reload", "docker restart app", "kill -HUP 1", "pkill -f 'x y'"] {
            assert!(matches!(read(line), CommandMeaning::Relative(_)), "{line}");
        }
        for line in [
            "/bin/a; /bin/b",
            "/bin/a | /bin/b",
            "X=1 /bin/a",
            "/bin/a $HOME",
            "/bin/a *",
            "/bin/a > /x",
            "/bin/a 'b",
            "/bin/a \"$x\"",
            "/bin/a {staging}",
            "",
        ] {
            assert!(matches!(read(line), CommandMeaning::Shell(_)), "{line}");
        }
        let argv = ["/bin/sh", "-c", "a; b"].map(str::to_owned);
        assert_eq!(ReadCommand::of(&argv).meaning, program(&["/bin/sh", "-c", "a; b"]));
    }

    #[test]
    fn processes_are_known_by_name() {
        for (line, signal) in
            [("pkill -HUP app", "HUP"), ("killall -q -s HUP app", "HUP"), ("pkill -x app", "TERM")]
        {
            assert_eq!(read(line), CommandMeaning::Process { name: "app".to_owned(), signal }, "{line}");
        }
    }
}
