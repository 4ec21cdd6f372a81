//! The functions of the two dialects: a table of names, what each takes, and how it is called.

mod builtin;
mod cases;
mod consul;
mod decimal;
mod dict;
mod encoding;
mod list;
mod math;
mod path;
mod pattern;
mod pem;
mod refused;
mod text;
mod url;
mod words;

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::LazyLock;

pub(crate) use refused::reason;

use super::dialect::GoDialect;
use super::json;
use super::value::{
    FieldStyle, GoList, GoRecord, GoResult, GoValue, IntType, ListType, MapRole, fault, of_field, of_fields,
};
use crate::secret::{AnswerQuery, Answers, FieldValue};

/// What is said of other arguments of `secret`.
pub(super) const NAME_AND_VALUE: &str = "the arguments behind the path have the form \"name=value\"";

/// What a function may look at beside its arguments.
pub(super) struct GoScope<'c> {
    pub(super) dialect: GoDialect,
    pub(super) answers: &'c Answers,
    pub(super) vars: &'c BTreeMap<String, String>,
    /// The answers that this rendering has looked into.
    pub(super) looked_up: RefCell<BTreeMap<usize, Rc<GoRecord>>>,
}

/// The type of a parameter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Param {
    Any,
    Text,
    Int,
    Int64,
    Float,
    Bool,
    /// `[]string`.
    Texts,
    /// `map[string]interface {}`.
    Map,
}

impl Param {
    pub(super) fn shown(self) -> &'static str {
        match self {
            Self::Any => "any value",
            Self::Text => "a text",
            Self::Int | Self::Int64 => "a whole number",
            Self::Float => "a number with a fraction",
            Self::Bool => "true or false",
            Self::Texts => "a list of texts",
            Self::Map => "a map",
        }
    }

    pub(super) fn int_type(self) -> IntType {
        if self == Self::Int64 { IntType::Int64 } else { IntType::Int }
    }
}

/// One function.
pub(super) struct GoFunction {
    pub(super) name: &'static str,
    params: &'static [Param],
    /// Whether the last parameter may be given any number of times.
    is_variadic: bool,
    pub(super) run: fn(&GoScope<'_>, &[GoValue]) -> GoResult,
}

impl GoFunction {
    const fn new(
        name: &'static str,
        params: &'static [Param],
        run: fn(&GoScope<'_>, &[GoValue]) -> GoResult,
    ) -> Self {
        Self { name, params, is_variadic: false, run }
    }

    /// The last of `params` may be absent, and may be repeated.
    const fn variadic(
        name: &'static str,
        params: &'static [Param],
        run: fn(&GoScope<'_>, &[GoValue]) -> GoResult,
    ) -> Self {
        Self { name, params, is_variadic: true, run }
    }

    pub(super) fn param(&self, index: usize) -> Param {
        self.params.get(index).or(self.params.last()).copied().unwrap_or(Param::Any)
    }

    pub(super) fn takes(&self, count: usize) -> bool {
        if self.is_variadic { count + 1 >= self.params.len() } else { count == self.params.len() }
    }

    pub(super) fn arity(&self) -> String {
        let count = self.params.len();
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        if self.is_variadic {
            let least = count.saturating_sub(1);
            format!("at least {least} argument{}", plural(least))
        } else {
            format!("{count} argument{}", plural(count))
        }
    }
}

type FunctionTable = HashMap<String, &'static GoFunction>;

static GO: LazyLock<FunctionTable> = LazyLock::new(|| {
    let own = [builtin::FUNCTIONS, encoding::EXTERNAL_SECRETS, pem::FUNCTIONS];
    own.into_iter().chain(SPRIG).flatten().map(|function| (function.name.to_owned(), function)).collect()
});

static CONSUL_TEMPLATE: LazyLock<FunctionTable> = LazyLock::new(|| {
    let own = builtin::FUNCTIONS.iter().chain(consul::FUNCTIONS);
    let own = own.map(|function| (function.name.to_owned(), function));
    let sprig = SPRIG.into_iter().flatten();
    own.chain(sprig.map(|function| (format!("sprig_{}", function.name), function))).collect()
});

const SPRIG: [&[GoFunction]; 9] = [
    text::FUNCTIONS,
    words::FUNCTIONS,
    list::FUNCTIONS,
    dict::FUNCTIONS,
    math::FUNCTIONS,
    encoding::FUNCTIONS,
    pattern::FUNCTIONS,
    path::FUNCTIONS,
    url::FUNCTIONS,
];

fn table(dialect: GoDialect) -> &'static FunctionTable {
    match dialect {
        GoDialect::Go => &GO,
        GoDialect::ConsulTemplate => &CONSUL_TEMPLATE,
    }
}

/// The function `name` of `dialect`.
pub(super) fn find(dialect: GoDialect, name: &str) -> Option<&'static GoFunction> {
    table(dialect).get(name).copied()
}

/// The names of all functions of `dialect`.
pub(crate) fn names(dialect: GoDialect) -> impl Iterator<Item = &'static str> {
    table(dialect).keys().map(String::as_str)
}

