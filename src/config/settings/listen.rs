//! `METRICS_ADDR`, `METRICS_PORT` and `ENABLE_METRICS`: where the HTTP endpoints are, and whether.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::reader::{A_BOOLEAN, SettingsReader};
use crate::config::env::parse_bool;

const METRICS_PORT: u16 = 8080;

impl SettingsReader<'_> {
    pub(super) fn listen(&mut self) -> Option<SocketAddr> {
        let takes = "an IP address such as 127.0.0.1, 0.0.0.0 or ::1";
        let address = self.value("METRICS_ADDR", takes, ip);
        let takes = "a port from 0 to 65535";
        let port = self.value("METRICS_PORT", takes, |text| text.parse().ok());
        let enabled = self.value("ENABLE_METRICS", A_BOOLEAN, parse_bool);
        let address = address.unwrap_or(Ipv4Addr::LOCALHOST.into());
        enabled.unwrap_or(true).then_some(SocketAddr::new(address, port.unwrap_or(METRICS_PORT)))
    }
}

/// An address; with brackets too, as people write IPv6.
fn ip(text: &str) -> Option<IpAddr> {
    if text == "localhost" {
        return Some(Ipv4Addr::LOCALHOST.into());
    }
    text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text).parse().ok()
}
