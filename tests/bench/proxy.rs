//! A TCP proxy that counts: connections, and requests by their request lines.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::thread;

use crate::Result;

/// Listens until the bench ends.
pub(crate) struct CountingProxy {
    address: String,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    connections: AtomicU32,
    requests: AtomicU32,
}

impl CountingProxy {
    pub(crate) fn start(upstream: &str) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?.to_string();
        let (counts, upstream) = (Arc::new(Counts::default()), upstream.to_owned());
        let proxy = Self { address, counts: Arc::clone(&counts) };
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                counts.connections.fetch_add(1, Relaxed);
                // A connection that fails is the contender's to repeat, and counts again.
                drop(serve(client, &upstream, Arc::clone(&counts)));
            }
        });
        Ok(proxy)
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn connections(&self) -> f64 {
        self.counts.connections.load(Relaxed).into()
    }

    pub(crate) fn requests(&self) -> f64 {
        self.counts.requests.load(Relaxed).into()
    }
}

fn serve(client: TcpStream, upstream: &str, counts: Arc<Counts>) -> io::Result<()> {
    let server = TcpStream::connect(upstream)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (client_reader, server_reader) = (client.try_clone()?, server.try_clone()?);
    thread::spawn(move || {
        let mut lines = RequestLines::default();
        pump(client_reader, server, |bytes| {
            counts.requests.fetch_add(lines.count(bytes), Relaxed);
        })
    });
    thread::spawn(move || pump(server_reader, client, |_| {}));
    Ok(())
}

fn pump(mut from: TcpStream, mut to: TcpStream, mut seen: impl FnMut(&[u8])) -> io::Result<()> {
    let mut buffer = [0; 16 * 1024];
    loop {
        match from.read(&mut buffer)? {
            0 => return to.shutdown(Shutdown::Write),
            length => {
                let bytes = buffer.get(..length).unwrap_or_default();
                seen(bytes);
                to.write_all(bytes)?;
            }
        }
    }
}

/// Finds request lines in a stream, wherever the reads cut it.
#[derive(Default)]
struct RequestLines {
    line: Vec<u8>,
}

impl RequestLines {
    fn count(&mut self, bytes: &[u8]) -> u32 {
        let mut found = 0;
        for byte in bytes {
            match byte {
                b'\n' => {
                    found += u32::from(self.line.ends_with(b" HTTP/1.1\r"));
                    self.line.clear();
                }
                other => self.line.push(*other),
            }
        }
        found
    }
}
