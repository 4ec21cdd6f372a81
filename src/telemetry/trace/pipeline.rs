//! What becomes of spans before they are sent: which are sent, how many in a batch, for which service.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::TelemetryResourceDetector;
use opentelemetry_sdk::trace::Sampler as SdkSampler;

/// Everything that is set apart from the collector's address.
#[derive(Clone, PartialEq, Debug)]
pub struct Pipeline {
    /// `OTEL_SERVICE_NAME`.
    pub service: String,
    /// `OTEL_RESOURCE_ATTRIBUTES`, in their order.
    pub attributes: Vec<(String, String)>,
    /// `OTEL_TRACES_SAMPLER`.
    pub sampler: Sampler,
    /// `OTEL_BSP_*`.
    pub batch: Batch,
    /// `OTEL_EXPORTER_OTLP_TIMEOUT`: one batch with its retries.
    pub timeout: Duration,
}

/// Which syncs are traced. Children always follow their sync.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Sampler {
    /// All of them.
    All,
    /// None of them.
    None,
    /// This share of them, from 0 to 1.
    Share(f64),
}

/// How spans are gathered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Batch {
    /// Between two batches.
    pub delay: Duration,
    /// Most spans that wait; the next one is dropped.
    pub queue: usize,
    /// Most spans of one batch.
    pub size: usize,
}

impl Default for Batch {
    fn default() -> Self {
        Self { delay: Duration::from_secs(5), queue: 2048, size: 512 }
    }
}

impl Sampler {
    pub(super) fn build(self) -> SdkSampler {
        let root = match self {
            Self::All => SdkSampler::AlwaysOn,
            Self::None => SdkSampler::AlwaysOff,
            Self::Share(share) => SdkSampler::TraceIdRatioBased(share),
        };
        SdkSampler::ParentBased(Box::new(root))
    }
}

impl Pipeline {
    pub(super) fn resource(&self) -> Resource {
        let attributes = self.attributes.iter();
        Resource::builder_empty()
            .with_detector(Box::new(TelemetryResourceDetector))
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .with_attributes(attributes.map(|(name, value)| KeyValue::new(name.clone(), value.clone())))
            .with_service_name(self.service.clone())
            .build()
    }
}
