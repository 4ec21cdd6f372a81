//! KV v1 and v2: one read. An answer is parsed before it is judged, since four different things are a 404.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::StatusCode;
use http::header::DATE;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::Instant;
use vaultrs::api::kv1::requests::GetSecretRequest;
use vaultrs::api::kv2::requests::ReadSecretRequest;

use super::answer;
use super::auth::Token;
use super::server::{Answered, Caller, Server, check_path};
use crate::config::provider::vault::VaultRead;
use crate::fault::{Fault, Kind};
use crate::secret::{Fields, FingerprintKey, SecretBytes, SecretText, json};
use crate::store::{Fetched, Life, RequestId, Revision};

/// Clocks that differ by less are right.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(60);

/// The version of a KV mount.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kv {
    V1,
    V2,
}

/// What every answer is wrapped in. Unknown members are ignored.
#[derive(Deserialize)]
struct Envelope<'a> {
    /// Whatever it is: an odd one is no reason to refuse the answer.
    #[serde(borrow)]
    request_id: Option<&'a RawValue>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    /// Looked into and not taken apart: there may be a million.
    #[serde(borrow)]
    warnings: Option<&'a RawValue>,
    #[serde(borrow)]
    errors: Option<&'a RawValue>,
}

/// `data` of KV v2.
#[derive(Deserialize)]
struct Versioned<'a> {
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    /// For templates, which see all of it. [`Metadata`] is what matters here.
    #[serde(borrow)]
    metadata: &'a RawValue,
}

#[derive(Deserialize)]
struct Metadata {
    version: u64,
    #[serde(default)]
    created_time: String,
    #[serde(default)]
    deletion_time: String,
    #[serde(default)]
    destroyed: bool,
}

/// One read: what is asked for, and what is known of it.
#[derive(Clone, Copy)]
pub(super) struct KvRead<'a> {
    pub(super) server: &'a Server,
    pub(super) source: &'a VaultRead,
    /// The revision that the caller has.
    pub(super) known: Option<Revision>,
    /// Key of the fingerprints in revisions.
    pub(super) key: &'a FingerprintKey,
}

/// Makes `read` of a mount of version `kv`.
///
/// # Errors
/// [`Kind::Denied`] may be the token's fault: the caller finds out whether the token or the policy is to blame.
pub(super) async fn read(kv: Kv, read: &KvRead<'_>, token: &Token) -> Result<Fetched, Fault> {
    let KvRead { server, source, known, key } = *read;
    check_path(&source.mount)?;
    check_path(&source.key)?;
    let (mount, path) = (source.mount.clone(), source.key.clone());
    let caller = Caller { token: token.text(), namespace: source.namespace.as_deref() };
    let nothing = SecretBytes::default();
    let answered = match kv {
        Kv::V1 if source.version.is_some() => return Err(pinned_on_v1(source)),
        Kv::V1 => server.call(&GetSecretRequest { mount, path }, caller, nothing).await?,
        Kv::V2 => {
            let request = ReadSecretRequest { mount, path, version: source.version };
            server.call(&request, caller, nothing).await?
        }
    };
    let (size, place) = (answered.response.body.len(), answered.place.clone());
    let (source, token) = (source.clone(), token.text().cloned());
    let key = key.clone();
    let judge = move |answered: Answered| {
        let fetched = judge(kv, &source, &answered, token.as_ref(), known, &key)?;
        Ok(Fetched { turn: answered.response.turn.map(Arc::new), ..fetched })
    };
    server.parse(size, &place, answered, judge).await?
}

/// What an answer to a read with `token` means.
pub(super) fn judge(
    kv: Kv,
    source: &VaultRead,
    answered: &Answered,
    token: Option<&SecretText>,
    known: Option<Revision>,
    key: &FingerprintKey,
) -> Result<Fetched, Fault> {
    match answered.response.status {
        StatusCode::OK => found(kv, source, answered, known, key),
        StatusCode::NOT_FOUND => Err(missing(kv, source, answered)?),
        _ => Err(answer::refused(answered, token.as_slice())),
    }
}

/// The fault of a mount that is `actual` and is read as the other version.
pub(super) fn wrong_version(actual: Kv, source: &VaultRead) -> Fault {
    let (actual, other) = match actual {
        Kv::V1 => ("v1", "v2"),
        Kv::V2 => ("v2", "v1"),
    };
    let message = format!("the mount {} is KV {actual}, and kvVersion says {other}", source.mount);
    Fault::new(Kind::WrongForm, message, format!("set kvVersion: {actual}"))
}

