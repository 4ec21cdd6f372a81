//! The page for people: each secret on a row, problems first. One document without scripts or anything from elsewhere;
//! the browser loads it again every 10 seconds, with the same view: what is shown is part of its address.

mod credentials;
mod hooks;
mod html;
mod row;

use crate::clock;
use crate::status::{SecretStatus, Snapshot, State, words};
use html::Html;

/// The only style; the security policy names it by its hash.
pub(super) const STYLE: &str = include_str!("page/style.css");

/// The states in the order of urgency.
const STATES: [State; 6] =
    [State::Failing, State::Stale, State::Deleted, State::Degraded, State::Pending, State::Synced];

/// What is shown of the secrets: the query of the address.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct View {
    /// Only secrets that need attention.
    problems: bool,
    /// Every file of each secret.
    all_files: bool,
}

impl View {
    pub(super) fn of(query: Option<&str>) -> Self {
        let has = |part| query.is_some_and(|query| query.split('&').any(|one| one == part));
        Self { problems: has("problems"), all_files: has("files") }
    }

    fn address(self) -> &'static str {
        match (self.problems, self.all_files) {
            (false, false) => "/",
            (true, false) => "/?problems",
            (false, true) => "/?files",
            (true, true) => "/?problems&amp;files",
        }
    }
}

/// The whole document.
pub(super) fn render(snapshot: &Snapshot, view: View) -> String {
    let mut page = Html::new();
    head(&mut page, snapshot);
    page.raw("<body>\n<main>\n");
    headline(&mut page, snapshot);
    if snapshot.secrets.is_empty() {
        page.raw(
            "<p class=\"empty\">The configuration has no secrets. There is nothing to keep in sync.</p>\n",
        );
    } else {
        counts(&mut page, snapshot, view);
        table(&mut page, snapshot, view);
    }
    credentials::render(&mut page, snapshot, view);
    hooks::render(&mut page, &snapshot.daemon.hooks, snapshot.heartbeat);
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
    let Snapshot { daemon, heartbeat, .. } = snapshot;
    page.raw("<header>\n<p class=\"program\">secrets-sync <span>");
    page.text(&daemon.version);
    page.raw("</span></p>\n<h1 class=\"");
    page.raw(class);
    page.raw("\"><span class=\"dot\" aria-hidden=\"true\"></span>");
    page.text(word);
    page.raw("</h1>\n");
    if let Some(reason) = snapshot.waiting_for() {
        let (first, rest) = reason.split_at(1);
        page.raw("<p class=\"reason\">");
        page.text(&format!("{}{rest}.", first.to_uppercase()));
        page.raw("</p>\n");
    }
    page.raw("<p class=\"facts\">");
    page.text(&snapshot.in_sync());
    page.raw(" <span aria-hidden=\"true\">·</span> ");
    page.text(&format!("up {}", words::age(*heartbeat, Some(daemon.started_at))));
    page.raw("</p>\n</header>\n");
}

/// How many secrets are in each state, and the way to see only the problems.
fn counts(page: &mut Html, snapshot: &Snapshot, view: View) {
    page.raw("<nav class=\"counts\" aria-label=\"Secrets by state\">\n<ul>\n");
    for state in STATES {
        let count = snapshot.secrets.iter().filter(|secret| secret.state == state).count();
        if count > 0 {
            page.raw("<li class=\"");
            page.raw(state.as_str());
            page.raw("\" title=\"");
            page.raw(row::meaning(state));
            page.raw("\"><b>");
            page.text(&count.to_string());
            page.raw("</b> ");
            page.raw(state.as_str());
            page.raw("</li>\n");
        }
    }
    page.raw("</ul>\n<a class=\"filter\" href=\"");
    page.raw(View { problems: !view.problems, ..view }.address());
    page.raw(if view.problems { "\">Show all secrets" } else { "\">Show only problems" });
    page.raw("</a>\n</nav>\n");
}

/// The roles are those that the elements have anyway: on a phone the style lays rows out as cards, and browsers
/// would forget then that this is a table.
fn table(page: &mut Html, snapshot: &Snapshot, view: View) {
    let shown: Vec<&SecretStatus> = snapshot
        .problems_first()
        .into_iter()
        .filter(|secret| !view.problems || secret.is_problem())
        .collect();
    if shown.is_empty() {
        page.raw("<p class=\"empty\">No secret has a problem.</p>\n");
        return;
    }
    page.raw(
        "<table role=\"table\">\n<caption>Secrets, problems first</caption>\n<thead role=\"rowgroup\">\n\
         <tr role=\"row\"><th role=\"columnheader\" scope=\"col\">State</th>\
         <th role=\"columnheader\" scope=\"col\">Secret</th>\
         <th role=\"columnheader\" scope=\"col\">Files</th>\
         <th role=\"columnheader\" scope=\"col\">Last success</th>\
         <th role=\"columnheader\" scope=\"col\">Next try</th>\
         <th role=\"columnheader\" scope=\"col\">Version</th></tr>\n</thead>\n<tbody role=\"rowgroup\">\n",
    );
    let one_store = snapshot.has_one_store();
    for secret in shown {
        row::render(page, secret, &row::RowContext { snapshot, view, one_store });
    }
    page.raw("</tbody>\n</table>\n");
}

