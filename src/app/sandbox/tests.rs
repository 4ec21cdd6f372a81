//! What a configuration is granted at start, and what another one is refused afterwards.

use std::collections::BTreeSet;
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
    grant.configuration(&config(text, home));
    let holds = Holds { abi: 6, file_system: true, network: true, scope: true };
    Sandbox { holds, granted: grant.finish().unwrap(), refused: None }
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

/// A directory that no rule for the usual temporary ones covers.
fn elsewhere() -> TempDir {
    tempfile::tempdir_in("/var/tmp").unwrap()
}

#[test]
fn a_tree_that_comes_and_goes_is_not_made_and_the_directory_above_is_granted() {
    let above = resolved(Path::new("/var/tmp"));
    let missing = above.join(format!("secrets-sync-test-{}", std::process::id()));
    let output = missing.join("deep/file");
    let sandbox = granted(&with_output(output.to_str().unwrap()), Path::new("/tmp"));
    assert!(!missing.exists());
    assert_eq!(sandbox.granted.write, BTreeSet::from([above]));
}

#[test]
fn a_credential_whose_directory_is_missing_is_granted_where_it_will_come_to_be() {
    let home = elsewhere();
    let path = home.path().join("not/yet/token");
    let text = server(&format!(
        "address: 'http://127.0.0.1:8200', authMethod: token, tokenFile: '{}'",
        path.display()
    ));
    let sandbox = granted(&text, Path::new("/tmp"));
    assert!(is_within(&sandbox.granted.read, &path), "{:?}", sandbox.granted);
    let mut grant = Grant::default();
    grant.read(Path::new("/no-such-directory/token"));
    assert!(
        matches!(grant.finish(), Err(SandboxError::Missing(path)) if path == Path::new("/no-such-directory"))
    );
}

#[test]
fn what_lies_in_the_root_directory_cannot_be_granted() {
    let mut grant = Grant::default();
    grant.configuration(&config(&with_output("/token"), Path::new("/tmp")));
    assert!(matches!(grant.finish(), Err(SandboxError::InRoot(path)) if path == Path::new("/")));
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
fn links_may_be_made_where_generations_are_and_nowhere_else() {
    let home = elsewhere();
    let switched = |path: &str| {
        with_output(&format!("{path}/a")).replace("key: k,", &format!("key: k, generations: {path},"))
    };
    let sandbox = granted(&with_output("out/a"), home.path());
    assert!(sandbox.granted.links.is_empty());
    let fault = sandbox.covers(&config(&switched("out"), home.path())).unwrap_err();
    assert!(fault.message.contains("make links in") && fault.remedy.contains("restart"), "{fault:?}");
    let sandbox = granted(&switched("out"), home.path());
    assert_eq!(sandbox.granted.links, sandbox.granted.write);
    sandbox.covers(&config(&switched("out/below"), home.path())).unwrap();
}

#[test]
fn a_symlink_counts_as_where_it_leads() {
    let (home, elsewhere) = (TempDir::new().unwrap(), elsewhere());
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
    let unnamed =
        Sandbox { granted: SandboxPolicy { connect: BTreeSet::new(), ..sandbox.granted }, ..sandbox };
    unnamed.covers(&config(&store("https://vault:8300"), home.path())).unwrap();
}

#[test]
fn where_nothing_holds_everything_is_covered() {
    let home = TempDir::new().unwrap();
    Sandbox::default().covers(&config(&with_output("/secrets/a"), home.path())).unwrap();
}
