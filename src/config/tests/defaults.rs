//! What the tables of keys call a default is what an absent key means.

use super::*;
use crate::config::reference;

/// The sections whose defaults are tried, each with a configuration that has `_` where one more key can stand.
const SECTIONS: &[(&str, &str)] = &[
    (
        "limits",
        "limits: { _ }\nsecretStore: { address: 'https://v', token: t }\nsecrets: [{ name: a, key: b, files: [{ path: /f, field: f }] }]",
    ),
    (
        "secretStore",
        "secretStore: { address: 'https://v', roleId: r, secretId: s, _ }\nsecrets: [{ name: a, key: b, files: [{ path: /f, field: f }] }]",
    ),
    (
        "credentials",
        "secretStore: { address: 'https://v', token: t, credentials: { c: { roleId: r, secretId: s, _ } } }\nsecrets: [{ name: a, key: b, files: [{ path: /f, field: f }] }]",
    ),
    (
        "secrets[]",
        "secretStore: { address: 'https://v', token: t }\nsecrets: [{ name: a, key: b, files: [{ path: /f, field: f }], _ }]",
    ),
    (
        "secrets[].files[]",
        "secretStore: { address: 'https://v', token: t }\nsecrets: [{ name: a, key: b, files: [{ path: /f, field: f, _ }] }]",
    ),
    (
        "secrets[].directory",
        "secretStore: { address: 'https://v', token: t }\nsecrets: [{ name: a, key: b, directory: { path: /d, _ } }]",
    ),
];

#[test]
fn the_defaults_of_the_tables_are_what_absent_keys_mean() {
    let mut tried = 0;
    for table in reference() {
        let Some((_, text)) = SECTIONS.iter().find(|(section, _)| *section == table.section) else {
            continue;
        };
        let absent = config(&text.replace('_', ""));
        for row in table.rows {
            let Some(default) = row.default.strip_prefix('`').and_then(|rest| rest.strip_suffix('`')) else {
                continue;
            };
            if default.contains('`') {
                continue;
            }
            let with = config(&text.replace('_', &format!("{}: {default}", row.name)));
            let [mut with, mut absent] = [with, absent.clone()];
            if ["mountPath", "kvVersion"].contains(&row.name) {
                // A store keeps whether it has them: its secrets show what they mean.
                with.stores.clear();
                absent.stores.clear();
            }
            assert_eq!(with, absent, "{} of {}", row.name, table.section);
            tried += 1;
        }
    }
    assert!(tried >= 20, "{tried}");
}
