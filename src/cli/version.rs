//! `version` and `--version`: which program this is.

use std::env::consts::{ARCH, OS};
use std::sync::LazyLock;

use super::output;
use crate::fault::ExitStatus;

/// Version, commit and date of the commit, platform. `.ci/release` and the Dockerfile set the two variables; a plain
/// `cargo build` leaves them out, so that a commit alone never makes it build again.
pub(super) static VERSION: LazyLock<String> = LazyLock::new(|| {
    let build = [option_env!("SECRETS_SYNC_COMMIT"), option_env!("SECRETS_SYNC_DATE")];
    let platform = format!("{OS}/{ARCH}");
    described(env!("CARGO_PKG_VERSION"), build, &platform)
});

/// A variable that is empty is one that is not known.
fn described(version: &str, build: [Option<&str>; 2], platform: &str) -> String {
    let known = build.into_iter().flatten().filter(|text| !text.is_empty());
    let details: Vec<&str> = known.chain([platform]).collect();
    format!("{version} ({})", details.join(", "))
}

/// Prints name and version on one line.
pub(super) fn version() -> Result<ExitStatus, ExitStatus> {
    output::result(&format!("secrets-sync {}", *VERSION))?;
    Ok(ExitStatus::Success)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commit_and_date_stand_where_they_are_known() {
        let shown = |build| described("1.2.3", build, "linux/x86_64");
        let known = [Some("0123456789ab"), Some("2026-11-28")];
        assert_eq!(shown(known), "1.2.3 (0123456789ab, 2026-11-28, linux/x86_64)");
        for unknown in [[None, None], [Some(""), Some("")]] {
            assert_eq!(shown(unknown), "1.2.3 (linux/x86_64)");
        }
    }
}
