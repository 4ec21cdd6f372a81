//! What one rendering may cost. A thread cannot be killed, so a template that runs away has to be stopped from inside:
//! every print, join and comparison, every variable, each round of a loop, each use of a component, and every filter
//! whose cost grows with its input asks here whether it may go on.

use std::cell::RefCell;
use std::io;
use std::time::{Duration, Instant};

use zeroize::Zeroize;

use crate::secret::SecretBytes;

/// How long one template may render. Ordinary ones take microseconds.
pub(crate) const RENDER_TIME_LIMIT: Duration = Duration::from_secs(5);

/// How many items all loops, ranges, splits and spreads of one rendering may go over together.
pub(super) const ITEM_LIMIT: usize = 1_000_000;

/// How many values all comparisons and sorts of one rendering may look at, those in lists and maps included.
pub(super) const STEP_LIMIT: usize = 10_000_000;

/// How much text one rendering may handle in all, beside sixteen times what it may write, in bytes.
const TEXT_LIMIT: usize = 16 << 20;

thread_local! {
    /// The engine's filters are plain functions: this is how they reach the rendering they belong to.
    static METER: RefCell<Option<Meter>> = const { RefCell::new(None) };
    static STOPPED: RefCell<Option<Box<dyn Fn() -> bool>>> = const { RefCell::new(None) };
}

/// What is left to the rendering of this thread.
struct Meter {
    deadline: Instant,
    items: usize,
    steps: usize,
    text: usize,
    refusal: Option<RenderRefusal>,
}

/// Why one of our filters refused to go on. The engine carries errors as text; this carries ours around it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum RenderRefusal {
    /// A value that is not there was used as text.
    Undefined,
    /// `null` was used as text.
    Null,
    /// [`RENDER_TIME_LIMIT`] has passed.
    Time,
    /// The rendering is not wanted any more.
    Stopped,
    /// More than [`ITEM_LIMIT`].
    Items,
    /// More than [`STEP_LIMIT`].
    Steps,
    /// More text than a rendering may handle.
    Text,
    /// The template called `throw`, with this message.
    Thrown(String),
    /// Anything else, in words that hold no value.
    Cause(String),
}

/// Does `work`; its renderings end with [`RenderError::Stopped`] soon after `stopped` is true.
///
/// [`RenderError::Stopped`]: super::RenderError::Stopped
pub fn until<T>(stopped: impl Fn() -> bool + 'static, work: impl FnOnce() -> T) -> T {
    STOPPED.set(Some(Box::new(stopped)));
    let result = work();
    STOPPED.take();
    result
}

/// Runs `render` within limits for an output of `limit` bytes; the second part is why one of our filters refused.
pub(super) fn metered<T>(
    limit: usize,
    time: Duration,
    render: impl FnOnce() -> T,
) -> (T, Option<RenderRefusal>) {
    let text = limit.saturating_mul(16).saturating_add(TEXT_LIMIT);
    let deadline = Instant::now() + time;
    let meter = Meter { deadline, items: ITEM_LIMIT, steps: STEP_LIMIT, text, refusal: None };
    METER.with_borrow_mut(|slot| *slot = Some(meter));
    let result = render();
    let late = in_time().err();
    let meter = METER.take();
    (result, meter.and_then(|meter| meter.refusal).or(late))
}

/// Refuses after the deadline, and when the rendering is not wanted any more.
pub(super) fn in_time() -> Result<(), RenderRefusal> {
    charge(|_| Ok(()))
}

/// Takes `count` from the items that are left.
pub(super) fn items(count: usize) -> Result<(), RenderRefusal> {
    charge(|meter| take(&mut meter.items, count, RenderRefusal::Items))
}

/// Takes `count` from the steps that are left.
pub(super) fn steps(count: usize) -> Result<(), RenderRefusal> {
    charge(|meter| take(&mut meter.steps, count, RenderRefusal::Steps))
}

/// Takes `length` bytes from the text that is left.
pub(super) fn text(length: usize) -> Result<(), RenderRefusal> {
    charge(|meter| take(&mut meter.text, length, RenderRefusal::Text))
}

fn take(left: &mut usize, count: usize, refusal: RenderRefusal) -> Result<(), RenderRefusal> {
    *left = left.checked_sub(count).ok_or(refusal)?;
    Ok(())
}

