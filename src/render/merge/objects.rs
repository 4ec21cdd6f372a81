//! `rewrite[].merge`: values that are JSON objects become one.

use super::{Mistake, object};
use crate::config::sources::MergeStep;
use crate::secret::{FieldValue, Fields, json};

/// The fields of all values, those of later ones winning: by name, and those of `priority` last.
pub(super) fn merged(step: &MergeStep, fields: &Fields) -> Result<Fields, Mistake> {
    let mut merged = Fields::default();
    let is_prior = |name: &&String| step.priority.contains(name);
    let others = fields.iter().map(|(name, _)| name).filter(|name| !is_prior(name));
    for name in others.chain(&step.priority) {
        let Some(value) = fields.value(name) else {
            if step.ignores_absent {
                continue;
            }
            let cause = format!("there is no field {name:?}, which \"priority\" names");
            return Err(Mistake::new(
                cause,
                "correct \"priority\", or set \"priorityPolicy: IgnoreNotFound\"",
            ));
        };
        let object = object(value).ok_or_else(|| {
            let cause = format!("field {name:?} is no JSON object and cannot be merged");
            Mistake::new(cause, "merge only what holds objects: find or extract less")
        })?;
        for (inner, value) in object {
            if merged.value(&inner).is_some() && !step.ignores_conflicts {
                let cause = format!("field {inner:?} is in {name:?} and in a value before it");
                return Err(Mistake::new(cause, "rename one of them, or set \"conflictPolicy: Ignore\""));
            }
            merged.insert(inner, value);
        }
    }
    let Some(into) = &step.into else { return Ok(merged) };
    if fields.value(into).is_some() && !step.ignores_conflicts {
        let cause = format!("there is a field {into:?} already");
        return Err(Mistake::new(cause, "give \"into\" another name, or set \"conflictPolicy: Ignore\""));
    }
    let mut all = fields.clone();
    all.insert(into.clone(), FieldValue::Text(json::text_of(&merged)));
    Ok(all)
}
