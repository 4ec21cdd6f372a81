//! Where a redirect leads, and whether a request may follow it: its headers, and with them the token, travel along.

use url::Url;

use super::endpoint::Endpoint;

/// Which redirects a client follows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Redirects {
    /// To another host too: a standby node sends its clients to the active one.
    ToOtherHosts,
    /// Only on the same host: another host must not see what was meant for this one.
    OnTheSameHost,
}

/// Where the 307 that answered a request for `target` at `from` leads: an origin, and path and query on it. Userinfo and
/// fragment of `location` are left behind.
///
/// # Errors
/// Why it is not followed. Nothing of `location` is in the words: it could repeat what was asked for, or more.
pub(super) fn destination(
    from: &Endpoint,
    target: &str,
    location: Option<&str>,
    redirects: Redirects,
) -> Result<(Endpoint, String), &'static str> {
    if matches!(from, Endpoint::Unix(_)) {
        return Err("it redirects away from the unix socket");
    }
    let scheme = if from.uses_tls() { "https" } else { "http" };
    let here = Url::parse(&format!("{scheme}://{}{target}", from.authority()));
    let url = here.ok().zip(location).and_then(|(here, location)| here.join(location).ok());
    let url = url.ok_or("it redirects to nowhere")?;
    let to = Endpoint::of_url(&url).ok_or("it redirects to something else than HTTP")?;
    if from.uses_tls() && !to.uses_tls() {
        return Err("it redirects from https to http, where the token could be read by others");
    }
    // Nobody was warned: an address on this machine needs no https.
    if from.is_loopback() && !to.is_loopback() && !to.uses_tls() {
        return Err(
            "it redirects from this machine to another by http, where the token could be read by others",
        );
    }
    if redirects == Redirects::OnTheSameHost && to != *from {
        return Err("it redirects to another host, for which the headers of the request are not meant");
    }
    let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
    Ok((to, format!("{}{query}", url.path())))
}

/// The address that a redirect to `location` means, without what the request put behind it: `path` was asked for, and
/// ends with `target`. Userinfo, query and fragment are left out, and a path that is not the request's: it could repeat
/// what was asked for, or more.
pub(super) fn address(from: &Endpoint, path: &str, target: &str, location: &str) -> Option<String> {
    let url = from.url(None, path).ok()?.join(location).ok()?;
    let to = Endpoint::of_url(&url).filter(|to| to != from)?;
    let scheme = if to.uses_tls() { "https" } else { "http" };
    let target = target.split('?').next().unwrap_or_default();
    let prefix =
        url.path().strip_suffix(target).filter(|prefix| path.starts_with(prefix)).unwrap_or_default();
    Some(format!("{scheme}://{}{prefix}", to.authority()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(url: &str) -> Endpoint {
        Endpoint::of_url(&Url::parse(url).unwrap()).unwrap()
    }

    fn led(from: &str, location: &str) -> Result<(String, String), &'static str> {
        let to = destination(&origin(from), "/v1/a", Some(location), Redirects::ToOtherHosts);
        to.map(|(origin, target)| (origin.to_string(), target))
    }

    #[test]
    fn a_redirect_leads_to_another_host_and_leaves_userinfo_and_fragment_behind() {
        let to = |host: &str, target: &str| Ok((host.to_owned(), target.to_owned()));
        assert_eq!(led("http://a", "http://user:hunter2@b:8200/v1/a?x=1#part"), to("b:8200", "/v1/a?x=1"));
        assert_eq!(led("http://a", "https://b/v1/a"), to("b:443", "/v1/a"));
        assert_eq!(led("https://a:8200", "/v1/b c"), to("a:8200", "/v1/b%20c"));
        assert_eq!(led("https://a", "//b"), to("b:443", "/"));
    }

    #[test]
    fn a_redirect_into_the_clear_is_refused() {
        for location in ["http://a/v1/a", "http://127.0.0.1/", "HTTP://b", "//b@c\\..\\d"] {
            let led = led("https://a", location);
            assert!(
                led.as_ref().is_err_and(|why| why.contains("https to http"))
                    || led.unwrap().0.ends_with(":443")
            );
        }
        for from in
            ["http://127.0.0.1:8200", "http://[::1]:8200", "http://localhost:8200", "http://a.localhost"]
        {
            assert!(led(from, "http://b:8200").is_err_and(|why| why.contains("from this machine")), "{from}");
            assert!(
                led(from, "http://127.0.0.2:8200").is_ok() && led(from, "https://b:8200").is_ok(),
                "{from}"
            );
        }
        assert!(led("http://a", "http://b").is_ok(), "`validate` has warned of the address");
    }

    #[test]
    fn the_address_behind_a_redirect_has_nothing_of_the_request() {
        let from = origin("http://a:8200");
        let named = |location: &str| address(&from, "/vault/v1/x", "/v1/x?version=3", location);
        assert_eq!(named("https://a/vault/v1/x?version=3").unwrap(), "https://a/vault");
        assert_eq!(
            named("https://user:hunter2@b:8200/hunter2/v1/x?hunter2#hunter2").unwrap(),
            "https://b:8200"
        );
        assert_eq!(named("https://b/hunter2").unwrap(), "https://b");
        for nowhere in ["/v1/x/", "http://a:8200/login", "ftp://hunter2", "http://[hunter2"] {
            assert_eq!(named(nowhere), None, "{nowhere}");
        }
    }

    #[test]
    fn what_is_no_http_is_refused_without_being_shown() {
        for location in
            ["ftp://hunter2", "file:///hunter2", "http://[hunter2", "unix:///hunter2", "data:hunter2"]
        {
            assert!(led("http://a", location).is_err_and(|why| !why.contains("hunter2")), "{location}");
        }
        let nowhere = destination(&origin("http://a"), "/", None, Redirects::ToOtherHosts);
        assert_eq!(nowhere.err(), Some("it redirects to nowhere"));
        let socket = Endpoint::Unix("/run/bao.sock".into());
        assert!(destination(&socket, "/", Some("/"), Redirects::ToOtherHosts).is_err());
    }

    #[test]
    fn who_stays_on_the_same_host_goes_to_no_other_port_or_scheme() {
        let led =
            |location| destination(&origin("http://a:4318"), "/", Some(location), Redirects::OnTheSameHost);
        assert!(led("/other").is_ok() && led("http://a:4318/v2").is_ok());
        for location in ["http://b:4318/", "http://a:4319/", "https://a:4318/", "//evil"] {
            assert!(led(location).is_err_and(|why| why.contains("another host")), "{location}");
        }
    }
}
