//! Fingerprints: equal fields have equal ones, whatever their order was; different fields have different ones.

#![no_main]

use libfuzzer_sys::fuzz_target;
use secrets_sync::secret::Fields;
use secrets_sync_fuzz::{fields, key, parts};

fuzz_target!(|input: &str| {
    let [one, other] = parts(input);
    let (Some(one), Some(other)) = (fields(one), fields(other)) else { return };
    let key = key();
    assert_eq!(key.of_fields(&one) == key.of_fields(&other), one == other);
    let mut reversed: Vec<_> = one.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    reversed.reverse();
    assert_eq!(key.of_fields(&reversed.into_iter().collect::<Fields>()), key.of_fields(&one));
});
