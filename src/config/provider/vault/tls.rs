//! TLS settings of a store. The files must be there and be usable: a server that cannot be verified is better found
//! out now.

use std::fs;
use std::path::{Path, PathBuf};

use crate::config::compile::context::CompileContext;
use crate::config::compile::section::Section;
use crate::config::diagnostic::{Code, Diagnostic};
use crate::config::env::parse_bool;
use crate::config::keys::{KeySpec, KeyType};
use crate::net::{Address, ClientCertificate, TlsSettings, check_tls};
use crate::regular_file::{ReadError, RegularFile};

pub(super) const KEYS: &[KeySpec] = &[
    KeySpec::new(
        "tlsCACert",
        KeyType::LocalPath,
        "the system's roots",
        "PEM file of trusted roots, in place of the system's",
    ),
    KeySpec::new("tlsCAPath", KeyType::LocalPath, "the system's roots", "directory of PEM files, likewise"),
    KeySpec::new(
        "tlsClientCert",
        KeyType::LocalPath,
        "",
        "PEM file for mutual TLS; goes together with `tlsClientKey`",
    ),
    KeySpec::new("tlsClientKey", KeyType::LocalPath, "", "PEM file of its key"),
    KeySpec::new(
        "tlsServerName",
        KeyType::Text,
        "host of the address",
        "the name in the server's certificate",
    ),
    KeySpec::new("tlsSkipVerify", KeyType::Boolean, "`false`", "accept any certificate; a warning"),
];

/// Reads the `tls…` keys; their files are tried out unless `address` makes no use of them.
pub(super) fn compile(
    section: &mut Section<'_>,
    address: Option<&Address>,
    context: &mut CompileContext<'_>,
) -> TlsSettings {
    let settings = TlsSettings {
        ca_cert: existing(section, "tlsCACert", is_readable_file, context),
        ca_path: existing(section, "tlsCAPath", is_readable_directory, context),
        client: client(section, context),
        server_name: server_name(section, context),
        skip_verify: skip_verify(section, context),
    };
    if matches!(address, Some(Address::Http(url)) if url.scheme() == "https") {
        check_roots(&settings, section, context);
        check_client(&settings, section, context);
    }
    settings
}

/// With `tlsSkipVerify` the roots are never read.
fn check_roots(settings: &TlsSettings, section: &Section<'_>, context: &mut CompileContext<'_>) {
    let TlsSettings { ca_cert, ca_path, skip_verify, .. } = settings.clone();
    let key = if ca_cert.is_some() { "tlsCACert" } else { "tlsCAPath" };
    if let Some(path) = ca_cert.clone().or(ca_path.clone()).filter(|_| !skip_verify) {
        check(&TlsSettings { ca_cert, ca_path, ..TlsSettings::default() }, &[(key, &path)], section, context);
    }
}

fn check_client(settings: &TlsSettings, section: &Section<'_>, context: &mut CompileContext<'_>) {
    if let Some(client) = &settings.client {
        let paths = [("tlsClientCert", client.certificate.as_path()), ("tlsClientKey", client.key.as_path())];
        let client = Some(client.clone());
        check(&TlsSettings { client, skip_verify: true, ..TlsSettings::default() }, &paths, section, context);
    }
}

/// Tries `settings` out, of which the keys of `paths` gave the files. The path in the message says which one it is;
/// it is shown as the file has it.
fn check(
    settings: &TlsSettings,
    paths: &[(&'static str, &Path)],
    section: &Section<'_>,
    context: &mut CompileContext<'_>,
) {
    let Err(error) = check_tls(settings) else { return };
    let mut message = error.cause().to_owned();
    let is_named = |(_, path): &&(&str, &Path)| error.cause().contains(&*path.to_string_lossy());
    let named = paths.iter().rfind(is_named).or(paths.first()).map_or("tlsCACert", |(key, _)| key);
    for (key, path) in paths {
        message = message.replace(&*path.to_string_lossy(), &section.shown_path(key, path, context));
    }
    context.push(Diagnostic::new(Code::BadTls, section.place_of(named), message).hint(error.remedy()));
}

fn client(section: &mut Section<'_>, context: &mut CompileContext<'_>) -> Option<ClientCertificate> {
    let keys = ["tlsClientCert", "tlsClientKey"];
    let [has_certificate, has_key] = keys.map(|key| section.gives(key, context));
    let certificate = existing(section, "tlsClientCert", is_readable_file, context);
    let key = existing(section, "tlsClientKey", is_readable_file, context);
    if has_certificate != has_key {
        let absent = if has_certificate { "tlsClientKey" } else { "tlsClientCert" };
        section.missing(absent, "a client certificate and its key go together", context);
    }
    Some(ClientCertificate { certificate: certificate?, key: key? })
}

fn server_name(section: &mut Section<'_>, context: &mut CompileContext<'_>) -> Option<String> {
    let parse = |text: &str| match url::Host::parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("the certificate's name is meant, without scheme and port"),
    };
    section.parsed("tlsServerName", (Code::BadValue, "a host name"), parse, context)
}

fn skip_verify(section: &mut Section<'_>, context: &mut CompileContext<'_>) -> bool {
    let key = "tlsSkipVerify";
    let skip = if section.has(key) {
        section.boolean(key, context)
    } else {
        // The variable takes the words that the official clients take, and no others.
        section.parsed(key, (Code::BadVariable, "true or false"), |text| parse_bool(text).ok_or(""), context)
    };
    if skip == Some(true) {
        let message =
            "the server's certificate is not checked: anyone on the network path can read the secrets";
        let warning = Diagnostic::new(Code::SkipVerify, section.place_of(key), message);
        context.push(warning.hint("name the server's CA in tlsCACert"));
    }
    skip.unwrap_or(false)
}

fn existing(
    section: &mut Section<'_>,
    key: &'static str,
    check: fn(&Path) -> Result<(), ReadError>,
    context: &mut CompileContext<'_>,
) -> Option<PathBuf> {
    let path = section.local_path(key, context)?;
    if let Err(error) = check(&path) {
        let message = format!("{} cannot be read: {error}", section.shown_path(key, &path, context));
        let problem = Diagnostic::new(Code::UnreadableFile, section.place_of(key), message);
        context.push(match error {
            ReadError::Io(_) if key == "tlsCAPath" && path.is_file() => {
                problem.hint("tlsCAPath takes a directory, tlsCACert a file")
            }
            // The hint of the code says what to do about these.
            ReadError::Io(_) => problem,
            other => problem.hint(other.remedy(key)),
        });
        return None;
    }
    Some(path)
}

fn is_readable_file(path: &Path) -> Result<(), ReadError> {
    RegularFile::open(path).map(drop)
}

fn is_readable_directory(path: &Path) -> Result<(), ReadError> {
    Ok(fs::read_dir(path).map(drop)?)
}
