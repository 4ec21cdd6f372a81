//! Credentials of the configuration and their files, read and checked before anything is sent.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::IgnoredAny;
use tokio::time::Duration;
use zeroize::Zeroizing;

use crate::blocking::Worker;
use crate::config::provider::vault::{AuthSpec, Credential};
use crate::disk::{self, Access};
use crate::fault::{Fault, Kind};
use crate::regular_file;
use crate::secret::SecretText;

/// How long a credential file may take to read, or to look at.
const READ_LIMIT: Duration = Duration::from_secs(5);

/// What tells one state of a file from another without reading it; `None` where there is no file.
type CredentialStamp = Option<(u64, u64, u64, i64, i64)>;

/// The credential files of one set, and the one thread that touches them.
pub(crate) struct CredentialFiles {
    paths: Arc<[PathBuf]>,
    worker: Worker,
}

impl CredentialFiles {
    pub(crate) fn new(spec: &AuthSpec) -> Self {
        Self { paths: spec.files().map(Path::to_owned).collect(), worker: Worker::default() }
    }

    /// Whether every credential is a value of the configuration.
    pub(crate) fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// The state of all files, through symlinks: Kubernetes swaps `..data` and not the file. `None` while a file system
    /// hangs.
    pub(crate) async fn stamps(&self) -> Option<Vec<CredentialStamp>> {
        let paths = Arc::clone(&self.paths);
        let stamps = self.worker.run("looking at credential files", READ_LIMIT, move |step| {
            let look = |path: &PathBuf| {
                step.set(format!("looking at {}", path.display()));
                stamp(path)
            };
            paths.iter().map(look).collect()
        });
        stamps.await.ok()
    }

    /// The credential `name` of the configuration as it is now.
    pub(super) async fn load(&self, credential: &Credential, name: &str) -> Result<SecretText, Fault> {
        match credential {
            Credential::Value(value) => {
                // EXPOSE: checked and trimmed into its own carrier.
                clean(value.expose().to_owned(), name)
            }
            Credential::File(path) => self.load_file(path, name).await,
        }
    }

    /// The password `name` of the configuration as it is now. People choose passwords: they may hold anything but a line
    /// break, quotes and brackets included.
    pub(super) async fn load_password(
        &self,
        credential: &Credential,
        name: &str,
    ) -> Result<SecretText, Fault> {
        match credential {
            Credential::Value(value) => {
                // EXPOSE: checked and trimmed into its own carrier.
                clean_password(value.expose().to_owned(), name)
            }
            Credential::File(path) => {
                let shown = format!("{name}File {}", path.display());
                clean_password(self.text_in(path, &shown).await?, &shown)
            }
        }
    }

    /// A PEM file as it is now, which is read by others.
    pub(super) async fn load_pem(&self, path: &Path, name: &str) -> Result<SecretText, Fault> {
        self.text_in(path, &format!("{name} {}", path.display())).await.map(SecretText::new)
    }

    async fn load_file(&self, path: &Path, name: &str) -> Result<SecretText, Fault> {
        let shown = format!("{name}File {}", path.display());
        clean(self.text_in(path, &shown).await?, &shown)
    }

    /// The text in the file `path`, which messages call `shown`.
    async fn text_in(&self, path: &Path, shown: &str) -> Result<String, Fault> {
        let path = path.to_owned();
        let fault = |cause: String, remedy: String| {
            Fault::new(Kind::NoCredentials, format!("cannot read {shown}: {cause}"), remedy)
        };
        let read = self.worker.run(format!("reading {}", path.display()), READ_LIMIT, move |_| {
            regular_file::read(&path, regular_file::MOST_OF_A_VALUE).map_err(|error| {
                let is_denied = error.io_kind() == Some(std::io::ErrorKind::PermissionDenied);
                let hint = if is_denied { disk::sandbox_hint(&path, Access::Read) } else { None };
                (error, hint)
            })
        });
        let content = match read.await {
            Ok(Ok(content)) => content,
            Ok(Err((error, hint))) => {
                return Err(fault(error.to_string(), hint.unwrap_or_else(|| error.remedy(shown))));
            }
            Err(error) => return Err(fault(error.to_string(), error.remedy().to_owned())),
        };
        text_of(content, shown)
    }
}

