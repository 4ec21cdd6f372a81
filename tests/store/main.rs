//! The Vault adapter: against a real `OpenBao`, and against a scripted server for what a real one does not do on demand.

mod agent;
mod breaker;
mod certificates;
mod faults;
mod hints;
mod issuing;
mod issuing_answers;
mod issuing_lies;
mod issuing_namespaces;
mod issuing_verdicts;
mod jwts;
mod logins;
mod logins_faults;
mod logins_refused;
mod openbao;
mod outlook;
mod proxies;
mod requests;
mod script;
#[path = "../support/mod.rs"]
mod support;
mod tokens;
mod tokens_faults;
mod tokens_files;
mod tokens_renewal;
mod transport;

use support::{bao, certs, fake, vault};
