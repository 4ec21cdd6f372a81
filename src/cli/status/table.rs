//! The table for people: a line for each secret, problems first; below it what to do about failures.

mod credentials;

use std::time::SystemTime;

use crate::printable::one_line;
use crate::status::{HeldStatus, LastError, SecretStatus, Snapshot, State, words};

/// Secrets that are shown with their remedy below the table.
const WITH_REMEDY: usize = 5;

const HEADINGS: [&str; 6] = ["STATE", "SECRET", "AGE", "NEXT", "VERSION", "LAST ERROR"];

/// The code of bold letters.
const HEADING: &str = "1";

/// How the table looks.
#[derive(Clone, Copy, Debug)]
pub(super) struct TableStyle {
    /// Whether states have colours; their words say the same.
    pub(super) colour: bool,
    /// Columns of the terminal; `None`: nothing is cut.
    pub(super) width: Option<usize>,
}

/// The whole text. Ages and next tries are those of `now`.
pub(super) fn table(snapshot: &Snapshot, now: SystemTime, look: TableStyle) -> String {
    let secrets = snapshot.problems_first();
    let rows: Vec<_> = secrets.iter().map(|secret| (colour(secret.state), row(secret, now))).collect();
    let mut text = format!("{}\n\n", summary(snapshot, now));
    text.extend(lines(HEADINGS, &rows, look));
    text.push_str(&credentials::table(snapshot, now, look));
    text.push_str(&remedies(&secrets));
    text
}

/// The headings and the rows, each with the code of the colour of its first cell.
fn lines(headings: [&str; 6], rows: &[(&str, [String; 6])], look: TableStyle) -> Vec<String> {
    let all = [(HEADING, headings.map(str::to_owned))];
    let all = all.iter().chain(rows);
    let widths: [usize; 6] = std::array::from_fn(|column| {
        all.clone().map(|(_, row)| length(row, column)).max().unwrap_or_default()
    });
    all.map(|(colour, row)| line(row, &widths, look, colour)).collect()
}

/// How it is, with the reason where it is not ready; why the last reload failed, if it did; and of which daemon this is.
fn summary(snapshot: &Snapshot, now: SystemTime) -> String {
    let word = match (snapshot.stopping, snapshot.ready) {
        (true, _) => "stopping",
        (false, true) => "ready",
        (false, false) => "not ready",
    };
    let reason = snapshot.waiting_for().map(|reason| format!(", {}", one_line(&reason))).unwrap_or_default();
    let daemon = &snapshot.daemon;
    let reload = daemon.reload_error.as_deref().map(one_line);
    let reload = reload.map(|error| format!("\nthe last reload failed: {error}")).unwrap_or_default();
    let listen = daemon.listen.map(|address| format!(", http://{address}/")).unwrap_or_default();
    format!(
        "{word}: {}{reason}{reload}\nsecrets-sync {}, up {}{listen}, as of {}",
        snapshot.in_sync(),
        one_line(&daemon.version),
        words::age(now, Some(daemon.started_at)),
        words::ago(now, Some(snapshot.heartbeat)),
    )
}

fn row(secret: &SecretStatus, now: SystemTime) -> [String; 6] {
    let error = secret.last_error.as_ref();
    [
        secret.state.to_string(),
        one_line(&secret.name),
        words::age(now, secret.last_success),
        words::until(now, secret.next_try),
        secret.version.map_or_else(|| words::NOTHING.to_owned(), |version| version.to_string()),
        error.map_or_else(|| held(secret), said),
    ]
}

/// The change that a secret is held at, so that nobody forgets it.
fn held(secret: &SecretStatus) -> String {
    let Some(HeldStatus { change, by, .. }) = &secret.held else { return words::NOTHING.to_owned() };
    let newer = secret.available_version.map(|version| format!(", version {version} is available"));
    format!("held at change {change} by user {by}{}", newer.unwrap_or_default())
}

fn said(error: &LastError) -> String {
    one_line(&format!("{}: {}", error.kind, error.message))
}

fn length(row: &[String; 6], column: usize) -> usize {
    row.get(column).map_or(0, |cell| cell.chars().count())
}

