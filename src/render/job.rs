//! Everything the task of one secret needs, immutable and comparable.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::Config;
use crate::config::hook::{HookMoment, HookSpec};
use crate::config::secret::{Content, FileSpec, SecretSpec};
use crate::name::HookName;
use crate::secret::{FieldValue, Fields};

/// Most fields, and most files, of plain work.
const PLAIN_COUNT: usize = 16;
/// Most bytes of each of its values.
const PLAIN_VALUE: usize = 16 << 10;

/// The work of one task. Two equal jobs are the same work: a reload does not touch such a task.
#[derive(Clone, PartialEq, Debug)]
pub struct Job {
    /// The secret.
    pub secret: Arc<SecretSpec>,
    /// Its hooks before a change is published, in the order in which they run.
    pub gates: Arc<[HookSpec]>,
    /// Its hooks after a change.
    pub duties: Arc<[HookName]>,
    /// Most bytes of one rendered file.
    pub max_file_size: usize,
}

impl Job {
    /// Whether rendering takes no time worth a thread: a few short values, no template that loops or calls, and no checks.
    pub(crate) fn is_plain(&self, fields: &Fields) -> bool {
        let is_short = |value: &FieldValue| match value {
            FieldValue::Text(text) | FieldValue::Number(text) => text.len() <= PLAIN_VALUE,
            FieldValue::Null | FieldValue::Bool(_) => true,
            _ => false,
        };
        let files = &self.secret.files;
        let is_plain = |file: &FileSpec| match &file.content {
            Content::Template(template) => template.is_plain(),
            Content::Field(_) | Content::Format(_) => true,
        };
        !self.secret.is_checked()
            && fields.len().max(files.len()) <= PLAIN_COUNT
            && fields.iter().all(|(_, value)| is_short(value))
            && files.iter().all(is_plain)
    }

    /// Whether a template is rendered.
    pub(crate) fn uses_engine(&self) -> bool {
        self.secret.files.iter().any(|file| matches!(file.content, Content::Template(_)))
    }

    /// Whether a Go template looks into the answers of the sources.
    pub(crate) fn looks_up(&self) -> bool {
        let looks_up =
            |file: &FileSpec| matches!(&file.content, Content::Template(template) if template.looks_up());
        self.secret.files.iter().any(looks_up)
    }

    /// One job per secret, in the order of the file.
    pub fn all(config: Config) -> Vec<Self> {
        let max_file_size = config.limits.max_file_size;
        let gates = config.hooks.iter().filter(|hook| hook.moment == HookMoment::Staged);
        let gates: BTreeMap<&HookName, &HookSpec> = gates.map(|gate| (&gate.name, gate)).collect();
        let job = |secret: SecretSpec| Self {
            gates: secret
                .hooks
                .iter()
                .filter_map(|hook| gates.get(hook))
                .map(|gate| (*gate).clone())
                .collect(),
            duties: secret.hooks.iter().filter(|hook| !gates.contains_key(hook)).cloned().collect(),
            secret: Arc::new(secret),
            max_file_size,
        };
        config.secrets.into_iter().map(job).collect()
    }
}
