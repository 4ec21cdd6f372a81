//! Answers that were mixed up on the way. A broken proxy may send one answer twice on a kept connection; from then on
//! each request there gets the answer of another. A server gives each answer an id of its own: one that came before
//! for another source is the proof.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rand::Rng;
use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::secret::SecretBytes;
use crate::store::RequestId;

/// The newest answers are remembered. A surplus one comes with the next requests of its connection.
const REMEMBERED: usize = 4096;

/// What was read this long before a mix-up is read again.
const SUSPECT: Duration = Duration::from_secs(30);

/// Connections have closed, and answers of a moment ago are forgotten, after this time; reads that are repeated spread
/// over as much again, several times.
const SETTLE: Duration = Duration::from_millis(100);

/// Whose answer it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum AnswerOwner {
    /// It has not been seen before, or has no id.
    Fresh,
    /// It came before for the same source: a cache, or the first of two that a broken proxy sent.
    Repeated,
    /// It came before for another source.
    Foreign,
}

/// The answers of one server, whichever credentials asked.
#[derive(Default)]
pub(super) struct AnswerLog {
    seen: Mutex<SeenAnswers>,
    hasher: RandomState,
    mixed_up: watch::Sender<Option<Instant>>,
}

#[derive(Default)]
struct SeenAnswers {
    /// The source that each answer was for.
    sources: HashMap<RequestId, u64>,
    /// Oldest first.
    order: VecDeque<RequestId>,
}

impl AnswerLog {
    /// Notes the answer `id` to `question`: all that tells one request of the server from another.
    pub(super) fn note(&self, id: Option<RequestId>, question: impl Hash) -> AnswerOwner {
        let Some(id) = id else { return AnswerOwner::Fresh };
        let source = self.hasher.hash_one(question);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = seen.sources.get(&id) {
            return if *before == source { AnswerOwner::Repeated } else { AnswerOwner::Foreign };
        }
        if seen.order.len() >= REMEMBERED
            && let Some(oldest) = seen.order.pop_front()
        {
            seen.sources.remove(&oldest);
        }
        seen.order.push_back(id.clone());
        seen.sources.insert(id, source);
        AnswerOwner::Fresh
    }

    /// Notes that answers were mixed up. True when that is new and worth a warning.
    pub(super) fn note_mixup(&self) -> bool {
        let before = self.mixed_up.send_replace(Some(Instant::now()));
        before.is_none_or(|before| before.elapsed() >= SUSPECT)
    }

    /// Returns when what was read at `read_at` may be the answer to another request.
    pub(super) async fn distrusted(&self, read_at: Instant) {
        let concerns = |at: &Option<Instant>| at.is_some_and(|at| at >= read_at && at <= read_at + SUSPECT);
        // The sender lives as long as the log.
        drop(self.mixed_up.subscribe().wait_for(concerns).await);
        let wait = SETTLE + SETTLE.mul_f64(4.0 * rand::rng().random::<f64>());
        tokio::time::sleep(wait).await;
    }
}

/// The one member of an answer that counts here. Those inside its data are others.
#[derive(Deserialize)]
struct WithRequestId<'a> {
    #[serde(borrow)]
    request_id: Cow<'a, str>,
}

/// The id of an answer as a server writes it: first and without spaces.
pub(super) fn id_at_the_start(body: &SecretBytes) -> Option<RequestId> {
    // EXPOSE: the id only; it is no value.
    let id = body.expose().strip_prefix(br#"{"request_id":""#)?.get(..36)?;
    RequestId::parse(std::str::from_utf8(id).ok()?)
}

/// The id of an answer that a proxy may have written again. Parses all of it.
pub(super) fn id_anywhere(body: &SecretBytes) -> Option<RequestId> {
    // EXPOSE: the id only; it is no value.
    RequestId::parse(&serde_json::from_slice::<WithRequestId>(body.expose()).ok()?.request_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(number: usize) -> Option<RequestId> {
        RequestId::parse(&format!("00000000-0000-0000-0000-{number:012}"))
    }

    #[test]
    fn an_answer_belongs_to_the_source_that_it_came_for_first() {
        use AnswerOwner::{Foreign, Fresh, Repeated};
        let log = AnswerLog::default();
        assert_eq!(log.note(answer(1), ("GET /a", "main")), Fresh);
        assert_eq!(log.note(answer(1), ("GET /a", "main")), Repeated);
        assert_eq!(log.note(answer(1), ("GET /b", "main")), Foreign);
        assert_eq!(log.note(answer(1), ("GET /a", "other")), Foreign);
        assert_eq!(log.note(answer(2), ("GET /b", "main")), Fresh);
        assert_eq!([log.note(None, ("GET /a", "main")), log.note(None, ("GET /b", "main"))], [Fresh; 2]);
    }

    #[test]
    fn an_answer_that_a_proxy_wrote_again_has_its_id() {
        const ID: &str = "3a6e4ba1-6f1c-7b5e-2d5b-0e3f0f9a2c11";
        const INNER: &str = "00000000-0000-0000-0000-000000000001";
        let id = |text: String| {
            let body = SecretBytes::new(text.into_bytes());
            id_at_the_start(&body).or_else(|| id_anywhere(&body))
        };
        for text in [
            format!(r#"{{"request_id":"{ID}","data":{{"request_id":"{INNER}"}}}}"#),
            format!(r#"{{"request_id": "{ID}", "data": {{"request_id": "{INNER}"}}}}"#),
            format!("\n{{\n  \"request_id\" : \"{ID}\"\n}}\n"),
            format!(r#"{{"auth":null,"data":{{"data":{{"request_id":"{INNER}"}}}},"request_id":"{ID}"}}"#),
            format!(
                r#"{{"data":"{{\"request_id\":\"{INNER}\"}}","request_id":"{}"}}"#,
                ID.replace('-', "\\u002d")
            ),
        ] {
            assert_eq!(id(text.clone()).as_ref().map(RequestId::as_str), Some(ID), "{text}");
        }
        for text in [
            format!(r#"{{"data":{{"request_id":"{INNER}"}}}}"#),
            format!(r#"[{{"request_id":"{INNER}"}}]"#),
            format!(r#"{{"data":{{"request_id":"{INNER}"}},"request_id":null}}"#),
            format!("not JSON: {ID}"),
        ] {
            assert_eq!(id(text.clone()), None, "{text}");
        }
    }

    #[test]
    fn the_log_does_not_grow() {
        let log = AnswerLog::default();
        let mut notes = (0..REMEMBERED * 3).map(|number| log.note(answer(number), "GET /a"));
        assert!(notes.all(|owner| owner == AnswerOwner::Fresh));
        let seen = log.seen.lock().unwrap();
        assert_eq!((seen.sources.len(), seen.order.len()), (REMEMBERED, REMEMBERED));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_read_within_half_a_minute_before_a_mixup_is_distrusted() {
        let log = AnswerLog::default();
        let (old, young) = (Instant::now(), Instant::now() + Duration::from_secs(20));
        tokio::time::advance(Duration::from_secs(40)).await;
        assert!(log.note_mixup() && !log.note_mixup(), "one warning");
        let later = Instant::now() + Duration::from_secs(1);
        let distrusted =
            async |at| tokio::time::timeout(Duration::from_secs(60), log.distrusted(at)).await.is_ok();
        assert!(distrusted(young).await);
        assert!(!distrusted(old).await && !distrusted(later).await);
    }
}
