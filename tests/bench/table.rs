//! The table that is printed, as Markdown.

use std::fmt;

/// One measured quantity; less is better in all of them.
pub(crate) struct Row {
    what: String,
    ours: f64,
    /// `None` where the other has nothing of the kind.
    theirs: Option<f64>,
    /// Whose `theirs` is.
    reference: &'static str,
    target: f64,
}

impl Row {
    pub(crate) fn new(what: impl Into<String>, ours: f64, theirs: f64) -> Self {
        Self { what: what.into(), ours, theirs: Some(theirs), reference: "", target: f64::INFINITY }
    }

    /// Beside the least that the work takes.
    pub(crate) fn beside_floor(what: impl Into<String>, ours: f64, floor: f64) -> Self {
        Self { reference: "floor", ..Self::new(what, ours, floor) }
    }

    /// What only one of the two does.
    pub(crate) fn alone(what: impl Into<String>, ours: f64) -> Self {
        Self { what: what.into(), ours, theirs: None, reference: "", target: f64::INFINITY }
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
        for Row { what, ours, theirs, reference, target } in &self.rows {
            let verdict = if ours <= target { "met" } else { "missed" };
            let (peer, ratio) = match theirs {
                Some(theirs) => (format!("{reference} {theirs:.1}"), format!("{:.2}", ours / theirs)),
                None => ("–".to_owned(), "–".to_owned()),
            };
            writeln!(
                f,
                "| {what:<46} | {ours:>12.2} | {peer:>9} | {ratio:>5} | {target:>6.1} | {verdict:<6} |"
            )?;
        }
        Ok(())
    }
}