/// How much text is left.
pub(super) fn text_left() -> usize {
    METER.with_borrow(|meter| meter.as_ref().map_or(usize::MAX, |meter| meter.text))
}

/// Keeps `refusal` for the end of the rendering; the first one counts.
pub(super) fn keep(refusal: RenderRefusal) {
    METER.with_borrow_mut(|meter| {
        if let Some(meter) = meter {
            meter.refusal.get_or_insert(refusal);
        }
    });
}

/// Takes something, unless the time is over.
fn charge(take: impl FnOnce(&mut Meter) -> Result<(), RenderRefusal>) -> Result<(), RenderRefusal> {
    if STOPPED.with_borrow(|stopped| stopped.as_ref().is_some_and(|stopped| stopped())) {
        return Err(RenderRefusal::Stopped);
    }
    METER.with_borrow_mut(|meter| match meter {
        Some(meter) if Instant::now() >= meter.deadline => Err(RenderRefusal::Time),
        Some(meter) => take(meter),
        None => Ok(()),
    })
}

/// Output of at most `limit` bytes. Buffers that become too small are wiped.
pub(super) struct BoundedOutput {
    bytes: Vec<u8>,
    limit: usize,
    is_full: bool,
}

/// More was written than fits.
#[derive(Debug)]
pub(super) struct Full;

impl BoundedOutput {
    /// Room for `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self { bytes: Vec::new(), limit, is_full: false }
    }

    /// Appends `text` whole, or nothing.
    pub(super) fn push(&mut self, text: &str) -> Result<(), Full> {
        self.append(text.as_bytes())
    }

    /// Appends `bytes` whole, or nothing.
    pub(super) fn push_bytes(&mut self, bytes: &[u8]) -> Result<(), Full> {
        self.append(bytes)
    }

    /// Most bytes.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// Whether something did not fit.
    pub(super) fn is_full(&self) -> bool {
        self.is_full
    }

    /// What was written.
    pub(super) fn finish(mut self) -> SecretBytes {
        SecretBytes::new(std::mem::take(&mut self.bytes))
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), Full> {
        let length = self.bytes.len().saturating_add(bytes.len());
        if self.is_full || length > self.limit {
            self.is_full = true;
            return Err(Full);
        }
        if length > self.bytes.capacity() {
            let mut larger = Vec::with_capacity(length.saturating_mul(2).min(self.limit).max(64));
            larger.extend_from_slice(&self.bytes);
            std::mem::replace(&mut self.bytes, larger).zeroize();
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }
}

impl Drop for BoundedOutput {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

impl io::Write for BoundedOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Err(refusal) = in_time() {
            keep(refusal);
            return Err(io::Error::other("too late"));
        }
        self.append(bytes).map_err(|Full| io::Error::other("too large"))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_takes_its_limit_and_not_a_byte_more() {
        let mut output = BoundedOutput::new(5);
        output.push("abc").unwrap();
        output.push("de").unwrap();
        assert!(!output.is_full());
        assert!(output.push("f").is_err());
        assert!(output.is_full());
        assert_eq!(output.finish().expose(), b"abcde"); // EXPOSE: test
    }

    #[test]
    fn output_that_overflowed_takes_nothing_more() {
        let mut output = BoundedOutput::new(2);
        assert!(output.push("abc").is_err());
        assert!(output.push("a").is_err(), "a gap in a file is worse than no file");
    }

    #[test]
    fn the_budget_of_items_is_one_for_the_whole_rendering() {
        let (result, _) = metered(1, RENDER_TIME_LIMIT, || {
            items(ITEM_LIMIT - 1)?;
            items(1)?;
            items(1)
        });
        assert_eq!(result, Err(RenderRefusal::Items));
    }

    #[test]
    fn a_late_rendering_is_refused_even_when_nothing_asked() {
        let (result, refusal) = metered(1, Duration::ZERO, || "done");
        assert_eq!((result, refusal), ("done", Some(RenderRefusal::Time)));
    }

    #[test]
    fn without_a_rendering_nothing_is_limited() {
        assert_eq!(items(usize::MAX), Ok(()));
        assert_eq!(text(usize::MAX), Ok(()));
    }
}
