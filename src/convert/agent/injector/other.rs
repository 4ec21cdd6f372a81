//! Annotations that have no counterpart here.

use super::PodAnnotations;
use crate::convert::report::ConversionReport;

const NO_AGENT: &str = "no Agent runs in the pod";

const LOGIN: &str = "it belongs to the login that is replaced by an AppRole";

const CACHE: &str = "nothing is cached for other programs";

/// Annotations without which nothing is different: their names, or what these begin with, and why.
const DROPPED: [(&str, &str); 33] = [
    ("agent-inject-status", "it is the injector's own mark"),
    ("agent-inject-containers", "the files are on the host: mount their directory where they are needed"),
    ("agent-request-namespace", "it is the injector's own mark"),
    ("agent-image", NO_AGENT),
    ("agent-init-first", NO_AGENT),
    ("agent-limits-", NO_AGENT),
    ("agent-requests-", NO_AGENT),
    ("agent-run-as-", "the files belong to the user of secrets-sync; owner and group of a file change that"),
    ("agent-set-security-context", NO_AGENT),
    ("agent-share-process-namespace", NO_AGENT),
    ("agent-service-account-token-volume-name", LOGIN),
    ("agent-copy-volume-mounts", NO_AGENT),
    ("agent-json-patch", NO_AGENT),
    ("agent-init-json-patch", NO_AGENT),
    ("agent-ephemeral-", NO_AGENT),
    ("agent-auto-auth-exit-on-err", "failed logins are repeated with backoff"),
    ("agent-telemetry-", "docs/observability.md lists the metrics"),
    ("agent-metrics-listener-port", "METRICS_PORT says it"),
    ("agent-enable-quit", NO_AGENT),
    ("agent-disable-", "connections are managed by the program"),
    ("agent-revoke-", NO_AGENT),
    ("agent-cache-", CACHE),
    ("agent-pre-populate", "readers that start after `secrets-sync run --once` find their files"),
    ("auth-", LOGIN),
    ("client-max-retries", "failed reads are repeated with backoff: INITIAL_BACKOFF and MAX_BACKOFF"),
    ("client-timeout", "timeout of the store says it"),
    ("log-level", "LOG_LEVEL says it"),
    ("log-format", "LOG_FORMAT says it"),
    ("service", "it is usually a service of the cluster: VAULT_ADDR names the server"),
    ("go-max-procs", NO_AGENT),
    ("template-config-exit-on-retry-failure", "failed reads are repeated with backoff"),
    ("template-max-connections-per-host", "limits.maxConcurrentRequests says it"),
    ("ca-key", "the private key of a CA is not needed"),
];

/// Annotations whose effect is missing here, and what to do.
const LOST: [(&str, &str); 3] = [
    (
        "agent-extra-secret",
        "no Secret of Kubernetes is mounted: write its files yourself, or read them from a store",
    ),
    (
        "tls-secret",
        "no Secret of Kubernetes is mounted: write the certificates into files, and name them in tlsCACert, tlsClientCert and \
         tlsClientKey",
    ),
    ("proxy-address", "name the proxy in `proxy` of the store, or in HTTPS_PROXY"),
];

/// Reports all that nothing has taken.
pub(super) fn report(mut pod: PodAnnotations<'_>, report: &mut ConversionReport) {
    for (name, annotation) in std::mem::take(&mut pod.of_pod) {
        let is_meant = |(known, _): &&(&str, &str)| {
            if known.ends_with('-') { name.starts_with(known) } else { name == *known }
        };
        if let Some((_, remedy)) = LOST.iter().find(is_meant) {
            pod.lost(annotation, *remedy, report);
        } else if let Some((_, reason)) = DROPPED.iter().find(is_meant) {
            pod.dropped(annotation, *reason, report);
        } else {
            pod.lost(annotation, "this program does not know the annotation", report);
        }
    }
}
