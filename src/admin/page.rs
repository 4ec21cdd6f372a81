//! The page for people: each secret on a row, what needs somebody first. One document without scripts or anything
//! from elsewhere; it loads itself anew.

mod html;
mod row;

use std::time::SystemTime;

use crate::clock;
use crate::status::{Snapshot, State, words};
use html::Html;

/// The only style; the security policy names it by its hash.
pub(super) const STYLE: &str = include_str!("page/style.css");

/// What the row of numbers counts, in the order of the table.
const STATES: [State; 6] =
    [State::Failing, State::Stale, State::Deleted, State::Degraded, State::Pending, State::Synced];

/// The whole document.
pub(super) fn render(snapshot: &Snapshot) -> String {
    let mut page = Html::new();
    head(&mut page, snapshot);
    page.raw("<body>\n<main>\n");
    headline(&mut page, snapshot);
    if snapshot.secrets.is_empty() {
        page.raw(
            "<p class=\"empty\">The configuration has no secrets. There is nothing to keep in sync.</p>\n",
        );
    } else {
        counts(&mut page, snapshot);
        table(&mut page, snapshot);
    }
    foot(&mut page, snapshot);
    page.raw("</main>\n</body>\n</html>\n");
    page.into_text()
}

/// One word for the whole daemon, and the class of its colour.
fn verdict(snapshot: &Snapshot) -> (&'static str, &'static str) {
    match (snapshot.stopping, snapshot.ready) {
        (true, _) => ("Stopping", "pending"),
        (false, true) => ("Ready", "synced"),
        (false, false) => ("Not ready", "failing"),
    }
}

fn head(page: &mut Html, snapshot: &Snapshot) {
    page.raw(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta http-equiv=\"refresh\" content=\"10\">\n<link rel=\"icon\" href=\"",
    );
    page.raw(icon(snapshot));
    page.raw("\">\n<title>");
    page.text(verdict(snapshot).0);
    page.raw(" · secrets-sync</title>\n<style>");
    page.raw(STYLE);
    page.raw("</style>\n</head>\n");
}

/// A dot in the tab: full when ready, a ring when not.
fn icon(snapshot: &Snapshot) -> &'static str {
    if snapshot.ready {
        "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E\
         %3Ccircle cx='8' cy='8' r='7' fill='%2316a34a'/%3E%3C/svg%3E"
    } else {
        "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E\
         %3Ccircle cx='8' cy='8' r='5.5' fill='none' stroke='%23dc2626' stroke-width='3'/%3E%3C/svg%3E"
    }
}

fn headline(page: &mut Html, snapshot: &Snapshot) {
    let (word, class) = verdict(snapshot);
    let Snapshot { synced_count, secret_count, daemon, heartbeat, .. } = snapshot;
    page.raw("<header>\n<p class=\"program\">secrets-sync <span>");
    page.text(&daemon.version);
    page.raw("</span></p>\n<h1 class=\"");
    page.raw(class);
    page.raw("\"><span class=\"dot\" aria-hidden=\"true\"></span>");
    page.text(word);
    page.raw("</h1>\n<p class=\"facts\">");
    page.text(&format!("{synced_count} of {secret_count} {} synced", noun(*secret_count)));
    page.raw(" <span aria-hidden=\"true\">·</span> ");
    page.text(&up(*heartbeat, daemon.started_at));
    page.raw("</p>\n</header>\n");
}

fn noun(count: usize) -> &'static str {
    if count == 1 { "secret" } else { "secrets" }
}

fn up(now: SystemTime, since: SystemTime) -> String {
    format!("up {}", words::age(now, Some(since)))
}

fn counts(page: &mut Html, snapshot: &Snapshot) {
    page.raw("<ul class=\"counts\" aria-label=\"Secrets by state\">\n");
    for state in STATES {
        let count = snapshot.secrets.iter().filter(|secret| secret.state == state).count();
        if count > 0 {
            page.raw("<li class=\"");
            page.raw(state.as_str());
            page.raw("\"><b>");
            page.text(&count.to_string());
            page.raw("</b> ");
            page.raw(state.as_str());
            page.raw("</li>\n");
        }
    }
    page.raw("</ul>\n");
}