fn pinned_on_v1(source: &VaultRead) -> Fault {
    let message = format!("{} is a KV v1 mount, which keeps no versions", source.mount);
    Fault::new(Kind::WrongForm, message, "remove `version`, or upgrade the mount to KV v2")
}

/// The secret in a 200. One without `data` is no answer of a KV mount, from any server: on an absent secret files may
/// be removed.
fn found(
    kv: Kv,
    source: &VaultRead,
    answered: &Answered,
    known: Option<Revision>,
    key: &FingerprintKey,
) -> Result<Fetched, Fault> {
    let envelope = envelope(answered)?;
    let Some(data) = envelope.data else { return Err(answer::bad(answered, "the answer holds no `data`")) };
    let (data, written, life) = match kv {
        Kv::V1 => (Some(data), None, Life::Open),
        Kv::V2 => {
            let Some((Versioned { data, metadata: text }, metadata)) = versioned(data) else {
                let place = &answered.place;
                let message = format!("{place}: the answer has no version: the mount seems to be KV v1");
                return Err(Fault::new(Kind::WrongForm, message, "set kvVersion: v1"));
            };
            check_version(source, &metadata, answered)?;
            if data.is_none()
                && let Some(fault) = gone(answered, &metadata)
            {
                return Err(fault);
            }
            if metadata.destroyed {
                return Err(answer::bad(
                    answered,
                    "the answer holds data of a version that it calls destroyed",
                ));
            }
            let life = life(&metadata.deletion_time, answered.at);
            (data, Some((text.get(), metadata)), life)
        }
    };
    // Of the text and not of the fields, so that an answer that brings nothing new is not taken apart.
    let bytes = data.map_or("", RawValue::get).as_bytes();
    let revision = match &written {
        None => Revision::Content(key.of(bytes)),
        Some((text, metadata)) => {
            Revision::Version(metadata.version, key.of_pieces([bytes, text.as_bytes()]))
        }
    };
    let created =
        written.as_ref().and_then(|(_, metadata)| humantime::parse_rfc3339(&metadata.created_time).ok());
    let request_id = envelope.request_id.and_then(request_id);
    let unchanged = Fetched { fields: None, metadata: None, created, revision, life, request_id, turn: None };
    if known == Some(revision) {
        return Ok(unchanged);
    }
    // A version that was written with null is there, and has no field.
    let fields = data.map_or_else(|| Ok(Fields::default()), json::fields);
    let fields = fields.map_err(|not| {
        let fault = answer::bad(answered, not.cause());
        Fault { remedy: not.remedy().map_or(fault.remedy, Into::into), ..fault }
    })?;
    let metadata = written.map(|(text, _)| SecretText::new(text.to_owned()));
    Ok(Fetched { fields: Some(Arc::new(fields)), metadata, ..unchanged })
}

/// Refuses an answer of another version than the pinned one: a cache that drops the query answers with the newest.
fn check_version(source: &VaultRead, metadata: &Metadata, answered: &Answered) -> Result<(), Fault> {
    match source.version {
        Some(pinned) if pinned != metadata.version => {
            let version = metadata.version;
            Err(answer::bad(answered, &format!("the answer is version {version}, another one is pinned")))
        }
        _ => Ok(()),
    }
}

/// What a 404 means. An answer that does not come from a KV mount is not an absent secret: a load balancer's 404 must
/// not remove files.
fn missing(kv: Kv, source: &VaultRead, answered: &Answered) -> Result<Fault, Fault> {
    let envelope = envelope(answered)?;
    if envelope.warnings.is_some_and(|texts| texts.get().contains("versioned K/V")) {
        let message = format!("{}: the mount {} is KV v2, kvVersion says v1", answered.place, source.mount);
        return Ok(Fault::new(Kind::WrongForm, message, "set kvVersion: v2"));
    }
    if let Some((Versioned { data, .. }, metadata)) =
        envelope.data.filter(|_| kv == Kv::V2).and_then(versioned)
    {
        check_version(source, &metadata, answered)?;
        // A 404 does not make a version deleted that it holds, or that its own metadata call alive.
        return gone(answered, &metadata)
            .filter(|_| data.is_none())
            .ok_or_else(|| answer::bad(answered, "the server calls a version missing that is not deleted"));
    }
    match envelope.errors {
        Some(errors) if is_empty_list(errors) => Ok(absent(kv, source, answered)),
        // "no handler for route" and the like: the mount is missing, not the secret.
        Some(_) => Err(Fault::new(
            Kind::BadRequest,
            format!("{}: there is no such mount or path (404)", answered.place),
            "check mountPath, namespace and address",
        )),
        None => Err(answer::bad(answered, "the answer does not say what is missing")),
    }
}

