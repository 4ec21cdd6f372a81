//! `convert`: other tools' files become a configuration on stdout, and a report on stderr.

mod query;
mod rendered;
mod templates;
mod verify;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::args::{ConvertArgs, ReportFormat};
use super::output;
use crate::convert::{self, Conversion, ConversionResult, ConvertInput, ConvertOptions};
use crate::fault::ExitStatus;
use crate::printable;
use crate::regular_file;
use query::Query;
use templates::TemplateFiles;

/// Most bytes of one input.
const MAX_INPUT: usize = 64 << 20;

/// Most directories inside each other.
const MAX_DEPTH: usize = 32;

/// Converts the inputs together.
pub(super) fn convert(args: &ConvertArgs) -> Result<ExitStatus, ExitStatus> {
    let inputs = inputs(&args.inputs)?;
    refuse_own_input(args.output.as_deref(), &inputs)?;
    let query = if args.query_vault { Some(Query::open()?) } else { None };
    let served = query.as_ref().map_or_else(|| Ok(BTreeMap::new()), Query::kv_versions)?;
    let mut kv_versions = served.clone();
    kv_versions.extend(args.kv_version.iter().cloned());
    let options = ConvertOptions {
        output_dir: args.output_dir.clone(),
        mount_path: args.mount_path.clone(),
        kv_versions,
        mode: args.mode.clone(),
    };
    let files = TemplateFiles::list(&args.template_dir)?;
    let find = |source: &str, named_in: &str| files.find(source, named_in);
    let mut conversion = match convert::convert(&inputs, &options, &find) {
        Ok(conversion) => conversion,
        Err(broken) => {
            for error in broken {
                output::note(&error.to_string());
            }
            return Err(ExitStatus::Configuration);
        }
    };
    if args.verify || query.is_some() {
        let originals = convert::originals(&inputs, &options, &find);
        if let Some(query) = &query {
            query::check(query, &originals, &args.kv_version, &served, &mut conversion)?;
        }
        if args.verify {
            verify::verify(&originals, &mut conversion);
        }
    }
    let Conversion { configuration, report } = conversion;
    match args.report {
        Some(ReportFormat::Json) => output::note(&printable::json(&report.to_json().to_string())),
        Some(ReportFormat::Text) => output::note(&report.to_text(true)),
        None => output::note(&summary(&report)),
    }
    let result = report.result();
    if result != ConversionResult::Refused || args.partial {
        write(&configuration, args.output.as_deref())?;
    }
    Ok(match result {
        ConversionResult::Lossless => ExitStatus::Success,
        ConversionResult::Warnings => ExitStatus::ConvertedWithWarnings,
        ConversionResult::Refused => ExitStatus::NotConverted,
    })
}

/// An input is not overwritten.
fn refuse_own_input(output: Option<&Path>, inputs: &[ConvertInput]) -> Result<(), ExitStatus> {
    let Some(path) = output else { return Ok(()) };
    let real = fs::canonicalize(path).ok();
    let is_it = |input: &ConvertInput| real.is_some() && fs::canonicalize(&input.name).ok() == real;
    if inputs.iter().any(is_it) {
        let message = format!("{} is one of the inputs: it would be overwritten", path.display());
        output::error(&message, "choose another path for --output");
        return Err(ExitStatus::Usage);
    }
    Ok(())
}

/// What needs attention, and how much there is besides.
fn summary(report: &convert::ConversionReport) -> String {
    let lines = report.lines().len();
    format!(
        "{}{lines} fields were looked at: --report text says what became of each\n",
        report.to_text(false)
    )
}

fn write(configuration: &str, output: Option<&Path>) -> Result<(), ExitStatus> {
    let Some(path) = output else {
        return if configuration.is_empty() { Ok(()) } else { output::result(configuration) };
    };
    write_file(path, configuration).map_err(|error| {
        let message = format!("{} cannot be written: {}", path.display(), printable::os_error(&error));
        output::error(&message, "choose another path for --output");
        ExitStatus::Write
    })
}

/// Replaces the file as a whole.
fn write_file(path: &Path, text: &str) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(text.as_bytes())?;
    file.persist(path).map(drop).map_err(|error| error.error)
}