/// The roles are those that the elements have anyway: on a phone the style lays rows out as cards, and browsers
/// would forget then that this is a table.
fn table(page: &mut Html, snapshot: &Snapshot) {
    page.raw(
        "<table role=\"table\">\n<caption>Secrets, what needs attention first</caption>\n<thead role=\"rowgroup\">\n\
         <tr role=\"row\"><th role=\"columnheader\" scope=\"col\">State</th>\
         <th role=\"columnheader\" scope=\"col\">Secret</th>\
         <th role=\"columnheader\" scope=\"col\">Last success</th>\
         <th role=\"columnheader\" scope=\"col\">Next try</th>\
         <th role=\"columnheader\" scope=\"col\">Version</th>\
         <th role=\"columnheader\" scope=\"col\">Last error</th></tr>\n</thead>\n<tbody role=\"rowgroup\">\n",
    );
    let mut secrets: Vec<_> = snapshot.secrets.iter().collect();
    secrets.sort_by_key(|secret| secret.state.urgency());
    for secret in secrets {
        row::render(page, secret, snapshot.heartbeat);
    }
    page.raw("</tbody>\n</table>\n");
}

fn foot(page: &mut Html, snapshot: &Snapshot) {
    page.raw("<footer>\n<p>As of ");
    page.time(snapshot.heartbeat, &clock::for_people(snapshot.heartbeat));
    page.raw(". This page loads itself anew every 10 seconds.</p>\n");
    if let Some(config_file) = &snapshot.daemon.config_file {
        page.raw("<p>Configuration: <code>");
        page.text(&config_file.display().to_string());
        page.raw("</code></p>\n");
    }
    page.raw(
        "<p>For programs: <a href=\"/status\">/status</a> <a href=\"/ready\">/ready</a> \
         <a href=\"/health\">/health</a> <a href=\"/metrics\">/metrics</a></p>\n</footer>\n",
    );
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::Clock;
    use crate::fault::{Fault, Kind};
    use crate::name::SecretName;
    use crate::status::{Board, Entry, Facts, Success};

    /// A board at second 1,000 with secrets that have not been tried.
    fn board(names: &[&str]) -> Board {
        let entries = names.iter().map(|name| {
            let facts = Facts { files: vec!["/run/<secrets>/file".into()], ..Facts::of_required(name) };
            (SecretName::new(name), Entry::new(facts))
        });
        Board::new(entries, Clock::from_fn(|| at(1000)))
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn nothing_that_comes_from_outside_is_markup() {
        let board = board(&["<script>alert(1)</script>", "\"onmouseover='x'"]);
        let fault = Fault::new(Kind::Write, "<img src=x onerror=\"x\">\u{7}\u{202e}", "<i>&</i>");
        board.failed(&SecretName::new("<script>alert(1)</script>"), &fault, None);
        let page = render(&board.snapshot());
        for markup in ["<script", "<img", "<i>", "\"onmouse", "'x'", "/<secrets>", "\u{7}", "\u{202e}"] {
            assert!(!page.contains(markup), "{markup} in {page}");
        }
        assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
        assert!(page.contains("&lt;img src=x onerror=&quot;x&quot;&gt;\\u{7}\\u{202e}"));
    }

    #[test]
    fn what_needs_somebody_comes_first_and_ages_are_words() {
        let board = board(&["a-good", "b-new", "c-bad"]);
        board.succeeded(&SecretName::new("a-good"), Success { version: Some(7), next_try: Some(at(1300)) });
        board.failed(&SecretName::new("c-bad"), &Fault::new(Kind::Denied, "no", "ask"), None);
        let page = render(&board.snapshot());
        let place = |text: &str| page.find(text).unwrap_or_else(|| panic!("{text} is not in {page}"));
        assert!(place("<b>c-bad") < place("<b>b-new") && place("<b>b-new") < place("<b>a-good"));
        for text in ["0 s ago</time>", "in 5 min</time>", ">7</td>", "never", "Not ready", "<b>1</b> failing"]
        {
            place(text);
        }
    }

    #[test]
    fn no_secrets_are_no_empty_table() {
        let page = render(&board(&[]).snapshot());
        assert!(page.contains("no secrets") && !page.contains("<table"), "{page}");
    }
}
