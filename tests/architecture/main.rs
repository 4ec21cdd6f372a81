//! The house rules that a compiler does not hold: floors, sizes, who prints, who looks at a secret, and whose types
//! stay behind which door. The table of floors is in `architecture/rules.rs`; docs/architecture.md tells why.

mod cycles;
mod rules;
mod source;
mod types;

use std::path::Path;

use source::Source;

/// Checks every source file against one rule.
fn house(rule: fn(&Source) -> Vec<String>) {
    crate_wide(|sources| sources.iter().flat_map(rule).collect());
}

/// Checks all source files together.
fn crate_wide(rule: impl Fn(&[Source]) -> Vec<String>) {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let sources = Source::all(&src).unwrap_or_default();
    assert!(sources.len() > 20, "{} sources found below {}", sources.len(), src.display());
    let violations = rule(&sources);
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

/// How often `rule` fires for a file of this text.
fn fires(rule: fn(&Source) -> Vec<String>, path: &str, text: &str) -> usize {
    rule(&Source::parse(path, text)).len()
}

#[test]
fn modules_import_from_lower_floors_alone() {
    house(rules::floors);
}

#[test]
fn every_file_says_what_it_is_for() {
    house(rules::introduction);
}

#[test]
fn no_file_is_too_long() {
    house(rules::file_length);
}

#[test]
fn no_function_is_too_long() {
    house(rules::function_length);
}

#[test]
fn only_cli_prints() {
    house(rules::printing);
}

#[test]
fn only_events_log() {
    house(rules::logging);
}

#[test]
fn only_the_worker_blocks() {
    house(rules::blocking);
}

#[test]
fn every_exposure_of_a_secret_has_a_reason() {
    house(rules::exposing);
}

#[test]
fn third_party_types_stay_behind_their_door() {
    house(rules::doors);
}

#[test]
fn files_of_a_room_import_each_other_in_one_direction() {
    crate_wide(cycles::cycles);
}

#[test]
fn a_type_name_is_defined_once() {
    crate_wide(types::duplicates);
}

#[test]
fn the_floor_rule_fires_for_siblings_and_for_anything_above() {
    let fires = |path, text| fires(rules::floors, path, text);
    assert_eq!(fires("store/file.rs", "use crate::config::Limits;"), 0);
    assert_eq!(fires("store/file.rs", "use crate::store::Fetched;"), 0);
    assert_eq!(fires("store/file.rs", "use crate::sink::Sink;"), 1, "a sibling");
    assert_eq!(fires("config.rs", "fn f() -> crate::sync::Pass {}"), 1, "inline");
    assert_eq!(fires("net.rs", "use crate::{\n fault::{self, Fault}, plan,\n store::{Store, sink},\n};"), 2);
    assert_eq!(fires("net.rs", "use crate::nowhere::X;"), 1, "no module of the table");
    assert_eq!(fires("attic.rs", ""), 1, "a module without a floor");
    assert_eq!(fires("admin/page.rs", "use crate::{status, store};"), 1, "admin must not see values");
}

#[test]
fn the_floor_rule_follows_super_to_the_root() {
    let fires = |path, text| fires(rules::floors, path, text);
    assert_eq!(fires("net.rs", "use super::store::Store;"), 1);
    assert_eq!(fires("net.rs", "mod tests { use super::store::Store; }"), 0, "net::store");
    assert_eq!(fires("net.rs", "mod tests { use super::super::store::Store; }"), 1);
    assert_eq!(fires("config/value.rs", "use super::store::StoreSpec;"), 0);
    assert_eq!(fires("config/value.rs", "use super::super::store::Store;"), 1);
}

#[test]
fn comments_and_literals_are_not_code() {
    let text = r##"
        //! [`crate::sync`]
        /* crate::sync /* crate::app */ crate::cli */
        const A: &str = "crate::sync \" crate::sync";
        const B: &str = r#"crate::sync " crate::sync"#;
        fn f<'a>(x: &'a str) -> char { '"' }
        use crate::secret::Fields; // crate::sync
    "##;
    assert_eq!(fires(rules::floors, "net.rs", text), 0);
    assert_eq!(
        fires(rules::floors, "net.rs", &text.replace("// crate", "crate")),
        1,
        "code after literals is read"
    );
}

