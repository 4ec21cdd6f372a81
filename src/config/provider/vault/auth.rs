//! How a credential set logs in. One table says which keys each method takes, and which of them it needs.

use std::collections::BTreeMap;

use super::{AuthSpec, Credential, credential};
use crate::config::compile::context::CompileContext;
use crate::config::compile::path;
use crate::config::compile::section::Section;
use crate::config::diagnostic::{Code, Diagnostic, Place};
use crate::config::keys::{KeySet, KeySpec, KeyType};

/// One login method.
struct MethodRow {
    name: &'static str,
    /// The keys that it takes, beside `authMethod` and those of [`Self::needs`].
    takes: &'static [&'static str],
    /// The keys without which it does not work. A credential may come from its file.
    needs: &'static [&'static str],
    /// Where the method is mounted unless `authMount` says otherwise; empty for one that does not log in.
    mount: &'static str,
    /// `None` where something is missing, which has been reported.
    spec: fn(LoginKeys) -> Option<AuthSpec>,
}

static METHODS: [MethodRow; 3] = [
    MethodRow {
        name: "token",
        takes: &[],
        needs: &["token"],
        mount: "",
        spec: |mut keys| Some(AuthSpec::Token { token: keys.credential("token")? }),
    },
    MethodRow {
        name: "approle",
        takes: &["secretId", WRAPPED],
        needs: &["roleId"],
        mount: "approle",
        spec: |mut keys| {
            Some(AuthSpec::AppRole {
                role_id: keys.credential("roleId")?,
                secret_id: keys.credential("secretId"),
                is_wrapped: keys.is_wrapped,
                mount: keys.mount,
            })
        },
    },
    MethodRow { name: "none", takes: &[], needs: &[], mount: "", spec: |_| Some(AuthSpec::None) },
];

/// The names of [`METHODS`].
const NAMES: &[&str] = &["token", "approle", "none"];

/// The way out for a method that is not built in.
const OTHER_METHODS: &str = "write token, approle or none. For any other method let \"bao agent\" or \"vault agent\" log in \
                             (auto_auth with a file sink) and name the sink's file in tokenFile";

/// Each credential, and the key of the file that holds it.
const CREDENTIAL_KEYS: [(&str, &str); 3] =
    [("token", "tokenFile"), ("roleId", "roleIdFile"), ("secretId", "secretIdFile")];

/// The credentials that a method is inferred from, in this order.
const INFERRED: [(&str, &str); 3] = [("token", "token"), ("roleId", "approle"), ("secretId", "approle")];

/// A set of `credentials`.
pub(super) static CREDENTIALS: KeySet = KeySet::new("credentials", &[KEYS]);

/// The keys of logging in.
pub(super) const KEYS: &[KeySpec] = &[
    KeySpec::new(
        "authMethod",
        KeyType::Choice(NAMES),
        "what the credentials are for",
        "how it logs in; `none` where an agent or proxy in between adds the token",
    ),
    KeySpec::new("token", KeyType::Credential, "", "the token"),
    KeySpec::new("tokenFile", KeyType::LocalPath, "", "a file that holds the token"),
    KeySpec::new("roleId", KeyType::Credential, "", "the role id of an AppRole"),
    KeySpec::new("roleIdFile", KeyType::LocalPath, "", "a file that holds the role id"),
    KeySpec::new("secretId", KeyType::Credential, "", "the secret id; not needed where the role binds none"),
    KeySpec::new("secretIdFile", KeyType::LocalPath, "", "a file that holds the secret id"),
    KeySpec::new(
        WRAPPED,
        KeyType::Boolean,
        "`false`",
        "the secret id is a wrapping token, which is checked and opened once: see \
         [stores.md](stores.md#wrapped-secret-ids)",
    ),
    KeySpec::new("authMount", KeyType::Text, "`approle`", "where the auth method is mounted"),
];

/// Says that the secret id is a wrapping token.
const WRAPPED: &str = "secretIdWrapped";

/// Whether `section` leaves logging in to its named credential sets: it says nothing of its own, nor does the
/// environment. Then each secret of the store has to name one.
pub(super) fn is_left_to_sets(section: &Section<'_>, context: &CompileContext<'_>) -> bool {
    let is_given = KEYS.iter().any(|key| section.has(key.name))
        || ["token", "roleId"].iter().any(|key| section.gives(key, context));
    !is_given && section.has("credentials")
}