fn stamp(path: &Path) -> CredentialStamp {
    let data = std::fs::metadata(path).ok()?;
    Some((data.dev(), data.ino(), data.size(), data.mtime(), data.mtime_nsec()))
}

/// The content of a file as text.
fn text_of(mut content: Zeroizing<Vec<u8>>, name: &str) -> Result<String, Fault> {
    let cause = match content.as_slice() {
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => "is UTF-16 text",
        bytes if bytes.contains(&0) => "holds zero bytes: UTF-16 text, or no text at all",
        _ => match String::from_utf8(std::mem::take(&mut *content)) {
            Ok(text) => return Ok(text),
            Err(error) => {
                drop(Zeroizing::new(error.into_bytes()));
                "is no UTF-8 text"
            }
        },
    };
    Err(Fault::new(Kind::Login, format!("{name} {cause}"), "save it as plain UTF-8 text"))
}

/// One newline at the end is not part of a credential. Text around it that a person or a tool has added is refused
/// here: the server would call the credential wrong, and a control character would end a header.
pub(crate) fn clean(text: String, name: &str) -> Result<SecretText, Fault> {
    let mut text = without_newline(text, name)?;
    if let Some((cause, remedy)) = decoration(&text) {
        return Err(Fault::new(Kind::Login, format!("{name} {cause}"), remedy));
    }
    Ok(SecretText::new(std::mem::take(&mut *text)))
}

/// The same for a password, which is sent in a body and may hold whatever a person can type.
fn clean_password(text: String, name: &str) -> Result<SecretText, Fault> {
    let mut text = without_newline(text, name)?;
    let (cause, remedy) = if text.starts_with('\u{feff}') {
        MARKED
    } else if text.contains(['\n', '\r']) {
        ("holds several lines", ALONE)
    } else {
        return Ok(SecretText::new(std::mem::take(&mut *text)));
    };
    Err(Fault::new(Kind::Login, format!("{name} {cause}"), remedy))
}

fn without_newline(text: String, name: &str) -> Result<Zeroizing<String>, Fault> {
    let mut text = Zeroizing::new(text);
    if text.ends_with('\n') {
        text.pop();
    }
    if text.ends_with('\r') {
        text.pop();
    }
    if text.is_empty() {
        let remedy = "it is tried again: the program that writes it may not be done yet";
        return Err(Fault::new(Kind::NoCredentials, format!("{name} is empty"), remedy));
    }
    Ok(text)
}

const ALONE: &str = "put only the credential there, on one line";

const MARKED: (&str, &str) = ("begins with a byte order mark", "save it as UTF-8 without a byte order mark");

