//! What the fuzz targets reach of the network: an answer that is made of bytes, where a redirect leads, and PEM files.
//! Exists under `cfg(fuzzing)` alone.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use rustls::RootCertStore;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use url::Url;

use super::client::assemble;
use super::connect::Origin;
use super::pool::Connection;
use super::redirect::{Redirects, destination};
use super::{NetError, Request, Response, body, tls};

/// Where a redirect leads.
pub struct Destination {
    /// Whether by TLS.
    pub tls: bool,
    /// Whether it stays on this machine.
    pub is_loopback: bool,
    /// Host and port.
    pub host: String,
    /// Path and query.
    pub target: String,
}

/// Where the 307 with `location` that answers a request for `target` at `from` leads; `None` where `from` is no origin.
pub fn redirect(
    from: &str,
    target: &str,
    location: &str,
    stays: bool,
) -> Option<Result<Destination, &'static str>> {
    let from = Origin::of_url(&Url::parse(from).ok()?)?;
    let redirects = if stays { Redirects::OnTheSameHost } else { Redirects::ToOtherHosts };
    Some(destination(&from, target, Some(location), redirects).map(|(to, target)| Destination {
        tls: to.uses_tls(),
        is_loopback: to.is_loopback(),
        host: to.to_string(),
        target,
    }))
}

/// What becomes of `answered`, after which the server closes the connection.
///
/// # Errors
/// It is no HTTP, not complete, or its body is longer than `limit`.
pub async fn answer(request: &Request, answered: &[u8], limit: usize) -> Result<Response, NetError> {
    let origin = Origin::Unix("/run/bao.sock".into());
    let server = Server { answer: answered.to_vec(), read: 0, was_asked: false, waiting: None };
    let mut connection = Connection::over(Box::new(server), &origin).await?;
    let request = assemble(&origin, &request.target, request)?;
    let answer = connection.send(request).await.map_err(|lost| NetError::lost("vault", &lost.error))?;
    let (parts, incoming) = answer.into_parts();
    let body = body::read(incoming, limit, "vault").await?;
    Ok(Response { status: parts.status, headers: parts.headers, body, redirected_to: None })
}

/// The certificates of a PEM file.
///
/// # Errors
/// What is wrong with it.
pub fn certificates(pem: &[u8]) -> Result<usize, String> {
    let mut roots = RootCertStore::empty();
    tls::add_pem(&mut roots, pem).map(|()| roots.len())
}

/// Answers when it was asked.
struct Server {
    answer: Vec<u8>,
    read: usize,
    was_asked: bool,
    waiting: Option<Waker>,
}

impl AsyncRead for Server {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.was_asked {
            self.waiting = Some(context.waker().clone());
            return Poll::Pending;
        }
        let rest = self.answer.get(self.read..).unwrap_or_default();
        let count = rest.len().min(to.remaining());
        to.put_slice(rest.get(..count).unwrap_or_default());
        self.read += count;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Server {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.was_asked = true;
        if let Some(waiting) = self.waiting.take() {
            waiting.wake();
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
