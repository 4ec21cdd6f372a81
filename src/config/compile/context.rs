//! What one run of the compiler carries along.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use crate::config::diagnostic::{Diagnostic, Position, Report};
use crate::config::env::Env;
use crate::config::keys::KeySet;
use crate::config::origin::Origins;
use crate::config::provider::vault::dynamic::{DynamicKind, DynamicRead, LeaseTerms};
use crate::disk::TargetPath;
use crate::name::StoreName;

/// What one run of the compiler carries along.
pub(in crate::config) struct CompileContext<'e> {
    pub(in crate::config) env: &'e Env,
    /// Where relative paths start.
    pub(in crate::config) working_directory: &'e Path,
    pub(in crate::config) report: Report,
    pub(in crate::config) origins: Origins,
    /// What is read besides the stores, and how messages call it: no output may be put there.
    pub(in crate::config) inputs: Vec<(String, TargetPath)>,
    /// Where each secret is described, by its name.
    pub(in crate::config) positions: BTreeMap<String, Position>,
    /// The keys of the whole file.
    pub(in crate::config) tables: &'static KeySet,
    /// The sections whose keys a hint has listed.
    pub(in crate::config) listed: BTreeSet<&'static str>,
    /// What `vaultDynamic` asks of each store, as what, and in which place first.
    pub(in crate::config) dynamic: HashMap<(StoreName, DynamicRead), (DynamicKind, LeaseTerms, Position)>,
}

impl CompileContext<'_> {
    pub(in crate::config) fn push(&mut self, diagnostic: Diagnostic) {
        self.report.push(diagnostic);
    }

    /// Remembers that `path` is read, as the file of `name`.
    pub(in crate::config) fn reads(&mut self, name: impl Into<String>, path: &Path) {
        // What cannot be a target cannot be the path of an output either.
        let path = TargetPath::parse_directory(&path.to_string_lossy(), self.working_directory);
        self.inputs.extend(path.map(|path| (name.into(), path)));
    }
}
