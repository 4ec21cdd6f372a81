//! Bodies: read whole, up to a limit, into memory that is wiped. A longer body is an error, never a shorter body.
//! One large body at a time: together they would take as much memory as there are requests times the limit.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::Response;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::error::NetError;
use crate::clock::waiting;
use crate::secret::SecretBytes;

/// First buffer of a body whose length is not announced.
const FIRST: usize = 4096;

/// Most of an announced length that is trusted before a byte of it has come: the limit may be set so high that one
/// lying header would take all memory, or more than there is, which ends the process.
const TRUSTED: usize = 16 << 20;

/// A longer body waits until no other such body is in memory.
const LARGE: usize = 1 << 20;

/// A body, and the turn that a large one has taken.
pub(super) struct Body {
    pub(super) content: SecretBytes,
    pub(super) turn: Option<OwnedSemaphorePermit>,
}

/// Reads the body of `answer` to its end; a large one takes one of `turns`, if there is one within `patience`.
///
/// # Errors
/// `TooLarge` before the first byte when the announced length exceeds `limit`, else with the first byte too many; the
/// connection closes then. `Broken` or `Tls` when the connection fails.
pub(super) async fn read(
    mut answer: Response,
    limit: usize,
    host: &str,
    turns: &Arc<Semaphore>,
    patience: Duration,
) -> Result<Body, NetError> {
    let announced = answer.content_length().map(|length| usize::try_from(length).unwrap_or(usize::MAX));
    if announced.is_some_and(|length| length > limit) {
        return Err(NetError::too_large(host, limit));
    }
    let mut turn = None;
    if announced.is_some_and(|length| length > LARGE) {
        turn = take_turn(turns, patience).await;
    }
    let mut content = Zeroizing::new(Vec::with_capacity(announced.unwrap_or_default().min(TRUSTED)));
    // While this is held, hyper cannot read into the buffer that it is part of: it takes another, and this one is
    // freed, and with that wiped, as soon as the next part or the end has come. Otherwise a busy connection would keep
    // the ends of earlier answers.
    let mut last = Bytes::new();
    while let Some(data) = answer.chunk().await.map_err(|error| NetError::failed(host, &error, None))? {
        if data.len() > limit.saturating_sub(content.len()) {
            return Err(NetError::too_large(host, limit));
        }
        if turn.is_none() && content.len() + data.len() > LARGE {
            turn = take_turn(turns, patience).await;
        }
        make_room(&mut content, data.len());
        content.extend_from_slice(&data);
        last = data;
    }
    drop(last);
    Ok(Body { content: SecretBytes::new(std::mem::take(&mut *content)), turn })
}

/// A turn lasts until what the body became is written. A file system that hangs must not stop the others, so the wait
/// ends after `patience`.
async fn take_turn(turns: &Arc<Semaphore>, patience: Duration) -> Option<OwnedSemaphorePermit> {
    let turn = timeout(patience, Arc::clone(turns).acquire_owned());
    // It is never closed.
    waiting(turn).await.ok()?.ok()
}

/// Grows by hand: `Vec` would leave the old buffer behind with the content in it.
fn make_room(content: &mut Zeroizing<Vec<u8>>, more: usize) {
    let needed = content.len().saturating_add(more);
    if needed <= content.capacity() {
        return;
    }
    let capacity = needed.max(content.capacity().saturating_mul(2)).max(FIRST);
    let mut larger = Zeroizing::new(Vec::with_capacity(capacity));
    larger.extend_from_slice(content);
    *content = larger;
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use hyper::body::{Body, Frame, SizeHint};

    use super::*;
    use crate::net::NetErrorKind;

    const PATIENCE: Duration = Duration::from_secs(5);

    static HALF: [u8; LARGE / 2 + 1] = [b'x'; LARGE / 2 + 1];

    /// A body that announces what it likes, or nothing.
    struct Chunks {
        left: VecDeque<&'static [u8]>,
        announced: Option<u64>,
    }

    impl Chunks {
        fn of<const N: usize>(chunks: [&'static [u8]; N]) -> Self {
            Self { left: VecDeque::from(chunks), announced: None }
        }
    }

    async fn read_all(body: Chunks, limit: usize) -> Result<SecretBytes, NetError> {
        read(answer(body), limit, "h", &Arc::new(Semaphore::new(1)), PATIENCE).await.map(|body| body.content)
    }

    fn answer(body: Chunks) -> Response {
        http::Response::new(reqwest::Body::wrap(body)).into()
    }

    impl Body for Chunks {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Ready(self.left.pop_front().map(|chunk| Ok(Frame::data(Bytes::from_static(chunk)))))
        }

        fn size_hint(&self) -> SizeHint {
            self.announced.map_or_else(SizeHint::default, SizeHint::with_exact)
        }
    }

    #[tokio::test]
    async fn an_announced_length_takes_no_memory_by_itself() {
        let body = Chunks { announced: Some(u64::MAX / 2), ..Chunks::of([b"abc"]) };
        assert_eq!(read_all(body, usize::MAX).await.unwrap().expose(), b"abc");
    }

    #[tokio::test]
    async fn a_large_body_waits_for_the_one_before_and_a_small_one_does_not() {
        let turns = Arc::new(Semaphore::new(1));
        let read = |body| read(answer(body), usize::MAX, "h", &turns, PATIENCE);
        let announced = || Chunks { announced: Some(HALF.len() as u64 * 2), ..Chunks::of([&HALF, &HALF]) };
        for second in [announced(), Chunks::of([&HALF, &HALF])] {
            let first = read(announced()).await.unwrap();
            let mut second = Box::pin(read(second));
            assert!(futures_util::poll!(&mut second).is_pending());
            assert_eq!(read(Chunks::of([&HALF])).await.unwrap().content.len(), HALF.len());
            drop(first);
            assert_eq!(second.await.unwrap().content.len(), HALF.len() * 2);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_that_does_not_end_is_not_waited_for_longer_than_that() {
        let turns = Arc::new(Semaphore::new(0));
        let begun = tokio::time::Instant::now();
        let body = answer(Chunks::of([&HALF, &HALF]));
        let body = read(body, usize::MAX, "h", &turns, PATIENCE).await.unwrap();
        assert!(body.turn.is_none() && begun.elapsed() >= PATIENCE);
    }

    #[tokio::test]
    async fn joins_the_chunks_and_accepts_a_body_of_exactly_the_limit() {
        let chunks = Chunks::of([b"abc", b"", b"def"]);
        assert_eq!(read_all(chunks, 6).await.unwrap().expose(), b"abcdef");
    }

    #[tokio::test]
    async fn refuses_the_first_byte_above_the_limit() {
        let chunks = Chunks::of([b"abc", b"defg"]);
        assert_eq!(read_all(chunks, 6).await.unwrap_err().kind, NetErrorKind::TooLarge);
    }

    #[tokio::test]
    async fn refuses_an_announced_length_above_the_limit() {
        let body = Chunks { announced: Some(7), ..Chunks::of([b"abcdefg"]) };
        assert_eq!(read_all(body, 6).await.unwrap_err().kind, NetErrorKind::TooLarge);
    }
}
