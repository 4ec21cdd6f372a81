//! `limits`: what one configuration may cost.

use std::time::Duration;

use super::compile::context::CompileContext;
use super::compile::section::Section;
use super::diagnostic::{Code, Diagnostic};
use super::keys::{KeySet, KeySpec, KeyType};
use super::{duration, size};

pub(super) static KEYS: KeySet = KeySet::new(
    "limits",
    &[&[
        KeySpec::new("maxSecrets", KeyType::Integer, "`10000`", "most secrets in the file"),
        KeySpec::new("maxFileSize", KeyType::Size, "`1MiB`", "most bytes of one rendered file"),
        KeySpec::new(
            "maxResponseSize",
            KeyType::Size,
            "`10MiB`",
            "most bytes of one answer of a store; a larger one is an error. Answers about tokens and mounts may have 1 MiB",
        ),
        KeySpec::new(
            "minRefreshInterval",
            KeyType::Duration,
            "`30s`",
            "shortest `refreshInterval`; not below `100ms`",
        ),
        KeySpec::new(
            "maxConcurrentRequests",
            KeyType::Integer,
            "`8`",
            "most requests under way at one store, 1 to 1024",
        ),
    ]],
);

/// `limits`: what one configuration may cost.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Most secrets in one file.
    pub max_secrets: usize,
    /// Most bytes of one rendered file.
    pub max_file_size: usize,
    /// Most bytes of one answer of a store.
    pub max_response_size: usize,
    /// Shortest `refreshInterval`; not below 100 ms.
    pub min_refresh_interval: Duration,
    /// Most requests under way at one store, and most connections to it.
    pub max_concurrent_requests: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_secrets: 10_000,
            max_file_size: 1 << 20,
            max_response_size: 10 << 20,
            min_refresh_interval: Duration::from_secs(30),
            max_concurrent_requests: 8,
        }
    }
}

/// `minRefreshInterval` is not below this: a store is not a message bus.
const SHORTEST_REFRESH: Duration = Duration::from_millis(100);

/// Most requests under way at one store that make sense to ask for.
const MOST_CONCURRENT_REQUESTS: usize = 1024;

pub(super) fn compile(top: &mut Section<'_>, context: &mut CompileContext<'_>) -> Limits {
    let default = Limits::default();
    let Some(mut section) = top.child("limits", context) else { return default };
    let limits = Limits {
        max_secrets: number(&section, "maxSecrets", usize::MAX, context).unwrap_or(default.max_secrets),
        max_file_size: bytes(&mut section, "maxFileSize", context).unwrap_or(default.max_file_size),
        max_response_size: bytes(&mut section, "maxResponseSize", context)
            .unwrap_or(default.max_response_size),
        min_refresh_interval: shortest(&mut section, context).unwrap_or(default.min_refresh_interval),
        max_concurrent_requests: number(&section, "maxConcurrentRequests", MOST_CONCURRENT_REQUESTS, context)
            .unwrap_or(default.max_concurrent_requests),
    };
    section.finish(context);
    limits
}

/// The number under `key`, from 1 to `most`.
pub(super) fn number(
    section: &Section<'_>,
    key: &'static str,
    most: usize,
    context: &mut CompileContext<'_>,
) -> Option<usize> {
    let number = section.parsed(
        key,
        (Code::BadValue, "a whole number"),
        |text| text.parse().map_err(|_| ""),
        context,
    )?;
    let message = match number {
        0 => "at least 1 is needed".to_owned(),
        _ if number > most => format!("at most {most} is possible"),
        _ => return Some(number),
    };
    context.push(Diagnostic::new(Code::OutOfRange, section.place_of(key), message));
    None
}

fn bytes(section: &mut Section<'_>, key: &'static str, context: &mut CompileContext<'_>) -> Option<usize> {
    let bytes = section.parsed(key, (Code::BadSize, "a size such as 64KiB or 1MiB"), size::parse, context)?;
    if bytes == 0 {
        context.push(Diagnostic::new(Code::OutOfRange, section.place_of(key), "at least one byte is needed"));
        return None;
    }
    Some(bytes)
}

fn shortest(section: &mut Section<'_>, context: &mut CompileContext<'_>) -> Option<Duration> {
    let key = "minRefreshInterval";
    let interval = section.duration(key, context)?;
    if interval < SHORTEST_REFRESH {
        let message = format!("it cannot be below {}", duration::format(SHORTEST_REFRESH));
        context.push(Diagnostic::new(Code::OutOfRange, section.place_of(key), message));
        return None;
    }
    Some(interval)
}
