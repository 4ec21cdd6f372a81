//! The values of Go templates: what Go would hold, with the types that its templates can tell apart.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::super::limits::{self, RenderRefusal};
use crate::secret::{FieldValue, Fields};

/// How deep values may lie in each other where one is walked through.
pub(super) const DEPTH_LIMIT: usize = 128;

/// Why a function gives no value.
#[derive(Debug)]
pub(super) enum GoFault {
    /// In words that hold no value.
    Cause(String),
    /// A limit.
    Refused(RenderRefusal),
}

impl From<RenderRefusal> for GoFault {
    fn from(refusal: RenderRefusal) -> Self {
        Self::Refused(refusal)
    }
}

/// A fault with `cause`.
pub(super) fn fault<T>(cause: impl Into<String>) -> Result<T, GoFault> {
    Err(GoFault::Cause(cause.into()))
}

/// What a function gives.
pub(super) type GoResult<T = GoValue> = Result<T, GoFault>;

/// The type of a whole number.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum IntType {
    Int,
    Int64,
    Uint8,
}

/// The type of a list's items.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ListType {
    Any,
    Texts,
    Ints,
    Int64s,
}

/// A value. It has no `Debug`: most are secret.
#[derive(Clone)]
pub(super) enum GoValue {
    /// `nil`, and what prints as `<no value>`.
    Nil,
    Bool(bool),
    Int(i64, IntType),
    Float(f64),
    /// A number out of JSON text: a `float64` in Go, with the digits of the text.
    Digits(Rc<[u8]>, f64),
    /// A string, which may hold any bytes.
    Text(Rc<[u8]>),
    /// `json.Number`: a number of a secret, which behaves as text.
    Number(Rc<[u8]>),
    List(Rc<GoList>),
    Map(Rc<GoMap>),
    Record(Rc<GoRecord>),
}

/// A list.
pub(super) struct GoList {
    pub(super) of: ListType,
    pub(super) items: Vec<GoValue>,
    /// Whether it is a field of the secret, or lies in one.
    pub(super) is_field: bool,
}

/// A map; `set` and `unset` change it in place, as in Go.
#[derive(Default)]
pub(super) struct GoMap {
    pub(super) entries: RefCell<BTreeMap<Rc<[u8]>, GoValue>>,
    /// `map[string]string` where others are `map[string]interface {}`.
    pub(super) is_of_texts: bool,
    pub(super) role: MapRole,
}

/// Where a map comes from.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum MapRole {
    /// A function made it.
    #[default]
    Made,
    /// It is a field, or lies in one.
    Field,
    /// All fields of a secret: an error may name its keys.
    Fields,
}

/// A struct: what `secret` and `pkiCert` give.
pub(super) struct GoRecord {
    pub(super) type_name: &'static str,
    pub(super) fields: Vec<(&'static str, GoValue)>,
}

impl GoValue {
    /// A new text; what it costs is charged.
    pub(super) fn text(bytes: impl AsRef<[u8]>) -> GoResult {
        let bytes = bytes.as_ref();
        limits::text(bytes.len())?;
        Ok(Self::Text(bytes.into()))
    }

    /// An `int`.
    pub(super) fn int(value: usize) -> Self {
        Self::Int(i64::try_from(value).unwrap_or(i64::MAX), IntType::Int)
    }

    /// A list that a function made.
    pub(super) fn list(of: ListType, items: Vec<Self>) -> GoResult {
        limits::items(items.len())?;
        Ok(Self::List(Rc::new(GoList { of, items, is_field: false })))
    }

    /// A map that a function made.
    pub(super) fn map(entries: BTreeMap<Rc<[u8]>, Self>) -> GoResult {
        limits::items(entries.len())?;
        Ok(Self::Map(Rc::new(GoMap { entries: RefCell::new(entries), ..GoMap::default() })))
    }

