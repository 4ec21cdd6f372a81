//! The HTTP endpoints: health, readiness, status, metrics and one page, for probes, Prometheus and people.
//!
//! It reads the registry and the metrics and nothing else: no store, no sink, no template (invariant 1, held by
//! `tests/architecture`). Everything a client may use up has a limit, so that none can keep a probe waiting.

mod answer;
mod connections;
pub mod control;
#[cfg(fuzzing)]
#[doc(hidden)]
#[path = "../fuzz/hooks/admin.rs"]
pub mod fuzzing;
mod page;
mod probes;
mod routes;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;

use crate::status::StatusRegistry;
use connections::Connections;

/// A thousand clients that connect in the same moment wait here and not a second for their next attempt.
const BACKLOG: u32 = 1024;

/// After an accept that failed because the process or the system has no descriptors left.
const PAUSE: Duration = Duration::from_millis(100);

/// A port that is open and not served yet.
#[derive(Debug)]
pub(crate) struct AdminServer {
    listener: TcpListener,
    address: SocketAddr,
}

impl AdminServer {
    /// Opens the port; 0 picks one. Must be called inside the runtime.
    ///
    /// # Errors
    /// The port is in use, or the address is not one of this machine.
    pub(crate) fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // A port that an earlier life of this daemon has just left is free.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let listener = socket.listen(BACKLOG)?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// Where it is, with the port that was picked.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until it is dropped, and all connections with it.
    pub(crate) async fn serve(self, registry: Arc<StatusRegistry>) {
        self.serve_on(Connections::default(), registry).await;
    }

    async fn serve_on(self, mut connections: Connections, registry: Arc<StatusRegistry>) {
        let (mut tasks, router) = (JoinSet::new(), routes::router(registry));
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        connections.room().await;
                        connections.add(tasks.spawn(connections::serve(set_nodelay(stream), router.clone())));
                    }
                    Err(error) if is_of_one_client(&error) => {}
                    Err(_) => tokio::time::sleep(PAUSE).await,
                },
                Some(_) = tasks.join_next() => {}
            }
        }
    }
}

/// Answers are written as a whole: a packet has nothing to wait for.
fn set_nodelay(stream: TcpStream) -> TcpStream {
    // Without it an answer is late and not wrong.
    drop(stream.set_nodelay(true));
    stream
}

/// The client closed its connection before it was accepted.
fn is_of_one_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::{Shutdown, TcpStream as Client};

    use tokio::io::AsyncReadExt;

    use super::*;
    use crate::clock::Clock;

    /// More than there are places.
    const CROWD: usize = 200;

    /// A client, connected to a server that accepts nobody yet.
    fn connect(server: &AdminServer) -> Client {
        Client::connect(server.address()).unwrap()
    }

    fn ask(client: &mut Client) {
        client.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    }

    fn start(server: AdminServer, connections: Connections) -> JoinSet<()> {
        let mut serving = JoinSet::new();
        serving.spawn(server.serve_on(connections, Arc::new(StatusRegistry::new([], Clock::system()))));
        serving
    }

    /// What is left of the answer; empty where the connection was reset.
    async fn answer(client: Client) -> String {
        client.set_nonblocking(true).unwrap();
        let mut text = String::new();
        drop(TcpStream::from_std(client).unwrap().read_to_string(&mut text).await);
        text
    }

    #[track_caller]
    fn assert_healthy(answer: &str) {
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains(r#""status":"healthy""#), "{answer:?}");
    }

    #[tokio::test]
    async fn a_client_that_has_closed_its_side_gets_the_whole_answer() {
        let server = AdminServer::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let mut client = connect(&server);
        ask(&mut client);
        client.shutdown(Shutdown::Write).unwrap();
        let _serving = start(server, Connections::default());
        assert_healthy(&answer(client).await);
    }

    #[tokio::test]
    async fn a_request_that_is_there_is_answered_before_a_crowd_can_take_its_place() {
        let server = AdminServer::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let mut probe = connect(&server);
        ask(&mut probe);
        let _crowd: Vec<_> = (0..CROWD).map(|_| connect(&server)).collect();
        let _serving = start(server, Connections::patient(Duration::ZERO));
        assert_healthy(&answer(probe).await);
    }

    #[tokio::test]
    async fn a_probe_has_time_to_ask_although_a_crowd_waits_for_its_place() {
        let server = AdminServer::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let mut probe = connect(&server);
        let _crowd: Vec<_> = (0..CROWD).map(|_| connect(&server)).collect();
        let _serving = start(server, Connections::patient(Duration::from_secs(3600)));
        for _ in 0..CROWD {
            tokio::task::yield_now().await;
        }
        ask(&mut probe);
        assert_healthy(&answer(probe).await);
    }
}
