//! The template files that `source` of another tool's configuration names.

use std::fs;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::{MAX_INPUT, collect, refuse};
use crate::convert::FoundTemplate;
use crate::fault::ExitStatus;
use crate::regular_file;

/// The files of all `--template-dir`.
pub(super) struct TemplateFiles(Vec<PathBuf>);

impl TemplateFiles {
    /// Lists the directories.
    pub(super) fn list(directories: &[PathBuf]) -> Result<Self, ExitStatus> {
        let mut files = Vec::new();
        for directory in directories {
            if !directory.is_dir() {
                return Err(refuse(directory, "it is no directory"));
            }
            collect(directory, 0, &|_| true, &mut files)?;
        }
        Ok(Self(files))
    }

    /// What `source` may mean: the file beside the one that names it, else those of its name in the directories, the one
    /// whose path ends most alike first. Neither `..` nor a link leads out of the directory of the file that names it: the
    /// text of a template is copied.
    pub(super) fn find(&self, source: &str, named_in: &str) -> Vec<FoundTemplate> {
        let source = Path::new(source);
        let Some(base) = source.file_name() else { return Vec::new() };
        let beside = Path::new(named_in).parent().unwrap_or(Path::new(""));
        let near = [beside.join(source.strip_prefix("/").unwrap_or(source)), beside.join(base)];
        let beside =
            fs::canonicalize(if beside.as_os_str().is_empty() { Path::new(".") } else { beside }).ok();
        let is_below = |path: &PathBuf| {
            let real = fs::canonicalize(path).ok().filter(|real| real.is_file());
            real.zip(beside.as_ref()).is_some_and(|(real, beside)| real.starts_with(beside))
        };
        let near = near.iter().find(|path| is_below(path));
        let mut found: Vec<&PathBuf> = match near {
            Some(path) => vec![path],
            None => self.0.iter().filter(|path| path.file_name() == Some(base)).collect(),
        };
        found.sort_by_key(|path| (usize::MAX - alike(path, source), path.as_os_str().to_owned()));
        found.into_iter().filter_map(|path| read(path)).collect()
    }
}

/// How many parts at the end of two paths are equal.
fn alike(path: &Path, other: &Path) -> usize {
    path.components().rev().zip(other.components().rev()).take_while(|(one, two)| one == two).count()
}

fn read(path: &Path) -> Option<FoundTemplate> {
    let bytes = regular_file::read(path, MAX_INPUT).ok()?;
    let text = std::str::from_utf8(&bytes).ok()?;
    Some(FoundTemplate::of_file(path.display().to_string(), Zeroizing::new(text.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "tests write their input")]
    fn the_file_beside_comes_first_and_then_the_likeliest() {
        let directory = tempfile::tempdir().unwrap();
        let write = |path: &str| {
            let path = directory.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::File::create(path).unwrap();
        };
        for path in [
            "t/a/app.ctmpl",
            "t/b/app.ctmpl",
            "t/b/.hidden/app.ctmpl",
            "conf/agent.hcl",
            "conf/own.ctmpl",
            "t/own.ctmpl",
        ] {
            write(path);
        }
        let files = TemplateFiles::list(&[directory.path().join("t")]).unwrap();
        let agent = directory.path().join("conf/agent.hcl").display().to_string();
        let find = |source: &str| -> Vec<String> {
            let found = files.find(source, &agent).into_iter();
            found.map(|found| found.name.replace(&format!("{}/", directory.path().display()), "")).collect()
        };
        assert_eq!(find("/etc/b/app.ctmpl"), ["t/b/app.ctmpl", "t/a/app.ctmpl"]);
        assert_eq!(find("/etc/own.ctmpl"), ["conf/own.ctmpl"]);
        assert!(find("/etc/gone.ctmpl").is_empty());
        write("outside.txt");
        std::os::unix::fs::symlink("../outside.txt", directory.path().join("conf/link.ctmpl")).unwrap();
        std::os::unix::fs::symlink("own.ctmpl", directory.path().join("conf/inner.ctmpl")).unwrap();
        assert!(find("../outside.txt").is_empty() && find("link.ctmpl").is_empty());
        assert_eq!(find("inner.ctmpl"), ["conf/inner.ctmpl"]);
        assert!(TemplateFiles::list(&[directory.path().join("gone")]).is_err());
    }
}
