//! PEM files that are checked before they are published: no error holds anything of the file.

#![no_main]

use libfuzzer_sys::fuzz_target;
use secrets_sync::certificate::fuzzing::pem_file;
use secrets_sync_fuzz::MARKER;

fuzz_target!(|content: &[u8]| {
    let begins = content.windows(11).filter(|part| part.starts_with(b"-----BEGIN ")).count();
    match pem_file(content) {
        Ok((certificates, keys)) => {
            assert!(certificates + keys <= begins, "{certificates} and {keys} of {begins}");
            assert!(begins > 0, "a file without a section was read");
        }
        Err(cause) => {
            assert!(!cause.contains(MARKER), "{cause}");
            assert!(!cause.is_empty() && cause.len() < 512 && !cause.contains('\n'), "{cause}");
        }
    }
});
