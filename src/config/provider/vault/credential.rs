//! Credentials and the files that hold them, as a section or the environment gives them.

use std::path::Path;

use super::Credential;
use crate::config::compile::context::CompileContext;
use crate::config::compile::env_fallback::{self, EnvFallback, not_text};
use crate::config::compile::section::Section;
use crate::config::diagnostic::{Code, Diagnostic, Place};
use crate::regular_file;
use crate::secret::SecretText;

/// Reads `key`, or the path of the file under `file_key`.
pub(super) fn given(
    section: &Section<'_>,
    key: &'static str,
    file_key: &'static str,
    context: &mut CompileContext<'_>,
) -> Option<Credential> {
    if section.has(key) && section.has(file_key) {
        let message = format!("{key:?} and {file_key:?} exclude each other");
        let conflict = Diagnostic::new(Code::ConflictingKeys, section.place_of(file_key), message);
        context.push(conflict.hint("keep one of them"));
    }
    let file = section.local_path(file_key, context);
    if let Some(path) = &file {
        warn_unless_file(file_key, path, section.place_of(file_key), context);
    }
    // The environment is asked later, when it is clear that this credential is needed.
    let value = if section.has(key) { value(section, key, context) } else { None };
    value.or(file.map(Credential::File))
}

/// The credential that the environment gives for `key`.
pub(super) fn filled(
    section: &Section<'_>,
    key: &str,
    context: &mut CompileContext<'_>,
) -> Option<Credential> {
    from_environment(section.fallback()?, key, section.place_of(key), context)
}

/// The credential itself; no message shows anything of it.
fn value(section: &Section<'_>, key: &'static str, context: &mut CompileContext<'_>) -> Option<Credential> {
    let text = section.text(key, context)?;
    let (message, hint) = if text.value.is_empty() {
        (format!("{key:?} is empty"), "is the variable it is taken from set?")
    } else if text.value.contains(char::is_control) {
        (format!("{key:?} holds a control character"), "is there a newline at its end?")
    } else {
        return Some(Credential::Value(SecretText::new(text.value.into_owned())));
    };
    context.push(Diagnostic::new(Code::BadValue, section.place_of(key), message).hint(hint));
    None
}

/// A credential file may come later, but a directory or a pipe in its place is a mistake.
fn warn_unless_file(name: &str, path: &Path, place: Place, context: &mut CompileContext<'_>) {
    if let Some(refusal) = regular_file::refusal(path) {
        let message = format!("the file of {name} cannot be read: {refusal}");
        context.push(Diagnostic::new(Code::NotAFile, place, message).hint(refusal.remedy(name)));
    }
}

/// The credential for `key`; a `…_FILE` variable is read at each login, as `tokenFile` is.
fn from_environment(
    fallback: &EnvFallback,
    key: &str,
    place: Place,
    context: &mut CompileContext<'_>,
) -> Option<Credential> {
    let (variable, credential) = match fallback.given(key, context.env)? {
        env_fallback::EnvValue::Value { variable, value } if value.contains(char::is_control) => {
            let message = format!("{variable} holds a control character");
            context.push(
                Diagnostic::new(Code::BadVariable, place, message).hint("is there a newline at its end?"),
            );
            return None;
        }
        env_fallback::EnvValue::Value { variable, value } => {
            (variable, Credential::Value(SecretText::new(value.to_owned())))
        }
        env_fallback::EnvValue::File { variable, path } => {
            let path = context.working_directory.join(path);
            context.reads(&variable, &path);
            warn_unless_file(&variable, &path, place.clone(), context);
            (variable, Credential::File(path))
        }
        env_fallback::EnvValue::NotText { variable } => {
            context.push(not_text(&variable, place));
            return None;
        }
    };
    context.origins.push(place.path, &variable);
    Some(credential)
}
