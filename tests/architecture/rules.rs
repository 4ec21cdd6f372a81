//! The rules. Each takes a source and gives one line of text per violation: place, fact, and what to do.

use super::source::{Source, closing};

/// Most lines of a file.
const FILE_LINES: usize = 500;

/// Most lines of a function, from `fn` to its closing brace.
const FUNCTION_LINES: usize = 80;

/// The floors, lowest first; the rooms on one floor are strangers to each other.
const FLOORS: [&[&str]; 12] = [
    &["secret", "name", "clock", "backoff", "fault", "printable", "blocking"],
    &["regular_file", "dotenv", "certificate"],
    &["template", "disk", "net", "lifecycle", "telemetry"],
    &["config"],
    &["render", "convert"],
    &["store", "sink", "hook", "journal"],
    &["status"],
    &["issue"],
    &["sync"],
    &["admin"],
    &["app"],
    &["cli"],
];

/// Constructors for unit tests; not there in a build.
const TEST_VALUES: &str = "testing";

/// Rooms that must not see a value (invariant 1), although they stand on a higher floor than those that hold one.
const BLIND: [(&str, &[&str]); 1] = [("admin", &["store", "sink", "template", "render"])];

/// Crates with few doors each: what they return must not travel further.
const DOORS: [(&str, &[&str]); 23] = [
    ("vaultrs", &["store/vault"]),
    ("rustify", &["store/vault"]),
    ("reqwest", &["net"]),
    ("hyper", &["net", "admin"]),
    ("axum", &["admin"]),
    ("rustls", &["net", "certificate"]),
    ("aws_lc_rs", &["net/tls", "certificate", "hook/signature", "issue/seal"]),
    ("hickory_resolver", &["net/dns"]),
    ("granit_parser", &["config/yaml", "template/go/yaml_reader"]),
    ("tera", &["template"]),
    ("x509_parser", &["certificate/x509"]),
    ("clap", &["cli"]),
    ("clap_complete", &["cli"]),
    ("clap_mangen", &["cli"]),
    ("prometheus", &["telemetry/metrics"]),
    ("failsafe", &["store/breaker"]),
    ("notify", &["app/watch"]),
    ("landlock", &["app/sandbox"]),
    ("opentelemetry", &["telemetry/trace"]),
    ("opentelemetry_sdk", &["telemetry/trace"]),
    ("opentelemetry_otlp", &["telemetry/trace"]),
    ("opentelemetry_http", &["telemetry/trace"]),
    ("tracing_opentelemetry", &["telemetry/trace"]),
];

/// Where besides `cli` a standard stream is opened, and why.
const STREAMS: [(&str, &str, &str); 2] = [
    ("telemetry/log", "stderr", "the log's writer is stderr: stdout belongs to results"),
    ("telemetry/audit/output", "stdout", "AUDIT_LOG=stdout: `run` has no results of its own there"),
];

/// Who besides `blocking` has threads, and why.
const THREADS: &[&str] = &[
    "blocking",                 // the one shape of blocking work
    "telemetry/audit",          // one writer for the life of the process; a stop leaves it behind after 2 s
    "telemetry/log",            // one writer of stderr; nobody waits for its reader
    "app/sandbox/landlock",     // waits until no other thread is left
    "lifecycle/runner/process", // no runtime there: one thread for each request
    "lifecycle/runner/guard",   // sleeps between two looks at what is left
    "lifecycle/runner/guards",  // likewise
    "telemetry/trace",
    "net/pool",
];

/// The macros that write a log line.
const LOG_MACROS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "event"];

/// A module imports from lower floors alone.
pub(crate) fn floors(source: &Source) -> Vec<String> {
    let module = source.module();
    if ["lib", "main"].contains(&module) {
        return Vec::new();
    }
    let Some(own) = floor(module) else {
        return vec![format!("{}: module `{module}` has no floor; add it to FLOORS", source.path)];
    };
    let forbidden = |import: &&(usize, String)| match floor(&import.1) {
        _ if import.1 == module || import.1 == TEST_VALUES => false,
        Some(other) => other >= own || is_blind(module, &import.1),
        None => true,
    };
    let complain = |(line, import): &(usize, String)| {
        let stands =
            floor(import).map_or("is no module".to_owned(), |other| format!("stands on floor {other}"));
        format!("{}:{line}: `{module}` (floor {own}) uses `{import}`, which {stands}", source.path)
    };
    imports(source).iter().filter(forbidden).map(complain).collect()
}

