//! What the owner of an issued source hears of its secrets.

use super::*;
use crate::name::CredentialNumber;
use crate::store::issuer::{CredentialOwner, FilesThere, Membership};
use crate::testing::dynamic_read;

/// The job, with a source that is issued in place of its own.
pub(super) fn issued(job: &Job) -> Job {
    let read = dynamic_read("database/creds/app");
    change(job, |secret| secret.sources = sources(SecretRead::VaultDynamic(Box::new(read))))
}

/// A store that notes who comes and goes.
struct OwnedStore {
    fake: FakeStore,
    heard: Mutex<Vec<(&'static str, Option<FilesThere>)>>,
}

impl OwnedStore {
    fn hear(&self, what: &'static str, files: Option<FilesThere>) {
        self.heard.lock().unwrap().push((what, files));
    }

    fn heard(&self) -> Vec<(&'static str, Option<FilesThere>)> {
        std::mem::take(&mut *self.heard.lock().unwrap())
    }
}

#[async_trait]
impl Store for OwnedStore {
    async fn fetch(&self, read: &SecretRead, known: Option<Revision>) -> Result<Fetched, Fault> {
        self.fake.fetch(read, known).await
    }

    fn owner(&self) -> Option<&dyn CredentialOwner> {
        Some(self)
    }
}

impl CredentialOwner for OwnedStore {
    fn join(&self, _: &SecretName, files: FilesThere, _: Option<Duration>) -> Membership {
        self.hear("join", Some(files));
        Membership(0)
    }

    fn leave(&self, _: &SecretName, _: Membership) {
        self.hear("leave", None);
    }

    fn published(&self, _: &SecretName, _: CredentialNumber, _: bool) {}

    fn confirmed(&self, _: &SecretName, _: CredentialNumber) {}

    fn withheld(&self, _: &SecretName, _: CredentialNumber) {}

    fn failed(&self, _: CredentialNumber, _: &Fault) {}
}

#[tokio::test(start_paused = true)]
async fn a_successor_has_its_issued_source_before_its_predecessor_leaves_it() {
    let home = TempDir::new().unwrap();
    let store = Arc::new(OwnedStore { fake: FakeStore::new(), heard: Mutex::default() });
    store.fake.answer("database/creds/app", fields("one"));
    store.fake.answer("a", fields("one"));
    let shared = Arc::clone(&store) as Arc<dyn Store>;
    let jobs = |jobs: Vec<Job>| jobs.into_iter().map(|job| read_from(&shared, job)).collect::<Vec<_>>();
    let first = issued(&job(&home, "a"));
    let context = context(std::slice::from_ref(&first));
    let mut supervisor = Supervisor::start(jobs(vec![first.clone()]), &context);
    sleep(MINUTE).await;
    assert_eq!(store.heard(), [("join", Some(FilesThere::None))]);
    assert_eq!(content(&home, "a").as_deref(), Some("one"));

    let more = change(&first, |secret| {
        secret.files.push(file_spec(TargetPath::parse("more", home.path()).unwrap(), "value"));
    });
    supervisor.exchange(jobs(vec![more.clone()]), |_| None);
    sleep(MINUTE).await;
    assert_eq!(store.heard(), [("join", Some(FilesThere::Some)), ("leave", None)]);

    // One that never begins, because something is in its way, hands over as well.
    let blocked = CancellationToken::new();
    supervisor.exchange(jobs(vec![first.clone()]), |_| Some(blocked.clone()));
    sleep(MINUTE).await;
    assert!(store.heard().is_empty());
    supervisor.exchange(jobs(vec![more.clone()]), |_| None);
    sleep(MINUTE).await;
    assert_eq!(store.heard(), [("join", Some(FilesThere::All)), ("leave", None)]);

    // One that reads something else leaves, and so does one that is gone before it has begun.
    supervisor.exchange(jobs(vec![job(&home, "a")]), |_| None);
    sleep(MINUTE).await;
    assert_eq!(store.heard(), [("leave", None)]);
    supervisor.exchange(jobs(vec![first.clone()]), |_| None);
    sleep(MINUTE).await;
    assert_eq!(store.heard(), [("join", Some(FilesThere::All))]);
    supervisor.exchange(jobs(vec![more]), |_| Some(blocked.clone()));
    supervisor.exchange(Vec::new(), |_| None);
    sleep(MINUTE).await;
    assert_eq!(store.heard(), [("leave", None)]);
    assert!(supervisor.stop(MINUTE).await.is_empty());
}
