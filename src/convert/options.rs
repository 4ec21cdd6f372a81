//! What a conversion is given.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::text_origin::TextOrigin;

/// One file to convert.
pub struct ConvertInput {
    /// Its name as the operator wrote it.
    pub name: String,
    /// What it holds; it may be a credential.
    pub text: Zeroizing<String>,
    /// Whether the operator named it; a file of a directory may be anything.
    pub is_named: bool,
}

/// What the command line says of a conversion.
#[derive(Clone, Debug)]
pub struct ConvertOptions {
    /// Where the files of the secrets will lie.
    pub output_dir: String,
    /// The mount of keys whose store says nothing of one.
    pub mount_path: Option<String>,
    /// KV versions by mount: `v1` or `v2`.
    pub kv_versions: BTreeMap<String, String>,
    /// The mode of all files.
    pub mode: Option<String>,
}

impl Default for ConvertOptions {
    /// As without options on the command line.
    fn default() -> Self {
        Self {
            output_dir: "./secrets".to_owned(),
            mount_path: None,
            kv_versions: BTreeMap::new(),
            mode: None,
        }
    }
}

impl ConvertOptions {
    /// Where a file lies: an absolute path stays, another one is below `--output-dir`.
    pub(super) fn placed(&self, path: &str) -> String {
        match path.strip_prefix("./").unwrap_or(path) {
            absolute if absolute.starts_with('/') => absolute.to_owned(),
            relative => format!("{}/{relative}", self.output_dir.trim_end_matches('/')),
        }
    }
}

/// Whether a path that [`ConvertOptions::placed`] gave leads out of `--output-dir`.
pub(super) fn leads_out(placed: &str, output_dir: &str) -> bool {
    let below = placed.strip_prefix(output_dir.trim_end_matches('/'));
    below.is_some_and(|below| below.split('/').any(|part| part == ".."))
}

/// The files that a template's path may mean, the likeliest first; the second text is the file that names it.
pub type TemplateFinder<'f> = dyn Fn(&str, &str) -> Vec<FoundTemplate> + 'f;

/// A template that the operator's directories hold.
pub struct FoundTemplate {
    /// Its path, or that of the file that holds it.
    pub name: String,
    /// Where it begins there.
    pub origin: TextOrigin,
    /// What it holds.
    pub text: Zeroizing<String>,
}

impl FoundTemplate {
    /// A template that is a whole file.
    pub fn of_file(name: String, text: Zeroizing<String>) -> Self {
        Self { name, origin: TextOrigin::FILE, text }
    }
}
