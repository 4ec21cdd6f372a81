//! How often the Agent reads: `exit_after_auth` and `template_config`.

use std::time::Duration;

use super::dropped;
use crate::config::duration;
use crate::config::provider::vault::dynamic::Share;
use crate::convert::fields::ObjectFields;
use crate::convert::report::ConversionReport;

/// When secrets are read again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct AgentSchedule {
    pub(super) text: String,
    /// Nothing where they are read once.
    pub(super) interval: Option<Duration>,
    /// `lease.reissueAt` of certificates, where it is not ours.
    pub(super) reissue_at: Option<String>,
}

impl AgentSchedule {
    /// Everything is read once.
    pub(super) fn once() -> Self {
        Self { text: "0".to_owned(), interval: None, reissue_at: None }
    }

    /// What the Agent does unless something says otherwise.
    pub(super) fn usual() -> Self {
        Self { text: USUAL.to_owned(), interval: duration::parse(USUAL).ok(), reissue_at: None }
    }
}

/// How often the Agent reads KV secrets unless something says otherwise.
const USUAL: &str = "5m";

const INTERVAL: &str = "static_secret_render_interval";

const THRESHOLD: &str = "lease_renewal_threshold";

/// What a configuration says of times.
#[derive(Default, PartialEq, Eq, Debug)]
pub(super) struct GivenTimes {
    interval: Option<AgentSchedule>,
    reissue_at: Option<String>,
}

impl GivenTimes {
    /// Reads them from `template_config` of the Agent, or from `vault` of consul-template, which calls the interval
    /// `default_lease_duration`.
    pub(super) fn read(&mut self, fields: &mut ObjectFields<'_>, report: &mut ConversionReport) {
        for key in [INTERVAL, "default_lease_duration"] {
            self.interval = self.interval.take().or_else(|| interval(fields, key, report));
        }
        let Some(text) = fields.text(THRESHOLD, report) else { return };
        if text.parse().ok().and_then(Share::new).is_some() {
            let to = "lease.reissueAt of certificates; leases are renewed at lease.renewAt";
            fields.mapped(THRESHOLD, to, report);
            self.reissue_at = Some(text.to_owned());
        } else {
            fields.dropped(THRESHOLD, "it is no share between 0 and 1", report);
        }
    }
}

/// Reads the schedule from the top of a configuration, and from what its `vault` says.
pub(super) fn convert(
    top: &mut ObjectFields<'_>,
    mut given: GivenTimes,
    report: &mut ConversionReport,
) -> AgentSchedule {
    let is_once = top.text("exit_after_auth", report) == Some("true");
    for mut config in top.blocks("template_config", report) {
        given.read(&mut config, report);
        for (key, reason) in [
            (
                "exit_on_retry_failure",
                "failed reads are repeated with backoff: INITIAL_BACKOFF and MAX_BACKOFF",
            ),
            ("max_connections_per_host", "limits.maxConcurrentRequests says it"),
        ] {
            dropped::all(&mut config, key, reason, false, report);
        }
        dropped::unknown(config, report);
    }
    let GivenTimes { interval, reissue_at } = given;
    let schedule = if is_once {
        top.mapped(
            "exit_after_auth",
            "refreshInterval: \"0\"; `secrets-sync run --once` reads everything once and exits",
            report,
        );
        AgentSchedule::once()
    } else {
        top.dropped("exit_after_auth", "it is the default", report);
        interval.unwrap_or_else(|| {
            top.defaulted(
                "template_config.static_secret_render_interval",
                "refreshInterval 5m, as the Agent has it",
                report,
            );
            AgentSchedule::usual()
        })
    };
    AgentSchedule { reissue_at, ..schedule }
}

fn interval(
    config: &mut ObjectFields<'_>,
    key: &str,
    report: &mut ConversionReport,
) -> Option<AgentSchedule> {
    let text = config.text(key, report)?;
    match of_interval(text) {
        Ok(Some(schedule)) => {
            config.mapped(key, "refreshInterval", report);
            Some(schedule)
        }
        Ok(None) => {
            config.dropped(key, "it means the default", report);
            None
        }
        Err(remedy) => {
            config.refused(key, remedy, report);
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
        Ok(found) => {
            Ok(Some(AgentSchedule { text: duration::format(found), interval: Some(found), reissue_at: None }))
        }
        Err(_) => Err("this is no duration: write a number with its unit, such as 5m"),
    }
}