/// Each file says what it is for in its first line.
pub(crate) fn introduction(source: &Source) -> Vec<String> {
    let introduced = source.lines.first().is_some_and(|line| line.starts_with("//! "));
    if introduced { Vec::new() } else { vec![format!("{}: the first line is not `//! why`", source.path)] }
}

/// A file holds one idea.
pub(crate) fn file_length(source: &Source) -> Vec<String> {
    let lines = source.lines.len();
    if lines <= FILE_LINES {
        Vec::new()
    } else {
        vec![format!("{}: {lines} lines of {FILE_LINES}", source.path)]
    }
}

/// A function does one thing.
pub(crate) fn function_length(source: &Source) -> Vec<String> {
    let long = functions(source).into_iter().filter(|(_, _, lines)| *lines > FUNCTION_LINES);
    let complain = |(line, name, lines)| {
        format!("{}:{line}: function `{name}` has {lines} lines of {FUNCTION_LINES}", source.path)
    };
    long.map(complain).collect()
}

/// Only `cli` prints; the log writes to stderr, and the audit stream, where that is asked for, to stdout.
pub(crate) fn printing(source: &Source) -> Vec<String> {
    if source.is_within("cli") {
        return Vec::new();
    }
    let macros = ["println", "eprintln", "print", "eprint"];
    let may_open = |stream| STREAMS.iter().any(|(stem, its, _)| source.stem() == *stem && *its == stream);
    let prints = |i: &usize| match source.text(*i) {
        word if macros.contains(&word) => source.text(i + 1) == "!" && source.text(i + 2) != "=",
        "stdout" | "stderr" if may_open(source.text(*i)) => false,
        "stdout" | "stderr" => source.text(i.wrapping_sub(1)) == "::" || is_imported_from_io(source, *i),
        _ => false,
    };
    complain(source, prints, "only cli prints: return what is to be shown")
}

/// A log line and its metric are written together, by an event.
pub(crate) fn logging(source: &Source) -> Vec<String> {
    if source.is_within("telemetry/event") {
        return Vec::new();
    }
    let logs = |i: &usize| {
        let calls = source.text(i + 1) == "!" && source.text(i + 2) != "=";
        calls && LOG_MACROS.contains(&source.text(*i))
    };
    complain(source, logs, "only events log: add one to telemetry::event, and emit it")
}

/// Blocking work has one shape: at most one thread per owner, and a deadline.
pub(crate) fn blocking(source: &Source) -> Vec<String> {
    if source.is_test || THREADS.contains(&source.stem()) {
        return Vec::new();
    }
    let spawns = |i: &usize| match source.text(*i) {
        "spawn_blocking" | "block_in_place" => true,
        "thread" => source.text(i.wrapping_sub(1)) == "::" && source.text(i.wrapping_sub(2)) == "std",
        _ => false,
    };
    complain(source, spawns, "run it with blocking::Worker, which has a deadline")
}

/// Every look at a value has a reason in writing.
pub(crate) fn exposing(source: &Source) -> Vec<String> {
    let starts = statement_starts(source);
    let unexplained = |i: &usize| {
        let calls = source.text(*i) == "expose" && source.text(i.wrapping_sub(1)) == ".";
        let (Some(call), Some(first)) = (source.tokens.get(*i), starts.get(*i)) else { return false };
        calls && !(*first..=call.line).any(|line| is_explained(source, line))
    };
    complain(source, unexplained, "write `// EXPOSE: reason` on the line, or right above the statement")
}

/// Third-party types stay behind their door.
pub(crate) fn doors(source: &Source) -> Vec<String> {
    let closed = DOORS.iter().filter(|(_, doors)| !doors.iter().any(|door| source.is_within(door)));
    let complain = |(name, doors): &(&str, &[&str])| {
        in_code(source, name, &format!("only {} may use it", doors.join(" and ")))
    };
    closed.flat_map(complain).collect()
}

fn in_code(source: &Source, name: &str, remedy: &str) -> Vec<String> {
    complain(source, |i| source.text(*i) == name, remedy)
}

/// One line per token outside of tests that `is_wrong` points out.
fn complain(source: &Source, is_wrong: impl Fn(&usize) -> bool, remedy: &str) -> Vec<String> {
    let tokens = source.tokens.iter().enumerate();
    let wrong = tokens.filter(|(i, token)| is_wrong(i) && !source.is_test_line(token.line));
    wrong.map(|(_, token)| format!("{}:{}: `{}`: {remedy}", source.path, token.line, token.text)).collect()
}

fn floor(module: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&module))
}

fn is_blind(module: &str, import: &str) -> bool {
    BLIND.iter().any(|(blind, hidden)| *blind == module && hidden.contains(&import))
}