impl GoScope<'_> {
    /// How fields become values.
    pub(super) fn style(&self) -> FieldStyle {
        match self.dialect {
            GoDialect::Go => FieldStyle::Texts,
            GoDialect::ConsulTemplate => FieldStyle::Json,
        }
    }

    /// A list or map of the secret as External Secrets has it: as JSON text. Nothing for anything else.
    pub(super) fn field_as_text(&self, value: &GoValue) -> Option<GoResult<Rc<[u8]>>> {
        let is_field = match value {
            GoValue::List(list) => list.is_field,
            GoValue::Map(map) => map.role == MapRole::Field,
            _ => false,
        };
        let is_text = self.dialect == GoDialect::Go && is_field;
        is_text.then(|| json::encode(value, json::JsonStyle::COMPACT).map(|json| json.as_bytes().into()))
    }

    /// `value` as the type `param`, where Go would take it.
    pub(super) fn fitting(&self, param: Param, value: GoValue) -> GoResult {
        let fits = match (param, &value) {
            (Param::Any, _)
            | (Param::Text, GoValue::Text(_))
            | (Param::Int, GoValue::Int(_, IntType::Int))
            | (Param::Int64, GoValue::Int(_, IntType::Int64))
            | (Param::Float, GoValue::Float(_) | GoValue::Digits(..))
            | (Param::Bool, GoValue::Bool(_)) => true,
            (Param::Map, GoValue::Map(map)) => !map.is_of_texts,
            (Param::Texts, GoValue::List(list)) => list.of == ListType::Texts,
            (Param::Texts, GoValue::Nil) => return GoValue::list(ListType::Texts, Vec::new()),
            (Param::Map, GoValue::Nil) => return GoValue::map(BTreeMap::new()),
            (Param::Text, GoValue::Bool(truth)) if self.dialect == GoDialect::Go => {
                return GoValue::text(truth.to_string());
            }
            (Param::Text, _) => match self.field_as_text(&value) {
                Some(text) => return text.map(GoValue::Text),
                None => false,
            },
            _ => false,
        };
        if fits {
            return Ok(value);
        }
        fault(format!("it takes {}, and not a value of type {}", param.shown(), value.type_name()))
    }

    /// The answer of the source that is asked for, as a value.
    pub(super) fn answer(&self, asked: &AnswerQuery) -> GoResult<Option<Rc<GoRecord>>> {
        let Some((index, answer)) = self.answers.find(asked) else { return Ok(None) };
        if let Some(known) = self.looked_up.borrow().get(&index) {
            return Ok(Some(Rc::clone(known)));
        }
        let record = Rc::new(consul::record(answer, self.style())?);
        self.looked_up.borrow_mut().insert(index, Rc::clone(&record));
        Ok(Some(record))
    }
}

/// `answer` below `name`, as a value; its fields are those of a secret.
fn fields_of(answer: &FieldValue, style: FieldStyle) -> GoResult {
    match answer {
        FieldValue::Map(fields) => of_fields(fields, style, MapRole::Fields),
        other => of_field(other, style),
    }
}

// What the functions share.

/// The argument at `index`; the table has checked that it is there.
fn at(values: &[GoValue], index: usize) -> GoValue {
    values.get(index).cloned().unwrap_or(GoValue::Nil)
}

/// The bytes of the argument at `index`.
fn bytes_at(values: &[GoValue], index: usize) -> &[u8] {
    values.get(index).and_then(GoValue::bytes).map_or(&[], |bytes| bytes)
}

/// The argument at `index` as text, for what works on letters.
fn text_at(values: &[GoValue], index: usize) -> GoResult<&str> {
    std::str::from_utf8(bytes_at(values, index)).or_else(|_| fault("a text holds bytes that are no text"))
}

fn int_at(values: &[GoValue], index: usize) -> i64 {
    match values.get(index) {
        Some(GoValue::Int(int, _)) => *int,
        _ => 0,
    }
}

/// A value as text, as sprig's `strval` does.
fn shown(value: &GoValue) -> GoResult<Rc<[u8]>> {
    match value {
        GoValue::Text(bytes) | GoValue::Number(bytes) => Ok(Rc::clone(bytes)),
        _ => match super::print::print(std::slice::from_ref(value))? {
            GoValue::Text(bytes) => Ok(bytes),
            _ => fault("a value has no text"),
        },
    }
}

/// The items of a list.
fn items(value: &GoValue) -> GoResult<Rc<GoList>> {
    match value {
        GoValue::List(list) => Ok(Rc::clone(list)),
        other => fault(format!("it takes a list, and not a value of type {}", other.type_name())),
    }
}

/// A list of texts.
fn texts(items: impl IntoIterator<Item = impl AsRef<[u8]>>) -> GoResult {
    let items = items.into_iter().map(GoValue::text).collect::<GoResult<Vec<_>>>()?;
    GoValue::list(ListType::Texts, items)
}
