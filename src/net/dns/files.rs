//! `/etc/hosts` and `/etc/resolv.conf`: what they say of one name, as new as the files.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::Duration;

use super::DnsError;
use crate::blocking::Worker;
use crate::net::endpoint::is_local_name;
use crate::regular_file;

const HOSTS: &str = "/etc/hosts";
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// Most bytes of one of them. Lists of blocked names make some long.
const MAX_FILE: usize = 16 << 20;

/// More servers than these were never asked.
const MAX_SERVERS: usize = 3;

/// What this machine knows of a name.
pub(super) enum HostLookup {
    /// Its addresses.
    Addresses(Vec<IpAddr>),
    /// Whom to ask.
    Servers(ResolvConf),
}

/// The lines of `resolv.conf` that matter here; what it does not say has the values of resolv.conf(5).
#[derive(PartialEq, Eq, Debug)]
pub(super) struct ResolvConf {
    pub(super) servers: Vec<IpAddr>,
    search: Vec<String>,
    ndots: usize,
    /// For one question to one server.
    pub(super) timeout: Duration,
    pub(super) attempts: u32,
}

/// Reads both files.
///
/// # Errors
/// The name is in no file, and no file names a server. No other server is asked then.
pub(super) async fn look_up(name: &str, worker: &Worker, limit: Duration) -> Result<HostLookup, DnsError> {
    let name = name.to_owned();
    let read = worker.run(format!("reading {HOSTS} and {RESOLV_CONF}"), limit, move |_| read(&name)).await;
    read.unwrap_or_else(|error| Err(DnsError::new(error.to_string())))
}

fn read(name: &str) -> Result<HostLookup, DnsError> {
    let hosts = regular_file::read(Path::new(HOSTS), MAX_FILE).unwrap_or_default();
    let addresses = addresses(&String::from_utf8_lossy(&hosts), name);
    if !addresses.is_empty() {
        return Ok(HostLookup::Addresses(addresses));
    }
    if is_local_name(name) {
        return Ok(HostLookup::Addresses(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]));
    }
    let failed = |cause| DnsError::new(format!("the name {name} was not resolved: {cause}"));
    let content = regular_file::read(Path::new(RESOLV_CONF), MAX_FILE)
        .map_err(|error| failed(format!("cannot read {RESOLV_CONF}: {error}")))?;
    let conf = ResolvConf::parse(&String::from_utf8_lossy(&content), &host_domain());
    if conf.servers.is_empty() {
        return Err(failed(format!("{RESOLV_CONF} names no server")));
    }
    Ok(HostLookup::Servers(conf))
}

/// The addresses that the text of a hosts file has for `name`.
fn addresses(hosts: &str, name: &str) -> Vec<IpAddr> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let mut found = Vec::new();
    for line in hosts.lines() {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let Some(Ok(address)) = words.next().map(str::parse) else { continue };
        if words.any(|word| word.eq_ignore_ascii_case(name)) && !found.contains(&address) {
            found.push(address);
        }
    }
    found
}

/// What follows the first dot in this machine's name: the search list of a file that has none.
fn host_domain() -> String {
    let name = rustix::system::uname();
    let name = name.nodename().to_string_lossy();
    name.split_once('.').map(|(_, domain)| domain.to_owned()).unwrap_or_default()
}

impl ResolvConf {
    fn parse(text: &str, host_domain: &str) -> Self {
        let search = Some(host_domain.to_owned()).filter(|domain| !domain.is_empty());
        let mut conf = Self {
            servers: Vec::new(),
            search: search.into_iter().collect(),
            ndots: 1,
            timeout: Duration::from_secs(5),
            attempts: 2,
        };
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") if conf.servers.len() < MAX_SERVERS => {
                    conf.servers.extend(words.next().and_then(|ip| ip.parse::<IpAddr>().ok()));
                }
                Some("search") => conf.search = words.map(str::to_owned).collect(),
                Some("domain") => conf.search = words.take(1).map(str::to_owned).collect(),
                Some("options") => words.for_each(|option| conf.set(option)),
                _ => {}
            }
        }
        conf
    }

    /// With the bounds of the C library.
    fn set(&mut self, option: &str) {
        let Some((key, Ok(number))) = option.split_once(':').map(|(key, number)| (key, number.parse::<u8>()))
        else {
            return;
        };
        match key {
            "ndots" => self.ndots = usize::from(number.min(15)),
            "timeout" => self.timeout = Duration::from_secs(number.clamp(1, 30).into()),
            "attempts" => self.attempts = number.clamp(1, 5).into(),
            _ => {}
        }
    }

    /// Each full name that `name` may stand for, in the order in which they are tried.
    pub(super) fn full_names(&self, name: &str) -> Vec<String> {
        if name.ends_with('.') {
            return vec![name.to_owned()];
        }
        let searched = self.search.iter().map(|domain| domain.trim_matches('.'));
        let mut names: Vec<String> =
            searched.filter(|domain| !domain.is_empty()).map(|domain| format!("{name}.{domain}.")).collect();
        let dots = name.matches('.').count();
        names.insert(if dots >= self.ndots { 0 } else { names.len() }, format!("{name}."));
        names
    }

    pub(super) fn shown_servers(&self) -> String {
        self.servers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
        # made by a test\n; nameserver 192.0.2.9\n  nameserver 192.0.2.1 # first\nnameserver fe80::1%eth0\n\
        nameserver 2001:db8::1\nsortlist 192.0.2.0\ndomain old.example\nsearch a.example. b.example\n\
        options ndots:2 timeout:1 rotate attempts:9 ndots:x\n";

    #[test]
    fn a_resolv_conf_is_read_as_the_c_library_reads_it() {
        let conf = ResolvConf::parse(TEXT, "host.example");
        let servers: Vec<IpAddr> = vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
        assert_eq!((&conf.servers, conf.ndots, conf.attempts), (&servers, 2, 5));
        assert_eq!(conf.timeout, Duration::from_secs(1));
        assert_eq!(conf.full_names("vault"), ["vault.a.example.", "vault.b.example.", "vault."]);
        assert_eq!(conf.full_names("a.b.c"), ["a.b.c.", "a.b.c.a.example.", "a.b.c.b.example."]);
        assert_eq!(conf.full_names("vault."), ["vault."]);
    }

    #[test]
    fn the_hosts_own_domain_is_searched_where_the_file_names_none() {
        let of = |text: &str| ResolvConf::parse(text, "host.example").full_names("vault");
        assert_eq!(of("nameserver 192.0.2.1"), ["vault.host.example.", "vault."]);
        assert_eq!(of("search ."), ["vault."]);
        assert_eq!(ResolvConf::parse("", "").full_names("vault"), ["vault."]);
    }

    #[test]
    fn a_name_in_hosts_has_all_its_addresses_once() {
        let hosts = "127.0.0.1 localhost\n# 192.0.2.9 vault\n192.0.2.1\tother VAULT.example vault # vault2\n\
                     2001:db8::1 vault\n192.0.2.1 vault\nnonsense vault\n";
        let found = |name| addresses(hosts, name).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(found("vault"), ["192.0.2.1", "2001:db8::1"]);
        assert_eq!(found("vault.Example."), ["192.0.2.1"]);
        assert!(found("vault2").is_empty() && found("192.0.2.1").is_empty());
    }
}
