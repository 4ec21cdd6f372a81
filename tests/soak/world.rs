//! What is true: the version of each secret, the tokens that are good, and how the server answers at the moment.

use std::fmt::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rand::Rng;

use crate::fake::{Fake, Reply, Seen};
use crate::faults::Answer;
use crate::hanging::Hanging;
use crate::leases::{self, Leases, Token};

/// How long a token lives unless it is renewed: the longest fault outlasts what is left at a renewal. A busy machine that is
/// late by a second or two does not: a login ends the token before, and so all that was issued.
const LEASE: Duration = Duration::from_secs(6);

const LOGIN: &str = "/v1/auth/approle/login";

/// Where the hook of all secrets sends its events.
const HOOK: &str = "/hook";

const LOOK_UP: &str = "/v1/auth/token/lookup-self";

/// The files of the role id and the secret id, beside the configuration.
pub(crate) const ROLE_ID: &str = "role-id";
pub(crate) const SECRET_ID: &str = "secret-id";

/// The directory of the further store's TLS files.
pub(crate) const PKI: &str = "pki";

/// The server's side of the run.
pub(crate) struct World {
    versions: Vec<AtomicU64>,
    /// Files that the harness itself has spoilt and the daemon has not put right yet.
    dirty: Vec<AtomicBool>,
    /// How requests are answered, and which share of them.
    mode: Mutex<(Answer, f64)>,
    token: Mutex<Option<Token>>,
    pub(crate) leases: Leases,
    logins: AtomicUsize,
    /// A login, or its token, was called bad, so that the credentials may rest: for longer than a recovery may take.
    refused: AtomicBool,
    requests: AtomicUsize,
    answers: AtomicUsize,
    /// The newest version of each secret that the hook has been run for, and how often it has.
    told: Vec<AtomicU64>,
    runs: AtomicUsize,
    hanging: Mutex<Option<Hanging>>,
}

impl World {
    pub(crate) fn new(secrets: usize) -> Self {
        Self {
            versions: (0..secrets).map(|_| AtomicU64::new(1)).collect(),
            dirty: (0..secrets).map(|_| AtomicBool::new(false)).collect(),
            mode: Mutex::new((Answer::Right, 0.0)),
            token: Mutex::default(),
            leases: Leases::default(),
            logins: AtomicUsize::new(0),
            refused: AtomicBool::new(false),
            requests: AtomicUsize::new(0),
            answers: AtomicUsize::new(0),
            told: (0..secrets).map(|_| AtomicU64::new(0)).collect(),
            runs: AtomicUsize::new(0),
            hanging: Mutex::default(),
        }
    }

    pub(crate) fn serve(self: &Arc<Self>) -> Fake {
        let world = Arc::clone(self);
        Fake::start_without_log(move |_, seen| world.answer(seen))
    }

    /// From now on this share of all requests is answered like this.
    pub(crate) fn set(&self, answer: Answer, share: f64) {
        *self.mode.lock().unwrap() = (answer, share);
    }

    pub(crate) fn revoke(&self) {
        if let Some((token, _)) = self.token.lock().unwrap().take() {
            self.leases.end_token(&(token, Instant::now()));
        }
    }

    /// Whether the file of an issued source holds what serves.
    pub(crate) fn serves(&self, source: usize, text: &str) -> bool {
        self.leases.serves(source, text, self.token.lock().unwrap().as_ref())
    }

    /// Mounts what hangs over `directory`.
    pub(crate) fn hang(&self, directory: &Path) {
        *self.hanging.lock().unwrap() = Some(Hanging::mount_over(directory));
    }

    pub(crate) fn hang_no_more(&self) {
        drop(self.hanging.lock().unwrap().take());
    }

    /// Whether credentials have been called bad since this was asked last.
    pub(crate) fn has_refused(&self) -> bool {
        self.refused.swap(false, Ordering::SeqCst)
    }

    pub(crate) fn change_some(&self) {
        for _ in 0..3 {
            let secret = rand::rng().random_range(0..self.versions.len());
            self.versions[secret].fetch_add(1, Ordering::SeqCst);
        }
    }

    pub(crate) fn versions(&self) -> Vec<u64> {
        self.versions.iter().map(|version| version.load(Ordering::SeqCst)).collect()
    }

    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    pub(crate) fn told(&self, secret: usize) -> u64 {
        self.told[secret].load(Ordering::SeqCst)
    }

    pub(crate) fn runs(&self) -> usize {
        self.runs.load(Ordering::SeqCst)
    }

    pub(crate) fn version(&self, secret: usize) -> u64 {
        self.versions[secret].load(Ordering::SeqCst)
    }

