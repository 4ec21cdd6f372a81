//! Traces: one span per sync, sent as OTLP over HTTP to a collector. Off unless asked for, and then nothing exists: no
//! thread, no layer, and each span is one comparison of a level.
//!
//! Spans go through `tracing` under a target of their own, at a level that no `LOG_LEVEL` turns on. They hold names,
//! paths, counts and the words of faults; no value comes here.

mod exporter;
mod pipeline;
mod span;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider};
use tokio::runtime::Handle;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::{Layer, Registry};

pub use exporter::Transport;
pub use pipeline::{Batch, Pipeline, Sampler};
pub(super) use span::TARGET;
pub(crate) use span::http_status;
pub use span::{Span, check, fetch, hook, render, sync, traceparent, write};

/// Who made the spans, as collectors name it.
const SCOPE: &str = env!("CARGO_PKG_NAME");

/// How long the end of the program waits for the last spans.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// There is one for each process, as there is one log: a span needs no handle to it.
static PROVIDER: OnceLock<SdkTracerProvider> = OnceLock::new();

/// What turns the spans of `tracing` into those of the trace; the log is started with it.
pub(crate) type SpanLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// Starts the thread that collects spans and hands them to `transport`, on `runtime`.
///
/// # Errors
/// The pipeline cannot be built; the text says why.
pub fn start(
    pipeline: &Pipeline,
    transport: Arc<dyn Transport>,
    runtime: Handle,
) -> Result<SpanLayer, String> {
    let (client, cause) = exporter::client(transport, runtime);
    // The endpoint is the transport's business; this one only keeps the package from looking for another.
    let otlp = SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_endpoint("http://collector/v1/traces")
        .with_timeout(pipeline.timeout)
        .build()
        .map_err(|error| error.to_string())?;
    let Batch { delay, queue, size } = pipeline.batch;
    let batch = BatchConfigBuilder::default()
        .with_scheduled_delay(delay)
        .with_max_queue_size(queue)
        .with_max_export_batch_size(size)
        .build();
    let processor =
        BatchSpanProcessor::builder(exporter::watched(otlp, cause)).with_batch_config(batch).build();
    let provider = SdkTracerProvider::builder()
        .with_span_processor(processor)
        .with_sampler(pipeline.sampler.build())
        .with_resource(pipeline.resource())
        .build();
    let layer = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer(SCOPE))
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_tracked_inactivity(false);
    // A second call happens only in tests that start several daemons in one process.
    drop(PROVIDER.set(provider));
    // Log lines stay in the log: as events of a span they would be reported twice.
    Ok(layer.with_filter(filter_fn(|metadata| metadata.is_span() && metadata.target() == TARGET)).boxed())
}

/// Sends the spans that are left. A collector that does not answer is not waited for longer than two seconds.
pub async fn stop() {
    let Some(provider) = PROVIDER.get() else { return };
    // It blocks, and its requests need this thread. The exporter has logged what was lost.
    drop(tokio::task::spawn_blocking(|| provider.shutdown_with_timeout(LAST_WORDS)).await);
}
