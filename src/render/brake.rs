//! Brakes: a change that looks like a mistake is stopped until an operator approves it. They compare facts of the last
//! published change with those of the next one, and see no value.

use crate::clock::for_people;
use crate::config::secret::Brake;
use crate::fault::{Fault, Kind};
use crate::name::SecretName;

use super::Facts;

/// Most names in a message.
const NAMES: usize = 10;

/// Why one of `brakes` stops the change from `before` to `next`; the first that does.
pub(crate) fn stopped_by_brake(brakes: &[Brake], before: &Facts, next: &Facts) -> Option<String> {
    brakes.iter().find_map(|brake| match brake {
        Brake::LostFields => lost_fields(before, next),
        Brake::Emptied => emptied(before, next),
        Brake::Issuer => issuer(before, next),
        Brake::Expiry => expiry(before, next),
    })
}

/// The fault of a change of `secret` that a brake has stopped.
pub(crate) fn brake_fault(secret: &SecretName, reason: String) -> Fault {
    let remedy =
        format!("correct the secret in the store; if it is meant, run \"secrets-sync approve {secret}\"");
    Fault::new(Kind::Refused, reason, remedy)
}

fn lost_fields(before: &Facts, next: &Facts) -> Option<String> {
    let lost: Vec<_> = before.fields.iter().filter(|name| !next.fields.contains(name)).collect();
    let all = before.fields.len();
    (lost.len() >= 2 && 2 * lost.len() >= all)
        .then(|| format!("brake lost-fields: {} of {all} fields are gone: {}", lost.len(), names(&lost)))
}

fn emptied(before: &Facts, next: &Facts) -> Option<String> {
    let held = |name: &&String| before.fields.contains(name) && !before.blank.contains(name);
    let emptied: Vec<_> = next.blank.iter().filter(held).collect();
    (!emptied.is_empty())
        .then(|| format!("brake emptied: blank, where there was something before: {}", names(&emptied)))
}

fn issuer(before: &Facts, next: &Facts) -> Option<String> {
    before.certificates.iter().find_map(|old| {
        let new = next.certificates.iter().find(|new| new.file == old.file)?;
        (new.issuer != old.issuer).then(|| {
            let (file, issuer, before) = (&new.file, &new.issuer, &old.issuer);
            format!("brake issuer: {file}: the certificate is issued by {issuer}, the one before by {before}")
        })
    })
}

fn expiry(before: &Facts, next: &Facts) -> Option<String> {
    before.certificates.iter().find_map(|old| {
        let new = next.certificates.iter().find(|new| new.file == old.file)?;
        (new.end < old.end).then(|| {
            let (file, end, before) = (&new.file, for_people(new.end), for_people(old.end));
            format!("brake expiry: {file}: the certificate ends on {end}, the one before on {before}")
        })
    })
}

fn names(all: &[&String]) -> String {
    let shown: Vec<_> = all.iter().take(NAMES).map(|name| name.as_str()).collect();
    let further = all.len().saturating_sub(shown.len());
    let shown = shown.join(", ");
    if further == 0 { shown } else { format!("{shown} and {further} more") }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::render::CertificateFacts;
    use crate::secret::{FieldValue, Fields};

    fn facts(fields: &str, blank: &str) -> Facts {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect();
        Facts { fields: words(fields), blank: words(blank), certificates: Vec::new() }
    }

    fn certificate(file: &str, issuer: &str, day: u64) -> Facts {
        let end = SystemTime::UNIX_EPOCH + Duration::from_secs(day * 86_400);
        let certificate = CertificateFacts { file: file.to_owned(), issuer: issuer.to_owned(), end };
        Facts { certificates: vec![certificate], ..facts("crt key", "") }
    }

    fn stops(brake: Brake, before: &Facts, next: &Facts) -> bool {
        stopped_by_brake(&[brake], before, next).is_some()
    }

    #[test]
    fn half_of_the_fields_may_not_be_lost_and_one_may() {
        let stops = |before, next| stops(Brake::LostFields, &facts(before, ""), &facts(next, ""));
        assert!(stops("a b c d", "a b"));
        assert!(stops("a b c d", "a b x y"), "others do not count for them");
        assert!(stops("a b", ""));
        assert!(!stops("a b c d", "a b c"));
        assert!(!stops("a b c d e", "a b c"), "two of five");
        assert!(!stops("a b", "a"), "one is no half of anything");
        assert!(!stops("", "a") && !stops("a b", "a b c"));
    }

    #[test]
    fn what_held_something_may_not_be_blank_and_what_was_blank_or_is_new_may() {
        let stops = |before: (&str, &str), next: (&str, &str)| {
            stops(Brake::Emptied, &facts(before.0, before.1), &facts(next.0, next.1))
        };
        assert!(stops(("a b", ""), ("a b", "b")));
        assert!(!stops(("a b", "b"), ("a b", "b")));
        assert!(!stops(("a", ""), ("a b", "b")));
        assert!(!stops(("a b", ""), ("a", "")), "gone is not blank");
    }

    #[test]
    fn another_issuer_or_an_earlier_end_stops_the_certificate_of_the_same_file() {
        let old = certificate("tls.crt", "CN=one", 10);
        for (next, by_issuer, by_expiry) in [
            (certificate("tls.crt", "CN=one", 10), false, false),
            (certificate("tls.crt", "CN=two", 10), true, false),
            (certificate("tls.crt", "CN=one", 11), false, false),
            (certificate("tls.crt", "CN=one", 9), false, true),
            (certificate("other.crt", "CN=two", 9), false, false),
        ] {
            assert_eq!(stops(Brake::Issuer, &old, &next), by_issuer, "{next:?}");
            assert_eq!(stops(Brake::Expiry, &old, &next), by_expiry, "{next:?}");
            assert!(!stops(Brake::LostFields, &old, &next) && !stops(Brake::Emptied, &old, &next));
        }
    }

    #[test]
    fn without_brakes_nothing_is_stopped() {
        assert_eq!(stopped_by_brake(&[], &facts("a b", ""), &facts("", "")), None);
    }

    #[test]
    fn a_message_names_ten_fields_at_most() {
        let all: Vec<_> = (0..30).map(|number| format!("field-{number}")).collect();
        let message = stopped_by_brake(&[Brake::LostFields], &facts(&all.join(" "), ""), &facts("", ""));
        let message = message.unwrap();
        assert!(message.contains("30 of 30 fields") && message.ends_with("field-9 and 20 more"), "{message}");
    }

    #[test]
    fn facts_are_names_and_what_is_blank() {
        let values = [
            ("list", FieldValue::List(Vec::new())),
            ("no", FieldValue::Bool(false)),
            ("nothing", FieldValue::Null),
            ("space", FieldValue::from(" \n")),
            ("text", FieldValue::from("hunter2")),
        ];
        let fields: Fields = values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let found = Facts::of_fields(&fields);
        assert_eq!(found, facts("list no nothing space text", "list nothing space"));
        assert!(!format!("{found:?}").contains("hunter2"));
    }
}
