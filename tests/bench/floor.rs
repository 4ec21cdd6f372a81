//! The least that the work takes: eight kept-alive connections, a GET per secret, and a file that is written, synced and
//! renamed. No parsing beyond the value, no checks, no logs; everything above its time is what secrets-sync adds.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::Result;
use crate::server::TOKEN;

/// As many as secrets-sync opens to one store.
const CONNECTIONS: usize = 8;

/// Reads `secrets` secrets from `address` into files below `home`; the time from the first connection on.
pub(crate) fn time(address: &str, home: &Path, secrets: usize) -> Result<Duration> {
    let output = home.join("floor");
    fs::create_dir(&output)?;
    let (next, started) = (AtomicUsize::new(0), Instant::now());
    let outcome = thread::scope(|scope| {
        let connections: Vec<_> = (0..CONNECTIONS.min(secrets))
            .map(|_| {
                scope.spawn(|| copy(address, &output, &next, secrets).map_err(|error| error.to_string()))
            })
            .collect();
        connections.into_iter().try_for_each(|thread| thread.join().map_err(|_| "it panicked".to_owned())?)
    });
    let time = started.elapsed();
    outcome?;
    fs::remove_dir_all(&output)?;
    Ok(time)
}

fn copy(address: &str, output: &Path, next: &AtomicUsize, secrets: usize) -> Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let index = next.fetch_add(1, Ordering::Relaxed);
        if index >= secrets {
            return Ok(());
        }
        let request = format!(
            "GET /v1/secret/data/bench/{index} HTTP/1.1\r\nHost: {address}\r\nX-Vault-Token: {TOKEN}\r\n\r\n"
        );
        stream.write_all(request.as_bytes())?;
        let body = answer(&mut reader)?;
        let document: serde_json::Value = serde_json::from_slice(&body)?;
        let value =
            document.pointer("/data/data/value").and_then(|value| value.as_str()).ok_or("no value")?;
        let temporary = output.join(format!(".{index}"));
        let mut file = File::create_new(&temporary)?;
        file.write_all(value.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, output.join(index.to_string()))?;
    }
}

/// The body of one answer, whose length the server announces.
fn answer(reader: &mut impl BufRead) -> Result<Vec<u8>> {
    let mut length = None;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        if line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = Some(value.trim().parse()?);
        }
    }
    let mut body = vec![0; length.ok_or("an answer without a length")?];
    reader.read_exact(&mut body)?;
    Ok(body)
}
