//! The rows of one secret: what it is, and below it what is wrong.

use std::time::SystemTime;

use super::View;
use super::html::Html;
use crate::status::{LastError, SecretStatus, Snapshot, State, words};

/// Most files that a row names; a link shows the others.
const FILES: usize = 3;

/// What rows have in common.
pub(super) struct RowContext<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) view: View,
    /// No row needs to name its store.
    pub(super) one_store: bool,
}

/// What a state means.
pub(super) fn meaning(state: State) -> &'static str {
    match state {
        State::Failing => {
            "There are no good files: not synced since the start, lost, or with a dead credential"
        }
        State::Stale => "Older than its maxStaleness",
        State::Deleted => "The source is gone and its files were removed",
        State::Degraded => "The last good files are in place; the last try failed, or hooks did",
        State::Pending => "The first try has not ended yet",
        State::Synced => "The files were as in the store at the last try",
    }
}

/// A sign beside the word, for readers who do not see the colour.
fn sign(state: State) -> &'static str {
    match state {
        State::Failing => "✕",
        State::Stale => "▲",
        State::Deleted => "∅",
        State::Degraded => "!",
        State::Pending => "…",
        State::Synced => "✓",
    }
}

pub(super) fn render(page: &mut Html, secret: &SecretStatus, context: &RowContext<'_>) {
    let now = context.snapshot.heartbeat;
    page.raw("<tr role=\"row\" class=\"secret\">");
    state(page, secret.state);
    name(page, secret, context.one_store);
    files(page, secret, context.view);
    moment(page, "Last success", secret.last_success, &words::ago(now, secret.last_success));
    moment(page, "Next try", secret.next_try, &words::until(now, secret.next_try));
    version(page, secret, now);
    page.raw("</tr>\n");
    match &secret.last_error {
        Some(last_error) => error(page, secret, last_error, now),
        None if secret.state == State::Pending => pending(page, context.snapshot),
        None => {}
    }
    if secret.held.is_some() || !secret.hooks_owed.is_empty() {
        notes(page, secret, now);
    }
}

fn state(page: &mut Html, state: State) {
    page.raw("<td role=\"cell\" class=\"state\"><span class=\"chip ");
    page.raw(state.as_str());
    page.raw("\" title=\"");
    page.raw(meaning(state));
    page.raw("\"><span aria-hidden=\"true\">");
    page.raw(sign(state));
    page.raw("</span> ");
    page.raw(state.as_str());
    page.raw("</span></td>");
}

fn name(page: &mut Html, secret: &SecretStatus, one_store: bool) {
    page.raw("<th role=\"rowheader\" scope=\"row\" class=\"name\"><b>");
    page.text(&secret.name);
    page.raw("</b>");
    if !secret.required {
        page.raw(" <span class=\"optional\">optional</span>");
    }
    page.raw("<span class=\"source\">");
    if !one_store {
        page.text(&format!("{} · ", secret.store));
    }
    page.text(&secret.path);
    page.raw("</span></th>");
}

fn files(page: &mut Html, secret: &SecretStatus, view: View) {
    let shown = if view.all_files { secret.files.len() } else { FILES };
    page.raw("<td role=\"cell\" class=\"files\" data-label=\"Files\"><ul>");
    for file in secret.files.iter().take(shown) {
        page.raw("<li><code>");
        page.text(&file.display().to_string());
        page.raw("</code></li>");
    }
    let more = secret.files.len().saturating_sub(FILES);
    if more > 0 {
        page.raw("<li><a href=\"");
        page.raw(View { all_files: !view.all_files, ..view }.address());
        page.raw("\">");
        page.text(&if view.all_files { "show fewer".to_owned() } else { format!("{more} more") });
        page.raw("</a></li>");
    }
    page.raw("</ul></td>");
}

fn moment(page: &mut Html, label: &'static str, at: Option<SystemTime>, words: &str) {
    page.raw("<td role=\"cell\" class=\"moment\" data-label=\"");
    page.raw(label);
    page.raw("\">");
    match at {
        Some(at) => page.time(at, words),
        None => page.text(words),
    }
    page.raw("</td>");
}

