//! What is wrong with a configuration, and how to correct it: a place, a stable code, a cause, a hint.
//! No text here holds a value of the environment, a token or a secret id.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use serde_json::json;

use crate::printable::Printable;

/// A place in a text; both numbers start at 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Position {
    /// Line.
    pub line: u32,
    /// Column, counted in characters.
    pub column: u32,
}

/// Whether the configuration can be used in spite of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Severity {
    /// It cannot.
    Error,
    /// It can.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

macro_rules! codes {
    ($($variant:ident, $severity:ident, $text:literal, $doc:literal, $hint:literal;)*) => {
        /// What kind of mistake it is. The texts are public interface: docs/configuration.md lists them.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Code {
            $(#[doc = $doc] $variant,)*
        }

        impl Code {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The stable text, such as `unknown-key`.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// What it means, in one sentence.
            pub(crate) fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $doc,)* }
            }

            /// What to do about it where nothing more specific is known.
            fn hint(self) -> &'static str {
                match self { $(Self::$variant => $hint,)* }
            }

            /// A code is always an error or always a warning.
            pub fn severity(self) -> Severity {
                match self { $(Self::$variant => Severity::$severity,)* }
            }
        }
    };
}

codes! {
    NoConfiguration, Error, "no-configuration", "No configuration file was found.",
        "\"secrets-sync init > config.yaml\" writes a first one";
    UnreadableFile, Error, "unreadable-file", "A file or directory cannot be read, or is not of the right kind.",
        "check the path, and that the user that runs secrets-sync may read it";
    FileTooLarge, Error, "file-too-large", "The file is larger than a configuration may be.",
        "check that this is the configuration, and split it if it is";
    NotUtf8, Error, "not-utf8", "The file is not UTF-8.",
        "save the file as UTF-8";
    YamlSyntax, Error, "yaml-syntax", "The text is not YAML.",
        "check indentation, brackets and quotes here and in the lines above";
    YamlLimit, Error, "yaml-limit", "The YAML is nested too deeply or too large once its aliases are expanded.",
        "make the document smaller, or split it over several instances";
    DuplicateKey, Error, "duplicate-key", "One mapping has a key twice.",
        "remove one of the two";
    UnknownKey, Error, "unknown-key", "A key that does not exist.",
        "remove it, or look its name up in docs/configuration.md";
    MissingKey, Error, "missing-key", "A key that is needed is absent.",
        "add the key";
    ConflictingKeys, Error, "conflicting-keys", "Keys that exclude each other.",
        "keep one of them";
    ForeignKey, Error, "foreign-key", "A key that the provider of this store does not have.",
        "remove it, or correct the \"provider\" of the store";
    NotBuiltIn, Error, "not-built-in", "A key of a later version.",
        "remove it";
    WrongType, Error, "wrong-type", "A mapping, a list or a text where another is expected.",
        "check the indentation; lists begin with \"- \", mappings are \"key: value\"";
    NotSupported, Error, "not-supported", "A feature of another tool that this program does not have.",
        "leave it out, or keep the other tool for this secret";
    BadValue, Error, "bad-value", "A value that the key does not take.",
        "correct the value; docs/configuration.md says what the key takes";
    BadDuration, Error, "bad-duration", "Not a duration.",
        "write a number with its unit, such as 30s, 5m, 1h30m or 1d";
    BadSize, Error, "bad-size", "Not a size.",
        "write a whole number with its unit, such as 64KiB or 1MiB";
    BadAddress, Error, "bad-address", "Not the address of a store.",
        "for example https://vault.example:8200, or unix:///run/bao.sock";
    BadKey, Error, "bad-key", "Not a path of a secret or of a mount.",
        "write names with single slashes between them, such as app/database";
    BadMode, Error, "bad-mode", "A file mode that is refused.",
        "write three octal digits such as \"0640\"; others must not write, and setuid, setgid and sticky are refused";
    BadOwner, Error, "bad-owner", "An owner or group that does not exist.",
        "write a numeric id, or a name that is in the /etc/passwd or /etc/group of this machine or image";
    BadPath, Error, "bad-path", "A file path that is refused.",
        "write the path of a file, such as /run/secrets/app.env";
    BadTls, Error, "bad-tls", "A TLS file that cannot be used.",
        "the files of tls… settings are PEM files: certificates, and a key that belongs to its certificate";
    EnvUnset, Error, "env-unset", "`${NAME}` names a variable that is not set.",
        "set it, or write \"${NAME:-default}\"";
    BadInterpolation, Error, "bad-interpolation", "`${` without a name or without its end.",
        "write \"${NAME}\" or \"${NAME:-default}\"; for a text that holds \"${\" write \"$${\"";
    BadVariable, Error, "bad-variable", "An environment variable or flag holds a value that is refused.",
        "correct the variable or flag, or remove it for the default";
    OutOfRange, Error, "out-of-range", "A number or a duration outside its limits.",
        "choose a value within the limits; docs/configuration.md lists them";
    TooManySecrets, Error, "too-many-secrets", "More secrets than `limits.maxSecrets`.",
        "raise limits.maxSecrets, or split the file over several instances";
    DuplicateName, Error, "duplicate-name", "Two secrets, or two fields of one secret, of one name.",
        "give each its own name";
    ReservedName, Error, "reserved-name", "A name that means something else: `default` is `secretStore`, `data` and `vars` are words of templates.",
        "choose another name";
    UnknownStore, Error, "unknown-store", "A secret names a store that does not exist.",
        "describe it in secretStores";
    UnknownCredentials, Error, "unknown-credentials", "A secret names credentials that its store does not have.",
        "describe it under \"credentials\" of the store";
    DuplicatePath, Error, "duplicate-path", "Two outputs with one path.",
        "give each output its own path";
    PathConflict, Error, "path-conflict", "An output lies below another output, or where the program reads.",
        "choose a path elsewhere";
    NoContent, Error, "no-content", "A file does not say what it holds.",
        "give it one of key, field, template and format";
    NothingToCheck, Error, "nothing-to-check", "`check` of a secret asks for something of certificates that no file is checked for.",
        "give the file that holds the certificate \"check: certificate\"";
    UnknownHook, Error, "unknown-hook", "A name that is none of `hooks`.",
        "describe it under \"hooks\", or correct the name";
    LeaseConflict, Error, "lease-conflict", "Two secrets ask a path the same, and want different things of the credential that they share.",
        "write the same \"kind\" and \"lease\" in both; an anchor of YAML (&name, *name) keeps them equal";
    UnknownTemplate, Error, "unknown-template", "`key` names no entry of `template.data`.",
        "add the entry to template.data, or correct the name";
    TemplateSyntax, Error, "template-syntax", "A template does not compile.",
        "correct the template there; docs/templates.md says what it may hold, and {% raw %}…{% endraw %} keeps braces as text";
    UnknownSource, Error, "unknown-source", "A Go template calls `secret` with a path that no source of its secret reads.",
        "add the source to dataFrom, or correct the path";
    CannotChown, Warning, "cannot-chown", "This process has no right to give files to that owner or group.",
        "run as root or with CAP_CHOWN, run as the owner itself, or leave \"owner\" and \"group\" out";
    PairedByPosition, Warning, "paired-by-position", "Files take their templates by their order.",
        "say in each file which entry it holds: \"key: …\"";
    UnusedHook, Warning, "unused-hook", "A hook that no secret names.",
        "name it in \"hooks\" of a secret, write \"secrets: all\" into it, or remove it";
    HookWithoutState, Warning, "hook-without-state", "A hook runs after a change, and no state directory remembers that it is owed.",
        "set STATE_DIR to a directory of this daemon's own; systemd's StateDirectory= does it too";
    IssuedWithoutState, Warning, "issued-without-state", "Credentials are issued, and no state directory remembers them.",
        "set STATE_DIR to a directory of this daemon's own; systemd's StateDirectory= does it too";
    IssuedWithoutKey, Warning, "issued-without-key", "Credentials are issued, and their values do not survive a restart.",
        "(umask 077; set -C; head -c 32 /dev/urandom > state.key), and set STATE_KEY_FILE to that file";
    UnusedTemplate, Warning, "unused-template", "An entry of `template.data` that no file names.",
        "give a file this \"key\", or remove the entry";
    DataPrefix, Warning, "data-prefix", "A key that begins as the path of a URL does: with `data/` or `metadata/` on KV v2, with `v1/` or `ui/`.",
        "leave \"data/\" out, unless the secret really lies in a folder of that name";
    MountPrefix, Warning, "mount-prefix", "A key that begins with its own `mountPath`.",
        "leave the mount out of the key: it is put in front of it";
    FieldInKey, Warning, "field-in-key", "A key that seems to name a field or a version too.",
        "name the field in the file, \"field: …\", and the version in \"version: …\"";
    ApiPath, Warning, "api-path", "An address with a part of the API or of the web page in its path.",
        "end the address behind the host and the port";
    OddMode, Warning, "odd-mode", "A mode that is probably not the one that is meant.",
        "write four octal digits in quotes, such as \"0640\"";
    NotAFile, Warning, "not-a-file", "There is something else where a file is read, or where a file or directory is to be written.",
        "remove what is there, or choose another path";
    SameFile, Warning, "same-file", "Two outputs lead to one file or directory, through a symlink of another user.",
        "give each output its own path";
    EngineGuessed, Warning, "engine-guessed", "A text without `engine` that is rendered as a Go template.",
        "write the engine into \"template\" of the secret";
    LiteralVariable, Warning, "literal-variable", "`${NAME}` or `env.NAME` in a template, which is not the environment's variable there.",
        "write {{ NAME }} for a field; templates have no access to the environment";
    HyphenInTemplate, Warning, "hyphen-in-template", "A name with a hyphen in a template, which is a subtraction there.",
        "write {{ data[\"a-b\"] }}";
    MountedFile, Warning, "mounted-file", "The configuration file is a mount of its own.",
        "mount its directory: an edit that replaces the file is not seen otherwise";
    PlainHttp, Warning, "plain-http", "Secrets and tokens cross the network unencrypted.",
        "use https";
    SkipVerify, Warning, "skip-verify", "The server's certificate is not checked.",
        "name the server's CA in tlsCACert";
    IgnoredKey, Warning, "ignored-key", "A key without effect where it stands.",
        "remove the key";
    IgnoredVariable, Warning, "ignored-variable", "An environment variable without effect.",
        "unset it if it is not for another program";
    StaleBeforeRefresh, Warning, "stale-before-refresh", "`maxStaleness` is over before the next refresh.",
        "make it a multiple of refreshInterval";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The node a diagnostic speaks of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// YAML path such as `secrets[2].files[0].mode`, or the name of a variable; empty for the whole file.
    pub path: String,
    /// Where it stands; nothing for what is not in the file.
    pub position: Option<Position>,
}

