//! The HTTP endpoints: health, readiness, status, metrics and one page, for probes, Prometheus and people.
//!
//! It reads the board and the metrics and nothing else: no store, no sink, no template (invariant 1, held by
//! `tests/architecture.rs`). Everything a client may use up has a limit, so that none can keep a probe waiting.

mod answer;
mod connections;
#[cfg(fuzzing)]
#[doc(hidden)]
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

use crate::status::Board;
use connections::Connections;

/// A thousand clients that connect in the same moment wait here and not a second for their next attempt.
const BACKLOG: u32 = 1024;

/// After so many accepts the connections have their turn; fewer than there are places.
const BREATH: u8 = 16;

/// After an accept that failed because the process or the system has no descriptors left.
const PAUSE: Duration = Duration::from_millis(100);

/// A port that is open and not served yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
}

impl Server {
    /// Opens the port; 0 picks one. Must be called inside the runtime.
    ///
    /// # Errors
    /// The port is in use, or the address is not one of this machine.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // A port that an earlier life of this daemon has just left is free.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let listener = socket.listen(BACKLOG)?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// Where it is, with the port that was picked.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until it is dropped, and all connections with it.
    pub async fn serve(self, board: Arc<Board>) {
        let (connections, router) = (Connections::default(), routes::router(board));
        let (mut tasks, mut accepted_in_a_row) = (JoinSet::new(), 0_u8);
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        tasks.spawn(connections.serve(prompt(stream), router.clone()));
                        accepted_in_a_row = (accepted_in_a_row + 1) % BREATH;
                        if accepted_in_a_row == 0 {
                            // Requests that are here already are read before a crowd can take their places.
                            tokio::task::yield_now().await;
                        }
                    }
                    Err(error) if is_of_one_client(&error) => {}
                    Err(_) => tokio::time::sleep(PAUSE).await,
                },
                Some(_) = tasks.join_next() => {}
            }
        }
    }
}

/// Answers are written as a whole: there is nothing to wait for with a packet.
fn prompt(stream: TcpStream) -> TcpStream {
    // Without it an answer is late and not wrong.
    drop(stream.set_nodelay(true));
    stream
}

/// The client went away between its knock and the open door.
fn is_of_one_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
