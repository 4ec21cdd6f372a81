//! sprig's `urlParse` and `urlJoin`, as Go's `net/url` has the parts of an address.

use std::rc::Rc;

use super::Param::{Map, Text};
use super::{GoFunction, at, text_at};
use crate::template::go::value::{GoResult, GoValue, fault};

#[rustfmt::skip]
pub(super) const FUNCTIONS: &[GoFunction] = &[
    GoFunction::new("urlParse", &[Text], |_, v| parsed(text_at(v, 0)?)),
    GoFunction::new("urlJoin", &[Map], |_, v| joined(&at(v, 0))),
];

fn parsed(text: &str) -> GoResult {
    if text.bytes().any(|byte| byte.is_ascii_control()) {
        return fault("the address holds a control character");
    }
    let (text, fragment) = text.split_once('#').unwrap_or((text, ""));
    let (scheme, rest) = scheme(text)?;
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (mut opaque, mut user, mut host, mut path) = ("", "", "", rest);
    if let Some(authority) = rest.strip_prefix("//") {
        let end = authority.find('/').unwrap_or(authority.len());
        let (authority, after) = authority.split_at(end);
        (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
        path = after;
    } else if !scheme.is_empty() && !rest.starts_with('/') {
        (opaque, path) = (rest, "");
    } else if rest.split('/').next().is_some_and(|first| first.contains(':')) {
        return fault("the address has a colon before its first slash");
    }
    let (name, port) = match host.strip_prefix('[').and_then(|host| host.split_once(']')) {
        Some((name, port)) => (name, port),
        None => host.rfind(':').map_or((host, ""), |colon| host.split_at(colon)),
    };
    if !port.strip_prefix(':').unwrap_or(port).bytes().all(|byte| byte.is_ascii_digit()) {
        return fault("the port of the address is no number");
    }
    let entries = [
        ("scheme", scheme.to_ascii_lowercase().into_bytes()),
        ("host", decoded(host)?),
        ("hostname", decoded(name)?),
        ("path", decoded(path)?),
        ("query", query.into()),
        ("opaque", opaque.into()),
        ("fragment", decoded(fragment)?),
        ("userinfo", user_text(user)?.into_bytes()),
    ];
    let entry = |(name, value): (&str, Vec<u8>)| Ok((Rc::from(name.as_bytes()), GoValue::text(value)?));
    GoValue::map(entries.into_iter().map(entry).collect::<GoResult<_>>()?)
}

/// What is before the first colon, if it can be a scheme.
fn scheme(text: &str) -> GoResult<(&str, &str)> {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '+' | '-' | '.');
    let end = text.find(|letter| !is_part(letter)).unwrap_or(text.len());
    match text.split_at(end) {
        ("", rest) if rest.starts_with(':') => fault("the address has no scheme before its colon"),
        (scheme, rest) if scheme.starts_with(|first: char| first.is_ascii_alphabetic()) => {
            Ok(rest.strip_prefix(':').map_or(("", text), |rest| (scheme, rest)))
        }
        _ => Ok(("", text)),
    }
}

fn decoded(text: &str) -> GoResult<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
        match (digit(), digit()) {
            (Some(high), Some(low)) => bytes.push(u8::try_from(high * 16 + low).unwrap_or_default()),
            _ => return fault("the address has a `%` without two digits"),
        }
    }
    Ok(bytes)
}

/// `text` with everything escaped but letters, digits, `-._~` and `kept`.
fn encoded(text: &[u8], kept: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) || kept.contains(byte) {
            out.push(char::from(*byte));
        } else {
            out.push('%');
            out.push_str(&super::encoding::hex(&[*byte]).to_ascii_uppercase());
        }
    }
    out
}

/// User and password as an address has them.
fn user_text(user: &str) -> GoResult<String> {
    let part = |part: &str| Ok(encoded(&decoded(part)?, b"$&+,;="));
    match user.split_once(':') {
        None => part(user),
        Some((name, password)) => Ok(format!("{}:{}", part(name)?, part(password)?)),
    }
}

fn joined(parts: &GoValue) -> GoResult {
    let part = |name: &str| match parts.entry(name.as_bytes()) {
        None => Ok(Rc::from([])),
        Some(GoValue::Text(text)) => Ok(text),
        Some(other) => fault(format!("{name:?} is no text but a value of type {}", other.type_name())),
    };
    let text = |name: &str| -> GoResult<String> { Ok(String::from_utf8_lossy(&part(name)?).into_owned()) };
    let (scheme, host, path, opaque) = (text("scheme")?, part("host")?, part("path")?, text("opaque")?);
    let user = user_text(&text("userinfo")?)?;
    let mut out = String::new();
    if !scheme.is_empty() {
        out.push_str(&scheme);
        out.push(':');
    }
    if opaque.is_empty() {
        if !scheme.is_empty() || !host.is_empty() || !user.is_empty() {
            if !host.is_empty() || !path.is_empty() || !user.is_empty() {
                out.push_str("//");
            }
            if !user.is_empty() {
                out.push_str(&user);
                out.push('@');
            }
            out.push_str(&encoded(&host, b"!$&'()*+,;=:[]<>\""));
        }
        if !path.is_empty() && path.first() != Some(&b'/') && !host.is_empty() {
            out.push('/');
        }
        if out.is_empty()
            && path.split(|byte| *byte == b'/').next().is_some_and(|first| first.contains(&b':'))
        {
            out.push_str("./");
        }
        out.push_str(&encoded(&path, b"$&+,/:;=@"));
    } else {
        out.push_str(&opaque);
    }
    let query = text("query")?;
    if !query.is_empty() {
        out.push('?');
        out.push_str(&query);
    }
    let fragment = part("fragment")?;
    if !fragment.is_empty() {
        out.push('#');
        out.push_str(&encoded(&fragment, b"$&+,/:;=?@!()*"));
    }
    GoValue::text(out)
}