/// One mistake.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diagnostic {
    /// What kind; the severity follows from it.
    pub code: Code,
    /// Where.
    pub place: Place,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: String,
    /// The line of the file, where the place is in one.
    pub excerpt: Option<Box<Excerpt>>,
}

/// A line of the file, without what may be a secret, and the place in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Excerpt {
    /// As it is shown.
    pub line: String,
    /// Columns before the place.
    pub before: usize,
    /// Columns of the place.
    pub width: usize,
}

impl Diagnostic {
    /// A diagnostic with the hint of its code.
    pub fn new(code: Code, place: Place, message: impl Into<String>) -> Self {
        Self { code, place, message: message.into(), hint: code.hint().to_owned(), excerpt: None }
    }

    /// The same with a hint that knows more than the code.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }
}

/// What a message shows of a key that may be none: in `token:x`, where a blank is missing, the value is part of the key.
pub(super) fn shown_key(key: &str) -> Cow<'_, str> {
    const MOST: usize = 40;
    let is_plain =
        |letter: char| !letter.is_whitespace() && (!letter.is_ascii_punctuation() || "-_./".contains(letter));
    match key.char_indices().enumerate().find(|(n, (_, letter))| *n == MOST || !is_plain(*letter)) {
        None => Cow::Borrowed(key),
        Some((_, (at, _))) => Cow::Owned(format!("{}…", key.get(..at).unwrap_or_default())),
    }
}