/// Compiles the auth keys of `section`: a store's own or those of a named credential set.
pub(super) fn compile(section: &mut Section<'_>, context: &mut CompileContext<'_>) -> Option<AuthSpec> {
    let words = METHODS.each_ref().map(|row| (row.name, row));
    let stated = section.choice_or("authMethod", &words, OTHER_METHODS, context);
    // What no method takes is read nevertheless, so that all mistakes are reported together.
    let mut keys = LoginKeys::read(section, context);
    if stated.is_none() && section.has("authMethod") {
        return None;
    }
    let Some(row) = stated.or_else(|| inferred(section, context)) else {
        context.push(no_method(section));
        return None;
    };
    let reason = format!("authMethod is {}", row.name);
    for key in KEYS.iter().filter(|key| key.name != "authMethod" && !row.has(key.name)) {
        section.ignore(key.name, &reason, context);
    }
    keys.fill(row, section, context);
    for key in row.needs {
        if !is_there(section, key, context) {
            section.missing(key, &missing_hint(key), context);
        }
    }
    if keys.is_wrapped && row.has(WRAPPED) && !is_there(section, "secretId", context) {
        section.missing("secretId", "secretIdWrapped is true: give the wrapping token", context);
    }
    (row.spec)(keys)
}

impl MethodRow {
    /// Whether the method takes `key`, which may be that of a credential's file.
    fn has(&self, key: &str) -> bool {
        let credential = CREDENTIAL_KEYS.iter().find(|(_, file)| *file == key).map_or(key, |(name, _)| name);
        match credential {
            "authMount" => !self.mount.is_empty(),
            _ => self.needs.contains(&credential) || self.takes.contains(&credential),
        }
    }
}

/// What the keys of one section give, whatever the method.
#[derive(Default)]
struct LoginKeys {
    credentials: BTreeMap<&'static str, Credential>,
    is_wrapped: bool,
    /// Without `auth/`.
    mount: String,
}

impl LoginKeys {
    /// What the section itself gives.
    fn read(section: &Section<'_>, context: &mut CompileContext<'_>) -> Self {
        let mut keys = Self::default();
        for (key, file) in CREDENTIAL_KEYS {
            keys.credentials
                .extend(credential::given(section, key, file, context).map(|credential| (key, credential)));
        }
        keys.is_wrapped = section.boolean(WRAPPED, context).unwrap_or(false);
        let mount = section.parsed("authMount", (Code::BadKey, "a mount"), path::auth_mount, context);
        keys.mount = mount.unwrap_or_default();
        keys
    }

    /// Adds what the environment gives of that which the method `row` takes, and its defaults.
    fn fill(&mut self, row: &MethodRow, section: &Section<'_>, context: &mut CompileContext<'_>) {
        for (key, file) in CREDENTIAL_KEYS {
            if row.has(key) && !section.has(key) && !section.has(file) {
                self.credentials
                    .extend(credential::filled(section, key, context).map(|credential| (key, credential)));
            }
        }
        if self.mount.is_empty() {
            row.mount.clone_into(&mut self.mount);
        }
    }

    fn credential(&mut self, key: &str) -> Option<Credential> {
        self.credentials.remove(key)
    }
}

/// Whether there is anything for `key`, be it wrong: in the section, in its file, or in the environment.
fn is_there(section: &Section<'_>, key: &str, context: &CompileContext<'_>) -> bool {
    let file = CREDENTIAL_KEYS.iter().find(|(name, _)| *name == key);
    section.gives(key, context) || file.is_some_and(|(_, file)| section.has(file))
}

fn missing_hint(key: &str) -> String {
    format!("set {key}, {key}File, or for secretStore the variable that fills it")
}

/// The method that the credentials speak of: those of the file first, then those of the environment.
fn inferred(section: &Section<'_>, context: &CompileContext<'_>) -> Option<&'static MethodRow> {
    let in_file = |(key, _): &&(&str, &str)| {
        CREDENTIAL_KEYS.iter().any(|(name, file)| name == key && (section.has(name) || section.has(file)))
    };
    let given = |(key, _): &&(&str, &str)| *key != "secretId" && section.gives(key, context);
    let (_, name) = INFERRED.iter().find(in_file).or_else(|| INFERRED.iter().find(given))?;
    METHODS.iter().find(|row| row.name == *name)
}

fn no_method(section: &Section<'_>) -> Diagnostic {
    let place = Place { path: section.path_of("authMethod"), position: Some(section.position()) };
    Diagnostic::new(Code::MissingKey, place, "there are no credentials").hint(
        "give a token, tokenFile, or roleId with secretId; secretStore takes VAULT_TOKEN and the like too. Behind an agent or \
         proxy that logs in, write \"authMethod: none\"",
    )
}
