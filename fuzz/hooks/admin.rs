//! What the fuzz targets reach of the HTTP endpoints: a connection that is made of bytes. Exists only under
//! `cfg(fuzzing)`.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{connections, routes};
use crate::status::StatusRegistry;

/// Serves one connection on which a client sends `request` and then no more; returns all that was answered.
pub async fn serve(registry: Arc<StatusRegistry>, request: &[u8]) -> Vec<u8> {
    let answered = Arc::new(Mutex::new(Vec::new()));
    let client = FuzzClient { sent: request.to_vec(), read: 0, answered: Arc::clone(&answered) };
    connections::serve(client, routes::router(registry)).await;
    let answered = answered.lock().unwrap_or_else(PoisonError::into_inner);
    answered.clone()
}

struct FuzzClient {
    sent: Vec<u8>,
    read: usize,
    answered: Arc<Mutex<Vec<u8>>>,
}

impl AsyncRead for FuzzClient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let rest = self.sent.get(self.read..).unwrap_or_default();
        let count = rest.len().min(to.remaining());
        to.put_slice(rest.get(..count).unwrap_or_default());
        self.read += count;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for FuzzClient {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.answered.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
