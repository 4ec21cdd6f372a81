//! Which trees a path belongs to, and what a configuration is refused after start.

use std::os::unix::fs::symlink;

use tempfile::TempDir;

use super::*;
use crate::config::env::Env;

fn config(text: &str, home: &Path) -> Config {
    Config::parse(text, "config.yaml", &Env::default(), home).unwrap().config
}

/// A sandbox with the rules for `text`, held by nobody.
fn granted(text: &str, home: &Path) -> Sandbox {
    let mut grant = Grant::default();
    // As with SANDBOX_CONNECT=53.
    grant.policy.connect.insert(53);
    grant.configuration(&Needs::of(&config(text, home)));
    assert!(grant.in_root.is_none() && grant.left_out.is_empty());
    let holds = Holds { abi: 6, file_system: true, network: true, scope: true };
    Sandbox { holds, granted: grant.policy }
}

fn with_output(path: &str) -> String {
    format!(
        "secretStore: {{ provider: file, path: data/all.yaml }}\n\
         secrets: [{{ name: one, key: k, files: [{{ path: {path}, field: f }}] }}]"
    )
}

fn server(settings: &str) -> String {
    format!(
        "secretStore: {{ {settings} }}\n\
         secrets: [{{ name: one, mountPath: secret, key: k, kvVersion: v2, files: [{{ path: out/a, field: f }}] }}]"
    )
}

#[test]
fn a_tree_is_the_shortest_path_that_others_do_not_share() {
    for (directory, expected) in [
        ("/secrets", "/secrets"),
        ("/secrets/db/tls", "/secrets"),
        ("/run/app/tls", "/run/app"),
        ("/run/secrets", "/run/secrets"),
        ("/etc/nginx/tls", "/etc/nginx"),
        ("/etc/ssl/private", "/etc/ssl/private"),
        ("/var/lib/app", "/var/lib/app"),
        ("/home/alice/app/x", "/home/alice/app"),
        ("/home/alice", "/home/alice"),
        ("/run/user/7/app", "/run/user/7/app"),
        ("/run", "/run"),
    ] {
        assert_eq!(tree(Path::new(directory)).as_deref(), Some(Path::new(expected)), "{directory}");
    }
    assert_eq!(tree(Path::new("/")), None);
}

#[test]
fn a_missing_tree_is_made_and_granted_and_nothing_above_it() {
    let home = TempDir::new().unwrap();
    let sandbox = granted(&with_output("new/deep/file"), home.path());
    let own = tree(&resolved(home.path())).unwrap();
    assert!(own.is_dir());
    assert_eq!(sandbox.granted.write, BTreeSet::from([own]));
}

#[test]
fn what_lies_in_the_root_directory_cannot_be_granted() {
    let mut grant = Grant::default();
    grant.configuration(&Needs::of(&config(&with_output("/token"), Path::new("/"))));
    assert_eq!(grant.in_root.as_deref(), Some(Path::new("/")));
}

#[test]
fn ordinary_reloads_are_covered() {
    let home = TempDir::new().unwrap();
    let sandbox = granted(&with_output("out/a"), home.path());
    for path in ["out/b", "b", "other/deep/c"] {
        sandbox.covers(&config(&with_output(path), home.path())).unwrap();
    }
}

#[test]
fn a_path_beyond_is_refused_with_the_setting_that_allows_it() {
    let home = TempDir::new().unwrap();
    let sandbox = granted(&with_output("out/a"), home.path());
    let fault = sandbox.covers(&config(&with_output("/secrets/deep/b"), home.path())).unwrap_err();
    assert!(fault.message.contains("/secrets/deep"), "{fault:?}");
    assert!(
        fault.remedy.contains("SANDBOX_WRITE=/secrets ") && fault.remedy.contains("restart"),
        "{fault:?}"
    );
    let text = server("address: 'http://127.0.0.1:8200', authMethod: token, tokenFile: /secrets/token");
    let fault = sandbox.covers(&config(&text, home.path())).unwrap_err();
    assert!(fault.remedy.contains("SANDBOX_READ=/secrets "), "{fault:?}");
}

#[test]
fn a_symlink_counts_as_where_it_leads() {
    let (home, elsewhere) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let sandbox = granted(&with_output("out/a"), home.path());
    symlink(elsewhere.path(), home.path().join("link")).unwrap();
    let fault = sandbox.covers(&config(&with_output("link/b"), home.path())).unwrap_err();
    assert!(fault.remedy.contains(elsewhere.path().to_str().unwrap()), "{fault:?}");
}

#[test]
fn a_port_beyond_is_refused_and_a_default_port_counts() {
    let home = TempDir::new().unwrap();
    let store = |address: &str| server(&format!("address: '{address}', authMethod: token, token: t"));
    let sandbox = granted(&store("https://vault"), home.path());
    sandbox.covers(&config(&store("https://other:443"), home.path())).unwrap();
    let fault = sandbox.covers(&config(&store("https://vault:8300"), home.path())).unwrap_err();
    assert!(fault.remedy.contains("SANDBOX_CONNECT=8300 "), "{fault:?}");
    let unnamed = Sandbox { granted: Policy { connect: BTreeSet::new(), ..sandbox.granted }, ..sandbox };
    unnamed.covers(&config(&store("https://vault:8300"), home.path())).unwrap();
}

#[test]
fn where_nothing_holds_everything_is_covered() {
    let home = TempDir::new().unwrap();
    Sandbox::default().covers(&config(&with_output("/secrets/a"), home.path())).unwrap();
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a fixture, not a secret")]
fn a_file_is_called_in_one_directory_and_kept_in_another() {
    let home = TempDir::new().unwrap();
    let home = home.path().canonicalize().unwrap();
    fs::create_dir_all(home.join("kept")).unwrap();
    fs::create_dir_all(home.join("called")).unwrap();
    fs::File::create(home.join("kept/token")).unwrap();
    symlink(home.join("kept/token"), home.join("called/token")).unwrap();
    let expected = ["called", "kept"].map(|name| home.join(name));
    assert_eq!(places(&home.join("called/token")), BTreeSet::from(expected));
    assert_eq!(places(Path::new("/no-such-token")), BTreeSet::from([PathBuf::from("/no-such-token")]));
}
