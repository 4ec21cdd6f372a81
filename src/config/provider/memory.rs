//! `provider: memory`: a provider for tests, which shows what a further one takes.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Provider, ProviderRead, ProviderSpec, SecretRead, StoreSpec};
use crate::config::compile::context::CompileContext;
use crate::config::compile::path;
use crate::config::compile::section::Section;
use crate::config::keys::{KeySet, KeySpec, KeyType};

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MemorySpec {
    pub values: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct MemoryRead {
    pub key: String,
}

static VALUES: KeySet = KeySet::new("values", &[&[KeySpec::new("user", KeyType::Text, "", "the one field")]]);

pub(super) const PROVIDER: Provider = Provider {
    store_keys: &[&[KeySpec::new("values", KeyType::Section(&VALUES), "", "what the store holds")]],
    read_keys: &[],
    folder_keys: &[],
    compile: |section, context| {
        let values = section.child("values", context)?;
        let text = values.text("user", context)?.value.into_owned();
        values.finish(context);
        Some(StoreSpec::Memory(MemorySpec { values: BTreeMap::from([("user".to_owned(), text)]) }))
    },
};

impl ProviderSpec for MemorySpec {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn input_files(&self) -> Vec<&Path> {
        Vec::new()
    }

    fn read(&self, section: &mut Section<'_>, context: &mut CompileContext<'_>) -> Option<SecretRead> {
        Some(SecretRead::Memory(MemoryRead { key: path::of_secret(section, context)? }))
    }
}

impl ProviderRead for MemoryRead {
    fn path(&self) -> String {
        self.key.clone()
    }

    fn key(&self) -> &str {
        &self.key
    }
}
