//! `ENABLE_TRACING` and the standard `OTEL_*` variables. They are read only where tracing is on: clusters put them into
//! every container, and a daemon that sends no traces must not fail by them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;
use url::Url;

use super::reader::{A_BOOLEAN, SettingsReader};
use crate::config::env::parse_bool;
use crate::secret::SecretText;
use crate::telemetry::trace::{Batch, Pipeline, Sampler};

const SERVICE: &str = "secrets-sync";
const COLLECTOR: &str = "http://localhost:4318";
const PATH: &str = "v1/traces";
const TIMEOUT: Duration = Duration::from_secs(10);
const LARGEST_QUEUE: usize = 65_536;

/// Where spans go and what becomes of them before.
#[derive(Clone, PartialEq, Debug)]
pub struct TraceSettings {
    /// `http` or `https`, with the path spans are posted to.
    pub endpoint: Url,
    /// `OTEL_EXPORTER_OTLP_HEADERS`: often credentials.
    pub headers: Vec<(String, SecretText)>,
    /// `OTEL_EXPORTER_OTLP_CERTIFICATE`: a PEM file of roots; without one the system's.
    pub ca_certificate: Option<PathBuf>,
    /// `OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE` and `OTEL_EXPORTER_OTLP_CLIENT_KEY`.
    pub client_certificate: Option<(PathBuf, PathBuf)>,
    /// Sampling, batches, names.
    pub pipeline: Pipeline,
}

impl SettingsReader<'_> {
    /// Nothing where tracing is off.
    pub(super) fn tracing(&mut self, home: &Path) -> Option<TraceSettings> {
        self.value("ENABLE_TRACING", A_BOOLEAN, parse_bool).filter(|on| *on)?;
        let disabled = self.value("OTEL_SDK_DISABLED", A_BOOLEAN, parse_bool).unwrap_or(false);
        let takes = "otlp or none";
        let exporter = self.value("OTEL_TRACES_EXPORTER", takes, |text| match text {
            "otlp" => Some(true),
            "none" => Some(false),
            _ => None,
        });
        if disabled || exporter == Some(false) {
            return None;
        }
        self.check_unsupported();
        let endpoint = self.endpoint();
        let takes = "pairs such as name=value,name2=value2 that are HTTP headers, values percent-encoded";
        let headers = self.of_traces("HEADERS", takes, headers).unwrap_or_default();
        let file = |text: &str| (!text.contains('\0')).then(|| home.join(text));
        let takes = "the path of a PEM file";
        let ca_certificate = self.of_traces("CERTIFICATE", takes, file);
        let certificate = self.of_traces("CLIENT_CERTIFICATE", takes, file);
        let client_certificate = match (certificate, self.of_traces("CLIENT_KEY", takes, file)) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => {
                let message = "must be set together with OTEL_EXPORTER_OTLP_CLIENT_KEY".to_owned();
                self.refuse("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE".to_owned(), message);
                None
            }
        };
        let pipeline = self.pipeline();
        Some(TraceSettings { endpoint: endpoint?, headers, ca_certificate, client_certificate, pipeline })
    }

    /// The value of `OTEL_EXPORTER_OTLP_TRACES_…`, else of `OTEL_EXPORTER_OTLP_…`.
    fn of_traces<T>(&mut self, name: &str, takes: &str, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let of_traces = format!("OTEL_EXPORTER_OTLP_TRACES_{name}");
        let name = if self.is_given(&of_traces) { of_traces } else { format!("OTEL_EXPORTER_OTLP_{name}") };
        self.value(&name, takes, parse)
    }

    fn is_given(&self, name: &str) -> bool {
        self.env.is_not_text(name) || self.env.value(name).is_some_and(|text| !text.is_empty())
    }

    fn check_unsupported(&mut self) {
        let takes = "http/protobuf: gRPC and JSON are not built in, use the collector's HTTP port (4318)";
        self.of_traces("PROTOCOL", takes, |text| (text == "http/protobuf").then_some(()));
        let takes = "none: compression is not built in";
        self.of_traces("COMPRESSION", takes, |text| (text == "none").then_some(()));
    }

    /// The variable of traces is taken as it is; the others name a collector, whose path for traces is added.
    fn endpoint(&mut self) -> Option<Url> {
        let takes = "a URL such as http://collector:4318, without user name and password";
        if self.is_given("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") {
            return self.value("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", takes, url);
        }
        if self.is_given("OTEL_EXPORTER_OTLP_ENDPOINT") {
            return self.value("OTEL_EXPORTER_OTLP_ENDPOINT", takes, collector);
        }
        if self.is_given("OTEL_EXPORTER_ENDPOINT") {
            let takes = "a host and port such as collector:4318, or a URL";
            // The Go tool's variable may do without a scheme.
            let with_scheme = |text: &str| {
                if text.contains("://") { collector(text) } else { collector(&format!("http://{text}")) }
            };
            return self.value("OTEL_EXPORTER_ENDPOINT", takes, with_scheme);
        }
        collector(COLLECTOR)
    }

    fn pipeline(&mut self) -> Pipeline {
        let timeout = self.of_traces("TIMEOUT", MILLISECONDS, milliseconds).unwrap_or(TIMEOUT);
        let takes = "pairs such as key=value,key2=value2, values percent-encoded";
        let mut attributes = self.value("OTEL_RESOURCE_ATTRIBUTES", takes, pairs).unwrap_or_default();
        let named = attributes.iter().rev().find(|(key, _)| key == "service.name");
        let named = named.map_or_else(|| SERVICE.to_owned(), |(_, name)| name.clone());
        attributes.retain(|(key, _)| key != "service.name");
        let service = self.value("OTEL_SERVICE_NAME", "a name", |text| Some(text.to_owned()));
        let (sampler, batch) = (self.sampler(), self.batch());
        Pipeline { service: service.unwrap_or(named), attributes, sampler, batch, timeout }
    }

    /// A sync has no parent elsewhere, so the `parentbased_` samplers are the same as those without.
    fn sampler(&mut self) -> Sampler {
        let takes = "always_on, always_off or traceidratio, each with parentbased_ or without";
        let parse = |text: &str| match text.strip_prefix("parentbased_").unwrap_or(text) {
            "always_on" => Some(Sampler::All),
            "always_off" => Some(Sampler::None),
            "traceidratio" => Some(Sampler::Share(1.0)),
            _ => None,
        };
        let sampler = self.value("OTEL_TRACES_SAMPLER", takes, parse).unwrap_or(Sampler::All);
        let Sampler::Share(all) = sampler else { return sampler };
        let share = |text: &str| text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
        let argument = self.value("OTEL_TRACES_SAMPLER_ARG", "a number from 0 to 1", share);
        Sampler::Share(argument.unwrap_or(all))
    }

    fn batch(&mut self) -> Batch {
        let default = Batch::default();
        let count = |text: &str| text.parse().ok().filter(|count| (1..=LARGEST_QUEUE).contains(count));
        let takes = "a whole number from 1 to 65536";
        let delay = self.value("OTEL_BSP_SCHEDULE_DELAY", MILLISECONDS, milliseconds);
        let queue = self.value("OTEL_BSP_MAX_QUEUE_SIZE", takes, count).unwrap_or(default.queue);
        let size = self.value("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", takes, count).unwrap_or(default.size);
        Batch { delay: delay.unwrap_or(default.delay), queue, size: size.min(queue) }
    }
}

