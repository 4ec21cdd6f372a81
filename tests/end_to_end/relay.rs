//! A port that leads to the server, or nowhere: an outage without ending a server that other tests use.

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// Listens all the time, so that nobody else takes the port; while closed, every connection is cut.
pub(crate) struct Relay {
    address: String,
    gate: Arc<Mutex<Gate>>,
}

#[derive(Default)]
struct Gate {
    is_open: bool,
    connections: Vec<TcpStream>,
}

impl Relay {
    pub(crate) fn closed(upstream: &str) -> Self {
        Self::closed_at("127.0.0.1:0", upstream)
    }

    /// The same at an address of the test's choice.
    pub(crate) fn closed_at(address: &str, upstream: &str) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (gate, upstream) = (Arc::new(Mutex::new(Gate::default())), upstream.to_owned());
        let relay = Self { address, gate: Arc::clone(&gate) };
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let mut gate = gate.lock().unwrap();
                if gate.is_open {
                    gate.connections.extend(connect(client, &upstream).unwrap());
                }
            }
        });
        relay
    }

    /// `host:port`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn open(&self) {
        self.gate.lock().unwrap().is_open = true;
    }

    /// No new connections, and an end to those there are.
    pub(crate) fn close(&self) {
        let mut gate = self.gate.lock().unwrap();
        gate.is_open = false;
        for connection in gate.connections.drain(..) {
            // The peer may have been faster.
            drop(connection.shutdown(Shutdown::Both));
        }
    }
}

fn connect(client: TcpStream, upstream: &str) -> io::Result<[TcpStream; 2]> {
    let server = TcpStream::connect(upstream)?;
    let ends = [client.try_clone()?, server.try_clone()?];
    for (mut from, mut to) in [(client.try_clone()?, server.try_clone()?), (server, client)] {
        thread::spawn(move || {
            drop(io::copy(&mut from, &mut to));
            drop(to.shutdown(Shutdown::Both));
        });
    }
    Ok(ends)
}
