//! `authMethod: none`: a real OpenBao proxy in between adds the token, over a unix socket.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail the test")]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::bao::Bao;
use crate::script::write;
use crate::vault::{build, fault, read, source, spec};
use secrets_sync::config::provider::vault::AuthSpec;
use secrets_sync::fault::Kind;
use secrets_sync::store::Store;
use serde_json::json;

/// A running proxy; dropping it ends it.
struct Proxy(Child);

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A proxy at `socket` that adds `token`.
fn proxy(folder: &Path, socket: &Path, token: &str) -> Proxy {
    let (token_file, config) = (folder.join("token"), folder.join("proxy.hcl"));
    write(&token_file, token);
    let text = format!(
        "vault {{\n  address = \"{}\"\n}}\nauto_auth {{\n  method {{\n    type = \"token_file\"\n    config = {{\n      \
         token_file_path = \"{}\"\n    }}\n  }}\n}}\napi_proxy {{\n  use_auto_auth_token = \"force\"\n}}\nlistener \
         \"unix\" {{\n  address = \"{}\"\n  tls_disable = true\n}}\n",
        Bao::shared().address(),
        token_file.display(),
        socket.display()
    );
    write(&config, &text);
    let bao = Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools/bin/bao");
    let mut command = Command::new(bao);
    command.args(["proxy", "-log-level=warn"]).arg(format!("-config={}", config.display()));
    Proxy(command.env("HOME", folder).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
}

#[tokio::test]
async fn a_proxy_that_adds_the_token_is_read_over_its_socket() {
    let bao = Bao::shared();
    bao.put_v2("", "secret", "agent/app", &json!({ "password": "x" }));
    bao.put_v2("", "secret", "agent/denied", &json!({ "password": "y" }));
    bao.policy("", "agent", r#"path "secret/data/agent/app" { capabilities = ["read"] }"#);
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("proxy.sock");
    let _proxy = proxy(folder.path(), &socket, &bao.token("", &["agent", "default"], "1h"));
    let store = build(&spec(&format!("unix://{}", socket.display()), AuthSpec::None)).unwrap();
    let (app, begun) = (source("secret", "agent/app"), Instant::now());
    while !socket.exists() {
        assert!(begun.elapsed() < Duration::from_secs(20), "there is no proxy");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    while let Err(fault) = store.fetch(&app.clone().into(), None).await {
        assert!(begun.elapsed() < Duration::from_secs(20), "the proxy does not answer: {fault:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(read(&store, &app, "password").await, "x");
    let denied = fault(&store, &source("secret", "agent/denied")).await;
    assert_eq!(denied.kind, Kind::Denied, "{denied:?}");
    assert_eq!(read(&store, &app, "password").await, "x", "one denied secret disturbs no other");
}
