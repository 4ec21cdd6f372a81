//! What the server issues: a few sources whose credentials have a lease each, and what goes wrong with them.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::fake::{Reply, Seen};

/// Sources of issued credentials, each of one secret.
pub(crate) const SOURCES: usize = 4;

/// How long a credential lives unless it is renewed, and how long at the most.
const LIFE: Duration = Duration::from_secs(12);
const MAXIMUM: Duration = Duration::from_secs(40);

/// The `minInterval` of all sources. The server never sees two issues of one that are closer: the daemon counts from the
/// answer to the one before, or from its failure.
const MIN_INTERVAL: Duration = Duration::from_secs(2);

/// At most this number of credentials of one source may live: those whose answers were lost, one each `MIN_INTERVAL`, until
/// they end; the current one; and those before it that wait for a hook or for a revocation.
const MOST: usize = 8;

/// What goes wrong with requests about leases alone.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum LeaseFault {
    /// The engine says that it cannot.
    IssueFails,
    /// It issues, and the answer is cut off.
    IssueIsCutOff,
    RenewalRefused,
    RenewalFails,
    RenewalHangs,
    LookUpRefused,
    RevocationFails,
}

struct Lease {
    source: usize,
    number: u64,
    made: Instant,
    end: Instant,
    token: String,
}

#[derive(Default)]
struct State {
    live: BTreeMap<String, Lease>,
    fault: Option<LeaseFault>,
    made: [u64; SOURCES],
    last: [Option<Instant>; SOURCES],
    renewed: usize,
    revoked: usize,
    /// The most that lived of one source.
    most: usize,
    too_soon: Vec<String>,
    /// The shortest time between two issues of one source.
    closest: Option<Duration>,
}

/// The server's engine of credentials.
#[derive(Default)]
pub(crate) struct Leases(Mutex<State>);

/// A token, and when it ends.
pub(crate) type Token = (String, Instant);

impl Leases {
    pub(crate) fn set(&self, fault: Option<LeaseFault>) {
        self.state().fault = fault;
    }

    /// Revokes all leases, as a restored backup does.
    pub(crate) fn lose(&self) {
        self.state().live.clear();
    }

    /// What a token has issued ends with it.
    pub(crate) fn end_token(&self, (token, end): &Token) {
        for lease in self.state().live.values_mut().filter(|lease| lease.token == *token) {
            lease.end = lease.end.min(*end);
        }
    }

    /// The answer to a request that comes with the token `current`; `None` where it is about no lease.
    pub(crate) fn answer(&self, seen: &Seen, current: &Token) -> Option<Reply> {
        let mut state = self.state();
        let now = Instant::now();
        state.live.retain(|_, lease| now < lease.end && (lease.token != current.0 || now < current.1));
        let target = seen.target.strip_prefix("/v1/")?;
        if let Some(source) = target.strip_prefix("database/creds/") {
            return Some(state.issue(source.parse().unwrap(), current, now));
        }
        let what = target.strip_prefix("sys/leases/")?;
        let body: serde_json::Value = serde_json::from_str(&seen.body).unwrap();
        Some(state.of_lease(what, body["lease_id"].as_str().unwrap(), now))
    }

    /// Whether `text`, of the file of `source`, is one that was issued.
    pub(crate) fn knows(&self, source: usize, text: &str) -> bool {
        parse(source, text).is_some_and(|number| number <= self.state().made[source])
    }

    /// Whether `text` is one that serves.
    pub(crate) fn serves(&self, source: usize, text: &str, current: Option<&Token>) -> bool {
        let now = Instant::now();
        let is_good = |lease: &Lease| {
            now < lease.end && current.is_none_or(|(token, end)| lease.token != *token || now < *end)
        };
        let number = parse(source, text);
        let state = self.state();
        let mut of_source = state.live.values().filter(|lease| lease.source == source);
        of_source.any(|lease| Some(lease.number) == number && is_good(lease))
    }

