//! How a credential set logs in. One table says which keys each method takes, and which of them it needs.

use std::collections::BTreeMap;
use std::path::Path;

use super::variables::VARIABLES;
use super::{AuthSpec, Credential, CredentialSpec, credential};
use crate::config::compile::context::CompileContext;
use crate::config::compile::path;
use crate::config::compile::section::Section;
use crate::config::diagnostic::{Code, Diagnostic, Place};
use crate::config::keys::{KeySet, KeySpec, KeyType};
use crate::net::ClientCertificate;

/// One login method.
struct MethodRow {
    name: &'static str,
    /// The keys that it takes, beside [`Self::needs`] and the `auth…` keys.
    takes: &'static [&'static str],
    /// The keys without which it does not work. A credential may come from its file.
    needs: &'static [&'static str],
    /// Where the method is mounted unless `authMount` says otherwise; empty for one that does not log in.
    mount: &'static str,
    /// The file of the JWT unless the configuration names one.
    jwt_file: Option<&'static str>,
    /// `None` where something is missing, which has been reported.
    spec: fn(LoginKeys) -> Option<AuthSpec>,
}

impl MethodRow {
    /// A method that takes no keys.
    const fn new(name: &'static str, spec: fn(LoginKeys) -> Option<AuthSpec>) -> Self {
        Self { name, takes: &[], needs: &[], mount: "", jwt_file: None, spec }
    }
}

static METHODS: [MethodRow; 8] = [
    MethodRow {
        needs: &["token"],
        ..MethodRow::new("token", |mut keys| Some(AuthSpec::Token { token: keys.credential("token")? }))
    },
    MethodRow {
        takes: &["secretId", WRAPPED],
        needs: &["roleId"],
        mount: "approle",
        ..MethodRow::new("approle", |mut keys| {
            Some(AuthSpec::AppRole {
                role_id: keys.credential("roleId")?,
                secret_id: keys.credential("secretId"),
                is_wrapped: keys.is_wrapped,
                mount: keys.mount,
            })
        })
    },
    MethodRow { takes: &["role"], needs: &["jwt"], mount: "jwt", ..MethodRow::new("jwt", jwt) },
    MethodRow {
        takes: &["jwt"],
        needs: &["role"],
        mount: "kubernetes",
        jwt_file: Some("/var/run/secrets/kubernetes.io/serviceaccount/token"),
        ..MethodRow::new("kubernetes", jwt)
    },
    MethodRow {
        takes: &["certRole"],
        mount: "cert",
        ..MethodRow::new("cert", |mut keys| {
            let role = keys.texts.remove("certRole");
            Some(AuthSpec::Cert { role, certificate: keys.certificate?, mount: keys.mount })
        })
    },
    MethodRow { needs: USER, mount: "userpass", ..MethodRow::new("userpass", password) },
    MethodRow { needs: USER, mount: "ldap", ..MethodRow::new("ldap", password) },
    MethodRow::new("none", |_| Some(AuthSpec::None)),
];

/// The names of [`METHODS`].
const NAMES: &[&str] = &["token", "approle", "jwt", "kubernetes", "cert", "userpass", "ldap", "none"];

/// What `userpass` and `ldap` need.
const USER: &[&str] = &["username", "password"];

fn jwt(mut keys: LoginKeys) -> Option<AuthSpec> {
    let role = keys.texts.remove("role");
    Some(AuthSpec::Jwt { role, jwt: keys.credential("jwt")?, mount: keys.mount })
}

fn password(mut keys: LoginKeys) -> Option<AuthSpec> {
    let username = keys.texts.remove("username")?;
    Some(AuthSpec::Password { username, password: keys.credential("password")?, mount: keys.mount })
}

/// The way out for a method that is not built in.
const OTHER_METHODS: &str = "write token, approle, jwt, kubernetes, cert, userpass, ldap or none. For any other method let \"bao agent\" \
                             or \"vault agent\" log in (auto_auth with a file sink) and name the sink's file in tokenFile";

/// Each credential, and the key of the file that holds it.
const CREDENTIAL_KEYS: [(&str, &str); 5] = [
    ("token", "tokenFile"),
    ("roleId", "roleIdFile"),
    ("secretId", "secretIdFile"),
    ("jwt", "jwtFile"),
    ("password", "passwordFile"),
];

/// The credentials that a method is inferred from, in this order. A JWT or a password may be for either of two.
const INFERRED: [(&str, &str); 3] = [("token", "token"), ("roleId", "approle"), ("secretId", "approle")];

/// A set of `credentials`.
pub(super) static CREDENTIALS: KeySet = KeySet::new("credentials", &[KEYS]);

