//! What is said over the control socket: one line of JSON asks, one line answers. No message holds a value of a secret.

use serde::{Deserialize, Serialize};

use crate::fault::{Fault, Kind};
use crate::status::CredentialStatus;

/// Longest request, with its newline: more names than anybody types.
pub const REQUEST_LIMIT: usize = 64 * 1024;

/// What a command of the command line asks the daemon for.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ControlRequest {
    /// Read the secrets of these names now; without names all of them.
    Refresh {
        /// As the configuration calls them.
        #[serde(default)]
        secrets: Vec<String>,
    },
    /// Publish what a brake has refused.
    Approve {
        /// The secret.
        secret: String,
    },
    /// Publish an earlier change, by default the one before, and hold it.
    Rollback {
        /// The secret.
        secret: String,
        /// The number of the change.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<u64>,
    },
    /// End a hold.
    Release {
        /// The secret.
        secret: String,
    },
    /// Say how issued credentials are.
    Leases,
    /// Issue the next credential of a secret.
    Rotate {
        /// The secret.
        secret: String,
        /// Retire the one before as soon as the new one is confirmed.
        #[serde(default)]
        now: bool,
    },
}

impl ControlRequest {
    /// Reads a line, without its newline.
    ///
    /// # Errors
    /// It is no request of this version.
    pub fn parse(line: &[u8]) -> Result<Self, CommandFailure> {
        serde_json::from_slice(line).map_err(|error| CommandFailure {
            kind: CommandFailureKind::Usage,
            message: format!("this is no request that this daemon knows: {}", syntax(&error)),
            hint: "use the program of the daemon's own version".to_owned(),
        })
    }

    /// The line that asks for it.
    pub fn line(&self) -> String {
        line(self)
    }
}

/// Position and category alone: the text of an error quotes the request.
fn syntax(error: &serde_json::Error) -> String {
    format!("{:?} error at column {}", error.classify(), error.column())
}

/// How the daemon answers.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
#[serde(rename_all = "kebab-case")]
pub enum ControlAnswer {
    /// What became of each secret.
    Done(Vec<SecretReport>),
    /// The issued credentials.
    Leases(Vec<CredentialStatus>),
    /// Nothing was done.
    Refused(CommandFailure),
}

impl ControlAnswer {
    /// Reads a line, with or without its newline.
    pub fn parse(line: &[u8]) -> Option<Self> {
        serde_json::from_slice(line).ok()
    }

    /// The line that says it.
    pub fn line(&self) -> String {
        line(self)
    }
}

/// What became of one secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct SecretReport {
    /// Its name.
    pub secret: String,
    /// What was done, as a part of a sentence; or why it was not.
    pub outcome: Result<String, CommandFailure>,
}

/// Why something was not done.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct CommandFailure {
    /// Which exit code it is.
    pub kind: CommandFailureKind,
    /// One sentence, without its full stop.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

impl CommandFailure {
    /// Something about the request is wrong.
    pub fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { kind: CommandFailureKind::Usage, message: message.into(), hint: hint.into() }
    }

    /// The daemon cannot do it now.
    pub fn failed(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { kind: CommandFailureKind::Failed, message: message.into(), hint: hint.into() }
    }
}

impl From<Fault> for CommandFailure {
    fn from(Fault { kind, message, remedy, retry_after: _ }: Fault) -> Self {
        Self { kind: CommandFailureKind::Sync(kind.as_str().to_owned()), message, hint: remedy }
    }
}

/// Whose exit code a refusal has.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
#[serde(rename_all = "kebab-case")]
pub enum CommandFailureKind {
    /// Wrong usage.
    Usage,
    /// Anything unforeseen.
    Failed,
    /// A pass failed; the word of its [`Kind`].
    Sync(String),
}

impl CommandFailureKind {
    /// The kind of a pass that failed.
    pub fn of_pass(&self) -> Option<Kind> {
        match self {
            Self::Sync(word) => Kind::ALL.into_iter().find(|kind| kind.as_str() == word),
            Self::Usage | Self::Failed => None,
        }
    }
}

fn line(message: &impl Serialize) -> String {
    // Names, numbers and sentences: nothing in them can fail to be JSON, and a newline in one is escaped.
    let mut line = serde_json::to_string(message).unwrap_or_default();
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_one_line_and_reads_the_same() {
        for secrets in [vec![], vec!["a\nb".to_owned(), "\u{1b}".to_owned()]] {
            let request = ControlRequest::Refresh { secrets };
            let line = request.line();
            assert_eq!(line.matches('\n').count(), 1, "{line}");
            assert_eq!(ControlRequest::parse(line.trim_end().as_bytes()), Ok(request));
        }
        let short = br#"{"command":"refresh"}"#;
        assert_eq!(ControlRequest::parse(short), Ok(ControlRequest::Refresh { secrets: Vec::new() }));
    }

    #[test]
    fn what_is_no_request_is_refused_and_not_quoted() {
        for text in [
            "",
            "hunter2",
            r#"{"command":"hunter2"}"#,
            r#"{"command":"refresh","hunter2":1}"#,
            r#"{"command":"refresh","secrets":"hunter2"}"#,
            r#"{"command":"refresh"} hunter2"#,
        ] {
            let refusal = ControlRequest::parse(text.as_bytes()).unwrap_err();
            assert_eq!(refusal.kind, CommandFailureKind::Usage);
            assert!(!refusal.message.contains("hunter2"), "{refusal:?}");
        }
    }

    #[test]
    fn an_answer_keeps_the_kind_of_a_failed_pass() {
        let refusal = CommandFailure::from(Fault::new(Kind::Denied, "no", "ask"));
        let report = SecretReport { secret: "a".to_owned(), outcome: Err(refusal) };
        let answer = ControlAnswer::Done(vec![report]);
        let read = ControlAnswer::parse(answer.line().as_bytes()).unwrap();
        assert_eq!(read, answer);
        let ControlAnswer::Done(reports) = read else { panic!("{read:?}") };
        assert_eq!(reports[0].outcome.as_ref().unwrap_err().kind.of_pass(), Some(Kind::Denied));
    }
}
