//! A real `OpenBao` dev server with secrets in it.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Result;

/// The root token of the dev server.
pub(crate) const TOKEN: &str = "root";

/// Runs until dropped.
pub(crate) struct Server {
    child: Child,
    address: String,
    /// Where the same server listens with TLS, and its certificate.
    tls: (String, PathBuf),
}

/// The program, as `make tools` installs it.
pub(crate) fn bao() -> Result<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools/bin/bao");
    if path.exists() {
        Ok(path)
    } else {
        Err(format!("{} is missing: run `make tools`", path.display()).into())
    }
}

impl Server {
    pub(crate) fn start(home: &Path) -> Result<Self> {
        let port = || Result::Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string());
        let (address, tls_address) = (port()?, port()?);
        let (certificate, key, config) = (home.join("tls.pem"), home.join("tls.key"), home.join("tls.hcl"));
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
        fs::write(&certificate, made.cert.pem())?;
        fs::write(&key, made.signing_key.serialize_pem())?;
        let (pem, key) = (certificate.display(), key.display());
        let listener = format!(
            "listener \"tcp\" {{ address = \"{tls_address}\"\n tls_cert_file = \"{pem}\"\n tls_key_file = \"{key}\" }}"
        );
        fs::write(&config, listener)?;
        let child = Command::new(bao()?)
            .args(["server", "-dev", "-dev-no-store-token", "-log-level=error"])
            .arg(format!("-dev-root-token-id={TOKEN}"))
            .arg(format!("-dev-listen-address={address}"))
            .arg("-config")
            .arg(config)
            .env_clear()
            .env("HOME", home)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let mut server = Self { child, address, tls: (tls_address, certificate) };
        server.wait_until_up()?;
        Ok(server)
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Address and CA file of the listener with TLS.
    pub(crate) fn tls(&self) -> (&str, &Path) {
        (&self.tls.0, &self.tls.1)
    }

    /// Writes `secrets` secrets to `secret/bench/0` and so on.
    pub(crate) fn fill(&self, secrets: usize) -> Result<()> {
        self.fill_from(0, secrets)
    }

    /// As [`Server::fill`], where the first ones are there already.
    pub(crate) fn fill_from(&self, first: usize, secrets: usize) -> Result<()> {
        for index in first..secrets {
            let body = format!(r#"{{"data":{{"value":"value of secret {index}","other":"{index}"}}}}"#);
            let answer = self.request("POST", &format!("secret/data/bench/{index}"), &body)?;
            if !answer.starts_with("HTTP/1.1 200") {
                return Err(format!("the server refused a secret: {answer}").into());
            }
        }
        Ok(())
    }

    fn wait_until_up(&mut self) -> Result<()> {
        let started = Instant::now();
        // The mount at secret/ comes a moment after the listener.
        while !self.request("GET", "secret/config", "").is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
        {
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("bao server ended: {status}").into());
            }
            if started.elapsed() > Duration::from_secs(30) {
                return Err("bao server does not answer".into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn request(&self, method: &str, path: &str, body: &str) -> Result<String> {
        let mut stream = TcpStream::connect(&self.address)?;
        write!(
            stream,
            "{method} /v1/{path} HTTP/1.1\r\nHost: {}\r\nX-Vault-Token: {TOKEN}\r\nConnection: close\r\nContent-Length: \
             {}\r\n\r\n{body}",
            self.address,
            body.len()
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The process is ours, and its data lived in memory.
        drop(self.child.kill().and_then(|()| self.child.wait()));
    }
}