    pub(crate) fn report(&self) -> bool {
        let State { made, renewed, revoked, most, closest, too_soon, .. } = &*self.state();
        println!("issued            {}, renewed {renewed}, revoked {revoked}", made.iter().sum::<u64>());
        println!("alive at once     {most} of one source");
        println!("issued too soon   {}, the closest two after {closest:?}", too_soon.len());
        too_soon.iter().take(10).for_each(|example| println!("  {example}"));
        too_soon.is_empty() && *most <= MOST && made.iter().all(|made| *made > 0)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl State {
    fn issue(&mut self, source: usize, (token, _): &Token, now: Instant) -> Reply {
        if self.fault == Some(LeaseFault::IssueFails) {
            return Reply::json(500, r#"{"errors":["soak: the database is down"]}"#);
        }
        if let Some(last) = self.last[source].filter(|last| now - *last < MIN_INTERVAL) {
            self.too_soon.push(format!("source {source}: after {:?}", now - last));
        }
        if let Some(last) = self.last[source] {
            self.closest = Some(self.closest.map_or(now - last, |closest| closest.min(now - last)));
        }
        self.last[source] = Some(now);
        self.made[source] += 1;
        let number = self.made[source];
        let (id, data) = (format!("database/creds/{source}/{number}"), data(source, number));
        let lease = Lease { source, number, made: now, end: now + LIFE, token: token.clone() };
        self.live.insert(id.clone(), lease);
        self.most = self.most.max(self.live.values().filter(|lease| lease.source == source).count());
        let body = format!(
            r#"{{"request_id":"{source:08}-0000-4000-9000-{number:012x}","lease_id":"{id}","renewable":true,"lease_duration":{},"data":{data}}}"#,
            LIFE.as_secs()
        );
        if self.fault == Some(LeaseFault::IssueIsCutOff) {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            return Reply::BytesThenClose([head.as_bytes(), &body.as_bytes()[..body.len() / 2]].concat());
        }
        Reply::json(200, &body)
    }

    fn of_lease(&mut self, what: &str, id: &str, now: Instant) -> Reply {
        let refused = |text: &str| Reply::json(400, &format!(r#"{{"errors":["{text}"]}}"#));
        match (what, self.fault) {
            ("renew", Some(LeaseFault::RenewalRefused)) => return refused("failed to renew entry"),
            ("renew", Some(LeaseFault::RenewalFails)) => return Reply::json(500, r#"{"errors":["soak"]}"#),
            ("renew", Some(LeaseFault::RenewalHangs)) => return Reply::BytesThenSilence(Vec::new()),
            ("lookup", Some(LeaseFault::LookUpRefused)) => return refused("invalid lease"),
            ("revoke", Some(LeaseFault::RevocationFails)) => return refused("failed to revoke"),
            _ => {}
        }
        let Some(lease) = self.live.get_mut(id) else { return refused("invalid lease") };
        match what {
            "renew" => {
                lease.end = (now + LIFE).min(lease.made + MAXIMUM);
                self.renewed += 1;
                let left = (lease.end - now).as_secs();
                Reply::json(
                    200,
                    &format!(r#"{{"lease_id":"{id}","renewable":true,"lease_duration":{left}}}"#),
                )
            }
            "lookup" => {
                let left = (lease.end - now).as_secs();
                Reply::json(200, &format!(r#"{{"data":{{"id":"{id}","ttl":{left}}}}}"#))
            }
            _ => {
                self.live.remove(id);
                self.revoked += 1;
                Reply::json(204, "")
            }
        }
    }
}

/// A password says whose it is at both ends.
fn password(source: usize, number: u64) -> String {
    format!("{source}.{number}{}{source}.{number}", "-".repeat((number % 97) as usize))
}

fn data(source: usize, number: u64) -> String {
    format!(r#"{{"username":"user-{source}-{number}","password":"{}"}}"#, password(source, number))
}

/// The credential of `source` that `text` is from the first byte to the last.
fn parse(source: usize, text: &str) -> Option<u64> {
    let (user, secret) = text.split_once(' ')?;
    let number = user.strip_prefix(&format!("user-{source}-"))?.parse().ok()?;
    (secret == password(source, number)).then_some(number)
}

/// The secrets of all sources.
pub(crate) fn configuration() -> String {
    let of = |source: usize| {
        format!(
            "  - name: issued-{source}\n    vaultDynamic: {{ path: database/creds/{source}, lease: {{ minInterval: {}s, grace: 1s, \
             confirmTimeout: 2s }} }}\n    refreshInterval: 1s\n    files: [{{ path: out/issued-{source}, template: '{{{{ username }}}} {{{{ password }}}}' }}]\n",
            MIN_INTERVAL.as_secs()
        )
    };
    (0..SOURCES).map(of).collect()
}
