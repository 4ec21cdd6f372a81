//! Functions that templates of consul-template may call and that read more than the secrets of their own configuration.

/// Functions that cannot be converted, and what to do.
const REFUSED: [(&[&str], &str); 10] = [
    (
        &["file"],
        "templates reach no files: put the text of the file into the secret or into the template, or keep consul-template \
         for this file",
    ),
    (
        &["plugin"],
        "no program is run for a template: put the value into the secret, or keep consul-template for this file",
    ),
    (
        &[
            "key",
            "keyExists",
            "keyExistsGet",
            "keyOrDefault",
            "ls",
            "safeLs",
            "tree",
            "safeTree",
            "service",
            "services",
            "node",
            "nodes",
            "connect",
            "datacenters",
            "partitions",
            "peerings",
            "exportedServices",
            "caRoots",
            "caLeaf",
            "byKey",
            "byTag",
            "byMeta",
            "byPort",
        ],
        "Consul is not read: put the value into the secret, or keep consul-template for this file",
    ),
    (
        &["nomadService", "nomadServices", "nomadVar", "nomadVarExists", "nomadVarList", "nomadVarListSafe"],
        "Nomad is not read: put the value into the secret, or keep Nomad for this file",
    ),
    (
        &["sockaddr"],
        "addresses of the machine are not read: put the value into the environment and read it with `env`",
    ),
    (
        &["spew_dump", "spew_printf", "spew_sdump", "spew_sprintf"],
        "they print Go's own structures: print the fields themselves",
    ),
    (&["executeTemplate"], "use `template` with a text that `define` names"),
    (&["scratch"], "write the value into a variable: {{ $x := … }}"),
    (&["secrets"], "a list of secrets is read by `dataFrom` with `find`: write the secret with it"),
    (
        &["timestamp"],
        "the file would differ each time: take the time of the secret, {{ .Data.metadata.created_time }}",
    ),
];

/// The functions of consul-template besides those of Go that only compute.
const KNOWN: [&str; 56] = [
    "secret",
    "pkiCert",
    "env",
    "mustEnv",
    "envOrDefault",
    "base64Decode",
    "base64Encode",
    "base64URLDecode",
    "base64URLEncode",
    "contains",
    "containsAll",
    "containsAny",
    "containsNone",
    "containsNotAll",
    "explode",
    "explodeMap",
    "mergeMap",
    "mergeMapWithOverride",
    "in",
    "indent",
    "loop",
    "join",
    "trim",
    "trimPrefix",
    "trimSuffix",
    "trimSpace",
    "parseBool",
    "parseFloat",
    "parseInt",
    "parseJSON",
    "parseUint",
    "parseYAML",
    "regexReplaceAll",
    "regexMatch",
    "replaceAll",
    "sha256Hex",
    "md5sum",
    "hmacSHA256Hex",
    "toLower",
    "toJSON",
    "toJSONPretty",
    "toUnescapedJSON",
    "toUnescapedJSONPretty",
    "toTitle",
    "toTOML",
    "toUpper",
    "toYAML",
    "split",
    "splitToMap",
    "add",
    "subtract",
    "multiply",
    "divide",
    "modulo",
    "minimum",
    "maximum",
];

/// The functions of Go.
const BUILT_IN: [&str; 19] = [
    "and", "or", "not", "index", "len", "slice", "print", "printf", "println", "html", "js", "urlquery",
    "call", "eq", "ne", "lt", "le", "gt", "ge",
];

/// Words that people know from other tools.
const FOREIGN: [(&str, &str); 3] = [
    ("default", "the Agent cannot render this either: write `sprig_default`"),
    ("include", "the Agent cannot render this either: it is a function of Helm"),
    ("lookup", "the Agent cannot render this either: it is a function of Ansible or Helm"),
];

/// Why a function cannot be converted, and what to do; nothing for one that only computes.
pub(super) fn refusal(name: &str) -> Option<String> {
    if let Some((_, remedy)) = REFUSED.iter().find(|(names, _)| names.contains(&name)) {
        return Some(format!("`{name}`: {remedy}"));
    }
    if let Some((_, remedy)) = FOREIGN.iter().find(|(word, _)| *word == name) {
        return Some(format!("`{name}`: {remedy}"));
    }
    let is_known = KNOWN.contains(&name) || BUILT_IN.contains(&name) || name.starts_with("sprig_");
    (!is_known).then(|| {
        format!("`{name}`: consul-template has no such function, so the Agent cannot render this either")
    })
}
