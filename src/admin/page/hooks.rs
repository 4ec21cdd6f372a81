//! The hooks that run after changes: which of them are owed, and how their last runs ended.

use std::time::SystemTime;

use super::html::Html;
use crate::status::{HookStatus, words};

/// Nothing where there is no hook.
pub(super) fn render(page: &mut Html, hooks: &[HookStatus], now: SystemTime) {
    if hooks.is_empty() {
        return;
    }
    page.raw("<section class=\"hooks\">\n<h2>Hooks</h2>\n<ul>\n");
    for hook in hooks {
        page.raw("<li><b>");
        page.text(&hook.name);
        page.raw("</b> ");
        if let Some(since) = hook.owed_since {
            page.raw("<span class=\"chip degraded\">owed for ");
            page.time(since, &words::age(now, Some(since)));
            page.raw("</span> ");
        }
        page.raw("<span class=\"when\">");
        match (&hook.last_result, hook.last_at) {
            (Some(result), Some(at)) => {
                page.text(&format!("last run: {result}, "));
                page.time(at, &words::ago(now, Some(at)));
            }
            _ => page.raw("has not run since the start"),
        }
        page.raw("</span></li>\n");
    }
    page.raw("</ul>\n</section>\n");
}
