//! Reads one setting after the other, and keeps what is wrong with them.

use std::collections::BTreeMap;

use crate::config::diagnostic::{Code, Diagnostic, Place, Report};
use crate::config::env::Env;

pub(super) const A_BOOLEAN: &str = "true or false";
pub(super) const A_DURATION: &str = "a duration such as 30s or 5m";

/// What the command line says, by the variable that each flag comes before.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Flags(BTreeMap<&'static str, String>);

impl<I: IntoIterator<Item = (&'static str, String)>> From<I> for Flags {
    fn from(flags: I) -> Self {
        Self(flags.into_iter().collect())
    }
}

pub(super) struct SettingsReader<'e> {
    pub(super) flags: &'e Flags,
    pub(super) env: &'e Env,
    pub(super) report: Report,
}

impl SettingsReader<'_> {
    /// The value of `variable`, of its flag first; nothing when there is none or it is refused. `takes` says what it
    /// takes.
    pub(super) fn value<T>(
        &mut self,
        variable: &str,
        takes: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let flag = self.flags.0.get(variable).map(String::as_str);
        let text = flag.or_else(|| self.env.value(variable).filter(|text| !text.is_empty()));
        let parsed = text.and_then(parse);
        if parsed.is_none() && (text.is_some() || self.env.is_not_text(variable)) {
            let name = match flag {
                Some(_) => format!("--{}", variable.to_lowercase().replace('_', "-")),
                None => variable.to_owned(),
            };
            self.refuse(name, format!("takes {takes}"));
        }
        parsed
    }

    /// Whether a flag or the environment gives `variable`.
    pub(super) fn has(&self, variable: &str) -> bool {
        self.flags.0.contains_key(variable) || self.env.value(variable).is_some_and(|text| !text.is_empty())
    }

    pub(super) fn refuse(&mut self, name: String, message: String) {
        let place = Place { path: name, position: None };
        self.report.push(Diagnostic::new(Code::BadVariable, place, message));
    }
}
