//! `vault`, `auto_auth` and their kin: what of them becomes a store of the configuration.

use super::{AgentStore, dropped, login};
use crate::convert::fields::ObjectFields;
use crate::convert::notation::Notation;
use crate::convert::report::{ConversionReport, FieldOutcome};

/// Keys of `vault` that are texts here too.
const TEXTS: [(&str, &str); 7] = [
    ("address", "address"),
    ("namespace", "namespace"),
    ("ca_cert", "tlsCACert"),
    ("ca_path", "tlsCAPath"),
    ("client_cert", "tlsClientCert"),
    ("client_key", "tlsClientKey"),
    ("tls_server_name", "tlsServerName"),
];

/// Keys of consul-template's `ssl`.
const SSL: [(&str, &str); 5] = [
    ("cert", "tlsClientCert"),
    ("key", "tlsClientKey"),
    ("ca_cert", "tlsCACert"),
    ("ca_path", "tlsCAPath"),
    ("server_name", "tlsServerName"),
];

const RETRIES: &str = "failed reads are repeated with backoff: INITIAL_BACKOFF and MAX_BACKOFF";

const DROPPED: [(&str, &str); 5] = [
    ("retry", RETRIES),
    ("grace", "consul-template itself ignores it"),
    ("renew_token", "tokens are renewed in time"),
    ("max_connections_per_host", "limits.maxConcurrentRequests says it"),
    ("transport", "connections are managed by the program"),
];

/// Reads the store from the top of a configuration.
pub(in crate::convert) fn convert(top: &mut ObjectFields<'_>, report: &mut ConversionReport) -> AgentStore {
    let mut store = AgentStore::default();
    let mut has_login = false;
    if let Some(mut vault) = top.child("vault", report) {
        for (key, ours) in TEXTS {
            if let Some(text) = vault.text(key, report) {
                vault.mapped(key, ours, report);
                store.entries.push((ours, Notation::text(text)));
            }
        }
        switch(&mut vault, "tls_skip_verify", true, &mut store, report);
        if let Some(mut ssl) = vault.child("ssl", report) {
            tls(&mut ssl, &mut store, report);
            dropped::unknown(ssl, report);
        }
        has_login = login_of_vault(&mut vault, &mut store, report);
        store.times.read(&mut vault, report);
        for (key, reason) in DROPPED {
            dropped::all(&mut vault, key, reason, false, report);
        }
        dropped::unknown(vault, report);
    } else {
        top.defaulted("vault.address", "${VAULT_ADDR}", report);
    }
    if !store.entries.iter().any(|(key, _)| *key == "address") {
        store.entries.insert(0, ("address", Notation::Variable("ADDR")));
    }
    if let Some(mut auth) = top.child("auto_auth", report) {
        has_login |= login::convert(&mut auth, &mut store, report);
        dropped::unknown(auth, report);
    }
    if !has_login {
        top.defaulted("vault.token", "${VAULT_TOKEN}", report);
        store.entries.push(("token", Notation::Variable("TOKEN")));
    }
    store
}

fn tls(ssl: &mut ObjectFields<'_>, store: &mut AgentStore, report: &mut ConversionReport) {
    for (key, ours) in SSL {
        if let Some(text) = ssl.text(key, report).filter(|text| !text.is_empty()) {
            ssl.mapped(key, ours, report);
            store.entries.push((ours, Notation::text(text)));
        }
    }
    switch(ssl, "verify", false, store, report);
    ssl.dropped("enabled", "the address says it: https or http", report);
}

/// A switch that is `tlsSkipVerify: true` when it is `on`.
fn switch(
    fields: &mut ObjectFields<'_>,
    key: &str,
    on: bool,
    store: &mut AgentStore,
    report: &mut ConversionReport,
) {
    let Some(text) = fields.text(key, report) else { return };
    let is_true = matches!(text, "true" | "1" | "TRUE" | "True");
    if is_true == on {
        fields.mapped(key, "tlsSkipVerify", report);
        store.entries.push(("tlsSkipVerify", Notation::as_is("true")));
    } else {
        fields.dropped(key, "it is the default", report);
    }
}

const K8S_ROLE: &str = "k8s_auth_role_name";

/// consul-template's own login with a service account.
fn kubernetes(vault: &mut ObjectFields<'_>, store: &mut AgentStore, report: &mut ConversionReport) {
    store.entries.push(("authMethod", Notation::text("kubernetes")));
    for (key, ours) in [(K8S_ROLE, "role"), ("k8s_service_account_token_path", "jwtFile")] {
        if let Some(text) = vault.text(key, report).filter(|text| !text.is_empty()) {
            vault.mapped(key, ours, report);
            store.entries.push((ours, Notation::text(text)));
        }
    }
    if let Some(path) = vault.text("k8s_service_mount_path", report) {
        let mount = path.trim_matches('/');
        vault.mapped("k8s_service_mount_path", "authMount", report);
        store.entries.push(("authMount", Notation::text(mount.strip_prefix("auth/").unwrap_or(mount))));
    }
    if vault.has("k8s_service_account_token") {
        vault.changed(
            "k8s_service_account_token",
            "${VAULT_JWT}: a credential is not copied. Set the variable, or name a file in jwtFile",
            report,
        );
        store.entries.retain(|(key, _)| *key != "jwtFile");
        store.entries.push(("jwt", Notation::Variable("JWT")));
    } else if !store.entries.iter().any(|(key, _)| *key == "jwtFile") {
        vault.warn(FieldOutcome::Defaulted(login::SERVICE_ACCOUNT.to_owned()), report);
    }
    if vault.has("token") {
        vault.dropped("token", "the service account logs in", report);
    }
}

/// The token or the login of `vault`. Gives whether there is one.
fn login_of_vault(
    vault: &mut ObjectFields<'_>,
    store: &mut AgentStore,
    report: &mut ConversionReport,
) -> bool {
    if let Some(text) = vault.text("unwrap_token", report) {
        if text == "true" {
            let remedy = "a wrapped token is not opened: wrap a secret id instead (secretIdFile with secretIdWrapped: true)";
            vault.refused("unwrap_token", remedy, report);
        } else {
            vault.dropped("unwrap_token", "it is the default", report);
        }
    }
    if let Some(path) = vault.text("vault_agent_token_file", report) {
        vault.mapped("vault_agent_token_file", "tokenFile", report);
        store.entries.push(("tokenFile", Notation::text(path)));
        if vault.has("token") {
            vault.dropped("token", "vault_agent_token_file is read instead", report);
        }
        return true;
    }
    if vault.has(K8S_ROLE) {
        kubernetes(vault, store, report);
        return true;
    }
    if vault.text("token", report).is_some_and(|token| !token.is_empty()) {
        vault.changed(
            "token",
            "${VAULT_TOKEN}: a credential is not copied. Set the variable, or name a file in tokenFile",
            report,
        );
        store.entries.push(("token", Notation::Variable("TOKEN")));
        return true;
    }
    vault.dropped("token", "it is empty", report);
    false
}
