//! Names to addresses, without code of the host: `/etc/hosts` first, then the servers of `/etc/resolv.conf`.
//!
//! A static binary must not load the NSS modules that `getaddrinfo` would load, so names that only such a module knows
//! (mDNS, myhostname) do not resolve. Both files are read for each resolution, which is once for each new connection.

mod files;

use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use hickory_resolver::config::{NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError as Answered, NetError as QueryError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name as DnsName, RData, RecordType};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::time::timeout;
use url::Host;

use crate::blocking::Worker;

use self::files::{HostLookup, ResolvConf};

/// How long the second of the two questions, for IPv4 and for IPv6, may take longer than the first.
const SECOND_ANSWER: Duration = Duration::from_millis(100);

pub(super) const REMEDY: &str = "check the name in the store's address, and the servers in /etc/resolv.conf; names that only mDNS or another NSS \
     module knows belong into /etc/hosts";

/// Why a name has no address.
#[derive(Debug, thiserror::Error)]
#[error("DNS: {cause}")]
pub(super) struct DnsError {
    cause: String,
}

impl DnsError {
    fn new(cause: impl Into<String>) -> Self {
        Self { cause: cause.into() }
    }
}

/// Resolves the names that reqwest connects to.
pub(super) struct Resolver {
    /// Looked up in place of the name in the URL, which is the one that TLS verifies.
    host: Option<Host<String>>,
    limit: Duration,
    worker: Arc<Worker>,
}

impl Resolver {
    /// A resolver whose answers take at most `limit`.
    pub(super) fn new(host: Option<Host<String>>, limit: Duration) -> Self {
        Self { host, limit, worker: Arc::default() }
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let host = self.host.clone().unwrap_or_else(|| Host::Domain(name.as_str().to_owned()));
        let (limit, worker) = (self.limit, Arc::clone(&self.worker));
        Box::pin(async move {
            let addresses = match host {
                Host::Ipv4(ip) => vec![ip.into()],
                Host::Ipv6(ip) => vec![ip.into()],
                Host::Domain(name) => addresses(&name, &worker, limit).await?,
            };
            let sockets = addresses.into_iter().map(|ip| SocketAddr::new(ip, 0));
            Ok(Box::new(sockets) as Addrs)
        })
    }
}

async fn addresses(name: &str, worker: &Worker, limit: Duration) -> Result<Vec<IpAddr>, DnsError> {
    let late = || DnsError::new(not_resolved_within(name, limit));
    let answer = timeout(limit, async {
        match files::look_up(name, worker, limit).await? {
            HostLookup::Addresses(addresses) => Ok(addresses),
            HostLookup::Servers(conf) => ask(name, &conf, limit).await,
        }
    });
    answer.await.unwrap_or_else(|_| Err(late()))
}

fn not_resolved_within(name: &str, limit: Duration) -> String {
    format!("the name {name} was not resolved within {}", humantime::format_duration(limit))
}

/// Why a question has no answer. "There is no such name" is an answer.
#[derive(Debug)]
enum QueryFailure {
    /// No server answered in time.
    Silent,
    /// What the last server answered, or why it could not be asked.
    Refused(String),
}

/// Asks for each full name that `name` may stand for, until one has an address.
async fn ask(name: &str, conf: &ResolvConf, limit: Duration) -> Result<Vec<IpAddr>, DnsError> {
    let servers = servers(conf, limit)?;
    let mut cause = format!("the name {name} does not exist, or has no address");
    for full in conf.full_names(name) {
        let Some(full) = dns_name(&full) else {
            cause = format!("the name {name} was not resolved: {full} is not a valid DNS name");
            continue;
        };
        match both_families(&servers, conf.attempts, &full).await {
            Ok(addresses) if addresses.is_empty() => {}
            Ok(addresses) => return Ok(addresses),
            Err(QueryFailure::Silent) => {
                let cause = not_resolved_within(name, limit);
                return Err(DnsError::new(format!("{cause}: no answer from {}", conf.shown_servers())));
            }
            Err(QueryFailure::Refused(why)) => cause = format!("the name {name} was not resolved: {why}"),
        }
    }
    Err(DnsError::new(cause))
}

