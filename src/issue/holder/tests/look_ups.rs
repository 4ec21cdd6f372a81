//! When a lease is looked up after a reload.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_shorter_interval_holds_for_the_look_up_that_is_planned() {
    let bench = Bench::held().await;
    pass(SECOND).await;
    bench.holder.join(&secret("a"), FilesThere::All, Some(MINUTE));
    bench.holder.join(&secret("b"), FilesThere::All, Some(HOUR));
    pass(MINUTE + SECOND).await;
    assert_eq!(bench.issuer.asked(), Asked { issues: 1, look_ups: 1, ..Asked::default() });
    // A longer one does not put it off.
    bench.holder.join(&secret("a"), FilesThere::All, Some(HOUR));
    pass(MINUTE).await;
    assert_eq!(bench.issuer.asked().look_ups, 2);
}
