//! Functions that exist elsewhere and are refused here, with the reason and the remedy.

use crate::template::go::dialect::GoDialect;

const OUTSIDE: &str =
    "a template reads nothing from outside: put the value into the secret, or into `template.vars`";
const CONSUL: &str =
    "it asks Consul or Nomad: keep consul-template for this file, or put the value into the secret";
const RANDOM: &str = "the file would differ at each look: make the value once and store it in the secret";
const CRYPTO: &str = "it is not built in: do this before the value is stored, and store the result";
const TIME: &str =
    "the file would differ at each look: for when the secret was written, take `.Data.metadata.created_time`";
const DATES: &str = "dates are not calculated with here: store the text that the file needs";
const VERSIONS: &str = "versions are not compared here: put the result into `template.vars`";
const PATHS: &str = "take the name without `os`: paths are those of Unix here";
const EFFECT: &str = "a template writes nothing by itself: give the file an entry of its own under `files`";

#[rustfmt::skip]
const EVERYWHERE: &[(&str, &str)] = &[
    ("call", "no value of a secret is a function"),
    ("file", OUTSIDE), ("plugin", OUTSIDE), ("expandenv", OUTSIDE), ("getHostByName", OUTSIDE),
    ("bcrypt", RANDOM), ("htpasswd", RANDOM), ("uuidv4", RANDOM), ("shuffle", RANDOM), ("derivePassword", CRYPTO),
    ("encryptAES", RANDOM), ("decryptAES", CRYPTO), ("buildCustomCert", CRYPTO), ("rsaDecrypt", CRYPTO),
    ("now", TIME), ("timestamp", TIME), ("ago", DATES), ("date", DATES), ("dateInZone", DATES), ("dateModify", DATES),
    ("date_in_zone", DATES), ("date_modify", DATES), ("duration", DATES), ("durationRound", DATES), ("htmlDate", DATES),
    ("htmlDateInZone", DATES), ("mustDateModify", DATES), ("must_date_modify", DATES), ("mustToDate", DATES),
    ("toDate", DATES), ("unixEpoch", DATES),
    ("semver", VERSIONS), ("semverCompare", VERSIONS), ("osBase", PATHS), ("osDir", PATHS),
    ("osExt", PATHS), ("osClean", PATHS), ("osIsAbs", PATHS), ("hello", "it does nothing"),
];

#[rustfmt::skip]
const AGENT: &[(&str, &str)] = &[
    ("writeToFile", EFFECT), ("executeTemplate", "write `template` in its place"),
    ("secrets", "a template lists nothing: read the secrets below a path with `dataFrom.find`"),
    ("scratch", "use a variable: `$x := …`"), ("sockaddr", OUTSIDE), ("spew_dump", OUTSIDE), ("spew_printf", OUTSIDE),
    ("spew_sdump", OUTSIDE), ("spew_sprintf", OUTSIDE), ("caLeaf", CONSUL), ("caRoots", CONSUL), ("connect", CONSUL),
    ("datacenters", CONSUL), ("ls", CONSUL), ("safeLs", CONSUL), ("tree", CONSUL), ("safeTree", CONSUL),
    ("partitions", CONSUL), ("peerings", CONSUL), ("byMeta", CONSUL), ("byTag", CONSUL), ("byKey", CONSUL),
    ("toTOML", "TOML is not written here: write the file's text in the template"),
    ("explode", CONSUL),
];

/// Families of names: what begins so is refused.
#[rustfmt::skip]
const FAMILIES: &[(&str, &str)] = &[
    ("gen", CRYPTO), ("rand", RANDOM), ("pkcs12", CRYPTO), ("jwk", CRYPTO), ("pemToPkcs12", CRYPTO),
    ("fullPemToPkcs12", CRYPTO), ("pemTruststoreToPKCS12", CRYPTO),
];

#[rustfmt::skip]
const AGENT_FAMILIES: &[(&str, &str)] = &[
    ("key", CONSUL), ("service", CONSUL), ("node", CONSUL), ("nomad", CONSUL),
];

/// Why `name` is refused in `dialect`, and what to do; nothing for names that nobody has.
pub(crate) fn reason(dialect: GoDialect, name: &str) -> Option<&'static str> {
    let is_agent = dialect == GoDialect::ConsulTemplate;
    if name == "env" || name == "sprig_env" {
        return Some(OUTSIDE);
    }
    let plain = name.strip_prefix("sprig_").filter(|_| is_agent).unwrap_or(name);
    let exact = |table: &'static [(&str, &str)], name: &str| {
        table.iter().find(|(known, _)| *known == name).map(|(_, reason)| *reason)
    };
    let family = |table: &'static [(&str, &str)], name: &str| {
        table.iter().find(|(start, _)| name.starts_with(start)).map(|(_, reason)| *reason)
    };
    let agent = || exact(AGENT, name).or_else(|| family(AGENT_FAMILIES, name));
    exact(EVERYWHERE, plain)
        .or_else(|| if is_agent { agent() } else { None })
        .or_else(|| family(FAMILIES, plain))
}
