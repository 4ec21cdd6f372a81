//! Values that calls left on the stack. `tests/leaks` reads the memory of a daemon and finds what this misses.

use std::hint::black_box;

/// How deep the template engine goes: about 20 kB with flat values, and a few times that with nested ones.
pub(crate) const RENDERING: usize = 128 * 1024;

/// How deep everything else goes that handles values: hashing, copying a field, writing a format.
pub(crate) const HANDLING: usize = 16 * 1024;

/// Overwrites the `DEPTH` bytes below the caller's part of this thread's stack. Calls that have returned left their
/// variables there: the template engine keeps texts of up to 22 bytes in the value itself, and a hash keeps its last
/// block. They would stay until something else needs the place, and in a thread that waits for work nothing does.
#[inline(never)]
pub(crate) fn wipe_stack<const DEPTH: usize>() {
    // A constant would lie elsewhere.
    let mut block = [0_u8; DEPTH];
    black_box(&mut block);
}