/// Root modules named by `crate::name`, `crate::{name, …}`, or by as many `super::` as lead to the root.
fn imports(source: &Source) -> Vec<(usize, String)> {
    let depth = source.stem().split('/').count();
    let mut found = Vec::new();
    let mut braces = Vec::new();
    for (index, token) in source.tokens.iter().enumerate() {
        let inline_modules = braces.iter().filter(|is_module| **is_module).count();
        match token.text.as_str() {
            "{" => braces.push(source.text(index.wrapping_sub(2)) == "mod"),
            "}" => drop(braces.pop()),
            "crate" if source.text(index + 1) == "::" => {
                names(source, index + 2).for_each(|name| found.push((token.line, name)));
            }
            "super" if source.text(index.wrapping_sub(1)) != "::" => {
                let supers =
                    (0..source.tokens.len()).take_while(|n| source.text(index + 2 * n) == "super").count();
                if supers >= depth + inline_modules {
                    names(source, index + 2 * supers).for_each(|name| found.push((token.line, name)));
                }
            }
            _ => {}
        }
    }
    found
}

/// The first segments of the paths at `start`: one, or each of a braced group.
fn names(source: &Source, start: usize) -> impl Iterator<Item = String> + '_ {
    let end = if source.text(start) == "{" { closing(&source.tokens, start) } else { start };
    let mut depth = 0_usize;
    let firsts = (start..=end).filter(move |i| {
        match source.text(*i) {
            "{" => depth += 1,
            "}" => depth = depth.saturating_sub(1),
            "," | "self" => {}
            _ if start == end => return true,
            _ => return depth == 1 && ["{", ","].contains(&source.text(i - 1)),
        }
        false
    });
    firsts.map(|i| source.text(i).to_owned())
}

/// Line, name and length of each function with a body.
fn functions(source: &Source) -> Vec<(usize, String, usize)> {
    let mut found = Vec::new();
    for (index, token) in source.tokens.iter().enumerate().filter(|(_, token)| token.text == "fn") {
        let name = source.text(index + 1);
        if name == "(" {
            continue;
        }
        let Some(body) = body(source, index) else { continue };
        let last = source.tokens.get(closing(&source.tokens, body)).map_or(token.line, |end| end.line);
        found.push((token.line, name.to_owned(), last - token.line + 1));
    }
    found
}

/// The opening brace of the function at `start`; `None` where a semicolon stands for the body.
fn body(source: &Source, start: usize) -> Option<usize> {
    let mut index = start;
    loop {
        match source.text(index) {
            "(" | "[" => index = closing(&source.tokens, index),
            "{" => return Some(index),
            ";" | "" => return None,
            _ => {}
        }
        index += 1;
    }
}

/// Whether the token stands in the braces of a `use std::io::{…}`.
fn is_imported_from_io(source: &Source, index: usize) -> bool {
    let open = (0..index).rev().find(|i| ["{", ";"].contains(&source.text(*i)));
    open.is_some_and(|open| source.text(open) == "{" && source.text(open.wrapping_sub(2)) == "io")
}

/// For each token the line its statement, match arm or struct field starts on.
fn statement_starts(source: &Source) -> Vec<usize> {
    let mut starts = Vec::with_capacity(source.tokens.len());
    // Open brackets: whether it is a brace, and the line of the current statement in it.
    let mut open: Vec<(bool, Option<usize>)> = vec![(true, None)];
    for token in &source.tokens {
        let boundary = match token.text.as_str() {
            "{" | "(" | "[" => Some((token.text == "{", None)),
            _ => None,
        };
        if let Some((true, start)) = open.iter_mut().rev().find(|(is_brace, _)| *is_brace) {
            start.get_or_insert(token.line);
            starts.push(start.unwrap_or(token.line));
        }
        open.extend(boundary);
        match (token.text.as_str(), open.last().map(|(is_brace, _)| *is_brace)) {
            ("}" | ")" | "]", _) if open.len() > 1 => drop(open.pop()),
            _ => {}
        }
        let ends = matches!(token.text.as_str(), ";" | "," | "}");
        if let Some((true, start)) = open.last_mut().filter(|_| ends) {
            *start = None;
        }
    }
    starts
}

/// Whether the line, or the comment directly above it, gives the reason for an exposure.
fn is_explained(source: &Source, line: usize) -> bool {
    let above = source.lines.iter().take(line - 1).rev().map(|text| text.trim_start());
    let mut comment = above.take_while(|text| text.starts_with("//"));
    let own = source.lines.get(line - 1).is_some_and(|text| text.contains("// EXPOSE: "));
    own || comment.any(|text| text.starts_with("// EXPOSE: "))
}
