//! One row of the table: one secret.

use std::time::SystemTime;

use super::html::Html;
use crate::status::{LastError, SecretStatus, State, words};

/// A sign beside the word, for who does not see the colour.
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

pub(super) fn render(page: &mut Html, secret: &SecretStatus, now: SystemTime) {
    page.raw("<tr role=\"row\">");
    state(page, secret.state);
    name(page, secret);
    moment(page, "Last success", secret.last_success, &words::ago(now, secret.last_success));
    moment(page, "Next try", secret.next_try, &words::until(now, secret.next_try));
    version(page, secret.version);
    error(page, secret, now);
    page.raw("</tr>\n");
}

fn state(page: &mut Html, state: State) {
    page.raw("<td role=\"cell\" class=\"state\"><span class=\"chip ");
    page.raw(state.as_str());
    page.raw("\"><span aria-hidden=\"true\">");
    page.raw(sign(state));
    page.raw("</span> ");
    page.raw(state.as_str());
    page.raw("</span></td>");
}

fn name(page: &mut Html, secret: &SecretStatus) {
    page.raw("<th role=\"rowheader\" scope=\"row\" class=\"name\"><b>");
    page.text(&secret.name);
    page.raw("</b>");
    if !secret.required {
        page.raw(" <span class=\"optional\">optional</span>");
    }
    page.raw("<span class=\"source\">");
    page.text(&format!("{} · {}", secret.store, secret.path));
    page.raw("</span>");
    if !secret.files.is_empty() {
        let count = secret.files.len();
        page.raw("<details><summary>");
        page.text(&format!("{count} {}", if count == 1 { "file" } else { "files" }));
        page.raw("</summary><ul>");
        for file in &secret.files {
            page.raw("<li><code>");
            page.text(&file.display().to_string());
            page.raw("</code></li>");
        }
        page.raw("</ul></details>");
    }
    page.raw("</th>");
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

fn version(page: &mut Html, version: Option<u64>) {
    let Some(version) = version else {
        page.raw("<td role=\"cell\" class=\"version none\" data-label=\"Version\">–</td>");
        return;
    };
    page.raw("<td role=\"cell\" class=\"version\" data-label=\"Version\">");
    page.text(&version.to_string());
    page.raw("</td>");
}

fn error(page: &mut Html, secret: &SecretStatus, now: SystemTime) {
    let Some(LastError { kind, message, remedy, at }) = &secret.last_error else {
        page.raw("<td role=\"cell\" class=\"error none\" data-label=\"Last error\">–</td>");
        return;
    };
    page.raw("<td role=\"cell\" class=\"error\" data-label=\"Last error\"><p><code>");
    page.text(kind);
    page.raw("</code> ");
    page.text(message);
    page.raw("</p><p class=\"remedy\"><span>What to do:</span> ");
    page.text(remedy);
    page.raw("</p><p class=\"when\">");
    page.time(*at, &words::ago(now, Some(*at)));
    if secret.failures > 1 {
        page.text(&format!(", {} failures in a row", secret.failures));
    }
    page.raw("</p></td>");
}
