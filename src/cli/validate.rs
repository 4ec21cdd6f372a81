//! `validate`: every error and warning of the configuration, and with `--online` of what it needs.

use serde_json::{Value, json};

use super::args::{Common, ValidateArgs};
use super::output::{self, SecretPlaces};
use super::setup::{Setup, SetupError, load, runtime};
use crate::app::{
    Finding, Issuers, hook_without_state, issued_without_key, issued_without_state, look_at_hooks,
    state_key_problem, survey,
};
use crate::config::diagnostic::{Report, Severity};
use crate::config::origin::Origins;
use crate::config::{Loaded, Loader};
use crate::fault::{ExitStatus, Fault};
use crate::name::HookName;
use crate::printable::Printable;
use crate::store::issuer::IssueWarning;

/// What was found out.
struct Verdict {
    report: Report,
    origins: Vec<String>,
    secrets: usize,
    places: SecretPlaces,
    /// `None` when it was not asked for, or the configuration is not valid.
    findings: Option<Vec<Finding>>,
    /// What stands in the way of hooks, if it was looked for.
    obstacles: Vec<(HookName, String)>,
}

/// Reports on stderr (with `--json` on stdout); a configuration without a fault is summed up on stdout.
pub(super) fn validate(common: &Common, args: &ValidateArgs) -> Result<ExitStatus, ExitStatus> {
    let (path, verdict) = match begin(common) {
        Ok((setup, loader)) => {
            let path = loader.path().display().to_string();
            (path, judge(&setup, loader, args)?)
        }
        // There is no configuration to judge; a reader of JSON gets JSON nevertheless.
        Err(SetupError::Refused(report)) => (String::new(), Verdict::invalid(report)),
        Err(error) => return Err(error.print()),
    };
    if args.json {
        output::json(&verdict.json())?;
    } else {
        verdict.print(&path)?;
    }
    Ok(verdict.exit_status())
}

fn begin(common: &Common) -> Result<(Setup, Loader), SetupError> {
    let setup = Setup::try_read(common)?;
    let loader = setup.loader(common)?;
    Ok((setup, loader))
}

fn judge(setup: &Setup, file: Loader, args: &ValidateArgs) -> Result<Verdict, ExitStatus> {
    // As other mistakes in the settings it is said whatever the configuration is like.
    let key = state_key_problem(&setup.settings);
    match load(file) {
        Ok(loaded) => {
            let (mut report, origins) = (loaded.warnings.clone(), words(&loaded.origins));
            report.diagnostics.extend(key);
            report.diagnostics.extend(hook_without_state(&setup.settings, &loaded.config));
            report.diagnostics.extend(issued_without_state(&setup.settings, &loaded.config));
            report.diagnostics.extend(issued_without_key(&setup.settings, &loaded.config));
            let (secrets, places) = (loaded.config.secrets.len(), SecretPlaces::of(&loaded));
            let obstacles = if args.online { look_at_hooks(&loaded.config.hooks) } else { Vec::new() };
            let findings = if args.online { Some(look(setup, loaded)?) } else { None };
            Ok(Verdict { report, origins, secrets, places, findings, obstacles })
        }
        Err(SetupError::Refused(mut report)) => {
            report.diagnostics.extend(key);
            Ok(Verdict::invalid(report))
        }
        Err(error) => Err(error.print()),
    }
}

fn look(setup: &Setup, loaded: Loaded) -> Result<Vec<Finding>, ExitStatus> {
    let composition = setup.composition(loaded)?;
    let runtime = runtime()?;
    let findings = runtime.block_on(survey(composition, Issuers::Ask));
    runtime.shutdown_background();
    Ok(findings)
}

fn words(origins: &Origins) -> Vec<String> {
    origins.iter().map(ToString::to_string).collect()
}

impl Verdict {
    fn invalid(report: Report) -> Self {
        let (origins, places, obstacles) = (Vec::new(), SecretPlaces::default(), Vec::new());
        Self { report, origins, secrets: 0, places, findings: None, obstacles }
    }

    fn is_valid(&self) -> bool {
        !self.report.has_errors()
    }

    /// The faults of the secrets that are required.
    fn faults(&self) -> impl Iterator<Item = &Fault> {
        let required = |finding: &&Finding| !self.places.is_optional(&finding.secret);
        self.findings.iter().flatten().filter(required).flat_map(|finding| &finding.faults)
    }

    fn exit_status(&self) -> ExitStatus {
        if !self.is_valid() {
            return ExitStatus::Configuration;
        }
        ExitStatus::of_all(self.faults().map(|fault| fault.kind.exit_status()))
    }

    fn print(&self, path: &str) -> Result<(), ExitStatus> {
        if !self.report.is_empty() {
            output::report(&self.report);
        }
        if let Some(error) = self.report.first_error() {
            output::note(&format!("\nFor more about a code: secrets-sync explain {}", error.code));
        }
        for origin in &self.origins {
            output::result(&format!("from the environment: {}", Printable(origin)))?;
        }
        for (hook, obstacle) in &self.obstacles {
            output::note(&format!("warning: hook {}: {}", Printable(hook.as_str()), Printable(obstacle)));
        }
        for Finding { secret, faults, issues, warnings, .. } in self.findings.iter().flatten() {
            let name = Printable(secret.as_str());
            if faults.is_empty() {
                let found = if issues.is_empty() { "readable" } else { "can be issued" };
                output::result(&format!("{name}: {found}, and its files can be written"))?;
            }
            for IssueWarning { message, remedy } in warnings {
                let (message, remedy) = (Printable(message), Printable(remedy));
                output::note(&format!("warning: {name}: {message}\n  hint: {remedy}"));
            }
            for fault in faults {
                self.places.print(secret, fault);
            }
        }
        if self.is_valid() {
            let secrets = if self.secrets == 1 { "secret" } else { "secrets" };
            output::result(&format!("{}: valid, {} {secrets}", Printable(path), self.secrets))?;
        }
        Ok(())
    }

    fn json(&self) -> Value {
        let online = |findings: &Vec<Finding>| {
            findings.iter().map(|finding| self.finding_json(finding)).collect::<Vec<_>>()
        };
        let obstacles = self
            .obstacles
            .iter()
            .map(|(hook, obstacle)| json!({ "hook": hook.as_str(), "message": obstacle }));
        json!({
            "valid": self.is_valid(),
            "errors": self.report.count(Severity::Error),
            "warnings": self.report.count(Severity::Warning),
            "diagnostics": self.report.to_json(),
            "origins": self.origins,
            "online": self.findings.as_ref().map(online),
            "hooks": self.findings.as_ref().map(|_| obstacles.collect::<Vec<_>>()),
        })
    }

    fn finding_json(&self, finding: &Finding) -> Value {
        let Finding { secret, faults, issues, warnings, .. } = finding;
        let warning =
            |IssueWarning { message, remedy }: &IssueWarning| json!({ "message": message, "hint": remedy });
        let fault = |fault: &Fault| {
            let Fault { kind, message, remedy, retry_after: _ } = fault;
            json!({ "kind": kind.as_str(), "message": message, "hint": remedy })
        };
        let position = self.places.position(secret);
        json!({
            "secret": secret.as_str(),
            "required": !self.places.is_optional(secret),
            "line": position.map(|position| position.line),
            "column": position.map(|position| position.column),
            "ok": faults.is_empty(),
            "issues": issues,
            "warnings": warnings.iter().map(warning).collect::<Vec<_>>(),
            "faults": faults.iter().map(fault).collect::<Vec<_>>(),
        })
    }
}
