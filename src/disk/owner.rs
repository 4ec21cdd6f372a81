//! Owners: numbers, or names of `/etc/passwd` and `/etc/group`.
//!
//! The two files are read directly: a static binary must not load NSS modules, and images without a libc have none.

use std::fmt;
use std::path::Path;

use crate::regular_file;

/// Most bytes of `/etc/passwd` or `/etc/group`.
const MAX_DATABASE: usize = 16 << 20;

/// The owner that a file is given; `None` where the configuration does not say.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Owner {
    /// User id.
    pub user: Option<u32>,
    /// Group id.
    pub group: Option<u32>,
}

/// Why an owner is refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct OwnerError(String);

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |id: Option<u32>| id.map_or_else(String::new, |id| id.to_string());
        write!(f, "{}:{}", part(self.user), part(self.group))
    }
}

impl Owner {
    /// A user and a group.
    pub(super) fn of((user, group): (u32, u32)) -> Self {
        Self { user: Some(user), group: Some(group) }
    }

    /// Whether a file of this user and group has to be changed.
    pub(super) fn differs(self, user: u32, group: u32) -> bool {
        self.user.is_some_and(|wanted| wanted != user) || self.group.is_some_and(|wanted| wanted != group)
    }

    /// The parts that are set, `other`'s where one is not.
    pub(super) fn or(self, other: Self) -> Self {
        Self { user: self.user.or(other.user), group: self.group.or(other.group) }
    }

    /// Resolves `owner` and `group` as the configuration writes them: a decimal id, or a name.
    ///
    /// # Errors
    /// A name that is not in `/etc/passwd` or `/etc/group`, one of these cannot be read, or an id over 4294967294
    /// (the one above it means "do not change" to the system).
    pub fn resolve(user: Option<&str>, group: Option<&str>) -> Result<Self, OwnerError> {
        Self::resolve_in(user, group, Path::new("/etc/passwd"), Path::new("/etc/group"))
    }

    fn resolve_in(
        user: Option<&str>,
        group: Option<&str>,
        passwd: &Path,
        groups: &Path,
    ) -> Result<Self, OwnerError> {
        let user = user.map(|name| id("user", name, passwd)).transpose()?;
        let group = group.map(|name| id("group", name, groups)).transpose()?;
        Ok(Self { user, group })
    }
}

fn id(kind: &str, name: &str, database: &Path) -> Result<u32, OwnerError> {
    if name.is_empty() {
        return Err(OwnerError(format!(
            "the {kind} is empty; give a name or a numeric id, or leave the key out"
        )));
    }
    if name.bytes().all(|digit| digit.is_ascii_digit()) {
        return name
            .parse()
            .ok()
            .filter(|&id| id != u32::MAX)
            .ok_or_else(|| OwnerError(format!("{kind} id {name} is larger than 4294967294")));
    }
    let place = database.display();
    let text = regular_file::read(database, MAX_DATABASE).map_err(|error| {
        OwnerError(format!(
            "{kind} `{name}` cannot be looked up: {place}: {error}; give the numeric id instead"
        ))
    })?;
    find(&String::from_utf8_lossy(&text), name).ok_or_else(|| {
        OwnerError(format!("there is no {kind} `{name}` in {place}; give the numeric id instead"))
    })
}

/// The third column of the line that `name` begins, as passwd(5) and group(5) have it; never the id that means "do not
/// change".
pub(super) fn find(database: &str, name: &str) -> Option<u32> {
    database.lines().find_map(|line| {
        let mut columns = line.split(':');
        let id = (columns.next() == Some(name)).then(|| columns.nth(1)?.parse().ok()).flatten();
        id.filter(|id| *id != u32::MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_numbers_without_any_database() {
        let nowhere = Path::new("/nonexistent/passwd");
        let owner = Owner::resolve_in(Some("0"), Some("4294967294"), nowhere, nowhere).unwrap();
        assert_eq!(owner, Owner { user: Some(0), group: Some(u32::MAX - 1) });
        assert_eq!(Owner::resolve(None, None).unwrap(), Owner::default());
    }

    #[test]
    fn takes_names_from_the_databases() {
        let directory = tempfile::tempdir().unwrap();
        let (passwd, group) = (directory.path().join("passwd"), directory.path().join("group"));
        #[expect(clippy::disallowed_methods, reason = "a fixture, not a secret")]
        {
            std::fs::write(&passwd, "# comment\nroot:x:0:0::/:/bin/sh\napp:x:1000:50::/:\nbroken:x\n")
                .unwrap();
            std::fs::write(&group, "ssl:x:104:app,root\n").unwrap();
        }
        let owner = Owner::resolve_in(Some("app"), Some("ssl"), &passwd, &group).unwrap();
        assert_eq!(owner, Owner { user: Some(1000), group: Some(104) });
        assert!(Owner::resolve_in(Some("broken"), None, &passwd, &group).is_err());
    }

    #[test]
    fn an_unknown_name_is_named_with_its_remedy() {
        for (owner, group, name) in
            [(Some("no such one"), None, "no such one"), (None, Some("nobodies"), "nobodies")]
        {
            let error = Owner::resolve(owner, group).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains("numeric id"), "{error}");
        }
        let nowhere = Path::new("/nonexistent/passwd");
        let error = Owner::resolve_in(Some("app"), None, nowhere, nowhere).unwrap_err().to_string();
        assert!(error.contains("/nonexistent/passwd") && error.contains("numeric id"), "{error}");
    }

    #[test]
    fn refuses_the_id_that_means_do_not_change() {
        for id in ["4294967295", "4294967296", "99999999999999999999"] {
            let error = Owner::resolve(Some(id), None).unwrap_err().to_string();
            assert!(error.contains("4294967294"), "{error}");
        }
        assert!(Owner::resolve(None, Some("")).is_err());
        assert_eq!(find("app:x:4294967295:0::/:", "app"), None);
    }
}