#[test]
fn the_introduction_rule_fires_for_a_file_that_starts_otherwise() {
    assert_eq!(fires(rules::introduction, "net.rs", "//! Why.\n"), 0);
    assert_eq!(fires(rules::introduction, "net.rs", "\n//! Why.\n"), 1);
    assert_eq!(fires(rules::introduction, "net.rs", "use std::io;\n"), 1);
    assert_eq!(fires(rules::introduction, "net.rs", ""), 1);
}

#[test]
fn the_length_rules_fire_one_line_above_their_limit() {
    assert_eq!(fires(rules::file_length, "net.rs", &"\n".repeat(500)), 0);
    assert_eq!(fires(rules::file_length, "net.rs", &"\n".repeat(501)), 1);
    let function =
        |lines: usize| format!("fn f(x: [u8; 2])\nwhere\n{{{}}}\nfn g() {{}}", "\n".repeat(lines - 3));
    assert_eq!(fires(rules::function_length, "net.rs", &function(80)), 0);
    assert_eq!(fires(rules::function_length, "net.rs", &function(81)), 1);
}

#[test]
fn a_function_without_a_body_has_no_length() {
    let text = format!("trait T {{ fn f(&self);\n{} }}\ntype F = fn(u8);", "\n".repeat(100));
    assert_eq!(fires(rules::function_length, "net.rs", &text), 0);
}

/// How many cycles files of these texts have.
fn cycles_of(files: &[(&str, &str)]) -> usize {
    let sources: Vec<_> = files.iter().map(|(path, text)| Source::parse(path, text)).collect();
    cycles::cycles(&sources).len()
}

#[test]
fn the_cycle_rule_fires_for_siblings_and_for_a_file_two_levels_up() {
    let siblings = |a, b| cycles_of(&[("sync.rs", "mod a; mod b;"), ("sync/a.rs", a), ("sync/b.rs", b)]);
    assert_eq!(siblings("use super::b::B;", ""), 0);
    assert_eq!(siblings("use super::b::B;", "use super::a::A;"), 1);
    assert_eq!(siblings("use crate::sync::{b::B, c};", "use super::{a as other, X as Y};"), 1);
    assert_eq!(siblings("fn f() -> super::b::B {}", "fn g() { crate::sync::a::A::new() }"), 1, "inline");
    assert_eq!(siblings("use super::b::B;", "#[cfg(test)] mod tests { use crate::sync::a::A; }"), 0);
    assert_eq!(siblings("// super::b::B", "use super::a::A;"), 0);
    let levels = |root, leaf| cycles_of(&[("sync.rs", root), ("sync/a.rs", "mod b;"), ("sync/a/b.rs", leaf)]);
    assert_eq!(levels("use a::b::B;", "use super::super::Root;"), 1);
    assert_eq!(levels("use a::b::B;", "use super::A;"), 0, "its own parent");
}

#[test]
fn the_cycle_rule_follows_what_a_parent_only_imports() {
    let files = [
        ("sync.rs", "mod a; mod b; pub use b::B;"),
        ("sync/a.rs", "use super::B;"),
        ("sync/b.rs", "use super::a::A;"),
    ];
    assert_eq!(cycles_of(&files), 1);
    assert_eq!(cycles_of(&files[..2]), 0);
}

#[test]
fn the_name_rule_fires_for_a_type_that_is_defined_twice() {
    let twice = |a, b| types::duplicates(&[Source::parse("a.rs", a), Source::parse("b.rs", b)]).len();
    assert_eq!(twice("struct Twin;", "pub enum Twin {}"), 1);
    assert_eq!(twice("type Twin = u8;", "trait Twin {}"), 1);
    assert_eq!(twice("struct Twin;", "#[cfg(test)] mod tests { struct Twin; }"), 0);
    assert_eq!(twice("struct Twin;", "impl X for Y { type Twin = u8; }"), 0, "an associated type");
    assert_eq!(twice("struct Twin;", "use crate::a::Twin; // struct Twin"), 0);
}

