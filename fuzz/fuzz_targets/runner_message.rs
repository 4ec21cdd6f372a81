//! What a daemon that is taken over may send to the runner: it starts nothing that is not in the table.

#![no_main]

use libfuzzer_sys::fuzz_target;
use secrets_sync::lifecycle::fuzzing::{requests, staging};
use secrets_sync_fuzz::parts;

fuzz_target!(|input: &[u8]| {
    // However the bytes are cut, a request is complete and within the limit.
    let count = requests(input);
    assert!(count * 4 <= input.len(), "{count} requests in {} bytes", input.len());
    let mut frame = u32::try_from(input.len()).unwrap().to_be_bytes().to_vec();
    frame.extend_from_slice(input);
    assert!(requests(&frame) <= 1);
    let Ok(text) = std::str::from_utf8(input) else { return };
    let [tree, directory] = parts(text);
    if staging(tree, directory) {
        let real = std::fs::canonicalize(directory).unwrap();
        assert!(real.starts_with(tree) && directory.starts_with('/'), "{directory:?} in {tree:?}");
    }
});