const MILLISECONDS: &str = "a whole number of milliseconds from 1";

fn milliseconds(text: &str) -> Option<Duration> {
    text.parse().ok().filter(|count| *count > 0).map(Duration::from_millis)
}

fn url(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    let is_plain = url.username().is_empty() && url.password().is_none() && url.has_host();
    is_plain.then_some(url)
}

fn collector(text: &str) -> Option<Url> {
    let mut url = url(text)?;
    let path = format!("{}/{PATH}", url.path().trim_end_matches('/'));
    url.set_path(&path);
    Some(url)
}

fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let pair = |pair: &str| {
        let (key, value) = pair.split_once('=')?;
        let (key, value) = (decoded(key)?, decoded(value)?);
        (!key.is_empty()).then_some((key, value))
    };
    text.split(',').filter(|pair| !pair.trim().is_empty()).map(pair).collect()
}

fn decoded(text: &str) -> Option<String> {
    percent_decode_str(text.trim()).decode_utf8().ok().map(String::from)
}

fn headers(text: &str) -> Option<Vec<(String, SecretText)>> {
    let header = |(name, value): (String, String)| {
        let value = SecretText::new(value);
        HeaderName::try_from(&name).ok()?;
        // EXPOSE: looked at for characters that no header may have.
        HeaderValue::from_str(value.expose()).ok()?;
        Some((name, value))
    };
    pairs(text)?.into_iter().map(header).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::diagnostic::Report;
    use crate::config::env::Env;
    use crate::config::settings::Settings;

    fn tracing(pairs: &[(&str, &str)]) -> Result<Option<TraceSettings>, Report> {
        let env = Env::from_pairs([("ENABLE_TRACING", "true")].iter().chain(pairs).copied());
        Ok(Settings::from_env(&crate::config::settings::Flags::default(), &env, Path::new("/work"))?.tracing)
    }

    fn endpoint(pairs: &[(&str, &str)]) -> String {
        tracing(pairs).unwrap().unwrap().endpoint.into()
    }

    #[test]
    fn nothing_is_read_while_tracing_is_off() {
        let wrong = [("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"), ("OTEL_BSP_MAX_QUEUE_SIZE", "many")];
        let off = Settings::from_env(
            &crate::config::settings::Flags::default(),
            &Env::from_pairs(wrong),
            Path::new("/work"),
        );
        assert_eq!(off.unwrap().tracing, None);
        for (name, value) in [("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none")] {
            assert_eq!(tracing(&[(name, value), wrong[0]]).unwrap(), None);
        }
    }

    #[test]
    fn defaults_are_those_of_the_specification() {
        let tracing = tracing(&[]).unwrap().unwrap();
        assert_eq!(tracing.endpoint.as_str(), "http://localhost:4318/v1/traces");
        let Pipeline { service, attributes, sampler, batch, timeout } = tracing.pipeline;
        assert_eq!((service.as_str(), attributes.len(), sampler), ("secrets-sync", 0, Sampler::All));
        assert_eq!((batch, timeout), (Batch::default(), Duration::from_secs(10)));
    }

    #[test]
    fn the_endpoint_of_traces_is_taken_as_it_is_and_the_others_get_a_path() {
        let go = ("OTEL_EXPORTER_ENDPOINT", "collector:4318");
        let all = ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://otel:4318/base/");
        assert_eq!(endpoint(&[go]), "http://collector:4318/v1/traces");
        assert_eq!(endpoint(&[all, go]), "https://otel:4318/base/v1/traces");
        let traces = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://traces/in?tenant=a");
        assert_eq!(endpoint(&[all, go, traces]), "http://traces/in?tenant=a");
    }

    #[test]
    fn headers_are_decoded_and_never_shown() {
        let pairs = [
            ("OTEL_EXPORTER_OTLP_HEADERS", "x-other=1"),
            ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "authorization=Bearer%20hunter2, x-tenant = a"),
        ];
        let settings = tracing(&pairs).unwrap().unwrap();
        let secret = |text: &str| SecretText::new(text.to_owned());
        let expected = [("authorization", "Bearer hunter2"), ("x-tenant", "a")];
        assert_eq!(settings.headers, expected.map(|(name, value)| (name.to_owned(), secret(value))));
        assert!(!format!("{settings:?}").contains("hunter2"));
    }

    #[test]
    fn the_name_of_the_service_comes_before_the_attributes() {
        let attributes = ("OTEL_RESOURCE_ATTRIBUTES", "service.name=a,deployment.environment=pro%2Cd");
        let pipeline = tracing(&[attributes]).unwrap().unwrap().pipeline;
        assert_eq!(pipeline.service, "a");
        assert_eq!(pipeline.attributes, [("deployment.environment".to_owned(), "pro,d".to_owned())]);
        let both = tracing(&[attributes, ("OTEL_SERVICE_NAME", "b")]).unwrap().unwrap().pipeline;
        assert_eq!((both.service.as_str(), both.attributes), ("b", pipeline.attributes));
    }

    #[test]
    fn samplers_and_batches_are_read() {
        let sampler = |pairs: &[(&str, &str)]| tracing(pairs).unwrap().unwrap().pipeline.sampler;
        assert_eq!(sampler(&[("OTEL_TRACES_SAMPLER", "always_off")]), Sampler::None);
        let ratio = ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio");
        assert_eq!(sampler(&[ratio, ("OTEL_TRACES_SAMPLER_ARG", "0.25")]), Sampler::Share(0.25));
        assert_eq!(sampler(&[ratio]), Sampler::Share(1.0));
        let pairs = [("OTEL_BSP_SCHEDULE_DELAY", "50"), ("OTEL_BSP_MAX_QUEUE_SIZE", "100")];
        let expected = Batch { delay: Duration::from_millis(50), queue: 100, size: 100 };
        assert_eq!(tracing(&pairs).unwrap().unwrap().pipeline.batch, expected);
    }

    #[test]
    fn every_value_that_does_not_parse_is_refused_by_its_name_and_not_shown() {
        let variables = [
            ("OTEL_SDK_DISABLED", "hunter2"),
            ("OTEL_TRACES_EXPORTER", "hunter2"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "gzip"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://user:hunter2@collector"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "hunter2"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"),
            ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "hunter2"),
            ("OTEL_RESOURCE_ATTRIBUTES", "=hunter2"),
            ("OTEL_TRACES_SAMPLER", "hunter2"),
            ("OTEL_BSP_SCHEDULE_DELAY", "0"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
            ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "hunter2"),
        ];
        let report = tracing(&variables).unwrap_err();
        let named: Vec<_> = report.diagnostics.iter().map(|one| one.place.path.as_str()).collect();
        assert!(variables.iter().all(|(name, _)| named.contains(name)), "{report}");
        assert_eq!(named.len(), variables.len());
        assert!(!report.to_string().contains("hunter2"));
    }
}