/// What a credential has around it, and what to do about it.
fn decoration(text: &str) -> Option<(&'static str, &'static str)> {
    const INVISIBLE: [char; 6] = ['\u{a0}', '\u{200b}', '\u{200c}', '\u{200d}', '\u{2060}', '\u{feff}'];
    let uncut = text.strip_suffix(',').unwrap_or(text);
    let is_quoted = |quote| uncut.len() > 1 && uncut.starts_with(quote) && uncut.ends_with(quote);
    let lower = text.trim_start().to_ascii_lowercase();
    if text.starts_with('\u{feff}') {
        Some(MARKED)
    } else if text.trim_start().starts_with(['{', '[']) && serde_json::from_str::<IgnoredAny>(text).is_ok() {
        Some(("holds JSON", "extract the field first, for example with `jq -r`"))
    } else if text.contains(['\n', '\r']) {
        Some(("holds several lines", ALONE))
    } else if text.contains(char::is_control) {
        Some(("holds a control character", ALONE))
    } else if ['"', '\'', '`'].into_iter().any(is_quoted) {
        Some(("is in quotes", "remove the quotes"))
    } else if text.contains(INVISIBLE) {
        Some(("holds an invisible character", "copy it as plain text, or type it"))
    } else if text.starts_with("${") && text.ends_with('}') {
        Some(("holds the name of a variable, which is not replaced in a file", ALONE))
    } else if text.starts_with('<') && text.ends_with('>') {
        Some(("holds a placeholder", ALONE))
    } else if ["export ", "vault_token=", "bao_token=", "token:", "token=", "bearer ", "x-vault-token:"]
        .iter()
        .any(|prefix| lower.starts_with(prefix))
    {
        Some(("holds more than the credential", ALONE))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(secret: &SecretText) -> &str {
        // EXPOSE: compared in a test.
        secret.expose()
    }

    #[test]
    fn one_newline_is_trimmed_and_no_more() {
        assert_eq!(text(&clean("abc\n".into(), "token").unwrap()), "abc");
        assert_eq!(text(&clean("abc\r\n".into(), "token").unwrap()), "abc");
        assert_eq!(text(&clean(" abc ".into(), "token").unwrap()), " abc ");
        assert!(clean("abc\n\n".into(), "token").is_err());
    }

    #[test]
    fn a_password_may_hold_what_would_be_a_mistake_in_a_token() {
        for password in ["\"quoted\"", "<angled>", "{\"a\":1}", "token: x", " spaces ", "tab\there"] {
            assert_eq!(text(&clean_password(format!("{password}\n"), "password").unwrap()), password);
        }
        for (content, kind) in
            [("", Kind::NoCredentials), ("hunter2\nx", Kind::Login), ("\u{feff}hunter2", Kind::Login)]
        {
            let fault = clean_password(content.into(), "password").unwrap_err();
            assert!(fault.kind == kind && !format!("{fault:?}").contains("hunter2"), "{fault:?}");
        }
    }

    #[test]
    fn an_empty_credential_is_a_login_fault_that_names_its_place() {
        for empty in ["", "\n", "\r\n"] {
            let fault = clean(empty.into(), "tokenFile /run/t").unwrap_err();
            assert_eq!(
                (fault.kind, fault.message.as_str()),
                (Kind::NoCredentials, "tokenFile /run/t is empty")
            );
        }
    }

    #[test]
    fn a_line_break_inside_is_refused_without_being_shown() {
        let fault = clean("hunter2\nX-Evil: 1".into(), "token").unwrap_err();
        assert!(!format!("{fault:?}").contains("hunter2"));
    }

    #[test]
    fn what_is_around_a_credential_is_named_and_not_shown() {
        let table: [(&[u8], &str); 19] = [
            (b"\xEF\xBB\xBFhvs.hunter2\n", "byte order mark"),
            (b"\"hvs.hunter2\"\n", "quotes"),
            (b"'hvs.hunter2'", "quotes"),
            (b"{\"token\":\"hvs.hunter2\"}", "JSON"),
            (b"  {\n \"auth\": {}\n}\n", "JSON"),
            (b"[\"hvs.hunter2\"]", "JSON"),
            (b"\xFF\xFEh\0v\0s\0.\0", "UTF-16"),
            (b"\xFE\xFF\0h\0v\0s\0.", "UTF-16"),
            (b"h\0v\0s\0.\0", "UTF-16"),
            (b"\xff\xff", "UTF-8"),
            (b"# the token\nhvs.hunter2\n", "several lines"),
            (b"VAULT_TOKEN=hvs.hunter2", "more than"),
            (b"Bearer hvs.hunter2", "more than"),
            (b"token: hvs.hunter2", "more than"),
            (b"X-Vault-Token: hvs.hunter2", "more than"),
            (b"\"hvs.hunter2\",", "quotes"),
            (b"${HUNTER2}", "variable"),
            (b"<hvs.hunter2>", "placeholder"),
            ("\u{200b}hvs.hunter2".as_bytes(), "invisible"),
        ];
        for (content, cause) in table {
            let read = text_of(Zeroizing::new(content.to_vec()), "tokenFile /run/t");
            let fault = read.and_then(|text| clean(text, "tokenFile /run/t")).unwrap_err();
            assert!(fault.message.contains(cause) && fault.message.contains("/run/t"), "{fault:?}");
            assert!(!format!("{fault:?}").contains("hunter2"), "{fault:?}");
        }
        for plain in [
            "hvs.CAESIJ-_x.y",
            "s.abc",
            "{s3cr3t",
            "[a]b",
            "{\"a\"",
            "it's",
            "a=b",
            "x\"",
            "00000000-0000-0000-0000-000000000000",
        ] {
            assert!(clean(plain.into(), "token").is_ok(), "{plain}");
        }
    }
}
