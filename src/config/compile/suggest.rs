//! "Did you mean": the known word that an unknown one stands for.

/// Words of other tools, and words that people try, for keys of this one. The first right key that exists is meant.
const SYNONYMS: &[(&str, &[&str])] = &[
    ("path", &["key", "path"]),
    ("secret", &["key", "secrets"]),
    ("secretpath", &["key"]),
    ("name", &["key"]),
    ("interval", &["refreshInterval"]),
    ("refresh", &["refreshInterval"]),
    ("refreshevery", &["refreshInterval"]),
    ("pollinterval", &["refreshInterval"]),
    ("syncinterval", &["refreshInterval"]),
    ("ttl", &["refreshInterval"]),
    ("permissions", &["mode"]),
    ("permission", &["mode"]),
    ("perms", &["mode"]),
    ("perm", &["mode"]),
    ("chmod", &["mode"]),
    ("filemode", &["mode"]),
    ("uid", &["owner"]),
    ("user", &["owner"]),
    ("username", &["owner"]),
    ("gid", &["group"]),
    ("url", &["address"]),
    ("uri", &["address"]),
    ("addr", &["address"]),
    ("server", &["address"]),
    ("host", &["address"]),
    ("endpoint", &["address"]),
    ("mount", &["mountPath"]),
    ("mountpoint", &["mountPath"]),
    ("engine", &["mountPath"]),
    ("backend", &["mountPath"]),
    ("kv", &["kvVersion"]),
    ("auth", &["authMethod"]),
    ("method", &["authMethod"]),
    ("role", &["roleId"]),
    ("ca", &["tlsCACert"]),
    ("cacert", &["tlsCACert"]),
    ("cabundle", &["tlsCACert"]),
    ("capath", &["tlsCAPath"]),
    ("cert", &["tlsClientCert"]),
    ("servername", &["tlsServerName"]),
    ("insecure", &["tlsSkipVerify"]),
    ("skipverify", &["tlsSkipVerify"]),
    ("insecureskipverify", &["tlsSkipVerify"]),
    ("type", &["provider"]),
    ("dest", &["path"]),
    ("destination", &["path"]),
    ("target", &["path"]),
    ("filename", &["path"]),
    ("file", &["files", "path"]),
    ("output", &["files", "path"]),
    ("outputs", &["files"]),
    ("dir", &["directory"]),
    ("folder", &["directory"]),
    ("content", &["template"]),
    ("contents", &["template"]),
    ("source", &["template", "key"]),
    ("templatefrom", &["template"]),
    ("value", &["field"]),
    ("property", &["field"]),
    ("secretkey", &["field", "key"]),
    ("refreshtime", &["refreshInterval"]),
    ("encoding", &["decoding"]),
    ("optional", &["required"]),
    ("store", &["secretStore"]),
    ("stores", &["secretStores"]),
    ("vault", &["secretStore"]),
    ("level", &["logLevel"]),
];

/// The key of `known` that people mean by `word`.
pub(in crate::config) fn synonym<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let plain: String = word
        .chars()
        .filter(|letter| !matches!(letter, '_' | '-' | '.'))
        .flat_map(char::to_lowercase)
        .collect();
    let (_, right) = SYNONYMS.iter().find(|(wrong, _)| *wrong == plain)?;
    right.iter().find_map(|right| known.iter().find(|known| *known == right)).copied()
}

/// The nearest of `known`, if it is near enough to be meant.
pub(crate) fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let word: String = word.chars().take(64).flat_map(char::to_lowercase).collect();
    let near = known.into_iter().map(|candidate| {
        let letters = candidate.to_lowercase();
        (strsim::osa_distance(&word, &letters), letters.chars().count(), candidate)
    });
    let (distance, length, candidate) = near.min_by_key(|(distance, _, _)| *distance)?;
    (distance <= (word.chars().count().max(length) / 3).max(1)).then_some(candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant() {
        let keys = ["mode", "owner", "path", "kvVersion", "refreshInterval"];
        for (word, expected) in [
            ("mod", Some("mode")),
            ("paht", Some("path")),
            ("kvversion", Some("kvVersion")),
            ("refresh_interval", Some("refreshInterval")),
            ("onwer", Some("owner")),
            ("completely", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, keys), expected, "{word}");
        }
    }
}
