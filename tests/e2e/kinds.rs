//! Kinds of issued credentials, used with the programs that they are for.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use serde_json::{Value, json};

use crate::databases::Kind;
use crate::issuing::{POLICY, World, within};

#[test]
fn the_file_follows_the_rotation_of_a_static_role() {
    let world = World::new(Kind::Maria, POLICY, &json!({ "token_policies": "app" }));
    let call = |method: &str, path: &str, body: &Value| drop(world.bao.call(method, path, body));
    world.database.static_role("database", "app", "8s", &call);
    world.configure(
        "secrets:\n- name: app\n  vaultDynamic: { path: database/static-creds/app, kind: static }\n  refreshInterval: 10m\n  \
         files: [{ path: out/app.json, format: json }]\n",
    );
    let daemon = world.daemon(false);
    world.sandbox.wait_until_ready(&daemon);
    let first = world.login("out/app.json").unwrap();
    assert!(first.serves(&world.database));
    within(30, "the next password is there", || world.login("out/app.json") != Some(first.clone()));
    assert!(world.serves("out/app.json") && !first.serves(&world.database));
    let second = world.login("out/app.json").unwrap();
    within(30, "the third one is there", || world.login("out/app.json") != Some(second.clone()));
    let reads = daemon.stderr().matches("static-creds/app").count();
    assert!(reads < 20, "{reads} reads of a role that rotates every 8 s:\n{}", daemon.stderr());
    daemon.stop();
}
