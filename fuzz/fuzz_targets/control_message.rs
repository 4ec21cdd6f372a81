//! Lines of the control socket: what is read as a request or an answer is written and read the same, on one line; what is
//! refused is not quoted.

#![no_main]

use libfuzzer_sys::fuzz_target;
use secrets_sync::admin::control::{ControlAnswer, ControlRequest};
use secrets_sync_fuzz::MARKER;

fuzz_target!(|line: &[u8]| {
    match ControlRequest::parse(line) {
        Ok(request) => {
            let written = request.line();
            assert_eq!(written.matches('\n').count(), 1, "{written}");
            assert_eq!(ControlRequest::parse(written.as_bytes()), Ok(request));
        }
        Err(refusal) => assert!(!refusal.message.contains(MARKER), "{refusal:?}"),
    }
    if let Some(answer) = ControlAnswer::parse(line) {
        let written = answer.line();
        assert_eq!(written.matches('\n').count(), 1, "{written}");
        assert_eq!(ControlAnswer::parse(written.as_bytes()), Some(answer));
    }
});
