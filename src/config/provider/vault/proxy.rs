//! `proxy`, and the variables of proxies that all programs share.

use crate::config::compile::context::CompileContext;
use crate::config::compile::section::Section;
use crate::config::diagnostic::{Code, Diagnostic, Place};
use crate::net::{Address, Proxy};

/// In their order; the spelling in lower case is the older one.
const VARIABLES: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
const NO_PROXY: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// The proxy through which `address` is reached: that of the key, which knows no exceptions, else that of the
/// environment. Only `https` to another machine goes through one.
pub(super) fn compile(
    section: &mut Section<'_>,
    address: Option<&Address>,
    context: &mut CompileContext<'_>,
) -> Option<Proxy> {
    let key = "proxy";
    if !section.has(key) {
        return from_environment(section, address?, context);
    }
    let parse = |text: &str| match text {
        "" | "none" => Ok(None),
        url => Proxy::new(url, "").map(Some),
    };
    let proxy = section.parsed(key, (Code::BadAddress, "a proxy"), parse, context)??;
    if address.is_some_and(|address| !proxy.serves(address)) {
        section.ignore(key, "only https to another machine goes through a proxy", context);
        return None;
    }
    Some(proxy)
}

fn from_environment(
    section: &Section<'_>,
    address: &Address,
    context: &mut CompileContext<'_>,
) -> Option<Proxy> {
    let env = context.env;
    let set = |name: &&str| env.value(name).is_some_and(|value| !value.is_empty());
    let variable = *VARIABLES.iter().find(|name| set(name))?;
    let exceptions =
        NO_PROXY.iter().find(|name| set(name)).and_then(|name| env.value(name)).unwrap_or_default();
    match Proxy::new(env.value(variable)?, exceptions) {
        Ok(proxy) => {
            let proxy = proxy.serves(address).then_some(proxy)?;
            context.origins.push(section.path_of("proxy"), variable);
            Some(proxy)
        }
        Err(why) => {
            let place = Place { path: variable.to_owned(), position: None };
            let message = format!("{variable} is ignored: {why}");
            context.push(
                Diagnostic::new(Code::IgnoredVariable, place, message)
                    .hint("set \"proxy\" in the store, or \"proxy: none\""),
            );
            None
        }
    }
}