/// The keys of logging in.
pub(super) const KEYS: &[KeySpec] = &[
    KeySpec::new(
        METHOD,
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
    KeySpec::new(
        "role",
        KeyType::Text,
        "",
        "the role of `jwt` (without one the mount's default) and `kubernetes`",
    ),
    KeySpec::new("jwt", KeyType::Credential, "", "the JSON Web Token"),
    KeySpec::new(
        "jwtFile",
        KeyType::LocalPath,
        "with `kubernetes` that of the service account",
        "a file that holds the JSON Web Token",
    ),
    KeySpec::new(
        "certRole",
        KeyType::Text,
        "any that fits",
        "the role of `cert`; the certificate is that of `tlsClientCert`",
    ),
    KeySpec::new("username", KeyType::Text, "", "the user of `userpass` or `ldap`"),
    KeySpec::new("password", KeyType::Credential, "", "the password of the user"),
    KeySpec::new("passwordFile", KeyType::LocalPath, "", "a file that holds the password"),
    KeySpec::new("authMount", KeyType::Text, "the method's name", "where the auth method is mounted"),
    KeySpec::new(
        NAMESPACE,
        KeyType::Text,
        "the store's `namespace`",
        "namespace of the login, where it is not that of the secrets; `\"\"` is the root namespace",
    ),
];

const METHOD: &str = "authMethod";
const NAMESPACE: &str = "authNamespace";

/// Says that the secret id is a wrapping token.
const WRAPPED: &str = "secretIdWrapped";

/// What the store gives to all of its credential sets.
pub(super) struct StoreLogin {
    /// `authNamespace` of the store.
    pub(super) namespace: Option<String>,
    /// The client certificate of the store's connections.
    pub(super) certificate: Option<ClientCertificate>,
    /// Why there is none; `None` where that has been reported.
    pub(super) no_certificate: Option<&'static str>,
}

/// Whether `section` leaves logging in to its named credential sets: it says nothing of its own, nor does the
/// environment. Then each secret of the store has to name one.
pub(super) fn is_left_to_sets(section: &Section<'_>, context: &CompileContext<'_>) -> bool {
    let is_given = KEYS.iter().any(|key| key.name != NAMESPACE && section.has(key.name))
        || ["token", "roleId"].iter().any(|key| section.gives(key, context));
    !is_given && section.has("credentials")
}

/// `authNamespace` of `section`.
pub(super) fn namespace(section: &Section<'_>, context: &mut CompileContext<'_>) -> Option<String> {
    section
        .parsed(NAMESPACE, (Code::BadKey, "a namespace"), path::namespace, context)
        .map(Option::unwrap_or_default)
}

/// A named credential set.
pub(super) fn set(
    section: &Section<'_>,
    store: &StoreLogin,
    context: &mut CompileContext<'_>,
) -> Option<CredentialSpec> {
    let namespace = namespace(section, context).or_else(|| store.namespace.clone());
    Some(CredentialSpec { auth: compile(section, store, context)?, namespace })
}

/// The store's own credential set.
pub(super) fn own(
    section: &Section<'_>,
    store: &StoreLogin,
    context: &mut CompileContext<'_>,
) -> Option<CredentialSpec> {
    Some(CredentialSpec { auth: compile(section, store, context)?, namespace: store.namespace.clone() })
}

/// Compiles the auth keys of `section`: a store's own or those of a named credential set.
fn compile(section: &Section<'_>, store: &StoreLogin, context: &mut CompileContext<'_>) -> Option<AuthSpec> {
    let words = METHODS.each_ref().map(|row| (row.name, row));
    let stated = section.choice_or(METHOD, &words, OTHER_METHODS, context);
    // What no method takes is read nevertheless, so that all mistakes are reported together.
    let mut keys = LoginKeys::read(section, context);
    if stated.is_none() && section.has(METHOD) {
        return None;
    }
    let Some(row) = stated.or_else(|| inferred(section, context)) else {
        context.push(no_method(section));
        return None;
    };
    let reason = format!("authMethod is {}", row.name);
    for key in KEYS.iter().filter(|key| !row.has(key.name)) {
        section.ignore(key.name, &reason, context);
    }
    keys.fill(row, store, section, context);
    for key in row.needs {
        if !is_there(section, key, context) {
            section.missing(key, &missing_hint(key), context);
        }
    }
    if keys.is_wrapped && row.has(WRAPPED) && !is_there(section, "secretId", context) {
        section.missing("secretId", "secretIdWrapped is true: give the wrapping token", context);
    }
    if let Some(why) = store.no_certificate.filter(|_| row.name == "cert") {
        let refused = Diagnostic::new(Code::ConflictingKeys, section.place_of(METHOD), why);
        context.push(refused.hint("the login shows tlsClientCert and tlsClientKey of the store, by https"));
    }
    (row.spec)(keys)
}

impl MethodRow {
    /// Whether the method takes `key`, which may be that of a credential's file.
    fn has(&self, key: &str) -> bool {
        let credential = CREDENTIAL_KEYS.iter().find(|(_, file)| *file == key).map_or(key, |(name, _)| name);
        match credential {
            METHOD => true,
            NAMESPACE => self.name != "none",
            "authMount" => !self.mount.is_empty(),
            _ => self.needs.contains(&credential) || self.takes.contains(&credential),
        }
    }
}

/// What the keys of one section give, whatever the method.
#[derive(Default)]
struct LoginKeys {
    credentials: BTreeMap<&'static str, Credential>,
    /// `role`, `certRole` and `username`.
    texts: BTreeMap<&'static str, String>,
    /// That of the store.
    certificate: Option<ClientCertificate>,
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
        for key in ["role", "certRole"] {
            let role = section.parsed(key, (Code::BadValue, "a role"), path::role, context);
            keys.texts.extend(role.map(|role| (key, role)));
        }
        let username = section.parsed("username", (Code::BadValue, "a user name"), path::user, context);
        keys.texts.extend(username.map(|username| ("username", username)));
        keys.is_wrapped = section.boolean(WRAPPED, context).unwrap_or(false);
        let mount = section.parsed("authMount", (Code::BadKey, "a mount"), path::auth_mount, context);
        keys.mount = mount.unwrap_or_default();
        keys
    }

    /// Adds what the environment gives of that which the method `row` takes, and its defaults.
    fn fill(
        &mut self,
        row: &MethodRow,
        store: &StoreLogin,
        section: &Section<'_>,
        context: &mut CompileContext<'_>,
    ) {
        for (key, file) in CREDENTIAL_KEYS {
            if row.has(key) && !section.has(key) && !section.has(file) {
                self.credentials
                    .extend(credential::filled(section, key, context).map(|credential| (key, credential)));
            }
        }
        if self.mount.is_empty() {
            row.mount.clone_into(&mut self.mount);
        }
        if let Some(path) = row.jwt_file.filter(|_| !is_there(section, "jwt", context)) {
            context.reads(section.path_of("jwtFile"), Path::new(path));
            self.credentials.insert("jwt", Credential::File(path.into()));
        }
        self.certificate.clone_from(&store.certificate);
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
    match CREDENTIAL_KEYS.iter().find(|(name, _)| *name == key) {
        Some((_, file)) => match VARIABLES.keys.iter().find(|(name, _)| *name == key) {
            Some((_, variable)) => {
                format!("set {key} or {file}; secretStore takes BAO_{variable} and VAULT_{variable} too")
            }
            None => format!("set {key} or {file}"),
        },
        None => "the login needs it".to_owned(),
    }
}

/// The method that the credentials speak of: those of the file first, then those of the environment.
fn inferred(section: &Section<'_>, context: &CompileContext<'_>) -> Option<&'static MethodRow> {
    let in_file = |(key, _): &&(&str, &str)| {
        CREDENTIAL_KEYS.iter().any(|(name, file)| name == key && (section.has(name) || section.has(file)))
    };
    let given = |(key, _): &&(&str, &str)| *key != "secretId" && section.gives(key, context);
    let named = INFERRED.iter().find(in_file);
    let (_, name) = match named {
        None if key_of_others(section).is_none() => INFERRED.iter().find(given)?,
        named => named?,
    };
    METHODS.iter().find(|row| row.name == *name)
}

/// A key that only methods take which have to be named.
fn key_of_others(section: &Section<'_>) -> Option<&'static str> {
    let is_inferred = |row: &&MethodRow| INFERRED.iter().any(|(_, name)| *name == row.name);
    let is_other = |key: &str| !METHODS.iter().filter(is_inferred).any(|row| row.has(key));
    KEYS.iter().map(|key| key.name).find(|key| is_other(key) && section.has(key))
}

fn no_method(section: &Section<'_>) -> Diagnostic {
    let place = Place { path: section.path_of(METHOD), position: Some(section.position()) };
    let Some(key) = key_of_others(section) else {
        return Diagnostic::new(Code::MissingKey, place, "there are no credentials").hint(
            "give a token, tokenFile, or roleId with secretId; secretStore takes VAULT_TOKEN and the like too. Other logins \
             need authMethod. Behind an agent or proxy that logs in, write \"authMethod: none\"",
        );
    };
    let takes = METHODS.iter().filter(|row| row.has(key)).map(|row| row.name);
    let names = takes.collect::<Vec<_>>().join(" or ");
    Diagnostic::new(Code::MissingKey, place, "\"authMethod\" is missing")
        .hint(format!("{key} is there: write authMethod: {names}"))
}
