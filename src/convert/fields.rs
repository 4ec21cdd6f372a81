//! A walk over the fields of an object that lets none of them out of the report.

use super::object::{Object, entry};
use super::origin::Origin;
use super::report::{ConversionReport, FieldOutcome};
use crate::config::diagnostic::Position;
use crate::config::value::{MappingEntry, Node};

/// One mapping of an object. Each entry needs an outcome: [`ObjectFields::finish`] reports those without one.
pub(super) struct ObjectFields<'n> {
    object: Object<'n>,
    path: String,
    position: Position,
    entries: &'n [MappingEntry],
    /// Keys that have an outcome, or whose own fields get theirs.
    reported: Vec<&'n str>,
}

impl<'n> ObjectFields<'n> {
    /// The mapping that `node` is; anything else is refused.
    pub(super) fn open(
        object: Object<'n>,
        node: &'n Node,
        path: String,
        report: &mut ConversionReport,
    ) -> Option<Self> {
        let Some(entries) = node.entries() else {
            let reason = format!("this is {}, and a mapping is expected", node.type_name());
            report.add(&object, &path, node.position, FieldOutcome::Refused(reason));
            return None;
        };
        Some(Self { object, path, position: node.position, entries, reported: Vec::new() })
    }

    /// The value of `key`, unless it is absent or null.
    pub(super) fn node(&self, key: &str) -> Option<&'n Node> {
        entry(self.entries, key).map(|entry| &entry.node).filter(|node| !node.is_null())
    }

    /// Whether there is something under `key`.
    pub(super) fn has(&self, key: &str) -> bool {
        self.node(key).is_some()
    }

    /// The text of `key`; a list or a mapping is refused.
    pub(super) fn text(&mut self, key: &str, report: &mut ConversionReport) -> Option<&'n str> {
        let node = self.node(key)?;
        let Some(scalar) = node.scalar() else {
            let reason = format!("this is {}, and a text is expected", node.type_name());
            self.refused(key, reason, report);
            return None;
        };
        Some(scalar.text())
    }

    /// The text of `key`, which goes into the configuration as it is.
    pub(super) fn kept_text(&mut self, key: &str, report: &mut ConversionReport) -> Option<&'n str> {
        let text = self.text(key, report)?;
        self.kept(key, report);
        Some(text)
    }

    /// The mapping under `key`, whose fields get their own outcomes.
    pub(super) fn child(&mut self, key: &str, report: &mut ConversionReport) -> Option<ObjectFields<'n>> {
        let found = entry(self.entries, key).filter(|found| !found.node.is_null())?;
        self.reported.push(&found.key);
        ObjectFields::open(self.object, &found.node, self.path_of(key), report)
    }

    /// The items under `key`, each a mapping whose fields get their own outcomes.
    pub(super) fn children(&mut self, key: &str, report: &mut ConversionReport) -> Vec<ObjectFields<'n>> {
        let Some(node) = self.node(key) else { return Vec::new() };
        let Some(items) = node.items() else {
            let reason = format!("this is {}, and a list is expected", node.type_name());
            self.refused(key, reason, report);
            return Vec::new();
        };
        self.reported.extend(entry(self.entries, key).map(|found| found.key.as_str()));
        let path = self.path_of(key);
        let open = |(n, node)| ObjectFields::open(self.object, node, format!("{path}[{n}]"), report);
        items.iter().enumerate().filter_map(open).collect()
    }

    /// The blocks of HCL under `key`: one, or several in a list. Each is a mapping whose fields get their own outcomes.
    pub(super) fn blocks(&mut self, key: &str, report: &mut ConversionReport) -> Vec<ObjectFields<'n>> {
        let is_block = |node: &Node| node.entries().is_some();
        match self.node(key) {
            Some(node) if node.items().is_some_and(|items| items.iter().all(is_block)) => {
                self.children(key, report)
            }
            Some(node) if is_block(node) => self.child(key, report).into_iter().collect(),
            _ => Vec::new(),
        }
    }

    /// All entries, for a mapping whose keys are the operator's own.
    pub(super) fn entries(&self) -> &'n [MappingEntry] {
        self.entries
    }

    /// Whether `key` has an outcome.
    pub(super) fn is_reported(&self, key: &str) -> bool {
        self.reported.contains(&key)
    }

    pub(super) fn object(&self) -> &Object<'n> {
        &self.object
    }

    pub(super) fn position(&self) -> Position {
        self.position
    }

    /// Where it stands.
    pub(super) fn origin(&self) -> Origin {
        Origin { file: self.object.file.to_owned(), title: self.path.clone(), position: self.position }
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    pub(super) fn kept(&mut self, key: &str, report: &mut ConversionReport) {
        self.outcome(key, FieldOutcome::Kept, false, report);
    }

    pub(super) fn mapped(&mut self, key: &str, to: impl Into<String>, report: &mut ConversionReport) {
        self.outcome(key, FieldOutcome::Mapped(to.into()), false, report);
    }

    /// Mapped to something that the operator should look at.
    pub(super) fn changed(&mut self, key: &str, to: impl Into<String>, report: &mut ConversionReport) {
        self.outcome(key, FieldOutcome::Mapped(to.into()), true, report);
    }

    pub(super) fn dropped(&mut self, key: &str, reason: impl Into<String>, report: &mut ConversionReport) {
        self.outcome(key, FieldOutcome::Dropped(reason.into()), false, report);
    }

    /// Dropped, and something is different without it.
    pub(super) fn lost(&mut self, key: &str, reason: impl Into<String>, report: &mut ConversionReport) {
        self.outcome(key, FieldOutcome::Dropped(reason.into()), true, report);
    }

    pub(super) fn refused(&mut self, key: &str, remedy: impl Into<String>, report: &mut ConversionReport) {
        self.outcome(key, FieldOutcome::Refused(remedy.into()), false, report);
    }

    /// The default of an absent field, which the configuration writes out or has as well.
    pub(super) fn defaulted(&self, key: &str, value: impl Into<String>, report: &mut ConversionReport) {
        report.add(&self.object, &self.path_of(key), self.position, FieldOutcome::Defaulted(value.into()));
    }

    /// Something about the mapping as a whole.
    pub(super) fn note(&self, outcome: FieldOutcome, report: &mut ConversionReport) {
        report.add(&self.object, &self.path, self.position, outcome);
    }

    pub(super) fn warn(&self, outcome: FieldOutcome, report: &mut ConversionReport) {
        report.warn(&self.object, &self.path, self.position, outcome);
    }

    /// Reports every entry that has no outcome: nothing is lost in silence.
    pub(super) fn finish(self, report: &mut ConversionReport) {
        self.finish_as("this program does not know the field", report);
    }

    /// The same with another word about what nobody knows.
    pub(super) fn finish_as(self, reason: &str, report: &mut ConversionReport) {
        for entry in self.entries.iter().filter(|entry| !self.reported.contains(&entry.key.as_str())) {
            let (path, position) = (self.path_of(&entry.key), entry.position);
            if entry.node.is_null() {
                report.add(&self.object, &path, position, FieldOutcome::Dropped("it is empty".to_owned()));
            } else {
                report.warn(&self.object, &path, position, FieldOutcome::Dropped(reason.to_owned()));
            }
        }
    }

    fn outcome(&mut self, key: &str, outcome: FieldOutcome, is_warning: bool, report: &mut ConversionReport) {
        let Some(found) = entry(self.entries, key) else { return };
        self.reported.push(&found.key);
        let path = self.path_of(key);
        if is_warning {
            report.warn(&self.object, &path, found.position, outcome);
        } else {
            report.add(&self.object, &path, found.position, outcome);
        }
    }
}
