//! Pipelines, operands and calls: the expressions of a template.

use super::functions::{self, GoFunction, Param};
use super::machine::{self, Executed, GoExec};
use super::number::GoNumber;
use super::tree::{GoCommand, GoOperand, GoOperandKind, GoPipeline};
use super::value::GoValue;

/// The value of a pipeline; its variables are declared or set.
pub(super) fn pipeline<'t>(exec: &mut GoExec<'t>, dot: &GoValue, pipeline: &'t GoPipeline) -> Executed {
    let mut value = None;
    for command in &pipeline.commands {
        value = Some(self::command(exec, dot, command, value)?);
    }
    let value = value.unwrap_or(GoValue::Nil);
    for name in &pipeline.variables {
        if pipeline.is_assignment {
            exec.set(name, value.clone(), pipeline.at)?;
        } else {
            exec.push(name, value.clone());
        }
    }
    Ok(value)
}

/// One command; `last` comes by the pipe.
fn command<'t>(
    exec: &mut GoExec<'t>,
    dot: &GoValue,
    command: &'t GoCommand,
    last: Option<GoValue>,
) -> Executed {
    let Some((first, arguments)) = command.operands.split_first() else { return Ok(GoValue::Nil) };
    if let GoOperandKind::Function(name) = &first.kind {
        return call(exec, dot, name, first, arguments, last);
    }
    if !arguments.is_empty() || last.is_some() {
        let shown = exec.shown(first.at, first.end);
        return machine::mistake(first.at, format!("`{shown}` is no function: it takes no arguments"));
    }
    if matches!(first.kind, GoOperandKind::Nil) {
        return machine::mistake(first.at, "`nil` alone is no command");
    }
    operand(exec, dot, first)
}

/// The value of an operand that any type is good for.
fn operand<'t>(exec: &mut GoExec<'t>, dot: &GoValue, operand: &'t GoOperand) -> Executed {
    let (at, end) = (operand.at, operand.end);
    match &operand.kind {
        GoOperandKind::Dot => Ok(dot.clone()),
        GoOperandKind::Nil => Ok(GoValue::Nil),
        GoOperandKind::Bool(truth) => Ok(GoValue::Bool(*truth)),
        GoOperandKind::Number(number) => Ok(constant(*number)),
        GoOperandKind::Text(text) => GoValue::text(text).map_err(|fault| machine::failure(fault, at)),
        GoOperandKind::Field(names) => fields(exec, dot.clone(), names, at, end),
        GoOperandKind::Variable(name, names) => {
            let value = exec.variable(name, at)?;
            fields(exec, value, names, at, end)
        }
        GoOperandKind::Function(name) => call(exec, dot, name, operand, &[], None),
        GoOperandKind::Pipeline(inner) => exec.deeper(at, |exec| pipeline(exec, dot, inner)),
        GoOperandKind::Chain(inner, names) => {
            let value = self::operand(exec, dot, inner)?;
            fields(exec, value, names, at, end)
        }
    }
}

fn fields(exec: &GoExec<'_>, value: GoValue, names: &[String], at: usize, end: usize) -> Executed {
    names.iter().try_fold(value, |value, name| exec.field(&value, name, at, end))
}

/// A number where no type is asked for.
fn constant(number: GoNumber) -> GoValue {
    match number.int {
        Some(int) if !number.is_float => machine::int(int),
        _ => GoValue::Float(number.float),
    }
}

fn call<'t>(
    exec: &mut GoExec<'t>,
    dot: &GoValue,
    name: &str,
    operand: &'t GoOperand,
    arguments: &'t [GoOperand],
    last: Option<GoValue>,
) -> Executed {
    let at = operand.at;
    let Some(function) = functions::find(exec.scope.dialect, name) else {
        return machine::mistake(at, format!("there is no function `{name}`"));
    };
    let count = arguments.len() + usize::from(last.is_some());
    if !function.takes(count) {
        let message = format!("`{name}` takes {}, and there are {count}", function.arity());
        return machine::mistake(at, message);
    }
    // These two look at no more arguments than they need.
    if matches!(name, "and" | "or") {
        let mut value = GoValue::Nil;
        for argument in arguments {
            value = self::operand(exec, dot, argument)?;
            if value.is_true() == (name == "or") {
                return Ok(value);
            }
        }
        return Ok(last.unwrap_or(value));
    }
    let mut values = Vec::with_capacity(count);
    for (index, argument) in arguments.iter().enumerate() {
        values.push(self::argument(exec, dot, function, index, argument)?);
    }
    if let Some(last) = last {
        let value = exec.scope.fitting(function.param(values.len()), last);
        values.push(value.map_err(|fault| machine::failure(named(name, fault), at))?);
    }
    super::super::limits::steps(1)?;
    let result = (function.run)(&exec.scope, &values);
    result.map_err(|fault| machine::failure(named(name, fault), at))
}

/// One argument, as the type that the function takes.
fn argument<'t>(
    exec: &mut GoExec<'t>,
    dot: &GoValue,
    function: &GoFunction,
    index: usize,
    argument: &'t GoOperand,
) -> Executed {
    let (at, end) = (argument.at, argument.end);
    let param = function.param(index);
    let wrong = |exec: &GoExec<'_>| {
        let shown = exec.shown(at, end);
        machine::mistake(at, format!("`{}` takes {} here, and not `{shown}`", function.name, param.shown()))
    };
    match (&argument.kind, param) {
        (GoOperandKind::Number(number), Param::Int | Param::Int64) => match number.int {
            Some(int) => Ok(GoValue::Int(int, param.int_type())),
            None => wrong(exec),
        },
        (GoOperandKind::Number(number), Param::Float) => Ok(GoValue::Float(number.float)),
        (GoOperandKind::Number(_) | GoOperandKind::Text(_) | GoOperandKind::Bool(_), Param::Any)
        | (GoOperandKind::Text(_), Param::Text)
        | (GoOperandKind::Bool(_), Param::Bool) => operand(exec, dot, argument),
        (GoOperandKind::Nil, Param::Text | Param::Int | Param::Int64 | Param::Float | Param::Bool)
        | (GoOperandKind::Number(_) | GoOperandKind::Text(_) | GoOperandKind::Bool(_), _) => wrong(exec),
        _ => {
            let value = operand(exec, dot, argument)?;
            let value = exec.scope.fitting(param, value);
            value.map_err(|fault| machine::failure(named(function.name, fault), at))
        }
    }
}

/// Says which function it was.
fn named(name: &str, fault: super::value::GoFault) -> super::value::GoFault {
    match fault {
        super::value::GoFault::Cause(cause) if !cause.contains(&format!("`{name}`")) => {
            super::value::GoFault::Cause(format!("`{name}`: {cause}"))
        }
        fault => fault,
    }
}
