//! What the environment gives for keys that `secretStore` leaves out.

use super::cursor::Pass;
use super::text::Text;
use crate::config::diagnostic::{Code, Diagnostic, Place, Severity};
use crate::config::env::{Filler, Reason, StoreVariables, read_value};
use crate::config::provider::vault::Credential;
use crate::config::value::Node;
use crate::secret::SecretText;

/// Whether the environment has something for `key`.
pub(super) fn gives(key: &str, pass: &Pass<'_>) -> bool {
    StoreVariables(pass.env).given(key).is_some()
}

/// Says that an empty variable is why there is nothing for `key`, if that is so.
pub(super) fn blame_empty(missing: Diagnostic, key: &str, pass: &Pass<'_>) -> Diagnostic {
    let Some(variable) = StoreVariables(pass.env).empty(key) else { return missing };
    let message = format!("{}; {variable} is set, and empty", missing.message);
    Diagnostic { message, ..missing }.hint(format!("set {variable} to a value, or unset it"))
}

/// The text for `key`, a file's content where a `…_FILE` variable names one.
pub(super) fn text(key: &str, place: Place, pass: &mut Pass<'_>) -> Option<Text<'static>> {
    let (variable, value) = match StoreVariables(pass.env).given(key)? {
        Filler::Value { variable, value } => (variable, value.to_owned()),
        Filler::File { variable, path } => {
            let path = pass.working_directory.join(path);
            pass.reads(&variable, &path);
            match read_value(&path) {
                Ok(value) => (variable, value),
                Err(error) => {
                    // Without the path, which came from the environment.
                    let message = format!("the file that {variable} names cannot be read: {error}");
                    let hint = format!("correct {variable}, or let the user of secrets-sync read the file");
                    pass.push(Diagnostic::new(Code::BadVariable, place, message).hint(hint));
                    return None;
                }
            }
        }
        Filler::NotText { variable } => {
            pass.push(not_text(&variable, place));
            return None;
        }
    };
    pass.origins.push(place.path, &variable);
    Some(Text::of_variable(value, &variable))
}

/// The credential for `key`; a `…_FILE` variable is read at each login, as `tokenFile` is.
pub(super) fn credential(key: &str, place: Place, pass: &mut Pass<'_>) -> Option<Credential> {
    let (variable, credential) = match StoreVariables(pass.env).given(key)? {
        Filler::Value { variable, value } if value.contains(char::is_control) => {
            let message = format!("{variable} holds a control character");
            pass.push(
                Diagnostic::new(Code::BadVariable, place, message).hint("is there a newline at its end?"),
            );
            return None;
        }
        Filler::Value { variable, value } => (variable, Credential::Value(SecretText::new(value.to_owned()))),
        Filler::File { variable, path } => {
            let path = pass.working_directory.join(path);
            pass.reads(&variable, &path);
            (variable, Credential::File(path))
        }
        Filler::NotText { variable } => {
            pass.push(not_text(&variable, place));
            return None;
        }
    };
    pass.origins.push(place.path, &variable);
    Some(credential)
}

/// Warns of every variable that is set and had no effect.
pub(super) fn warn_of_ignored(root: &Node, pass: &mut Pass<'_>) {
    let store = child(root, "secretStore");
    let has = |key: &str| store.and_then(|store| child(store, key)).is_some();
    let file_has = |key: &str| has(key) || has(&format!("{key}File"));
    let is_refused = main_store_is_refused(pass);
    for (variable, reason) in StoreVariables(pass.env).ignored(&pass.origins, file_has) {
        if is_refused && matches!(reason, Reason::NotNeeded(_)) {
            // It may well be needed once the store is right.
            continue;
        }
        let place = Place { path: variable, position: None };
        pass.push(Diagnostic::new(
            Code::IgnoredVariable,
            place,
            format!("set, and without effect: {reason}"),
        ));
    }
}

fn child<'n>(node: &'n Node, key: &str) -> Option<&'n Node> {
    let entry = node.entries()?.iter().find(|entry| entry.key == key && !entry.node.is_null())?;
    Some(&entry.node)
}

fn main_store_is_refused(pass: &Pass<'_>) -> bool {
    let is_of_it = |path: &str| path == "secretStore" || path.starts_with("secretStore.");
    let mut diagnostics = pass.report.diagnostics.iter();
    diagnostics.any(|one| one.code.severity() == Severity::Error && is_of_it(&one.place.path))
}

fn not_text(variable: &str, place: Place) -> Diagnostic {
    Diagnostic::new(Code::BadVariable, place, format!("{variable} is not UTF-8"))
}
