//! Where a 307 leads: never from TLS into the clear, never off this machine in the clear, with a target that is one word
//! of an HTTP request; who stays on the same host does; a refusal shows nothing of the `Location`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use secrets_sync::net::fuzzing::redirect;
use secrets_sync_fuzz::{MARKER, parts};

const HOME: [(&str, bool, bool); 4] = [
    ("https://vault.example:8200", true, false),
    ("http://vault.example:8200", false, false),
    ("http://127.0.0.1:8200", false, true),
    ("https://[::1]", true, true),
];

fuzz_target!(|input: &str| {
    let [target, location] = parts(input);
    for (home, has_tls, is_loopback) in HOME {
        for stays in [false, true] {
            let target = format!("/v1/{target}");
            match redirect(home, &target, location, stays).expect("an origin") {
                Ok(to) => {
                    assert!(to.tls || !has_tls, "from TLS into the clear: {}", to.host);
                    assert!(to.tls || to.is_loopback || !is_loopback, "off this machine: {}", to.host);
                    assert!(
                        !to.host.contains(['@', '/', '?', '#', ' ']) && !to.host.is_empty(),
                        "{:?}",
                        to.host
                    );
                    assert!(to.target.starts_with('/'), "{:?}", to.target);
                    assert!(to.target.bytes().all(|byte| byte.is_ascii_graphic()), "{:?}", to.target);
                    assert!(!to.target.contains('#'), "{:?}", to.target);
                    let authority = home.split_once("://").expect("a URL").1;
                    assert!(
                        !stays || to.host == authority || to.host == format!("{authority}:443"),
                        "{}",
                        to.host
                    );
                    // What it leads to leads to itself.
                    let scheme = if to.tls { "https" } else { "http" };
                    let again = format!("{scheme}://{}{}", to.host, to.target);
                    let again = redirect(&again, "/", &again, true).expect("an origin").expect("the same");
                    assert_eq!((again.host, again.target), (to.host, to.target));
                }
                Err(why) => assert!(!why.contains(MARKER), "{why}"),
            }
        }
    }
});
