//! A store for tests: it answers what it was told to, as late as it was told to, and remembers who asked.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use crate::config::Config;
use crate::config::env::Env;
use crate::config::provider::SecretRead;
use crate::config::provider::file::FileRead;
use crate::config::sources::Sources;
use crate::fault::{Fault, Kind};
use crate::secret::{Fields, FingerprintKey};
use crate::store::{Fetched, Life, Revision, Store};

/// A store of canned answers by key. Clones share them, so that a test keeps one and hands out the other.
#[derive(Clone)]
pub(crate) struct FakeStore {
    fingerprints: FingerprintKey,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    answers: BTreeMap<String, Result<Fetched, Fault>>,
    answered: u64,
    latency: Duration,
    calls: Vec<SecretRead>,
    place: String,
    tags: BTreeMap<String, BTreeMap<String, String>>,
}

impl FakeStore {
    /// A store that has nothing and answers at once.
    pub(crate) fn new() -> Self {
        let fingerprints = FingerprintKey::random().expect("randomness");
        Self { fingerprints, state: Arc::default() }
    }

    /// From now on `key` holds `fields`, as a version of its own: 1 for the store's first answer, then counting.
    pub(crate) fn answer(&self, key: &str, fields: Fields) {
        let version = {
            let mut state = self.state();
            state.answered += 1;
            state.answered
        };
        self.answer_as(key, fields, version);
    }

    /// From now on `key` holds `fields` as this version.
    pub(crate) fn answer_as(&self, key: &str, fields: Fields, version: u64) {
        let revision = Revision::Version(version, self.fingerprints.of_fields(&fields));
        let (fields, life) = (Some(Arc::new(fields)), Life::Open);
        let fetched =
            Fetched { fields, metadata: None, created: None, revision, life, request_id: None, turn: None };
        self.state().answers.insert(key.to_owned(), Ok(fetched));
    }

    /// What `key` holds from now on has this life.
    pub(crate) fn live(&self, key: &str, life: Life) {
        if let Some(Ok(fetched)) = self.state().answers.get_mut(key) {
            fetched.life = life;
        }
    }

    /// From now on `key` has this tag.
    pub(crate) fn tag(&self, key: &str, name: &str, value: &str) {
        let mut state = self.state();
        state.tags.entry(key.to_owned()).or_default().insert(name.to_owned(), value.to_owned());
    }

    /// From now on the store is another one, made again.
    pub(crate) fn make_again(&self) {
        self.state().place.push('+');
    }

    /// From now on reading `key` fails.
    pub(crate) fn fail(&self, key: &str, fault: Fault) {
        self.state().answers.insert(key.to_owned(), Err(fault));
    }

    /// From now on an answer takes this long; what it says is decided when it leaves.
    pub(crate) fn latency(&self, latency: Duration) {
        self.state().latency = latency;
    }

    /// Every read that was begun, in order.
    pub(crate) fn calls(&self) -> Vec<SecretRead> {
        self.state().calls.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the call; returns how long the answer takes.
    fn begin(&self, read: &SecretRead) -> Duration {
        let mut state = self.state();
        state.calls.push(read.clone());
        state.latency
    }
}

#[async_trait]
impl Store for FakeStore {
    async fn place(&self, _: &SecretRead) -> Result<String, Fault> {
        Ok(self.state().place.clone())
    }

    async fn list(&self, read: &SecretRead) -> Result<Vec<String>, Fault> {
        self.begin(read);
        let folder = format!("{}/", read.path().trim_end_matches('/'));
        let state = self.state();
        let below = state.answers.keys().filter_map(|key| key.strip_prefix(&folder));
        let names = below.map(|key| match key.split_once('/') {
            Some((first, _)) => format!("{first}/"),
            None => key.to_owned(),
        });
        Ok(names.collect::<std::collections::BTreeSet<_>>().into_iter().collect())
    }

    async fn tags(&self, read: &SecretRead) -> Result<BTreeMap<String, String>, Fault> {
        self.begin(read);
        Ok(self.state().tags.get(&read.path()).cloned().unwrap_or_default())
    }

    async fn fetch(&self, read: &SecretRead, known: Option<Revision>) -> Result<Fetched, Fault> {
        let latency = self.begin(read);
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        let key = read.path();
        let absent = || Fault::new(Kind::Absent, format!("no secret `{key}`"), "answer() or fail() it");
        let mut answer = self.state().answers.get(&key).cloned().unwrap_or_else(|| Err(absent()));
        if let Ok(fetched) = &mut answer
            && known == Some(fetched.revision)
        {
            fetched.fields = None;
        }
        answer
    }
}

/// The read of `key`.
pub(crate) fn source(key: &str) -> SecretRead {
    FileRead { key: key.to_owned() }.into()
}

/// What a secret with these keys reads.
pub(crate) fn sources(keys: &str) -> Sources {
    sources_with(&format!("secretStore: {STORE}"), keys)
}

/// What a secret with these keys reads, where there are the stores `first`, which it names, and `second`.
pub(crate) fn sources_of_two(keys: &str) -> Sources {
    let stores = format!("secretStores: {{ first: {STORE}, second: {STORE} }}");
    sources_with(&stores, &format!("    store: first\n{keys}"))
}

const STORE: &str = "{ provider: vault, address: 'https://v:8200', token: t, mountPath: kv }";

fn sources_with(stores: &str, keys: &str) -> Sources {
    let text = format!("{stores}\nsecrets:\n  - name: s\n    files: [{{ path: /out/f, field: f }}]\n{keys}");
    let loaded = Config::parse(&text, "c.yaml", &Env::default(), Path::new("/"));
    loaded.unwrap_or_else(|report| panic!("{report}")).config.secrets.remove(0).sources
}