fn line(cells: &[String; 6], widths: &[usize; 6], look: TableStyle, colour: &str) -> String {
    let [first, middle @ .., last] = cells;
    let [first_width, middle_widths @ .., _] = widths;
    let mut text = format!("{}  ", coloured(&format!("{first:<first_width$}"), colour, look));
    for (cell, width) in middle.iter().zip(middle_widths) {
        text.extend([&format!("{cell:<width$}"), "  "]);
    }
    text.push_str(last);
    let text = look.width.map_or_else(|| text.clone(), |width| cut(text.trim_end(), width));
    text + "\n"
}

/// At most `width` columns, and those that only colour; the last of them says that there is more.
fn cut(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    let (mut left, mut is_colour) = (width.saturating_sub(1), false);
    let fits = |letter: &char| {
        is_colour |= *letter == '\x1b';
        let fits = is_colour || left > 0;
        left -= usize::from(!is_colour && left > 0);
        is_colour &= *letter != 'm';
        fits
    };
    let shown: String = text.chars().filter(fits).collect();
    shown + "…"
}

/// Columns that a line takes on a terminal: its characters without those that only colour it.
pub(super) fn columns(line: &str) -> usize {
    let mut parts = line.split("\x1b[");
    let first = parts.next().map_or(0, |part| part.chars().count());
    let after = |part: &str| part.chars().skip_while(|one| *one != 'm').skip(1).count();
    first + parts.map(after).sum::<usize>()
}

fn coloured(text: &str, colour: &str, look: TableStyle) -> String {
    if look.colour { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
}

/// The code of the colour of a state.
fn colour(state: State) -> &'static str {
    match state {
        State::Synced => "32",
        State::Pending => "36",
        State::Degraded | State::Deleted => "33",
        State::Stale => "35",
        State::Failing => "31",
    }
}

