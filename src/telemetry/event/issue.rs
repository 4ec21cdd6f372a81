//! Issued credentials: what is kept of them.

/// The values of issued credentials end with the process.
pub(crate) fn values_not_kept(error: &str, hint: &str) {
    tracing::warn!(error, hint, "issued credentials are not kept: a restart issues new ones");
}

/// The value of a credential is not kept; a restart issues a new one.
pub(crate) fn value_not_sealed(file: &str, error: &str) {
    let hint = "make room in the state directory: until then a restart issues a new credential";
    tracing::warn!(file, error, hint, "could not keep an issued credential");
}

/// What was kept cannot be used: a new credential is issued.
pub(crate) fn sealed_value_unusable(file: &str, error: &str) {
    let hint =
        "a new credential is issued; look who changed the file, or whether STATE_KEY_FILE is another one";
    tracing::warn!(file, error, hint, "cannot use a kept credential, and have set it aside");
}

/// The value of a credential that is not used any more is still there.
pub(crate) fn sealed_value_stays(file: &str, error: &str) {
    let hint = "remove the file, or make the state directory writable for this process";
    tracing::warn!(file, error, hint, "could not remove a kept credential");
}
