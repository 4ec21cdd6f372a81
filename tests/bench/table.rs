//! The table that is printed, as Markdown.

use std::fmt;

/// One measured quantity; less is better in all of them.
pub(crate) struct Row {
    what: String,
    ours: f64,
    theirs: f64,
    target: f64,
}

impl Row {
    pub(crate) fn new(what: impl Into<String>, ours: f64, theirs: f64) -> Self {
        Self { what: what.into(), ours, theirs, target: f64::INFINITY }
    }

    /// What ours has to stay below.
    pub(crate) fn target(self, target: f64) -> Self {
        Self { target, ..self }
    }
}

/// Rows in the order in which they were added.
#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<Row>,
}

impl Table {
    pub(crate) fn add(&mut self, row: Row) {
        self.rows.push(row);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| {:<46} | secrets-sync | bao agent | ratio | target |        |", "")?;
        writeln!(f, "|{:-<48}|-------------:|----------:|------:|-------:|--------|", "")?;
        for Row { what, ours, theirs, target } in &self.rows {
            let (ratio, verdict) = (ours / theirs, if ours <= target { "met" } else { "missed" });
            writeln!(
                f,
                "| {what:<46} | {ours:>12.1} | {theirs:>9.1} | {ratio:>5.2} | {target:>6.0} | {verdict:<6} |"
            )?;
        }
        Ok(())
    }
}