    pub(crate) fn spoil(&self, secret: usize) {
        self.dirty[secret].store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_dirty(&self, secret: usize) -> bool {
        self.dirty[secret].load(Ordering::SeqCst)
    }

    pub(crate) fn all_clean(&self) {
        self.dirty.iter().for_each(|dirty| dirty.store(false, Ordering::SeqCst));
    }

    fn answer(&self, seen: &Seen) -> Reply {
        self.requests.fetch_add(1, Ordering::SeqCst);
        let (answer, share) = *self.mode.lock().unwrap();
        let is_chosen = rand::rng().random_bool(share);
        // A hook is done with any answer from 200 to 299, so it is heard then.
        let is_hook = seen.target == HOOK;
        if is_chosen
            && (!is_hook || answer.is_failure())
            && let Some(reply) = answer.reply(seen)
        {
            if answer == Answer::Status(403) && [LOGIN, LOOK_UP].contains(&&*seen.target) {
                self.refused.store(true, Ordering::SeqCst);
            }
            return reply;
        }
        match seen.target.as_str() {
            HOOK => self.hear(&seen.body),
            LOGIN => self.log_in(),
            _ if !self.knows(seen.headers.get("x-vault-token")) => {
                Reply::json(403, r#"{"errors":["permission denied"]}"#)
            }
            "/v1/auth/token/renew-self" => self.renew(),
            LOOK_UP => Reply::json(200, r#"{"data":{"ttl":6,"renewable":true}}"#),
            target if is_chosen && answer == Answer::Twice => match self.read(target) {
                Reply::Bytes(bytes) => Reply::Bytes(bytes.repeat(2)),
                reply => reply,
            },
            target => {
                let token = self.token.lock().unwrap().clone();
                let about_lease = token.and_then(|token| self.leases.answer(seen, &token));
                about_lease.unwrap_or_else(|| self.read(target))
            }
        }
    }

    /// A run of the hook, which fails as everything does while a fault lasts.
    fn hear(&self, event: &str) -> Reply {
        self.runs.fetch_add(1, Ordering::SeqCst);
        let event: serde_json::Value = serde_json::from_str(event).unwrap();
        for secret in event["secrets"].as_array().unwrap() {
            let number =
                secret["name"].as_str().and_then(|name| name.strip_prefix('s')?.parse::<usize>().ok());
            if let (Some(number), Some(version)) = (number, secret["version"].as_u64()) {
                self.told[number].fetch_max(version, Ordering::SeqCst);
            }
        }
        Reply::json(200, "")
    }

    fn log_in(&self) -> Reply {
        let token = format!("soak-token-{}", self.logins.fetch_add(1, Ordering::SeqCst));
        let before = self.token.lock().unwrap().replace((token.clone(), Instant::now() + LEASE));
        if let Some(before) = before {
            self.leases.end_token(&before);
        }
        auth(&token)
    }

    fn renew(&self) -> Reply {
        let mut token = self.token.lock().unwrap();
        let (text, end) = token.as_mut().unwrap();
        *end = Instant::now() + LEASE;
        auth(text)
    }

    fn knows(&self, sent: Option<&String>) -> bool {
        let token = self.token.lock().unwrap();
        token.as_ref().is_some_and(|(text, end)| sent == Some(text) && Instant::now() < *end)
    }

    fn read(&self, target: &str) -> Reply {
        let number = target.strip_prefix("/v1/secret/data/").and_then(|number| number.parse::<usize>().ok());
        let Some(secret) = number.filter(|&number| number < self.versions.len()) else {
            return Reply::json(404, r#"{"errors":[]}"#);
        };
        let version = self.version(secret);
        let value = serde_json::Value::from(content(secret, version));
        let metadata = format!(r#"{{"version":{version},"deletion_time":"","destroyed":false}}"#);
        let data = format!(r#"{{"data":{{"value":{value}}},"metadata":{metadata}}}"#);
        let id = format!("00000000-0000-4000-8000-{:012x}", self.answers.fetch_add(1, Ordering::SeqCst));
        Reply::json(200, &format!(r#"{{"request_id":"{id}","data":{data}}}"#))
    }
}

fn auth(token: &str) -> Reply {
    let lease = LEASE.as_secs();
    Reply::json(
        200,
        &format!(r#"{{"auth":{{"client_token":"{token}","lease_duration":{lease},"renewable":true}}}}"#),
    )
}

/// The value of a secret: it says which it is at both ends, and its length differs from version to version.
fn content(secret: usize, version: u64) -> String {
    let mut text = format!("secret {secret} version {version}\n");
    for line in 0..(version % 97) * 3 {
        writeln!(text, "{secret} {version} {line}").unwrap();
    }
    write!(text, "end {secret} {version}").unwrap();
    text
}

/// The version that `text` is, if it is one of `secret` from the first byte to the last.
pub(crate) fn parse(text: &str, secret: usize) -> Option<u64> {
    let first = text.lines().next()?;
    let version = first.strip_prefix(&format!("secret {secret} version "))?.parse().ok()?;
    (text == content(secret, version)).then_some(version)
}

pub(crate) fn configuration(secrets: usize, address: &str) -> String {
    // Nobody listens at the further store, which nobody waits for: its TLS files are read before each connection.
    let mut text = format!(
        "secretStores:\n  far: {{ address: 'https://127.0.0.1:1', token: t, tlsCACert: {PKI}/ca.pem, timeout: 1s }}\n\
         secretStore:\n  address: {address}\n  authMethod: approle\n  roleIdFile: {ROLE_ID}\n  secretIdFile: {SECRET_ID}\n  \
         mountPath: secret\n  kvVersion: v2\n  timeout: 1s\nlimits: {{ minRefreshInterval: 100ms, maxResponseSize: 256KiB }}\n\
         hooks:\n  hear: {{ url: '{address}{HOOK}', secrets: all, settle: 100ms, timeout: 1s }}\nsecrets:\n  \
         - {{ name: far, store: far, key: x, required: false, refreshInterval: 1s, files: [{{ path: out/far, field: value }}] }}\n"
    );
    for n in 0..secrets {
        writeln!(
            text,
            "  - {{ name: s{n:03}, key: '{n}', refreshInterval: 1s, files: [\n      \
             {{ path: out/{n:03}/a, field: value }}, {{ path: out/{n:03}/b, template: '{{{{ value }}}}' }}] }}"
        )
        .unwrap();
    }
    text + &leases::configuration()
}
