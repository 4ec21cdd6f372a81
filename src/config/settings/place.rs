//! Where the configuration file is.

use std::path::{Path, PathBuf};

use crate::config::diagnostic::{Code, Diagnostic, Place, Report};
use crate::config::env::Env;

const SYSTEM_CONFIG: &str = "/etc/secrets-sync/config.yaml";
const LOCAL_CONFIG: &str = "config.yaml";

/// The configuration file: the flag, `CONFIG_FILE`, `./config.yaml`, `/etc/secrets-sync/config.yaml`. What the flag or
/// the variable names is taken without a look, so that a mistake in it is not passed over.
///
/// # Errors
/// There is none; the report lists the places.
pub(crate) fn config_path(
    flag: Option<&Path>,
    env: &Env,
    working_directory: &Path,
) -> Result<PathBuf, Report> {
    find_config(flag, env, &[working_directory.join(LOCAL_CONFIG), PathBuf::from(SYSTEM_CONFIG)])
}

fn find_config(flag: Option<&Path>, env: &Env, places: &[PathBuf]) -> Result<PathBuf, Report> {
    if let Some(path) = flag {
        return Ok(path.to_owned());
    }
    if let Some(path) = env.value("CONFIG_FILE").filter(|path| !path.is_empty()) {
        return Ok(PathBuf::from(path));
    }
    if env.is_not_text("CONFIG_FILE") {
        let place = Place { path: "CONFIG_FILE".to_owned(), position: None };
        let not_text = Diagnostic::new(Code::BadVariable, place, "takes a path in UTF-8");
        return Err(Report { file: "process settings".to_owned(), diagnostics: vec![not_text] });
    }
    if let Some(path) = places.iter().find(|path| path.symlink_metadata().is_ok()) {
        return Ok(path.clone());
    }
    let listed: Vec<_> = places.iter().map(|path| path.display().to_string()).collect();
    let message = format!("no configuration: no --config, no CONFIG_FILE, no {}", listed.join(", no "));
    let place = Place { path: String::new(), position: None };
    let missing = Diagnostic::new(Code::NoConfiguration, place, message)
        .hint("\"secrets-sync init > config.yaml\" writes a first one");
    Err(Report { file: "process settings".to_owned(), diagnostics: vec![missing] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_looked_for_in_order() {
        let directory = tempfile::tempdir().unwrap();
        let places = ["a.yaml", "b.yaml"].map(|name| directory.path().join(name));
        let env = Env::from_pairs([("CONFIG_FILE", "/from/env")]);
        let empty = Env::from_pairs([("CONFIG_FILE", "")]);
        assert_eq!(find_config(Some(Path::new("flag")), &env, &places).unwrap(), Path::new("flag"));
        assert_eq!(find_config(None, &env, &places).unwrap(), Path::new("/from/env"));
        let report = find_config(None, &empty, &places).unwrap_err().to_string();
        assert!(places.iter().all(|place| report.contains(place.to_str().unwrap())), "{report}");
        std::os::unix::fs::symlink("nowhere", &places[1]).unwrap();
        assert_eq!(find_config(None, &empty, &places).unwrap(), places[1]);
    }
}