    /// The name of its type in Go.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Nil => "<nil>",
            Self::Bool(_) => "bool",
            Self::Int(_, IntType::Int) => "int",
            Self::Int(_, IntType::Int64) => "int64",
            Self::Int(_, IntType::Uint8) => "uint8",
            Self::Float(_) | Self::Digits(..) => "float64",
            Self::Text(_) => "string",
            Self::Number(_) => "json.Number",
            Self::List(list) => match list.of {
                ListType::Any => "[]interface {}",
                ListType::Texts => "[]string",
                ListType::Ints => "[]int",
                ListType::Int64s => "[]int64",
            },
            Self::Map(map) if map.is_of_texts => "map[string]string",
            Self::Map(_) => "map[string]interface {}",
            Self::Record(record) => record.type_name,
        }
    }

    /// The name of its kind in Go.
    pub(super) fn kind_name(&self) -> &'static str {
        match self {
            Self::Nil => "invalid",
            Self::Number(_) => "string",
            Self::List(_) => "slice",
            Self::Map(_) => "map",
            Self::Record(_) => "ptr",
            _ => self.type_name(),
        }
    }

    /// The bytes of a string, `json.Number` included.
    pub(super) fn bytes(&self) -> Option<&Rc<[u8]>> {
        match self {
            Self::Text(bytes) | Self::Number(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The number of a `float64`.
    pub(super) fn float(&self) -> Option<f64> {
        match self {
            Self::Float(float) | Self::Digits(_, float) => Some(*float),
            _ => None,
        }
    }

    /// Whether `if` takes it for true.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::Nil => false,
            Self::Bool(truth) => *truth,
            Self::Int(int, _) => *int != 0,
            Self::Float(float) | Self::Digits(_, float) => *float != 0.0,
            Self::Text(bytes) | Self::Number(bytes) => !bytes.is_empty(),
            Self::List(list) => !list.items.is_empty(),
            Self::Map(map) => !map.entries.borrow().is_empty(),
            Self::Record(_) => true,
        }
    }

    /// The entry of a map.
    pub(super) fn entry(&self, key: &[u8]) -> Option<Self> {
        match self {
            Self::Map(map) => map.entries.borrow().get(key).cloned(),
            _ => None,
        }
    }
}

/// Which of the two dialects a value is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum FieldStyle {
    /// Numbers are plain text, as External Secrets has them.
    Texts,
    /// Numbers are `json.Number`, as the Agent has them.
    Json,
}

/// All fields of a secret as a map.
pub(super) fn of_fields(fields: &Fields, style: FieldStyle, role: MapRole) -> GoResult {
    let entry =
        |(name, field): (&String, &FieldValue)| Ok((Rc::from(name.as_bytes()), of_field(field, style)?));
    let entries = fields.iter().map(entry).collect::<GoResult<BTreeMap<_, _>>>()?;
    Ok(GoValue::Map(Rc::new(GoMap { entries: RefCell::new(entries), is_of_texts: false, role })))
}

/// A field as a value. The store bounds its depth.
pub(super) fn of_field(field: &FieldValue, style: FieldStyle) -> GoResult {
    Ok(match field {
        FieldValue::Null => GoValue::Nil,
        FieldValue::Bool(truth) => GoValue::Bool(*truth),
        FieldValue::Number(digits) if style == FieldStyle::Json => {
            // EXPOSE: the copy that the template works on
            GoValue::Number(digits.expose().as_bytes().into())
        }
        // EXPOSE: the copy that the template works on
        FieldValue::Number(text) | FieldValue::Text(text) => GoValue::Text(text.expose().as_bytes().into()),
        // EXPOSE: the copy that the template works on
        FieldValue::Bytes(bytes) => GoValue::Text(bytes.expose().into()),
        FieldValue::List(list) => {
            let items = list.iter().map(|item| of_field(item, style)).collect::<GoResult<Vec<_>>>()?;
            GoValue::List(Rc::new(GoList { of: ListType::Any, items, is_field: true }))
        }
        FieldValue::Map(fields) => of_fields(fields, style, MapRole::Field)?,
    })
}

// A value that a template wrapped again and again is dropped level by level here, not by calls within calls.
impl Drop for GoList {
    fn drop(&mut self) {
        drop_flat(std::mem::take(&mut self.items));
    }
}

impl Drop for GoMap {
    fn drop(&mut self) {
        let entries = std::mem::take(self.entries.get_mut());
        drop_flat(entries.into_values().collect());
    }
}

fn drop_flat(mut values: Vec<GoValue>) {
    while let Some(value) = values.pop() {
        match value {
            GoValue::List(list) => {
                if let Ok(mut list) = Rc::try_unwrap(list) {
                    values.append(&mut list.items);
                }
            }
            GoValue::Map(map) => {
                if let Ok(mut map) = Rc::try_unwrap(map) {
                    values.extend(std::mem::take(map.entries.get_mut()).into_values());
                }
            }
            _ => {}
        }
    }
}
