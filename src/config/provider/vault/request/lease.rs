//! `vaultDynamic.lease`: when an issued credential is renewed, replaced and retired.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::config::compile::context::CompileContext;
use crate::config::compile::section::Section;
use crate::config::diagnostic::{Code, Diagnostic};
use crate::config::duration;
use crate::config::keys::{KeySet, KeySpec, KeyType};
use crate::config::provider::vault::dynamic::{Confirmation, DynamicKind, LeaseTerms, OnStop, Share};

/// `lease`.
pub(super) static LEASE_KEYS: KeySet = KeySet::new(
    "secrets[].vaultDynamic.lease",
    &[&[
        KeySpec::new(
            "renewAt",
            KeyType::Share,
            "`0.65`",
            "share of the lease after which it is renewed, above 0 and below 1",
        ),
        KeySpec::new(
            "reissueAt",
            KeyType::Share,
            "`0.66`",
            "share of the whole life, which no renewal prolongs, after which the next credential is issued, up to a tenth earlier",
        ),
        KeySpec::new(
            "maxAge",
            KeyType::Duration,
            "what the server says",
            "the whole life, where the server does not say it; from `10s`",
        ),
        KeySpec::new(
            "minInterval",
            KeyType::Duration,
            "`30s`",
            "at least this lies between two issues, whatever happens; `1s` to `1d`",
        ),
        KeySpec::new(
            "grace",
            KeyType::Duration,
            "`5m`",
            "how long the credential before lives on after the new one is confirmed; at most `30d`",
        ),
        KeySpec::new(
            "confirm",
            KeyType::Choice(&["hooks", "published"]),
            "`hooks`",
            "what says that consumers have the new one: `hooks`: those of each secret that has it have run; `published`: the \
             files are there. A secret without hooks confirms when it is published",
        ),
        KeySpec::new(
            "confirmTimeout",
            KeyType::Duration,
            "`10m`",
            "how long hooks that fail are waited for; `1s` to `1d`",
        ),
        KeySpec::new(
            "retire",
            KeyType::Boolean,
            "`true`",
            "whether the credential before is revoked then, which needs `update` on `sys/leases/revoke`; `false`: it is left to \
             its end",
        ),
        KeySpec::new(
            "onStop",
            KeyType::Choice(&["keep", "revoke"]),
            "`keep`",
            "what a stop does with the credential, and with the token that issued it",
        ),
    ]],
);

const DAY: Duration = Duration::from_secs(86_400);
const SHORTEST: Duration = Duration::from_secs(1);
/// Below this a credential would be replaced all the time.
const SHORTEST_LIFE: Duration = Duration::from_secs(10);
const LONGEST_LIFE: Duration = Duration::from_secs(100 * 365 * 86_400);
const LONGEST_GRACE: Duration = Duration::from_secs(30 * 86_400);

const CONFIRMATIONS: [(&str, Confirmation); 2] =
    [("hooks", Confirmation::Hooks), ("published", Confirmation::Published)];
const ON_STOP: [(&str, OnStop); 2] = [("keep", OnStop::Keep), ("revoke", OnStop::Revoke)];

/// Compiles `lease` of `section`, or the defaults where it is absent. A value that is wrong makes the whole file fail.
pub(super) fn compile(
    section: &Section<'_>,
    kind: Option<DynamicKind>,
    context: &mut CompileContext<'_>,
) -> LeaseTerms {
    let default = LeaseTerms::default();
    let Some(lease) = section.child("lease", context) else { return default };
    if matches!(kind, Some(DynamicKind::Certificate | DynamicKind::Ssh)) {
        lease.ignore("renewAt", "a certificate is not renewed, it is replaced at \"reissueAt\"", context);
    }
    let mut span = |key, range| within(&lease, key, range, context);
    let max_age = span("maxAge", SHORTEST_LIFE..=LONGEST_LIFE);
    let min_interval = span("minInterval", SHORTEST..=DAY);
    let grace = span("grace", Duration::ZERO..=LONGEST_GRACE);
    let confirm_timeout = span("confirmTimeout", SHORTEST..=DAY);
    let terms = LeaseTerms {
        renew_at: share(&lease, "renewAt", context).unwrap_or(default.renew_at),
        reissue_at: share(&lease, "reissueAt", context).unwrap_or(default.reissue_at),
        max_age,
        min_interval: min_interval.unwrap_or(default.min_interval),
        grace: grace.unwrap_or(default.grace),
        confirm: lease.choice("confirm", &CONFIRMATIONS, context).unwrap_or(default.confirm),
        confirm_timeout: confirm_timeout.unwrap_or(default.confirm_timeout),
        retires: lease.boolean("retire", context).unwrap_or(default.retires),
        on_stop: lease.choice("onStop", &ON_STOP, context).unwrap_or(default.on_stop),
    };
    lease.finish(context);
    terms
}

fn share(section: &Section<'_>, key: &'static str, context: &mut CompileContext<'_>) -> Option<Share> {
    let number = section.parsed(
        key,
        (Code::BadValue, "a number such as 0.65"),
        |text| text.parse().map_err(|_| ""),
        context,
    )?;
    let share = Share::new(number);
    if share.is_none() {
        let refused =
            Diagnostic::new(Code::OutOfRange, section.place_of(key), "it has to be above 0 and below 1");
        context.push(refused.hint("write a share such as 0.65"));
    }
    share
}

fn within(
    section: &Section<'_>,
    key: &'static str,
    range: RangeInclusive<Duration>,
    context: &mut CompileContext<'_>,
) -> Option<Duration> {
    let value = section.duration(key, context)?;
    if range.contains(&value) {
        return Some(value);
    }
    let [shortest, longest] = [range.start(), range.end()].map(|bound| duration::format(*bound));
    let message = format!("it has to be between {shortest} and {longest}");
    context.push(Diagnostic::new(Code::OutOfRange, section.place_of(key), message));
    None
}
