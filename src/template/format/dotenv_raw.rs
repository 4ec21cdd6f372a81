//! `NAME=value` lines without quotes: `docker run --env-file`, `podman run --env-file`, Quadlet and Compose's
//! `format: raw` take a line for what it is. What such a line cannot hold is refused.

use super::Unwritable;
use super::dotenv::variable;
use crate::secret::Fields;
use crate::template::limits::BoundedOutput;

/// The readers take lines of at most 64 KiB, line break included.
const LINE_LIMIT: usize = (64 << 10) - 1;

pub(super) fn write(output: &mut BoundedOutput, fields: &Fields) -> Result<(), Unwritable> {
    for (name, value) in fields {
        let text = variable(name, value)?;
        if text.contains('\n') {
            let cause = "holds a line break, which `--env-file` of Docker and Podman, Quadlet and Compose's raw \
                         format cannot read";
            return Err(Unwritable::field(name, cause));
        }
        if text.ends_with('\r') {
            let cause = "ends in a carriage return, which `--env-file` of Docker and Podman, Quadlet and Compose's \
                         raw format cut off";
            return Err(Unwritable::field(name, cause));
        }
        if name.len() + text.len() + 2 > LINE_LIMIT {
            let cause = "is longer than 64 KiB, the most that `--env-file` of Docker and Podman, Quadlet and \
                         Compose's raw format read";
            return Err(Unwritable::field(name, cause));
        }
        [name, "=", &text, "\n"].iter().try_for_each(|part| output.push(part))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::secret::{FieldValue, Fields};
    use crate::template::{Format, RenderError};

    fn written(value: &str) -> Result<String, RenderError> {
        let fields: Fields = [("A".to_owned(), FieldValue::from(value))].into_iter().collect();
        let document = Format::DotenvRaw.render(&fields, 1 << 20)?;
        Ok(String::from_utf8(document.expose().to_vec()).unwrap()) // EXPOSE: test
    }

    /// The rule of all raw readers: the line without its end, split at the first `=`.
    #[test]
    fn what_is_written_reads_back() {
        for value in
            ["", " a b ", "'q' \"Q\" `id` $HOME ${A} \\ \\n", "# no comment", "a=b", "ü → 🦀", "a\rb", "\t"]
        {
            let line = written(value).unwrap();
            let (name, read) = line.strip_suffix('\n').unwrap().split_once('=').unwrap();
            assert_eq!((name, read), ("A", value));
            assert_eq!(line.lines().count(), 1, "{value:?}");
        }
    }

    #[test]
    fn what_a_line_cannot_hold_is_refused_with_field_and_readers() {
        let long = "x".repeat(64 << 10);
        for (value, cause) in [
            ("a\nb", "line break"),
            ("a\n", "line break"),
            ("a\r", "carriage return"),
            (&*long, "64 KiB"),
            ("\0", "NUL"),
        ] {
            let error = written(value).unwrap_err().to_string();
            assert!(error.starts_with("field `A` ") && error.contains(cause), "{error}");
            assert!(cause == "NUL" || error.contains("Podman"), "{error}");
        }
        assert!(written(&"x".repeat((64 << 10) - 4)).is_ok());
    }
}
