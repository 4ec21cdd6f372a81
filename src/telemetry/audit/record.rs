//! One line of the audit stream. It consists of names and numbers only: there is no place for a value.

use serde::Serialize;

/// A secret and where it is read.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Subject<'a> {
    /// `secrets[].name`.
    pub secret: &'a str,
    /// Its store.
    pub store: &'a str,
    /// The credential set that reads it; none where the store knows no credentials.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials: Option<&'a str>,
    /// Mount and key.
    pub path: &'a str,
    /// The namespace; none is the root namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<&'a str>,
}

/// An issued credential: what it is of, and its names.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct AuditedCredential<'a> {
    /// The secrets that use it.
    pub secrets: &'a [String],
    /// The store that issues.
    pub store: &'a str,
    /// The path that was asked.
    pub path: &'a str,
    /// Its number.
    pub number: u64,
    /// Its lease, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease: Option<&'a str>,
    /// The serial number of a certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<&'a str>,
}

/// The content of a line.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Record<'a> {
    /// A secret was read, or was not.
    Fetch {
        /// The secret.
        #[serde(flatten)]
        subject: Subject<'a>,
        /// The store's version number.
        #[serde(skip_serializing_if = "Option::is_none")]
        version: Option<u64>,
        /// The store's own name of its answer.
        #[serde(skip_serializing_if = "Option::is_none")]
        request_id: Option<&'a str>,
        /// `ok`, or the kind of failure.
        result: &'a str,
    },
    /// A file was written or repaired; without a file: the next one could not be.
    Write {
        /// The secret.
        #[serde(flatten)]
        subject: Subject<'a>,
        /// As for `Fetch`.
        #[serde(skip_serializing_if = "Option::is_none")]
        version: Option<u64>,
        /// As for `Fetch`.
        #[serde(skip_serializing_if = "Option::is_none")]
        request_id: Option<&'a str>,
        /// The file.
        #[serde(skip_serializing_if = "Option::is_none")]
        file: Option<&'a str>,
        /// `changed` or `repaired`.
        #[serde(skip_serializing_if = "Option::is_none")]
        change: Option<&'a str>,
        /// As for `Fetch`.
        result: &'a str,
    },
    /// A file was removed.
    Delete {
        /// The secret.
        #[serde(flatten)]
        subject: Subject<'a>,
        /// The file.
        file: &'a str,
        /// As for `Fetch`.
        result: &'a str,
    },
    /// A credential set got a token, or got none.
    Login {
        /// The store.
        store: &'a str,
        /// The credential set.
        credentials: &'a str,
        /// As for `Fetch`.
        result: &'a str,
    },
    /// The configuration was read again.
    Reload {
        /// `ok` or `error`.
        result: &'a str,
    },
    /// A credential was issued.
    Issued(AuditedCredential<'a>),
    /// The files of a secret hold it.
    Published {
        /// The secret.
        secret: &'a str,
        /// Which.
        #[serde(flatten)]
        credential: AuditedCredential<'a>,
    },
    /// All its consumers have it.
    Confirmed(AuditedCredential<'a>),
    /// It is over.
    Retired {
        /// Which.
        #[serde(flatten)]
        credential: AuditedCredential<'a>,
        /// `revoked`, `denied` or `ended`.
        result: &'a str,
    },
    /// The server has forgotten it before its end.
    #[serde(rename = "lease_lost")]
    LeaseLost(AuditedCredential<'a>),
    /// Lines that should stand before this one could not be written.
    Lost {
        /// How many.
        lines: u64,
    },
}

impl Record<'_> {
    /// The line of JSON, with its newline.
    pub(super) fn line(&self, ts: &str) -> String {
        #[derive(Serialize)]
        struct RecordLine<'a> {
            ts: &'a str,
            #[serde(flatten)]
            record: &'a Record<'a>,
        }
        // Names and numbers always have a JSON form.
        let mut line = serde_json::to_string(&RecordLine { ts, record: self }).unwrap_or_default();
        line.push('\n');
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_holds_what_is_known_and_nothing_else() {
        let subject = Subject {
            secret: "tls",
            store: "default",
            credentials: Some("team"),
            path: "secret/\"odd\"\n",
            namespace: None,
        };
        let record = Record::Fetch { subject, version: Some(3), request_id: None, result: "ok" };
        assert_eq!(
            record.line("2026-01-01T00:00:00.000Z"),
            "{\"ts\":\"2026-01-01T00:00:00.000Z\",\"event\":\"fetch\",\"secret\":\"tls\",\"store\":\"default\",\
             \"credentials\":\"team\",\"path\":\"secret/\\\"odd\\\"\\n\",\"version\":3,\"result\":\"ok\"}\n"
        );
    }
}
