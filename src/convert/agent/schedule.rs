//! How often the Agent reads: `exit_after_auth` and `template_config`.

use std::time::Duration;

use super::dropped;
use crate::config::duration;
use crate::convert::fields::ObjectFields;
use crate::convert::report::ConversionReport;

/// When secrets are read again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct AgentSchedule {
    pub(super) text: String,
    /// Nothing where they are read once.
    pub(super) interval: Option<Duration>,
}

impl AgentSchedule {
    /// Everything is read once.
    pub(super) fn once() -> Self {
        Self { text: "0".to_owned(), interval: None }
    }

    /// What the Agent does unless something says otherwise.
    pub(super) fn usual() -> Self {
        Self { text: USUAL.to_owned(), interval: duration::parse(USUAL).ok() }
    }
}

/// How often the Agent reads KV secrets unless something says otherwise.
const USUAL: &str = "5m";

const INTERVAL: &str = "static_secret_render_interval";

/// Reads the schedule from the top of a configuration.
pub(super) fn convert(top: &mut ObjectFields<'_>, report: &mut ConversionReport) -> AgentSchedule {
    let is_once = top.text("exit_after_auth", report) == Some("true");
    let mut given = None;
    for mut config in top.blocks("template_config", report) {
        given = given.or_else(|| interval(&mut config, report));
        for (key, reason) in [
            (
                "exit_on_retry_failure",
                "failed reads are repeated with backoff: INITIAL_BACKOFF and MAX_BACKOFF",
            ),
            ("max_connections_per_host", "limits.maxConcurrentRequests says it"),
            ("lease_renewal_threshold", "secrets are read again at refreshInterval"),
        ] {
            dropped::all(&mut config, key, reason, false, report);
        }
        dropped::unknown(config, report);
    }
    if is_once {
        top.mapped(
            "exit_after_auth",
            "refreshInterval: \"0\"; `secrets-sync run --once` reads everything once and exits",
            report,
        );
        return AgentSchedule::once();
    }
    top.dropped("exit_after_auth", "it is the default", report);
    given.unwrap_or_else(|| {
        top.defaulted(
            "template_config.static_secret_render_interval",
            "refreshInterval 5m, as the Agent has it",
            report,
        );
        AgentSchedule::usual()
    })
}

fn interval(config: &mut ObjectFields<'_>, report: &mut ConversionReport) -> Option<AgentSchedule> {
    let text = config.text(INTERVAL, report)?;
    match of_interval(text) {
        Ok(Some(schedule)) => {
            config.mapped(INTERVAL, "refreshInterval", report);
            Some(schedule)
        }
        Ok(None) => {
            config.dropped(INTERVAL, "it means the default", report);
            None
        }
        Err(remedy) => {
            config.refused(INTERVAL, remedy, report);
            None
        }
    }
}

/// Reads an interval; nothing where it means the default.
pub(super) fn of_interval(text: &str) -> Result<Option<AgentSchedule>, &'static str> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let text = if is_number { format!("{text}s") } else { text.to_owned() };
    match duration::parse(&text) {
        Ok(found) if found.is_zero() => Ok(None),
        Ok(found) => Ok(Some(AgentSchedule { text: duration::format(found), interval: Some(found) })),
        Err(_) => Err("this is no duration: write a number with its unit, such as 5m"),
    }
}