/// The version in the store, and the change on disk where changes are numbered.
fn version(page: &mut Html, secret: &SecretStatus, now: SystemTime) {
    page.raw(if secret.version.is_some() || secret.change.is_some() {
        "<td role=\"cell\" class=\"version\" data-label=\"Version\">"
    } else {
        "<td role=\"cell\" class=\"version none\" data-label=\"Version\">"
    });
    page.text(&secret.version.map_or_else(|| words::NOTHING.to_owned(), |version| version.to_string()));
    if let Some(change) = secret.change {
        page.raw(" <span class=\"when\">");
        page.text(&format!("change {change}"));
        if let Some(at) = secret.changed_at {
            page.raw(", ");
            page.time(at, &words::ago(now, Some(at)));
        }
        page.raw("</span>");
    }
    page.raw("</td>");
}

/// What an operator has to know of a secret that is well.
fn notes(page: &mut Html, secret: &SecretStatus, now: SystemTime) {
    page.raw("<tr role=\"row\" class=\"why\"><td role=\"cell\"></td><td role=\"cell\" colspan=\"5\">");
    if let Some(held) = &secret.held {
        page.raw("<p>");
        page.text(&format!("Held at change {} by user {} ", held.change, held.by));
        page.raw("<span class=\"when\">");
        page.time(held.at, &words::ago(now, Some(held.at)));
        page.raw("</span></p><p class=\"remedy\"><span>What to do:</span> ");
        page.prose(&format!("`secrets-sync release {}` ends it", secret.name));
        page.raw("</p>");
    }
    if !secret.hooks_owed.is_empty() {
        let (noun, verb) = if secret.hooks_owed.len() == 1 { ("hook", "has") } else { ("hooks", "have") };
        page.raw("<p>");
        page.text(&format!("The {noun} {} {verb} to run for it.", secret.hooks_owed.join(", ")));
        page.raw("</p>");
    }
    page.raw("</td></tr>\n");
}

fn error(page: &mut Html, secret: &SecretStatus, last: &LastError, now: SystemTime) {
    let LastError { kind, message, remedy, at } = last;
    page.raw(
        "<tr role=\"row\" class=\"why\"><td role=\"cell\"></td><td role=\"cell\" colspan=\"5\"><p title=\"",
    );
    page.text(message);
    page.raw("\"><code class=\"kind\">");
    page.text(kind);
    page.raw("</code> ");
    page.prose(without_request(message));
    page.raw(" <span class=\"when\">");
    page.time(*at, &words::ago(now, Some(*at)));
    if secret.failures > 1 {
        page.text(&format!(", {} failures in a row", secret.failures));
    }
    page.raw("</span></p><p class=\"remedy\"><span>What to do:</span> ");
    page.prose(remedy);
    page.raw("</p></td></tr>\n");
}

fn pending(page: &mut Html, snapshot: &Snapshot) {
    page.raw("<tr role=\"row\" class=\"why\"><td role=\"cell\"></td><td role=\"cell\" colspan=\"5\"><p>");
    let age = words::age(snapshot.heartbeat, Some(snapshot.daemon.started_at));
    page.text(&format!("The first try has not ended; the daemon has been running for {age}."));
    page.raw("</p></td></tr>\n");
}

/// The message without the request that it begins with: host, method and path say nothing that the row does not.
fn without_request(message: &str) -> &str {
    let mut parts = message.splitn(3, ": ");
    let (Some(_host), Some(request), Some(rest)) = (parts.next(), parts.next(), parts.next()) else {
        return message;
    };
    let is_request = ["GET /", "POST /", "PUT /", "LIST /"].iter().any(|method| request.starts_with(method));
    if is_request { rest } else { message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_request_is_left_out() {
        assert_eq!(without_request("h:8200: GET /v1/a: denied (403): no"), "denied (403): no");
        for message in ["/out/a: no space left", "a: b: c", ""] {
            assert_eq!(without_request(message), message);
        }
    }
}