fn absent(kv: Kv, source: &VaultRead, answered: &Answered) -> Fault {
    let what = source.version.map_or_else(|| "no such secret".to_owned(), |n| format!("no version {n}"));
    let remedy = match kv {
        Kv::V2 if source.version.is_some() => {
            "set `version` to a version that is written, or leave it out to read the newest; if it is right, check key, \
             mountPath and namespace"
        }
        Kv::V1 => "check key, mountPath and namespace, or write the secret",
        Kv::V2 => {
            "check key, mountPath and namespace (a KV v1 mount needs kvVersion: v1), or write the secret"
        }
    };
    Fault::new(Kind::Absent, format!("{}: {what}", answered.place), remedy)
}

/// What the server's clock shows.
fn server_time(answered: &Answered) -> Option<SystemTime> {
    httpdate::parse_http_date(answered.response.headers.get(DATE)?.to_str().ok()?).ok()
}

/// How far this machine's clock is from the server's, where that matters.
fn wrong_clock(answered: &Answered) -> Option<String> {
    let (off, way) = match server_time(answered)?.duration_since(answered.at) {
        Ok(behind) => (behind, "behind"),
        Err(ahead) => (ahead.duration(), "ahead of"),
    };
    let off = Duration::from_secs(off.as_secs());
    (off >= CLOCK_TOLERANCE).then(|| {
        format!(
            "the clock of this machine is {} {way} the server's: correct it",
            humantime::format_duration(off)
        )
    })
}

/// A 200 whose data is null: deleted, unless it was written that way. A deletion in the future has not happened.
fn gone(answered: &Answered, metadata: &Metadata) -> Option<Fault> {
    let version = format!("{}: version {}", answered.place, metadata.version);
    if metadata.destroyed {
        let message = format!("{version} is destroyed and cannot be restored");
        return Some(Fault::new(Kind::Destroyed, message, "write a new version, or pin another one"));
    }
    let deletion: Option<SystemTime> = humantime::parse_rfc3339_weak(&metadata.deletion_time).ok();
    // The server has decided by its own clock.
    let now = server_time(answered).unwrap_or(answered.at).max(answered.at);
    deletion.filter(|time| *time <= now)?;
    let clock = wrong_clock(answered).map(|cause| format!("; {cause}")).unwrap_or_default();
    let message = format!("{version} is deleted{clock}");
    Some(Fault::new(Kind::Deleted, message, "undelete that version, or write a new one"))
}

/// How long a version is there: until its planned deletion, if it has one (`delete_version_after`).
fn life(deletion_time: &str, now: SystemTime) -> Life {
    let left = humantime::parse_rfc3339_weak(deletion_time).ok().and_then(|end| end.duration_since(now).ok());
    left.and_then(|left| Instant::now().checked_add(left)).map_or(Life::Open, Life::Until)
}

fn is_empty_list(raw: &RawValue) -> bool {
    raw.get().chars().filter(|c| !c.is_ascii_whitespace()).eq("[]".chars())
}

fn request_id(raw: &RawValue) -> Option<RequestId> {
    RequestId::parse(raw.get().strip_prefix('"')?.strip_suffix('"')?)
}

fn versioned(data: &RawValue) -> Option<(Versioned<'_>, Metadata)> {
    let versioned: Versioned<'_> = serde_json::from_str(data.get()).ok()?;
    let metadata = serde_json::from_str(versioned.metadata.get()).ok()?;
    Some((versioned, metadata))
}

