//! Issued credentials: of each source the one in use with its times, and those before it that are not retired yet.

use std::time::SystemTime;

use super::View;
use super::html::Html;
use crate::status::{CredentialState, CredentialStatus, Snapshot, words};

/// Nothing where nothing is issued, or where nothing of it belongs to the view.
pub(super) fn render(page: &mut Html, snapshot: &Snapshot, view: View) {
    let now = snapshot.heartbeat;
    let is_shown = |status: &&CredentialStatus| !view.problems || status.is_problem(now);
    let mut shown = snapshot.credentials.iter().filter(is_shown).peekable();
    if shown.peek().is_none() {
        return;
    }
    page.raw("<section class=\"credentials\">\n<h2>Issued credentials</h2>\n<ul>\n");
    let one_store = snapshot.has_one_store();
    for status in shown {
        source(page, status, one_store, now);
    }
    page.raw("</ul>\n</section>\n");
}

fn source(page: &mut Html, status: &CredentialStatus, one_store: bool, now: SystemTime) {
    page.raw("<li><p><b>");
    page.text(&status.path);
    page.raw("</b> <span class=\"chip ");
    page.raw(class(status.state));
    page.raw("\">");
    page.raw(status.state.for_people());
    page.raw("</span> ");
    let store = if one_store { String::new() } else { format!("of {} ", status.store) };
    page.text(&format!("{store}for {}", status.names()));
    page.raw("</p>");
    if let Some(danger) = status.danger(now) {
        page.raw("<p class=\"danger\">");
        page.text(&danger);
        page.raw("</p>");
    }
    if let Some(current) = &status.current {
        page.raw("<p class=\"when\">");
        page.text(&format!("{}, issued ", current.identity()));
        page.time(current.issued_at, &words::ago(now, Some(current.issued_at)));
        plan(page, current.plan(), now);
        page.raw("</p>");
    }
    for note in status.notes() {
        page.raw("<p>");
        page.text(&note);
        page.raw("</p>");
    }
    for draining in &status.draining {
        page.raw("<p class=\"when\">");
        page.text(&format!("before it: {}", draining.identity()));
        plan(page, draining.plan(), now);
        page.raw("</p>");
    }
    page.raw("</li>\n");
}

fn plan(
    page: &mut Html,
    plan: impl IntoIterator<Item = (&'static str, Option<SystemTime>)>,
    now: SystemTime,
) {
    for (what, at) in plan {
        page.text(&format!(", {what}"));
        if let Some(at) = at {
            page.raw(" ");
            page.time(at, &words::until(now, Some(at)));
        }
    }
}

/// The class of the colour that fits the state.
fn class(state: CredentialState) -> &'static str {
    match state {
        CredentialState::Empty | CredentialState::Fresh | CredentialState::Confirming => "pending",
        CredentialState::Held | CredentialState::Ageing => "synced",
        CredentialState::Lost => "failing",
    }
}
