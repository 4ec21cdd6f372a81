//! The interpreter: walks the tree as `text/template` does, and is stricter where Go prints `<no value>`.

use std::rc::Rc;

use super::super::limits::{self, BoundedOutput, RenderRefusal};
use super::eval;
use super::functions::GoScope;
use super::machine::{Executed, GoExec, GoFailure, failure, mistake};
use super::print;
use super::tree::{GoNode, GoPipeline, GoTree};
use super::value::{GoFault, GoValue};

/// How deep templates may use each other; Go has 100,000.
const CALL_LIMIT: usize = 100;

/// Whether a loop continues.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    Next,
    Break,
    Continue,
}

/// Runs `tree` with `root` as its dot.
pub(super) fn execute<'t>(
    tree: &'t GoTree,
    source: &'t str,
    scope: GoScope<'t>,
    root: &GoValue,
    output: &'t mut BoundedOutput,
) -> Executed<()> {
    let variables = vec![("$", root.clone())];
    let mut exec = GoExec { tree, source, scope, output, variables, frame: 0, calls: 0, depth: 0 };
    exec.nodes(root, &tree.body).map(drop)
}

impl<'t> GoExec<'t> {
    fn nodes(&mut self, dot: &GoValue, nodes: &'t [GoNode]) -> Executed<Flow> {
        for node in nodes {
            limits::steps(1)?;
            let flow = match node {
                GoNode::Text(text) => {
                    self.output.push(text).map_err(|_| GoFailure::Full)?;
                    Flow::Next
                }
                GoNode::Action(pipeline) => {
                    let value = eval::pipeline(self, dot, pipeline)?;
                    if pipeline.variables.is_empty() {
                        self.write(pipeline, &value)?;
                    }
                    Flow::Next
                }
                GoNode::Branches { is_with, branches, otherwise } => {
                    self.deeper(node_at(node), |exec| exec.branches(dot, *is_with, branches, otherwise))?
                }
                GoNode::Range { pipeline, body, otherwise } => {
                    self.deeper(pipeline.at, |exec| exec.range(dot, pipeline, body, otherwise))?
                }
                GoNode::Template { at, name, pipeline } => {
                    self.deeper(*at, |exec| exec.template(dot, *at, name, pipeline.as_ref()))?;
                    Flow::Next
                }
                GoNode::Break => Flow::Break,
                GoNode::Continue => Flow::Continue,
            };
            if flow != Flow::Next {
                return Ok(flow);
            }
        }
        Ok(Flow::Next)
    }

    fn write(&mut self, pipeline: &GoPipeline, value: &GoValue) -> Executed<()> {
        let (at, end) = (pipeline.at, pipeline.end);
        match value {
            GoValue::Nil => {
                let shown = self.shown(at, end);
                return mistake(at, format!("`{shown}` has no value: it is null or absent"));
            }
            GoValue::Text(bytes) | GoValue::Number(bytes) => {
                return self.output.push_bytes(bytes).map_err(|_| GoFailure::Full);
            }
            _ => {}
        }
        if let Some(text) = self.scope.field_as_text(value) {
            let text = text.map_err(|fault| failure(fault, at))?;
            return self.output.push_bytes(&text).map_err(|_| GoFailure::Full);
        }
        print::display(self.output, value).map_err(|fault| match fault {
            GoFault::Refused(RenderRefusal::Text) => GoFailure::Full,
            fault => failure(fault, at),
        })
    }

    fn branches(
        &mut self,
        dot: &GoValue,
        is_with: bool,
        branches: &'t [(GoPipeline, Vec<GoNode>)],
        otherwise: &'t [GoNode],
    ) -> Executed<Flow> {
        let mark = self.variables.len();
        for (condition, body) in branches {
            let value = eval::pipeline(self, dot, condition)?;
            if value.is_true() {
                let flow = self.nodes(if is_with { &value } else { dot }, body);
                self.variables.truncate(mark);
                return flow;
            }
        }
        let flow = self.nodes(dot, otherwise);
        self.variables.truncate(mark);
        flow
    }

    fn range(
        &mut self,
        dot: &GoValue,
        pipeline: &'t GoPipeline,
        body: &'t [GoNode],
        otherwise: &'t [GoNode],
    ) -> Executed<Flow> {
        let mark = self.variables.len();
        let value = eval::pipeline(self, dot, pipeline)?;
        let items: Vec<(GoValue, GoValue)> = match &value {
            GoValue::Nil => Vec::new(),
            GoValue::List(list) => {
                limits::items(list.items.len())?;
                let item = |(index, item): (usize, &GoValue)| (GoValue::int(index), item.clone());
                list.items.iter().enumerate().map(item).collect()
            }
            GoValue::Map(map) => {
                let entries = map.entries.borrow();
                limits::items(entries.len())?;
                entries.iter().map(|(key, item)| (GoValue::Text(Rc::clone(key)), item.clone())).collect()
            }
            GoValue::Int(count, of) => {
                let count = usize::try_from(*count).unwrap_or(0);
                limits::items(count)?;
                let number = |index| GoValue::Int(i64::try_from(index).unwrap_or(i64::MAX), *of);
                (0..count).map(|index| (number(index), number(index))).collect()
            }
            other => {
                let cause = format!("`range` cannot go over a value of type {}", other.type_name());
                return mistake(pipeline.at, cause);
            }
        };
        if items.is_empty() {
            let flow = self.nodes(dot, otherwise);
            self.variables.truncate(mark);
            return flow;
        }
        let top = self.variables.len();
        for (index, item) in items {
            self.loop_variables(pipeline, index, &item)?;
            let flow = self.nodes(&item, body)?;
            self.variables.truncate(top);
            if flow == Flow::Break {
                break;
            }
        }
        self.variables.truncate(mark);
        Ok(Flow::Next)
    }

    fn loop_variables(&mut self, pipeline: &'t GoPipeline, index: GoValue, item: &GoValue) -> Executed<()> {
        let values = match pipeline.variables.len() {
            0 => return Ok(()),
            1 => vec![item.clone()],
            _ => vec![index, item.clone()],
        };
        for (name, value) in pipeline.variables.iter().zip(values) {
            self.set(name, value, pipeline.at)?;
        }
        Ok(())
    }

    fn template(
        &mut self,
        dot: &GoValue,
        at: usize,
        name: &str,
        pipeline: Option<&'t GoPipeline>,
    ) -> Executed<()> {
        let Some(body) = self.tree.defined.get(name) else {
            return mistake(at, format!("the template {name:?} is not defined"));
        };
        if self.calls >= CALL_LIMIT {
            return mistake(at, format!("templates use each other more than {CALL_LIMIT} deep"));
        }
        let value = match pipeline {
            Some(pipeline) => eval::pipeline(self, dot, pipeline)?,
            None => GoValue::Nil,
        };
        let (mark, frame) = (self.variables.len(), self.frame);
        self.variables.push(("$", value.clone()));
        self.frame = mark;
        self.calls += 1;
        let result = self.nodes(&value, body);
        self.calls -= 1;
        self.frame = frame;
        self.variables.truncate(mark);
        result.map(drop)
    }
}

fn node_at(node: &GoNode) -> usize {
    match node {
        GoNode::Branches { branches, .. } => branches.first().map_or(0, |(condition, _)| condition.at),
        _ => 0,
    }
}