fn envelope(answered: &Answered) -> Result<Envelope<'_>, Fault> {
    // EXPOSE: parsed in place; the fields are carriers of their own.
    serde_json::from_slice(answered.response.body.expose())
        .map_err(|error| answer::unreadable(answered, &error))
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;
    use crate::clock::Clock;
    use crate::net::Response;
    use crate::testing::vault_read;

    fn source() -> VaultRead {
        vault_read("secret", "a")
    }

    fn judged(metadata: &str) -> Result<Option<u64>, Kind> {
        judged_with(StatusCode::OK, metadata)
    }

    fn judged_with(status: StatusCode, metadata: &str) -> Result<Option<u64>, Kind> {
        fetched(status, metadata, &FingerprintKey::random().unwrap())
            .map(|fetched| fetched.revision.version())
            .map_err(|fault| fault.kind)
    }

    fn fetched(status: StatusCode, metadata: &str, print: &FingerprintKey) -> Result<Fetched, Fault> {
        let body = format!(r#"{{"data":{{"data":null,"metadata":{metadata}}}}}"#);
        let body = SecretBytes::new(body.into_bytes());
        let response = Response { status, headers: HeaderMap::new(), body, redirected_to: None, turn: None };
        let answered = Answered { place: "h: GET /p".into(), response, at: Clock::system().now() };
        judge(Kv::V2, &source(), &answered, None, None, print)
    }

    #[test]
    fn metadata_is_a_part_of_the_answer_and_of_its_revision() {
        let print = FingerprintKey::random().unwrap();
        let of = |owner: &str| {
            let text = format!(
                r#"{{"version":3,"created_time":"2026-01-02T03:04:05.5Z","custom_metadata":{{"owner":"{owner}"}}}}"#
            );
            (fetched(StatusCode::OK, &text, &print).unwrap(), text)
        };
        let (before, text) = of("a");
        assert_eq!(before.metadata, Some(SecretText::new(text)));
        let created = before.created.unwrap().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(created, Duration::from_millis(1_767_323_045_500));
        assert!(before.revision == of("a").0.revision && before.revision != of("b").0.revision);
    }

    #[test]
    fn times_that_no_clock_shows_are_no_deletion_and_no_panic() {
        let deleted = |time: &str| judged(&format!(r#"{{"version":3,"deletion_time":"{time}"}}"#));
        for past in ["1970-01-01T00:00:00Z", "2000-02-29T23:59:60Z", "2020-01-01T00:00:00.999999999999Z"] {
            assert_eq!(deleted(past), Err(Kind::Deleted), "{past}");
        }
        for odd in [
            "",
            "0000-00-00T00:00:00Z",
            "0000-01-01T00:00:00Z",
            "0001-01-01T00:00:00Z",
            "1969-12-31T23:59:59Z",
            "9999-12-31T23:59:59.999999999Z",
            "99999-01-01T00:00:00Z",
            "+99999-01-01T00:00:00Z",
            "2020-13-40T99:99:99Z",
            "2020-01-01T00:00:00+99:99",
            "ü020-01-01T00:00:00Z",
            "2020-01-01T00:00:0ü",
            "2020-01-01",
            "Z",
            "18446744073709551616",
        ] {
            assert_eq!(deleted(odd), Ok(Some(3)), "{odd}");
        }
    }

    #[test]
    fn a_404_for_a_version_that_is_not_deleted_is_no_deletion() {
        let missing = |metadata: &str| judged_with(StatusCode::NOT_FOUND, metadata);
        assert_eq!(missing(r#"{"version":3,"deletion_time":"2020-01-01T00:00:00Z"}"#), Err(Kind::Deleted));
        assert_eq!(missing(r#"{"version":3,"destroyed":true}"#), Err(Kind::Destroyed));
        for alive in ["", "2099-01-01T00:00:00Z", "soon"] {
            let metadata = format!(r#"{{"version":3,"deletion_time":"{alive}"}}"#);
            assert_eq!(missing(&metadata), Err(Kind::BadAnswer), "{alive}");
        }
    }

    #[test]
    fn a_deletion_by_the_servers_clock_is_one_and_a_wrong_clock_is_named() {
        let deleted_at = |date: &str, here: &str| {
            let body =
                r#"{"data":{"data":null,"metadata":{"version":3,"deletion_time":"2020-01-01T12:00:00Z"}}}"#;
            let headers = [(DATE, date.parse().unwrap())].into_iter().collect();
            let body = SecretBytes::new(body.as_bytes().to_vec());
            let response =
                Response { status: StatusCode::NOT_FOUND, headers, body, redirected_to: None, turn: None };
            let at = humantime::parse_rfc3339_weak(here).unwrap();
            let answered = Answered { place: "h: GET /p".into(), response, at };
            let print = FingerprintKey::random().unwrap();
            judge(Kv::V2, &source(), &answered, None, None, &print).unwrap_err()
        };
        let fault = deleted_at("Wed, 01 Jan 2020 13:00:00 GMT", "2020-01-01T11:00:00Z");
        let wanted = "version 3 is deleted; the clock of this machine is 2h behind the server's: correct it";
        assert!(fault.kind == Kind::Deleted && fault.message.ends_with(wanted), "{fault}");
        let fault = deleted_at("Wed, 01 Jan 2020 13:00:00 GMT", "2020-01-01T13:00:30Z");
        assert!(fault.message.ends_with("version 3 is deleted"), "{fault}");
    }

    #[test]
    fn versions_that_are_no_whole_numbers_are_no_versions() {
        assert_eq!(judged(&format!(r#"{{"version":{}}}"#, u64::MAX)), Ok(Some(u64::MAX)));
        for odd in ["-1", "18446744073709551616", "1e300", "1.0", "\"3\"", "null"] {
            assert_eq!(judged(&format!(r#"{{"version":{odd}}}"#)), Err(Kind::WrongForm), "{odd}");
        }
    }
}
