//! What `secret "path"` in a Go template looks into: the answers of the sources of one secret, by the path of the API.

use std::collections::BTreeMap;
use std::fmt;

use super::fields::FieldValue;
use super::text::SecretText;

/// The path of one source as the API of the server has it: `secret/data/app/db`, `kv1/app`, `secret/data/app/db?version=2`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AnswerPath {
    path: String,
    /// The mount, if it is of KV version 2.
    kv2_mount: Option<String>,
    /// What is sent along. `None`: a template may ask with any arguments.
    parameters: Option<AnswerParameters>,
}

/// Parameters by name, as texts; one without a text may be anything.
pub type AnswerParameters = BTreeMap<String, Option<SecretText>>;

/// What a template asks for: a path, and the arguments behind it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AnswerQuery {
    path: String,
    /// By name. `None` where they are not known before the template is rendered.
    arguments: Option<BTreeMap<String, String>>,
}

impl AnswerQuery {
    /// A question for `path` with arguments of the form `name=value`; nothing if one has another form. Empty ones are none.
    pub fn new<'a>(path: &str, arguments: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let arguments = arguments.into_iter().filter(|argument| !argument.is_empty());
        let pair = |argument: &str| {
            let (name, value) = argument.split_once('=')?;
            Some((name.trim().to_owned(), value.trim().to_owned()))
        };
        let arguments = arguments.map(pair).collect::<Option<_>>()?;
        Some(Self { path: normalized(path).to_owned(), arguments: Some(arguments) })
    }

    /// A question for `path` with arguments that are not known yet.
    pub fn with_any_arguments(path: &str) -> Self {
        Self { path: normalized(path).to_owned(), arguments: None }
    }

    /// The path, without the slashes around it.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The names of its arguments.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.arguments.iter().flat_map(|arguments| arguments.keys().map(String::as_str))
    }

    fn has_no_arguments(&self) -> bool {
        self.arguments.as_ref().is_some_and(BTreeMap::is_empty)
    }
}

impl AnswerPath {
    /// The path of a source that is not of KV version 2.
    pub fn plain(path: &str) -> Self {
        Self { path: normalized(path).to_owned(), kv2_mount: None, parameters: None }
    }

    /// The path of a source that sends `parameters`.
    pub fn with_parameters(path: &str, parameters: AnswerParameters) -> Self {
        Self { parameters: Some(parameters), ..Self::plain(path) }
    }

    /// The path of `key` below `mount`, which is of KV version 2.
    pub fn kv2(mount: &str, key: &str, version: Option<u64>) -> Self {
        let (mount, key) = (normalized(mount), normalized(key));
        let version = version.map(|version| format!("?version={version}")).unwrap_or_default();
        let path = format!("{mount}/data/{key}{version}");
        Self { path, kv2_mount: Some(mount.to_owned()), parameters: None }
    }

    /// The index of the one of `paths` that a template means: with the same parameters as its arguments. Without arguments
    /// the only source of a path is meant, whatever that sends.
    pub fn find<'p>(paths: impl IntoIterator<Item = &'p Self>, asked: &AnswerQuery) -> Option<usize> {
        let at_path: Vec<_> =
            paths.into_iter().enumerate().filter(|(_, path)| path.is_meant_by(&asked.path)).collect();
        let same = at_path.iter().find(|(_, path)| path.takes(asked)).map(|(index, _)| *index);
        same.or_else(|| match at_path.as_slice() {
            [(only, _)] if asked.has_no_arguments() => Some(*only),
            _ => None,
        })
    }

    fn takes(&self, asked: &AnswerQuery) -> bool {
        let (Some(parameters), Some(arguments)) = (&self.parameters, &asked.arguments) else { return true };
        let is_same = |(name, value): (&String, &Option<SecretText>)| {
            // EXPOSE: compared with what the template says
            let is_equal = |asked: &String| value.as_ref().is_none_or(|value| value.expose() == asked);
            arguments.get(name).is_some_and(is_equal)
        };
        parameters.len() == arguments.len() && parameters.iter().all(is_same)
    }

    /// Whether a template that says `asked` means this path. As for the Agent, the `data/` of KV version 2 may be absent.
    fn is_meant_by(&self, asked: &str) -> bool {
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

    /// The answer that a template means, and its index.
    pub fn find(&self, asked: &AnswerQuery) -> Option<(usize, &FieldValue)> {
        let index = AnswerPath::find(self.0.iter().map(|(path, _)| path), asked)?;
        self.0.get(index).map(|(_, answer)| (index, answer))
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
        let is_meant = |path: &AnswerPath, asked: &str| {
            AnswerPath::find([path], &AnswerQuery::new(asked, []).unwrap()).is_some()
        };
        for asked in ["team/kv/data/app/db", "/team/kv/data/app/db", "team/kv/app/db", "team/kv/app/db/"] {
            assert!(is_meant(&path, asked), "{asked}");
        }
        for asked in ["team/kv/data/app", "team/kvapp/db", "app/db", "team/kv/app/db?version=1", ""] {
            assert!(!is_meant(&path, asked), "{asked}");
        }
        assert!(is_meant(&AnswerPath::plain("kv1/app"), "/kv1/app"));
        assert!(!is_meant(&AnswerPath::plain("kv1/data/app"), "kv1/app"));
        assert!(is_meant(&AnswerPath::kv2("secret", "a", Some(2)), "secret/a?version=2"));
    }

    #[test]
    fn arguments_choose_among_the_sources_of_one_path() {
        let source = |parameters: &[(&str, Option<&str>)]| {
            let text = |text: &&str| SecretText::new((*text).to_owned());
            let parameter =
                |(name, value): &(&str, Option<&str>)| ((*name).to_owned(), value.as_ref().map(text));
            AnswerPath::with_parameters("pki/issue/web", parameters.iter().map(parameter).collect())
        };
        let a = source(&[("common_name", Some("a")), ("ttl", Some("24h"))]);
        let b = source(&[("common_name", Some("b"))]);
        let file = source(&[("csr", None)]);
        let find = |paths: &[&AnswerPath], arguments: &[&str]| {
            AnswerPath::find(
                paths.iter().copied(),
                &AnswerQuery::new("pki/issue/web", arguments.to_owned()).unwrap(),
            )
        };
        let all = [&a, &b, &file];
        assert_eq!(find(&all, &["ttl=24h", " common_name = a ", ""]), Some(0));
        assert_eq!(find(&all, &["common_name=b"]), Some(1));
        assert_eq!(find(&all, &["csr=x=y"]), Some(2));
        for none in [&["common_name=a"][..], &["common_name=b", "ttl=1h"], &["common_name=c"], &[]] {
            assert_eq!(find(&all, none), None, "{none:?}");
        }
        // The only source of a path needs no arguments, and one without parameters is meant where there are none.
        assert_eq!(find(&[&a], &[]), Some(0));
        assert_eq!(find(&[&a], &["common_name=b"]), None);
        assert_eq!(find(&[&a, &source(&[])], &[]), Some(1));
        assert_eq!(AnswerPath::find([&b], &AnswerQuery::with_any_arguments("/pki/issue/web")), Some(0));
        assert_eq!(AnswerQuery::new("pki/issue/web", ["common_name"]), None);
    }

    #[test]
    fn debug_shows_paths_and_no_value() {
        let mut answers = Answers::default();
        answers.insert(AnswerPath::plain("kv1/app"), FieldValue::from("hunter2"));
        assert_eq!(format!("{answers:?}"), r#"{"kv1/app"}"#);
        assert!(answers.find(&AnswerQuery::new("kv1/app", []).unwrap()).is_some());
    }
}