/// Every diagnostic of one file. `Display` shows each as a compiler does, its hint last.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// The file's name as the operator wrote it.
    pub file: String,
    /// In the order of the file; those without a position come first.
    pub diagnostics: Vec<Diagnostic>,
}

impl Report {
    /// Nothing to report about `file` so far.
    pub fn new(file: impl Into<String>) -> Self {
        Self { file: file.into(), diagnostics: Vec::new() }
    }

    /// Adds one diagnostic.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    /// Whether there is nothing to report.
    pub fn is_empty(&self) -> bool {
        self.diagnostics.is_empty()
    }

    /// Whether one of them makes the configuration unusable.
    pub fn has_errors(&self) -> bool {
        self.count(Severity::Error) > 0
    }

    /// The first that makes the configuration unusable.
    pub(crate) fn first_error(&self) -> Option<&Diagnostic> {
        self.diagnostics.iter().find(|one| one.code.severity() == Severity::Error)
    }

    /// How many there are of one severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.diagnostics.iter().filter(|one| one.code.severity() == severity).count()
    }

    /// The diagnostics as `validate --json` shows them.
    pub(crate) fn to_json(&self) -> Vec<serde_json::Value> {
        let one = |diagnostic: &Diagnostic| {
            let Diagnostic { code, place, message, hint, excerpt: _ } = diagnostic;
            json!({
                "severity": code.severity().to_string(),
                "code": code.as_str(),
                "file": self.file,
                "line": place.position.map(|position| position.line),
                "column": place.position.map(|position| position.column),
                "path": place.path,
                "message": message,
                "hint": hint,
            })
        };
        self.diagnostics.iter().map(one).collect()
    }

    /// Drops what only says that a value has no text where its syntax is reported already: `{{ name }}` without quotes
    /// is a mapping.
    pub(super) fn drop_consequences(&mut self) {
        let is_syntax = |one: &&Diagnostic| one.code == Code::YamlSyntax;
        let broken: BTreeSet<_> =
            self.diagnostics.iter().filter(is_syntax).map(|one| one.place.path.clone()).collect();
        self.diagnostics.retain(|one| one.code != Code::WrongType || !broken.contains(&one.place.path));
    }

    pub(super) fn sort(&mut self) {
        self.diagnostics.sort_by_key(|one| one.place.position);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, one) in self.diagnostics.iter().enumerate() {
            if n > 0 {
                writeln!(f)?;
            }
            write_one(&self.file, one, f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Report {}

/// As compilers do it: what, where, the line, and what to do about it.
fn write_one(file: &str, diagnostic: &Diagnostic, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let Diagnostic { code, place, message, hint, excerpt } = diagnostic;
    writeln!(f, "{}[{code}]: {}", code.severity(), Printable(message))?;
    write!(f, "  --> {}", Printable(file))?;
    if let Some(Position { line, column }) = place.position {
        write!(f, ":{line}:{column}")?;
    }
    if !place.path.is_empty() {
        write!(f, " ({})", Printable(&place.path))?;
    }
    writeln!(f)?;
    if let (Some(position), Some(Excerpt { line, before, width })) = (place.position, excerpt.as_deref()) {
        let number = position.line.to_string();
        let margin = number.len();
        let (blank, mark) = (" ".repeat(*before), "^".repeat(*width));
        writeln!(f, "{:margin$} |\n{number} | {line}\n{:margin$} | {blank}{mark}", "", "")?;
    }
    writeln!(f, "  hint: {}", Printable(hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let place = Place { path: "secrets[2].mod".into(), position: Some(Position { line: 12, column: 9 }) };
        let mut report = Report::new("config.yaml");
        let unknown = Diagnostic::new(Code::UnknownKey, place, "unknown key \"mod\"").hint("write \"mode\"");
        let excerpt = Some(Box::new(Excerpt { line: "    mod: x".into(), before: 4, width: 3 }));
        report.push(Diagnostic { excerpt, ..unknown });
        report
    }

    #[test]
    fn shows_place_code_message_and_hint() {
        assert_eq!(
            report().to_string(),
            "error[unknown-key]: unknown key \"mod\"\n  --> config.yaml:12:9 (secrets[2].mod)\n   |\n12 |     mod: x\n   |     ^^^\n  \
             hint: write \"mode\"\n"
        );
    }

    #[test]
    fn json_has_the_same_facts() {
        let shown = report().to_json();
        let [one] = &shown[..] else { panic!("{shown:?}") };
        let facts = ["line", "column", "code", "hint"].map(|key| one[key].clone());
        assert_eq!(facts, [json!(12), json!(9), json!("unknown-key"), json!("write \"mode\"")]);
    }

    #[test]
    fn every_code_has_a_hint_of_its_own_accord() {
        for code in Code::ALL {
            let place = Place { path: String::new(), position: None };
            let hint = Diagnostic::new(*code, place, "").hint;
            assert!(hint.len() > 8 && !hint.ends_with('.'), "{code}: {hint:?}");
        }
    }

    #[test]
    fn the_manual_lists_every_code_and_no_other() {
        let manual = include_str!("../../docs/configuration.md");
        let (_, table) = manual.split_once("<!-- codes -->").unwrap();
        let (table, _) = table.split_once("<!-- /codes -->").unwrap();
        let row = |line: &str| {
            let mut cells = line.trim_matches('|').split('|').map(str::trim);
            let code = cells.next()?.strip_prefix('`')?.strip_suffix('`')?.to_owned();
            Some((code, cells.next()?.to_owned()))
        };
        let listed: Vec<_> = table.lines().filter_map(row).collect();
        let known: Vec<_> =
            Code::ALL.iter().map(|code| (code.to_string(), code.severity().to_string())).collect();
        assert_eq!(listed, known);
    }
}
