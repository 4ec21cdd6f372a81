//! The connection to the trace collector: logged when it fails and when it works again, not with every batch.

/// A batch could not be delivered; those that follow are dropped without a word until one arrives.
pub(crate) fn traces_lost(cause: &str) {
    let hint = "check OTEL_EXPORTER_OTLP_ENDPOINT, and that it is the collector's HTTP port; syncs go on";
    tracing::warn!(error = cause, hint, "traces are lost");
}

/// A batch was delivered after an outage.
pub(crate) fn traces_resumed() {
    tracing::info!("traces are delivered again");
}
