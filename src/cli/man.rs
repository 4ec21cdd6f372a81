//! `man`: the manual pages secrets-sync(1), of the definitions of the command line, and secrets-sync.yaml(5), of the tables
//! of keys.

use std::io;

use clap::{Arg, Command};
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, italic, roman};

use super::args::{self, ManArgs};
use super::output;
use crate::config::{ReferenceRow, ReferenceTable, plain, reference};
use crate::fault::ExitStatus;

const NAME: &str = "secrets-sync";
const VERSION: &str = concat!("secrets-sync ", env!("CARGO_PKG_VERSION"));

/// A page is the same whenever it is made. An empty text would be left out.
const NO_DATE: &str = " ";

/// Prints one page.
pub(super) fn man(args: &ManArgs) -> Result<ExitStatus, ExitStatus> {
    let page = if args.section == "5" { Ok(of_the_file()) } else { of_the_command() };
    match page {
        Ok(page) => output::result(&page)?,
        Err(error) => output::error(&format!("the page cannot be made: {error}"), "please report it"),
    }
    Ok(ExitStatus::Success)
}

/// secrets-sync(1).
fn of_the_command() -> io::Result<String> {
    let command = args::command().override_usage("secrets-sync [OPTIONS] [COMMAND]");
    let commands: Vec<Command> = command.get_subcommands().cloned().collect();
    let exit_status = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let page = Man::new(command).title(NAME).section("1").date(NO_DATE).source(VERSION).manual(NAME);
    let mut text = Vec::new();
    page.render_title(&mut text)?;
    page.render_name_section(&mut text)?;
    page.render_synopsis_section(&mut text)?;
    page.render_description_section(&mut text)?;
    let mut roff = Roff::default();
    roff.control("SH", ["COMMANDS"]);
    for command in &commands {
        describe(&mut roff, command);
    }
    roff.to_writer(&mut text)?;
    page.render_options_section(&mut text)?;
    let mut roff = Roff::default();
    roff.control("SH", ["EXIT STATUS"]);
    roff.text([roman(exit_status)]);
    see_also(&mut roff, "secrets-sync.yaml", "5");
    roff.to_writer(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// One command with the options that only it has.
fn describe(roff: &mut Roff, command: &Command) {
    let is_own =
        |arg: &&Arg| !arg.is_hide_set() && arg.get_help_heading().is_none() && arg.get_id() != "help";
    let arguments: Vec<_> = command.get_arguments().filter(is_own).collect();
    roff.control("SS", [command.get_name()]);
    roff.text([roman(command.get_about().map(ToString::to_string).unwrap_or_default())]);
    for argument in arguments {
        roff.control("TP", []);
        roff.text(spelling(argument));
        roff.text([roman(argument.get_help().map(ToString::to_string).unwrap_or_default())]);
    }
}

/// `-c, --config FILE`, or `FILE`.
fn spelling(argument: &Arg) -> Vec<Inline> {
    let mut spelling = Vec::new();
    if let Some(short) = argument.get_short() {
        spelling.extend([bold(format!("-{short}")), roman(", ")]);
    }
    if let Some(long) = argument.get_long() {
        spelling.push(bold(format!("--{long}")));
    }
    let takes_value = argument.get_action().takes_values();
    if let Some(names) = argument.get_value_names().filter(|_| takes_value) {
        spelling.push(roman(if spelling.is_empty() { "" } else { " " }));
        spelling.push(italic(names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")));
    }
    spelling
}

/// secrets-sync.yaml(5).
fn of_the_file() -> String {
    let mut roff = Roff::default();
    roff.control("TH", ["secrets-sync.yaml", "5", NO_DATE, VERSION, NAME]);
    roff.control("SH", ["NAME"]);
    roff.text([roman("secrets-sync.yaml - configuration of secrets-sync")]);
    roff.control("SH", ["DESCRIPTION"]);
    roff.text([roman(
        "One YAML file says where secrets come from and which files they become. It is named by --config or CONFIG_FILE, \
         else it is ./config.yaml or /etc/secrets-sync/config.yaml. Any text but a template may hold ${NAME}, \
         ${NAME:-default} and $$. Unknown keys are errors; a key without a value counts as absent.",
    )]);
    roff.control("PP", []);
    roff.text([roman(
        "Durations are numbers with ns, us, ms, s, m, h, d or w, such as 1h30m. Sizes are whole numbers with B, kB, MB, GB, \
         KiB, MiB or GiB. Modes are octal.",
    )]);
    for table in reference() {
        keys(&mut roff, &table);
    }
    roff.control("SH", ["EXAMPLE"]);
    roff.control("nf", []);
    for line in EXAMPLE.lines() {
        roff.text([roman(line)]);
    }
    roff.control("fi", []);
    see_also(&mut roff, NAME, "1");
    roff.render()
}

const EXAMPLE: &str = "\
secretStore:
  address: https://vault.example:8200
  tokenFile: /run/secrets/vault-token
secrets:
  - name: database
    key: app/database
    files:
      - { path: /run/secrets/db-password, field: password }
      - { path: /run/secrets/app.env, format: dotenv }
";

fn keys(roff: &mut Roff, table: &ReferenceTable) {
    let section = if table.section.is_empty() { "TOP LEVEL" } else { table.section };
    let provider = table.provider.map(|name| format!(" with provider: {name}")).unwrap_or_default();
    if table.rows.is_empty() {
        return;
    }
    roff.control("SH", [format!("{section}{provider}").as_str()]);
    for ReferenceRow { name, takes, default, text } in &table.rows {
        roff.control("TP", []);
        let default = match *default {
            "–" => String::new(),
            "needed" => "; needed".to_owned(),
            default => format!("; default: {}", unmarked(default)),
        };
        roff.text([bold(*name), roman(format!(" ({}{default})", unmarked(takes)))]);
        roff.text([roman(unmarked(text))]);
    }
}

/// Markdown as plain text.
fn unmarked(text: &str) -> String {
    plain(text).replace('`', "")
}

fn see_also(roff: &mut Roff, page: &str, section: &str) {
    roff.control("SH", ["SEE ALSO"]);
    roff.text([bold(page), roman(format!("({section})"))]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_and_every_setting_is_on_the_first_page() {
        let page = of_the_command().unwrap().replace('\\', "");
        for command in args::command().get_subcommands() {
            assert!(
                page.contains(&format!("\n.SS {}\n", command.get_name())),
                "{}: {page}",
                command.get_name()
            );
        }
        for setting in crate::config::settings::SETTINGS {
            assert!(page.contains(&format!("--{}", setting.flag)), "{}: {page}", setting.flag);
        }
        assert!(page.contains("fB--online") && page.contains("\n.SH \"EXIT STATUS\"\n"), "{page}");
    }

    #[test]
    fn every_key_is_on_the_fifth_page() {
        let page = of_the_file();
        let rows = reference().into_iter().flat_map(|table| table.rows);
        for row in rows {
            assert!(page.contains(&format!("\\fB{}\\fR", row.name)), "{}: {page}", row.name);
        }
        assert!(!page.contains('`') && !page.contains("]("), "{page}");
    }

    #[test]
    fn the_example_is_a_configuration() {
        use crate::config::{Config, env::Env};
        let loaded = Config::parse(EXAMPLE, "config.yaml", &Env::default(), std::path::Path::new("/work"));
        assert!(loaded.unwrap().warnings.is_empty());
    }
}