/// The failures in full, each with what to do.
fn remedies(secrets: &[&SecretStatus]) -> String {
    let mut failed = secrets.iter().filter_map(|secret| Some((secret, secret.last_error.as_ref()?)));
    let mut text = String::new();
    for (secret, error) in failed.by_ref().take(WITH_REMEDY) {
        let (name, remedy) = (one_line(&secret.name), one_line(&error.remedy));
        text.extend(["\n", &name, ": ", &said(error), "\n  hint: ", &remedy, "\n"]);
    }
    match failed.count() {
        0 => {}
        1 => text.push_str("\n1 more has failed: status --json shows it\n"),
        more => text.extend(["\n", &more.to_string(), " more have failed: status --json shows them all\n"]),
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use super::*;
    use crate::clock::Clock;
    use crate::fault::{Fault, Kind};
    use crate::name::SecretName;
    use crate::status::{SecretEntry, SecretInfo, StatusRegistry, Success};

    const PLAIN: TableStyle = TableStyle { colour: false, width: None };

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    /// "good" synced at 1,000 and is next at 1,030; "bad" has failed.
    fn snapshot(message: &str) -> Snapshot {
        let entry = |name: &str| (SecretName::new(name), SecretEntry::new(SecretInfo::of_required(name)));
        let time = Arc::new(AtomicU64::new(1000));
        let read = Arc::clone(&time);
        let clock = Clock::from_fn(move || at(read.load(Ordering::Relaxed)));
        let registry = StatusRegistry::new([entry("good"), entry("bad")], clock);
        registry.succeeded(
            &SecretName::new("good"),
            Success { version: Some(3), versions: Vec::new(), created: None, next_try: Some(at(1030)) },
        );
        registry.failed(&SecretName::new("bad"), &Fault::new(Kind::Absent, message, "write it"), None);
        time.store(1012, Ordering::Relaxed);
        registry.snapshot()
    }

    #[test]
    fn a_line_for_each_secret_problems_first_and_ages_of_this_moment() {
        let text = table(&snapshot("nothing at secret/bad"), at(1016), PLAIN);
        let version = env!("CARGO_PKG_VERSION");
        let expected = format!(
            "not ready: 1 of 2 secrets synced, waiting for bad
secrets-sync {version}, up 16 s, as of 4 s ago

STATE    SECRET  AGE   NEXT     VERSION  LAST ERROR
failing  bad     –     –        –        absent: nothing at secret/bad
synced   good    16 s  in 14 s  3        –

bad: absent: nothing at secret/bad
  hint: write it
"
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn an_error_is_cut_to_the_terminal_in_the_table_and_nowhere_else() {
        let text =
            table(&snapshot(&"long ".repeat(50)), at(1012), TableStyle { colour: false, width: Some(80) });
        let rows: Vec<_> = text.lines().skip(3).take(3).map(|line| line.chars().count()).collect();
        assert!(rows.iter().all(|length| *length <= 80), "{rows:?}");
        assert!(text.contains("…") && text.contains(&"long ".repeat(50)));
    }

    #[test]
    fn issued_credentials_have_a_table_with_what_replaces_what() {
        let text_of = |seconds| crate::clock::rfc3339(at(seconds));
        let mut snapshot = snapshot("no");
        let json = serde_json::json!([
            { "secrets": ["app", "job"], "store": "default", "path": "database/creds/app", "state": "confirming",
              "current": { "number": 3, "lease": "database/creds/app/x", "issued_at": text_of(716), "renew_at": text_of(2216),
                           "reissue_at": text_of(3416), "end": text_of(4616) },
              "waits_for": ["job"],
              "draining": [{ "number": 2, "lease": "database/creds/app/w", "end": text_of(1316) },
                           { "number": 1, "retire_at": text_of(1076) }] },
            { "secrets": ["\u{1b}[2J"], "store": "default", "path": "pki/issue/web", "state": "held",
              "current": { "number": 1, "serial": "0a:0b", "issued_at": text_of(1), "near_end": text_of(1000), "end": text_of(1020) } },
        ]);
        snapshot.credentials = serde_json::from_value(json).unwrap();
        let text = table(&snapshot, at(1016), PLAIN);
        let expected = "synced   good    16 s  in 14 s  3        –

STATE       CREDENTIAL          RENEWED    NEXT ONE   ENDS    SECRETS
confirming  database/creds/app  in 20 min  in 40 min  in 1 h  app, job
  credential 3, lease database/creds/app/x, issued 5 min ago
  not yet published or confirmed by job
  before it: credential 2, lease database/creds/app/w, is retired when the next one is confirmed, ends in 5 min
  before it: credential 1, is retired in 1 min
in use      pki/issue/web       –          –          in 4 s  \\u{1b}[2J
  the credential of pki/issue/web ends in 4 s and has no successor
  credential 1, serial 0a:0b, issued 16 min ago

bad: absent: no
";
        assert!(text.contains(expected), "{text}");
        let narrow = table(&snapshot, at(1016), TableStyle { colour: true, width: Some(40) });
        let rows: Vec<_> = narrow.lines().skip(6).take(10).map(columns).collect();
        assert!(rows.iter().all(|width| *width <= 40), "{narrow}");
        assert!(
            narrow.contains("\x1b[31min use    \x1b[0m  pki") && narrow.contains("\x1b[36mconfirming\x1b"),
            "{narrow}"
        );
    }

    #[test]
    fn no_row_is_wider_than_a_narrow_terminal() {
        let snapshot = snapshot(&"long ".repeat(50));
        for (colour, width) in [(false, 60), (true, 60), (false, 30), (true, 5), (true, 1)] {
            let text = table(&snapshot, at(1012), TableStyle { colour, width: Some(width) });
            let rows: Vec<_> = text.lines().skip(3).take(3).map(columns).collect();
            assert_eq!(rows, [width.min(51), width, width.min(42)], "{text}");
            assert_eq!(text.matches("\x1b[").count(), if colour { 6 } else { 0 }, "{text}");
        }
        let text = table(&snapshot, at(1012), TableStyle { colour: true, width: Some(60) });
        let row = "\x1b[31mfailing\x1b[0m  bad     –     –        –        absent: long long …\n";
        assert!(text.contains(row), "{text:?}");
    }

    #[test]
    fn no_message_moves_the_cursor_and_colour_is_not_the_only_meaning() {
        let coloured = TableStyle { colour: true, width: None };
        let text = table(&snapshot("\x1b[2J\nfoo"), at(1012), coloured);
        assert!(!text.contains("\x1b[2J") && text.contains(r"absent: \u{1b}[2J foo"), "{text:?}");
        let turned = table(&snapshot("a\u{202e}b\u{200b}"), at(1012), PLAIN);
        assert!(turned.contains(r"absent: a\u{202e}b\u{200b}"), "{turned}");
        assert!(text.contains("\x1b[31mfailing\x1b[0m"), "{text:?}");
        assert!(!table(&snapshot("x"), at(1012), PLAIN).contains('\x1b'));
    }
}
