//! `provider: memory`: a store for tests, which shows what a further provider takes.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Fetched, Life, Revision, Store};
use crate::config::provider::SecretRead;
use crate::config::provider::memory::MemorySpec;
use crate::fault::{Fault, Kind};
use crate::secret::{FieldValue, Fields, FingerprintKey};

pub(super) struct MemoryStore {
    spec: MemorySpec,
    key: FingerprintKey,
}

impl MemoryStore {
    pub(super) fn new(spec: &MemorySpec, key: FingerprintKey) -> Self {
        Self { spec: spec.clone(), key }
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn fetch(&self, read: &SecretRead, _known: Option<Revision>) -> Result<Fetched, Fault> {
        let absent = || Fault::new(Kind::Absent, "no such value", "add it");
        let value = self.spec.values.get(&read.path()).ok_or_else(absent)?;
        let fields: Fields = [("value".to_owned(), FieldValue::from(value.as_str()))].into_iter().collect();
        let revision = Revision::Content(self.key.of_fields(&fields));
        Ok(Fetched {
            fields: Some(Arc::new(fields)),
            metadata: None,
            created: None,
            revision,
            life: Life::Open,
            request_id: None,
            turn: None,
        })
    }
}
