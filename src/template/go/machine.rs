//! The state of one execution: variables, depth, and the look-up of fields.

use super::super::error::field_list;
use super::super::limits::{BoundedOutput, RenderRefusal};
use super::functions::GoScope;
use super::tree::GoTree;
use super::value::{GoFault, GoValue, IntType, MapRole};

/// How deep blocks, templates and parentheses may lie in each other while they run: each is some frames of the stack.
pub(super) const BLOCK_LIMIT: usize = 256;

/// Why a template did not run to its end.
pub(super) enum GoFailure {
    /// A mistake of the template or of the values, at a byte of the source.
    Mistake { at: usize, cause: String },
    /// A limit.
    Refused(RenderRefusal),
    /// The output does not fit.
    Full,
}

impl From<RenderRefusal> for GoFailure {
    fn from(refusal: RenderRefusal) -> Self {
        Self::Refused(refusal)
    }
}

pub(super) type Executed<T = GoValue> = Result<T, GoFailure>;

/// One execution.
pub(super) struct GoExec<'t> {
    pub(super) tree: &'t GoTree,
    pub(super) source: &'t str,
    pub(super) scope: GoScope<'t>,
    pub(super) output: &'t mut BoundedOutput,
    /// All variables; those of the running template begin at `frame`.
    pub(super) variables: Vec<(&'t str, GoValue)>,
    pub(super) frame: usize,
    pub(super) calls: usize,
    pub(super) depth: usize,
}

impl<'t> GoExec<'t> {
    /// Does `work` a level deeper.
    pub(super) fn deeper<T>(
        &mut self,
        at: usize,
        work: impl FnOnce(&mut Self) -> Executed<T>,
    ) -> Executed<T> {
        if self.depth >= BLOCK_LIMIT {
            return mistake(at, format!("blocks and templates are nested more than {BLOCK_LIMIT} deep"));
        }
        self.depth += 1;
        let result = work(self);
        self.depth -= 1;
        result
    }

    pub(super) fn push(&mut self, name: &'t str, value: GoValue) {
        self.variables.push((name, value));
    }

    pub(super) fn set(&mut self, name: &str, value: GoValue, at: usize) -> Executed<()> {
        let frame = self.variables.get_mut(self.frame..).unwrap_or_default();
        match frame.iter_mut().rev().find(|(known, _)| *known == name) {
            Some((_, slot)) => {
                *slot = value;
                Ok(())
            }
            None => mistake(at, format!("the variable {name} is not defined")),
        }
    }

    pub(super) fn variable(&self, name: &str, at: usize) -> Executed {
        let frame = self.variables.get(self.frame..).unwrap_or_default();
        match frame.iter().rev().find(|(known, _)| *known == name) {
            Some((_, value)) => Ok(value.clone()),
            None => mistake(at, format!("the variable {name} is not defined")),
        }
    }

    /// The field `name` of `receiver`; `at` to `end` is the expression.
    pub(super) fn field(&self, receiver: &GoValue, name: &str, at: usize, end: usize) -> Executed {
        let cause = match receiver {
            GoValue::Map(map) => {
                let entries = map.entries.borrow();
                if let Some(value) = entries.get(name.as_bytes()) {
                    return Ok(value.clone());
                }
                let names = entries.keys().filter_map(|key| std::str::from_utf8(key).ok());
                // The names within a field are its value, so they are not shown.
                let known = if map.role == MapRole::Fields {
                    format!("; {}", field_list(names))
                } else {
                    String::new()
                };
                format!("`{}` is not there: no entry {name:?}{known}", self.shown(at, end))
            }
            GoValue::Record(record) => {
                if let Some((_, value)) = record.fields.iter().find(|(known, _)| *known == name) {
                    return Ok(value.clone());
                }
                let names: Vec<_> = record.fields.iter().map(|(name, _)| format!(".{name}")).collect();
                format!("`{}`: there is no {name:?} here, only {}", self.shown(at, end), names.join(", "))
            }
            GoValue::Nil => format!("`{}`: there is nothing that could have {name:?}", self.shown(at, end)),
            other => {
                format!("`{}`: a value of type {} has no {name:?}", self.shown(at, end), other.type_name())
            }
        };
        mistake(at, cause)
    }

    /// The source from `at` to `end`, on one line.
    pub(super) fn shown(&self, at: usize, end: usize) -> String {
        super::super::error::shorten(self.source.get(at..end).unwrap_or_default())
    }
}

/// A mistake at a place.
pub(super) fn mistake<T>(at: usize, cause: impl Into<String>) -> Executed<T> {
    Err(GoFailure::Mistake { at, cause: cause.into() })
}

/// A function's fault at a place.
pub(super) fn failure(fault: GoFault, at: usize) -> GoFailure {
    match fault {
        GoFault::Cause(cause) => GoFailure::Mistake { at, cause },
        GoFault::Refused(refusal) => GoFailure::Refused(refusal),
    }
}

/// A whole number as `int`.
pub(super) fn int(value: i64) -> GoValue {
    GoValue::Int(value, IntType::Int)
}
