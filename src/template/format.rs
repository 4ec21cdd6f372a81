//! All fields of a secret in one document, by name, without a template.

mod dotenv;
mod dotenv_raw;
mod properties;
mod yaml;

use dotenv::DotenvReader;
use tera::Value;

use super::context::{engine_map, engine_value};
use super::error::RenderError;
use super::json::{self, NoJson};
use super::limits::{BoundedOutput, Full};
use crate::secret::{FieldValue, Fields, SecretBytes};

/// All fields of a secret in one document.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// `NAME='value'` lines that a POSIX shell and Docker Compose read alike.
    Dotenv,
    /// `NAME=value` lines without quotes, for readers that take a line as it is: `docker run --env-file`, Podman.
    DotenvRaw,
    /// `NAME='value'` lines that systemd's `EnvironmentFile=` and a POSIX shell read alike.
    DotenvSystemd,
    /// One JSON object, indented by two.
    Json,
    /// One YAML mapping.
    Yaml,
    /// A Java properties file.
    Properties,
}

impl Format {
    /// Renders into at most `limit` bytes.
    ///
    /// # Errors
    /// A field the format cannot hold, by name; or the document is too large.
    pub fn render(self, fields: &Fields, limit: usize) -> Result<SecretBytes, RenderError> {
        let bytes = fields.iter().find(|(_, value)| matches!(value, FieldValue::Bytes(_)));
        if let Some((name, _)) = bytes {
            return Err(RenderError::Field { name: name.clone(), cause: "is not text" });
        }
        let mut output = BoundedOutput::new(limit);
        let written = match self {
            Self::Dotenv => dotenv::write(&mut output, fields, DotenvReader::Compose),
            Self::DotenvRaw => dotenv_raw::write(&mut output, fields),
            Self::DotenvSystemd => dotenv::write(&mut output, fields, DotenvReader::Systemd),
            Self::Json => write_json(&mut output, fields),
            Self::Yaml => yaml::write(&mut output, fields),
            Self::Properties => properties::write(&mut output, fields),
        };
        match written {
            Ok(()) => Ok(output.finish()),
            Err(Unwritable::Full) => Err(RenderError::TooLarge { limit }),
            Err(Unwritable::Field { name, cause }) => Err(RenderError::Field { name, cause }),
        }
    }
}

/// Why a document was not written.
#[derive(Debug)]
enum Unwritable {
    /// It does not fit.
    Full,
    /// A field has no spelling in the format.
    Field { name: String, cause: &'static str },
}

impl Unwritable {
    fn field(name: &str, cause: &'static str) -> Self {
        Self::Field { name: name.to_owned(), cause }
    }
}

impl From<Full> for Unwritable {
    fn from(_: Full) -> Self {
        Self::Full
    }
}

fn write_json(output: &mut BoundedOutput, fields: &Fields) -> Result<(), Unwritable> {
    write_value(output, &engine_map(fields), true)?;
    Ok(output.push("\n")?)
}

/// A value of a store as JSON: there is nothing in one that JSON does not have, so all that can fail is the room.
fn write_value(output: &mut BoundedOutput, value: &Value, pretty: bool) -> Result<(), Full> {
    json::write(output, value, pretty).map_err(|_: NoJson| Full)
}

/// The text of the field called `name`.
fn named_text(name: &str, value: &FieldValue) -> Result<zeroize::Zeroizing<String>, Unwritable> {
    field_text(value)
        .map(Into::into)
        .map_err(|_| Unwritable::field(name, "is null, which this format cannot hold"))
}

/// The text of one field.
pub(super) fn field_text(value: &FieldValue) -> Result<String, RenderError> {
    match value {
        FieldValue::Null => Err(RenderError::Value("the field is null")),
        FieldValue::Bytes(_) => Err(RenderError::Value("the field is not text")),
        FieldValue::Bool(truth) => Ok(truth.to_string()),
        // EXPOSE: becomes the content of a file
        FieldValue::Number(text) | FieldValue::Text(text) => Ok(text.expose().to_owned()),
        FieldValue::List(_) | FieldValue::Map(_) => {
            let mut output = BoundedOutput::new(usize::MAX);
            let nested = RenderError::Value("the field is nested too deep");
            json::write(&mut output, &engine_value(value), false).map_err(|_| nested.clone())?;
            // EXPOSE: becomes the content of a file
            String::from_utf8(output.finish().expose().to_vec()).map_err(|_| nested)
        }
    }
}
