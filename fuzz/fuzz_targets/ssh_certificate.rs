//! OpenSSH certificates: what is read is all of the line's content, and a certificate is for one key.

#![no_main]

use libfuzzer_sys::fuzz_target;
use secrets_sync::store::vault::fuzzing::ssh_certificate;
use secrets_sync_fuzz::parts;

fuzz_target!(|input: &str| {
    let [line, public, private] = parts(input);
    let Some(read) = ssh_certificate(line, public, private) else { return };
    // A comment is no part of it.
    let bare: Vec<&str> = line.split_ascii_whitespace().take(2).collect();
    let bare = bare.join(" ");
    assert_eq!(ssh_certificate(&bare, public, private), Some(read));
    // Of its last four characters the first three hold a byte that counts, or the padding that must be there.
    let cut = &bare[..bare.len() - 4];
    assert_eq!(ssh_certificate(cut, public, private), None, "{cut}");
    let (_, is_of_public, is_of_private) = read;
    // The second word is the key; its first bytes are a length.
    let mut words = public.split_ascii_whitespace();
    let other = words.next().zip(words.next().and_then(|key| key.strip_prefix("AAAA")));
    if let Some((kind, rest)) = other.filter(|_| is_of_public) {
        let other_key = format!("{kind} AAAB{rest}");
        assert_eq!(ssh_certificate(line, &other_key, "").map(|read| read.1), Some(false));
    }
    assert!(is_of_private.is_none() || private.contains("OPENSSH PRIVATE KEY"));
});
