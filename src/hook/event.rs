//! The event: what a hook is told, in one JSON document.

use std::path::PathBuf;
use std::time::SystemTime;

use rustix::system::uname;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::clock::as_rfc3339;
use crate::lifecycle::HookEventKind;
use crate::name::{ChangeNumber, HookName, SecretName};
use crate::render::ChangeReason;

/// Bytes of an id; twice as many digits.
const ID: usize = 16;

/// What happened to some secrets, for one hook. It holds no value.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct HookEvent {
    /// The same for each attempt, and for no other event.
    pub id: String,
    /// What kind of event.
    #[serde(rename = "type")]
    pub kind: HookEventKind,
    /// When it happened; the same for each attempt.
    #[serde(with = "as_rfc3339")]
    pub time: SystemTime,
    /// One sentence for people.
    pub text: String,
    /// The hook that it is for.
    pub hook: HookName,
    /// 1 for the first run.
    pub attempt: u32,
    /// The name of this machine.
    pub host: String,
    /// The secrets, by name.
    pub secrets: Vec<EventSecret>,
}

/// One secret of an event.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct EventSecret {
    /// The secret.
    pub name: SecretName,
    /// The change that is staged or published.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<ChangeNumber>,
    /// Its version in the store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// The version that was published before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_version: Option<u64>,
    /// Why it is published.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<ChangeReason>,
    /// Its files.
    pub files: Vec<PathBuf>,
    /// What the server called its answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

impl HookEvent {
    /// The event of `kind` for `hook`, at the first attempt.
    pub fn new(kind: HookEventKind, hook: &HookName, now: SystemTime, secrets: Vec<EventSecret>) -> Self {
        let host = uname().nodename().to_string_lossy().into_owned();
        let text = text(kind, hook, &secrets, &host);
        let mut event =
            Self { id: String::new(), kind, time: now, text, hook: hook.clone(), attempt: 1, host, secrets };
        // One hook has no two events of the same secrets in one millisecond.
        let digest = Sha256::digest(event.to_json());
        event.id = digest.iter().take(ID).map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
        event
    }

    /// The document.
    pub fn to_json(&self) -> String {
        // Plain data; times are within the years that RFC 3339 has, and paths of the configuration are text.
        serde_json::to_string(self).unwrap_or_default()
    }
}

fn text(kind: HookEventKind, hook: &HookName, secrets: &[EventSecret], host: &str) -> String {
    let names = match secrets {
        [] => "no secret".to_owned(),
        [one] => format!("secret {}", one.name),
        [first, rest @ ..] => format!("secret {} and {} more", first.name, rest.len()),
    };
    let have = if secrets.len() > 1 { "have" } else { "has" };
    match kind {
        HookEventKind::Staged => format!("{names} on {host} {have} new content to check"),
        HookEventKind::Changed => format!("{names} on {host} {have} changed"),
        HookEventKind::Test => format!("a test of hook {hook} on {host}"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use serde_json::{Value, json};

    use super::*;

    fn secret(name: &str) -> EventSecret {
        EventSecret {
            name: SecretName::new(name),
            change: Some(ChangeNumber::new(7)),
            version: Some(12),
            previous_version: None,
            reason: Some(ChangeReason::Store),
            files: vec!["/secrets/tls.crt".into()],
            request_id: None,
        }
    }

    fn event(names: &[&str], at: u64) -> HookEvent {
        let secrets = names.iter().map(|name| secret(name)).collect();
        let now = UNIX_EPOCH + Duration::from_millis(at);
        HookEvent::new(HookEventKind::Changed, &HookName::new("edge"), now, secrets)
    }

    #[test]
    fn the_document_has_what_a_receiver_needs() {
        let event = event(&["site-tls"], 1_000);
        let document: Value = serde_json::from_str(&event.to_json()).unwrap();
        let host = &event.host;
        assert_eq!(
            document,
            json!({
                "id": event.id,
                "type": "changed",
                "time": "1970-01-01T00:00:01.000Z",
                "text": format!("secret site-tls on {host} has changed"),
                "hook": "edge",
                "attempt": 1,
                "host": host,
                "secrets": [{ "name": "site-tls", "change": 7, "version": 12, "reason": "store", "files": ["/secrets/tls.crt"] }],
            })
        );
    }

    #[test]
    fn a_retry_keeps_id_and_time_and_another_event_has_another_id() {
        let first = event(&["a", "b", "c"], 1);
        assert!(
            first.text.starts_with("secret a and 2 more on ") && first.text.ends_with(" have changed"),
            "{}",
            first.text
        );
        let again = HookEvent { attempt: 2, ..first.clone() };
        assert!(
            again.id == first.id && again.time == first.time && again.to_json().contains("\"attempt\":2")
        );
        assert!(
            first.id.len() == 32
                && first.id != event(&["a", "b", "c"], 2).id
                && first.id != event(&["a"], 1).id
        );
    }
}