#[test]
fn the_printing_rule_fires_outside_cli() {
    for bad in [
        "println!()",
        "eprint!()",
        "std::io::stdout()",
        "io::stderr().lock()",
        "use std::io::{self, stderr};",
    ] {
        assert_eq!(fires(rules::printing, "sync/pass.rs", bad), 1, "{bad}");
        assert_eq!(fires(rules::printing, "cli/output.rs", bad), 0, "{bad}");
    }
    assert_eq!(fires(rules::printing, "telemetry/log.rs", "std::io::stderr"), 0);
    assert_eq!(fires(rules::printing, "telemetry/log.rs", "std::io::stdout"), 1);
    assert_eq!(fires(rules::printing, "telemetry/audit/output.rs", "std::io::stdout"), 0);
    assert_eq!(fires(rules::printing, "telemetry/audit/output.rs", "std::io::stderr"), 1);
    assert_eq!(
        fires(rules::printing, "sync.rs", "command.stdout(x); format!(\"println!\"); print != old"),
        0
    );
}

#[test]
fn the_logging_rule_fires_outside_of_events() {
    assert_eq!(fires(rules::logging, "sync/task.rs", "tracing::info!(x); warn!(y);"), 2);
    assert_eq!(fires(rules::logging, "telemetry/event/secret.rs", "tracing::info!(x);"), 0);
    assert_eq!(
        fires(rules::logging, "sync/task.rs", "error != debug; tracing::info_span!(x); event::swept(1);"),
        0
    );
}

#[test]
fn the_blocking_rule_fires_outside_of_the_worker() {
    for bad in
        ["spawn_blocking(f)", "tokio::task::block_in_place(f)", "use std::thread;", "std::thread::spawn(f)"]
    {
        assert_eq!(fires(rules::blocking, "store/kv.rs", bad), 1, "{bad}");
        assert_eq!(fires(rules::blocking, "blocking.rs", bad), 0, "{bad}");
    }
    assert_eq!(fires(rules::blocking, "store/kv.rs", "rustix::thread::capabilities(None); thread.await"), 0);
}

#[test]
fn the_printing_rule_leaves_tests_alone() {
    let text = "#[cfg(test)]\nmod tests {\n fn f() { println!() }\n}\nfn g() { println!() }";
    assert_eq!(fires(rules::printing, "sync.rs", text), 1);
}

#[test]
fn the_expose_rule_asks_for_a_reason_at_each_statement() {
    let fires = |text| fires(rules::exposing, "net.rs", text);
    assert_eq!(fires("f(x.expose()); // EXPOSE: why"), 0);
    assert_eq!(fires("// EXPOSE: why, told\n// on two lines\nlet y = f(\n  a,\n  x.expose(),\n);"), 0);
    assert_eq!(fires("let y = x\n    // EXPOSE: why\n    .expose();"), 0);
    assert_eq!(fires("f(x.expose());"), 1);
    assert_eq!(fires("f(x.expose()); // EXPOSE:"), 1, "without a reason");
    assert_eq!(fires("// EXPOSE: why\n\nf(x.expose());"), 1, "not directly above");
    assert_eq!(fires("f(x.expose()); // EXPOSE: why\nf(y.expose());"), 1, "the next statement");
    assert_eq!(fires("match z {\n A => x.expose(), // EXPOSE: why\n B => y.expose(),\n}"), 1, "the next arm");
}

#[test]
fn the_expose_rule_leaves_tests_and_definitions_alone() {
    assert_eq!(fires(rules::exposing, "net.rs", "fn expose(&self) {}"), 0);
    assert_eq!(fires(rules::exposing, "net.rs", "#[cfg(test)]\nmod tests { fn f() { x.expose() } }"), 0);
}

#[test]
fn the_door_rule_fires_for_use_and_for_paths() {
    assert_eq!(fires(rules::doors, "store/vault/kv.rs", "use vaultrs::api;"), 0);
    assert_eq!(fires(rules::doors, "store/vault.rs", "use vaultrs::api;"), 0);
    assert_eq!(fires(rules::doors, "store/vaults.rs", "use vaultrs::api;"), 1);
    assert_eq!(fires(rules::doors, "store.rs", "fn f() -> vaultrs::X {}"), 1);
    assert_eq!(fires(rules::doors, "net/client.rs", "use reqwest::Client;"), 0);
    assert_eq!(fires(rules::doors, "store/vault/kv.rs", "use reqwest::Client;"), 1);
}

#[test]
fn a_file_behind_a_test_module_is_test_code() {
    let sources = Source::all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap_or_default();
    let tests: Vec<_> =
        sources.iter().filter(|source| source.is_test).map(|source| source.path.as_str()).collect();
    assert!(tests.contains(&"template/tests.rs"), "{tests:?}");
    assert!(!tests.contains(&"template/strict.rs"), "{tests:?}");
}