/// `full` as DNS has it. The rules of IDNA are for names that are not ASCII: they refuse the underscores of Compose.
fn dns_name(full: &str) -> Option<DnsName> {
    if full.is_ascii() { DnsName::from_ascii(full).ok() } else { DnsName::from_utf8(full).ok() }
}

/// Addresses of either family. One of the two questions may stay without an answer: some servers drop AAAA.
async fn both_families(
    servers: &[DnsServer],
    attempts: u32,
    full: &DnsName,
) -> Result<Vec<IpAddr>, QueryFailure> {
    let v4 = pin!(query(servers, attempts, full, RecordType::A));
    let v6 = pin!(query(servers, attempts, full, RecordType::AAAA));
    let (Either::Left((first, second)) | Either::Right((first, second))) = select(v4, v6).await;
    let has_address = first.as_ref().is_ok_and(|addresses| !addresses.is_empty());
    let second = if has_address {
        timeout(SECOND_ANSWER, second).await.unwrap_or(Ok(Vec::new()))
    } else {
        second.await
    };
    match (first, second) {
        (Ok(mut first), Ok(second)) => {
            first.extend(second);
            Ok(first)
        }
        (Ok(addresses), Err(_)) | (Err(_), Ok(addresses)) if !addresses.is_empty() => Ok(addresses),
        (_, Err(failure)) | (Err(failure), _) => Err(failure),
    }
}

type DnsServer = hickory_resolver::Resolver<TokioRuntimeProvider>;

/// One resolver for each server, so that they are asked in the order of the file and a silent one costs its share of
/// `limit` only.
fn servers(conf: &ResolvConf, limit: Duration) -> Result<Vec<DnsServer>, DnsError> {
    let tries = conf.attempts.saturating_mul(u32::try_from(conf.servers.len()).unwrap_or(u32::MAX)).max(1);
    let mut options = ResolverOpts::default();
    // Nine tenths, so that the last server is silent before the time is over, and can be named.
    options.timeout = conf.timeout.min(limit.mul_f32(0.9) / tries);
    options.attempts = 0;
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    let server = |ip: &IpAddr| {
        let config = ResolverConfig::from_parts(None, Vec::new(), vec![NameServerConfig::udp_and_tcp(*ip)]);
        let builder = DnsServer::builder_with_config(config, TokioRuntimeProvider::default());
        builder.with_options(options.clone()).build()
    };
    let servers: Result<Vec<_>, _> = conf.servers.iter().map(server).collect();
    servers.map_err(|error| DnsError::new(error.to_string()))
}

/// What the first server that answers says; no addresses where there are none.
async fn query(
    servers: &[DnsServer],
    attempts: u32,
    full: &DnsName,
    kind: RecordType,
) -> Result<Vec<IpAddr>, QueryFailure> {
    let mut failure = QueryFailure::Silent;
    for _ in 0..attempts {
        for server in servers {
            match server.lookup(full.clone(), kind).await {
                Ok(answer) => {
                    return Ok(answer.answers().iter().filter_map(|record| address(&record.data)).collect());
                }
                Err(QueryError::Dns(Answered::NoRecordsFound(none)))
                    if matches!(none.response_code, ResponseCode::NoError | ResponseCode::NXDomain) =>
                {
                    return Ok(Vec::new());
                }
                Err(QueryError::Timeout) => {}
                Err(error) => failure = QueryFailure::Refused(error.to_string()),
            }
        }
    }
    Err(failure)
}

fn address(data: &RData) -> Option<IpAddr> {
    match data {
        RData::A(ip) => Some(ip.0.into()),
        RData::AAAA(ip) => Some(ip.0.into()),
        _ => None,
    }
}