fn foot(page: &mut Html, snapshot: &Snapshot) {
    page.raw("<footer>\n<p>As of ");
    page.time(snapshot.heartbeat, &clock::for_people(snapshot.heartbeat));
    page.raw(". Refreshes every 10 seconds.</p>\n");
    if let Some(config_file) = &snapshot.daemon.config_file {
        page.raw("<p>Configuration: <code>");
        page.text(&config_file.display().to_string());
        page.raw("</code></p>\n");
    }
    page.raw(
        "<p>Other endpoints: <a href=\"/status\">/status</a> <a href=\"/ready\">/ready</a> \
         <a href=\"/health\">/health</a> <a href=\"/metrics\">/metrics</a></p>\n</footer>\n",
    );
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::clock::Clock;
    use crate::fault::{Fault, Kind};
    use crate::name::SecretName;
    use crate::status::{HeldStatus, HookStatus, SecretEntry, SecretInfo, StatusRegistry, Success};

    /// A registry at second 1,000 with secrets that have not been tried.
    fn registry(names: &[&str]) -> StatusRegistry {
        let entries = names.iter().map(|name| {
            let facts =
                SecretInfo { files: vec!["/run/<secrets>/file".into()], ..SecretInfo::of_required(name) };
            (SecretName::new(name), SecretEntry::new(facts))
        });
        StatusRegistry::new(entries, Clock::from_fn(|| at(1000)))
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn fail(registry: &StatusRegistry, name: &str, message: &str, remedy: &str) {
        registry.failed(&SecretName::new(name), &Fault::new(Kind::Denied, message, remedy), None);
    }

    #[test]
    fn nothing_that_comes_from_outside_is_markup() {
        let registry = registry(&["<script>alert(1)</script>", "\"onmouseover='x'"]);
        fail(
            &registry,
            "<script>alert(1)</script>",
            "<img src=x onerror=\"x\">\u{7}\u{202e}",
            "`<i>`&</i> path \"<b>\" { }",
        );
        let page = render(&registry.snapshot(), View::default());
        for markup in
            ["<script", "<img", "<i>", "<b>\"", "\"onmouse", "'x'", "/<secrets>", "\u{7}", "\u{202e}"]
        {
            assert!(!page.contains(markup), "{markup} in {page}");
        }
        assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
        assert!(page.contains("&lt;img src=x onerror=&quot;x&quot;&gt;\\u{7}\\u{202e}"));
    }

    #[test]
    fn problems_come_first_and_ages_are_words() {
        let registry = registry(&["a-good", "b-new", "c-bad"]);
        registry.succeeded(
            &SecretName::new("a-good"),
            Success { version: Some(7), versions: Vec::new(), created: None, next_try: Some(at(1300)) },
        );
        fail(&registry, "c-bad", "no", "ask");
        let page = render(&registry.snapshot(), View::default());
        let place = |text: &str| page.find(text).unwrap_or_else(|| panic!("{text} is not in {page}"));
        assert!(place("<b>c-bad") < place("<b>b-new") && place("<b>b-new") < place("<b>a-good"));
        for text in ["0 s ago</time>", "in 5 min</time>", ">7</td>", "never", "Waiting for b-new, c-bad."] {
            place(text);
        }
    }

    #[test]
    fn the_view_is_in_the_address_and_shows_only_problems_or_every_file() {
        let facts = SecretInfo {
            files: (0..9).map(|n| format!("/out/{n}").into()).collect(),
            ..SecretInfo::of_required("a")
        };
        let entries = [("a", facts), ("b", SecretInfo::of_required("b"))];
        let entries = entries.map(|(name, facts)| (SecretName::new(name), SecretEntry::new(facts)));
        let registry = StatusRegistry::new(entries, Clock::from_fn(|| at(1000)));
        registry.succeeded(
            &SecretName::new("a"),
            Success { version: None, versions: Vec::new(), created: None, next_try: None },
        );
        let page = |query| render(&registry.snapshot(), View::of(query));
        let all = page(None);
        assert!(
            all.contains("href=\"/?problems\"")
                && all.contains("href=\"/?files\"")
                && !all.contains("/out/8")
        );
        assert!(page(Some("files")).contains("/out/8"));
        let problems = page(Some("problems&x=1"));
        assert!(
            !problems.contains("<b>a</b>")
                && problems.contains("<b>b</b>")
                && problems.contains("href=\"/\"")
        );
        registry.succeeded(
            &SecretName::new("b"),
            Success { version: None, versions: Vec::new(), created: None, next_try: None },
        );
        assert!(page(Some("problems")).contains("No secret has a problem"));
    }

    #[test]
    fn an_error_is_short_and_what_can_be_copied_is_code() {
        let registry = registry(&["a"]);
        let message = "vault:8200: GET /v1/secret/data/a: permission denied (403): `a` is not readable";
        fail(
            &registry,
            "a",
            message,
            "add to a policy: path \"secret/data/a\" { capabilities = [\"read\"] }",
        );
        let page = render(&registry.snapshot(), View::default());
        for text in [
            "title=\"vault:8200: GET /v1/secret/data/a: ",
            "</code> permission denied (403): <code>a</code> is not readable",
            "<code>path &quot;secret/data/a&quot; { capabilities = [&quot;read&quot;] }</code>",
        ] {
            assert!(page.contains(text), "{text} is not in {page}");
        }
    }

    #[test]
    fn hooks_that_are_owed_changes_and_holds_are_shown() {
        let registry = registry(&["a"]);
        let mut snapshot = registry.snapshot();
        assert!(!render(&snapshot, View::default()).contains("Hooks"));
        let hook = |name: &str, owed_since, last_result: Option<&str>| HookStatus {
            name: name.to_owned(),
            owed_since,
            last_result: last_result.map(str::to_owned),
            last_at: last_result.map(|_| at(940)),
            owed_for: Vec::new(),
        };
        snapshot.daemon.hooks = vec![hook("edge", Some(at(700)), Some("failed")), hook("<web>", None, None)];
        let secret = snapshot.secrets.first_mut().unwrap();
        secret.change = Some(6);
        secret.changed_at = Some(at(400));
        secret.held = Some(HeldStatus { change: 6, at: at(400), by: 0 });
        secret.hooks_owed = vec!["edge".to_owned()];
        let page = render(&snapshot, View::default());
        for text in [
            "<b>edge</b> <span class=\"chip degraded\">owed for <time",
            ">5 min</time>",
            "last run: failed, <time",
            ">1 min ago</time>",
            "<b>&lt;web&gt;</b> <span class=\"when\">has not run since the start",
            ">change 6, <time",
            "Held at change 6 by user 0 ",
            "<code>secrets-sync release a</code>",
            "The hook edge has to run for it.",
        ] {
            assert!(page.contains(text), "{text} is not in {page}");
        }
    }

    #[test]
    fn issued_credentials_are_shown_with_what_they_wait_for_and_what_was_before() {
        let text = |seconds| clock::rfc3339(at(seconds));
        let mut snapshot = registry(&["a"]).snapshot();
        assert!(!render(&snapshot, View::default()).contains("Issued credentials"));
        let json = serde_json::json!([
            { "secrets": ["a", "<job>"], "store": "default", "path": "database/creds/app", "state": "confirming",
              "current": { "number": 3, "lease": "database/creds/app/<x>", "issued_at": text(700),
                           "renew_at": text(2200), "reissue_at": text(3400), "end": text(4600) },
              "waits_for": ["<job>"],
              "draining": [{ "number": 2, "lease": "l2" }, { "number": 1, "retire_at": text(1120) }] },
            { "secrets": ["a"], "store": "other", "path": "pki/issue/web", "state": "lost",
              "current": { "number": 1, "serial": "0a:0b", "issued_at": text(1), "end": text(9000) } },
        ]);
        snapshot.credentials = serde_json::from_value(json).unwrap();
        let page = render(&snapshot, View::default());
        for text in [
            "<b>database/creds/app</b> <span class=\"chip pending\">confirming</span> for a, &lt;job&gt;</p>",
            "credential 3, lease database/creds/app/&lt;x&gt;, issued <time datetime=\"1970-01-01T00:11:40.000Z\"",
            ">5 min ago</time>, is renewed <time",
            ">in 20 min</time>, is replaced <time",
            ">in 40 min</time>, ends <time",
            ">in 1 h</time></p>",
            "<p>not yet published or confirmed by &lt;job&gt;</p>",
            "before it: credential 2, lease l2, is retired when the next one is confirmed</p>",
            "before it: credential 1, is retired <time",
            "<span class=\"chip failing\">lost</span>",
            "<p class=\"danger\">the server has forgotten the credential of pki/issue/web</p>",
            "credential 1, serial 0a:0b, issued",
        ] {
            assert!(page.contains(text), "{text} is not in {page}");
        }
        let problems = render(&snapshot, View::of(Some("problems")));
        assert!(problems.contains("pki/issue/web") && !problems.contains("database/creds/app"), "{problems}");
    }

    #[test]
    fn no_secrets_are_no_empty_table() {
        let page = render(&registry(&[]).snapshot(), View::default());
        assert!(page.contains("no secrets") && !page.contains("<table"), "{page}");
    }
}
