//! Addresses: what is accepted has no userinfo, query or fragment and reads the same again; a refusal shows nothing of
//! the text.

#![no_main]

use libfuzzer_sys::fuzz_target;
use secrets_sync::config::fuzzing::address;
use secrets_sync::net::Address;
use secrets_sync_fuzz::MARKER;

fuzz_target!(|text: &str| {
    match address(text) {
        Ok((Address::Http(url), is_exposed)) => {
            assert!(url.username().is_empty() && url.password().is_none());
            assert!(url.query().is_none() && url.fragment().is_none());
            assert!(url.host_str().is_some_and(|host| !host.is_empty() && !host.contains('@')), "{url}");
            assert!(!is_exposed || url.scheme() == "http");
            let again = address(url.as_str()).expect("its own text");
            assert_eq!(again, (Address::Http(url), is_exposed));
        }
        Ok((Address::Unix(path), _)) => assert!(path.is_absolute()),
        Err(words) => assert!(!words.contains(MARKER), "{words}"),
    }
});
