//! What `secret "path"` in a Go template looks into: the answers of the sources of one secret, by the path of the API.

use std::fmt;

use super::fields::FieldValue;

/// The path of one source as the API of the server has it: `secret/data/app/db`, `kv1/app`, `secret/data/app/db?version=2`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AnswerPath {
    path: String,
    /// The mount, if it is of KV version 2.
    kv2_mount: Option<String>,
}

impl AnswerPath {
    /// The path of a source that is not of KV version 2.
    pub fn plain(path: &str) -> Self {
        Self { path: normalized(path).to_owned(), kv2_mount: None }
    }

    /// The path of `key` below `mount`, which is of KV version 2.
    pub fn kv2(mount: &str, key: &str, version: Option<u64>) -> Self {
        let (mount, key) = (normalized(mount), normalized(key));
        let version = version.map(|version| format!("?version={version}")).unwrap_or_default();
        Self { path: format!("{mount}/data/{key}{version}"), kv2_mount: Some(mount.to_owned()) }
    }

    /// Whether a template that says `asked` means this path. As for the Agent, the `data/` of KV version 2 may be absent.
    pub fn is_meant_by(&self, asked: &str) -> bool {
        let asked = normalized(asked);
        let below = |mount: &str| self.path.strip_prefix(mount)?.strip_prefix("/data/");
        let key = self.kv2_mount.as_deref().and_then(|mount| Some((mount, below(mount)?)));
        asked == self.path
            || key.is_some_and(|(mount, key)| {
                asked.strip_prefix(mount).and_then(|asked| asked.strip_prefix('/')) == Some(key)
            })
    }

    /// The path as messages show it.
    pub fn as_str(&self) -> &str {
        &self.path
    }
}

fn normalized(path: &str) -> &str {
    path.trim_matches('/')
}

/// The answers of one secret's sources. Empty where no template calls `secret`.
///
/// Each answer is a map of the shape of Vault's: `Data` (for KV version 2 with `data` and `metadata` in it), and where
/// the server said so `LeaseID`, `LeaseDuration`, `Renewable`, `RequestID` and `Warnings`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Answers(Vec<(AnswerPath, FieldValue)>);

static NO_ANSWERS: Answers = Answers(Vec::new());

impl Answers {
    /// No answer at all.
    pub fn none() -> &'static Self {
        &NO_ANSWERS
    }

    /// Adds the answer at `path`.
    pub fn insert(&mut self, path: AnswerPath, answer: FieldValue) {
        self.0.push((path, answer));
    }

    /// The answer that a template means by `asked`.
    pub fn answer(&self, asked: &str) -> Option<&FieldValue> {
        self.0.iter().find(|(path, _)| path.is_meant_by(asked)).map(|(_, answer)| answer)
    }

    /// The paths there are.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(path, _)| path.as_str())
    }
}

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.paths()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_means_a_source_by_every_spelling_of_the_agent() {
        let path = AnswerPath::kv2("team/kv", "/app/db", None);
        for asked in ["team/kv/data/app/db", "/team/kv/data/app/db", "team/kv/app/db", "team/kv/app/db/"] {
            assert!(path.is_meant_by(asked), "{asked}");
        }
        for asked in ["team/kv/data/app", "team/kvapp/db", "app/db", "team/kv/app/db?version=1", ""] {
            assert!(!path.is_meant_by(asked), "{asked}");
        }
        assert!(AnswerPath::plain("kv1/app").is_meant_by("/kv1/app"));
        assert!(!AnswerPath::plain("kv1/data/app").is_meant_by("kv1/app"));
        assert!(AnswerPath::kv2("secret", "a", Some(2)).is_meant_by("secret/a?version=2"));
    }

    #[test]
    fn debug_shows_paths_and_no_value() {
        let mut answers = Answers::default();
        answers.insert(AnswerPath::plain("kv1/app"), FieldValue::from("hunter2"));
        assert_eq!(format!("{answers:?}"), r#"{"kv1/app"}"#);
        assert!(answers.answer("kv1/app").is_some());
    }
}