/// All inputs, each once; without one, standard input.
fn inputs(paths: &[PathBuf]) -> Result<Vec<ConvertInput>, ExitStatus> {
    let mut inputs = Vec::new();
    let mut seen = BTreeSet::new();
    let mut is_first = |path: &Path| fs::canonicalize(path).ok().is_none_or(|real| seen.insert(real));
    if paths.iter().filter(|path| path.as_os_str() == "-").count() > 1 {
        return Err(refuse(Path::new("stdin"), "it is named twice"));
    }
    if paths.is_empty() {
        inputs.push(standard_input()?);
    }
    for path in paths {
        if path.as_os_str() == "-" {
            inputs.push(standard_input()?);
        } else if path.is_dir() {
            let mut files = Vec::new();
            collect(path, 0, &is_input, &mut files)?;
            for file in files.into_iter().filter(|file| is_first(file)) {
                inputs.push(file_input(&file, false)?);
            }
        } else if is_first(path) {
            inputs.push(file_input(path, true)?);
        }
    }
    Ok(inputs)
}

/// The files of a directory that may be an input, sorted. Links are not followed.
fn collect(
    directory: &Path,
    depth: usize,
    is_wanted: &dyn Fn(&Path) -> bool,
    files: &mut Vec<PathBuf>,
) -> Result<(), ExitStatus> {
    let unreadable = |error: io::Error| refuse(directory, &printable::os_error(&error));
    let mut entries =
        fs::read_dir(directory).and_then(Iterator::collect::<io::Result<Vec<_>>>).map_err(unreadable)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (path, kind) = (entry.path(), entry.file_type().map_err(unreadable)?);
        let is_hidden = entry.file_name().to_string_lossy().starts_with('.');
        if kind.is_dir() && !is_hidden && depth < MAX_DEPTH {
            collect(&path, depth + 1, is_wanted, files)?;
        } else if kind.is_file() && is_wanted(&path) {
            files.push(path);
        }
    }
    Ok(())
}

fn is_input(path: &Path) -> bool {
    const ENDINGS: [&str; 8] = ["yaml", "yml", "json", "hcl", "nomad", "ctmpl", "tpl", "tmpl"];
    path.extension().is_some_and(|end| ENDINGS.iter().any(|known| end == *known))
}

fn file_input(path: &Path, is_named: bool) -> Result<ConvertInput, ExitStatus> {
    let bytes = regular_file::read(path, MAX_INPUT).map_err(|error| refuse(path, &error.to_string()))?;
    input(&path.display().to_string(), &bytes, is_named)
}

fn standard_input() -> Result<ConvertInput, ExitStatus> {
    let mut bytes = Zeroizing::new(Vec::new());
    let limit = u64::try_from(MAX_INPUT + 1).unwrap_or(u64::MAX);
    let read = io::stdin().lock().take(limit).read_to_end(&mut bytes);
    read.map_err(|error| refuse(Path::new("stdin"), &printable::os_error(&error)))?;
    if bytes.len() > MAX_INPUT {
        return Err(refuse(Path::new("stdin"), "it is larger than 64MiB"));
    }
    input("stdin", &bytes, true)
}

fn input(name: &str, bytes: &[u8], is_named: bool) -> Result<ConvertInput, ExitStatus> {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Err(refuse(Path::new(name), "it is not UTF-8"));
    };
    Ok(ConvertInput { name: name.to_owned(), text: Zeroizing::new(text.to_owned()), is_named })
}

fn refuse(path: &Path, reason: &str) -> ExitStatus {
    let message = format!("{} cannot be read: {reason}", path.display());
    output::error(&message, "name files or directories, or pipe one text into stdin");
    ExitStatus::Configuration
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "tests write their input")]
    fn an_input_that_is_named_twice_is_read_once() {
        let directory = tempfile::tempdir().unwrap();
        let (one, two) = (directory.path().join("one.yaml"), directory.path().join("two.yaml"));
        fs::write(&one, "a: 1\n").unwrap();
        fs::write(&two, "a: 2\n").unwrap();
        std::os::unix::fs::symlink(&one, directory.path().join("link")).unwrap();
        let other = directory.path().join("../").join(directory.path().file_name().unwrap()).join("link");
        let read = inputs(&[two.clone(), directory.path().to_owned(), one.clone(), other]).unwrap();
        let names: Vec<_> = read.iter().map(|input| input.name.clone()).collect();
        assert_eq!(names, [two.display().to_string(), one.display().to_string()]);
        assert!(inputs(&[PathBuf::from("-"), one, PathBuf::from("-")]).is_err());
    }
}
