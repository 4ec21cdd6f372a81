//! The issued credentials below the table of secrets: a line for each source, and under it what else there is to know.

use std::time::SystemTime;

use super::{TableStyle, cut, lines};
use crate::printable::one_line;
use crate::status::{CredentialState, CredentialStatus, CurrentCredential, Snapshot, words};

const HEADINGS: [&str; 6] = ["STATE", "CREDENTIAL", "RENEWED", "NEXT ONE", "ENDS", "SECRETS"];

/// Nothing where nothing is issued.
pub(super) fn table(snapshot: &Snapshot, now: SystemTime, look: TableStyle) -> String {
    if snapshot.credentials.is_empty() {
        return String::new();
    }
    let one_store = snapshot.has_one_store();
    let rows: Vec<_> = snapshot.credentials.iter().map(|status| row(status, one_store, now)).collect();
    let mut table = lines(HEADINGS, &rows, look).into_iter();
    let mut text = format!("\n{}", table.next().unwrap_or_default());
    for (row, status) in table.zip(&snapshot.credentials) {
        text.push_str(&row);
        for detail in details(status, now) {
            let detail = format!("  {}", one_line(&detail));
            text.extend([
                look.width.map_or_else(|| detail.clone(), |width| cut(&detail, width)).as_str(),
                "\n",
            ]);
        }
    }
    text
}

/// The code of the colour that fits, and the cells.
fn row(status: &CredentialStatus, one_store: bool, now: SystemTime) -> (&'static str, [String; 6]) {
    let CredentialStatus { store, path, state, current, .. } = status;
    let colour = match state {
        _ if status.danger(now).is_some() => "31",
        _ if status.is_problem(now) => "33",
        CredentialState::Held | CredentialState::Ageing => "32",
        CredentialState::Empty | CredentialState::Fresh | CredentialState::Confirming => "36",
        CredentialState::Lost => "31",
    };
    let until =
        |at: fn(&CurrentCredential) -> Option<SystemTime>| words::until(now, current.as_ref().and_then(at));
    let cells = [
        state.for_people().to_owned(),
        one_line(&if one_store { path.clone() } else { format!("{path} ({store})") }),
        until(|current| current.renew_at),
        until(|current| current.reissue_at),
        until(|current| current.end),
        one_line(&status.names()),
    ];
    (colour, cells)
}

fn details(status: &CredentialStatus, now: SystemTime) -> Vec<String> {
    let issued = |current: &CurrentCredential| {
        format!("{}, issued {}", current.identity(), words::ago(now, Some(current.issued_at)))
    };
    let before = status.draining.iter().map(|old| {
        let identity = format!("before it: {}", old.identity());
        old.plan().fold(identity, |line, (what, at)| match at {
            Some(at) => format!("{line}, {what} {}", words::until(now, Some(at))),
            None => format!("{line}, {what}"),
        })
    });
    let current = status.current.as_ref().map(issued);
    status.danger(now).into_iter().chain(current).chain(status.notes()).chain(before).collect()
}
