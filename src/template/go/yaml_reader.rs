//! YAML as `parseYAML` and `fromYaml` read it: texts for keys, numbers with their digits, the words of YAML 1.1.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use granit_parser::{Event, Parser, ScalarStyle};

use super::super::limits;
use super::number;
use super::print;
use super::value::{DEPTH_LIMIT, GoResult, GoValue, IntType, ListType, fault};

/// A collection that is still open.
struct YamlFrame {
    anchor: usize,
    content: YamlContent,
}

enum YamlContent {
    List(Vec<GoValue>),
    Map {
        entries: BTreeMap<Rc<[u8]>, GoValue>,
        /// The key whose value is next.
        key: Option<GoValue>,
    },
}

#[derive(Default)]
struct YamlReader {
    frames: Vec<YamlFrame>,
    root: Option<GoValue>,
    /// An alias shares the value of its anchor, so that it costs nothing.
    anchors: HashMap<usize, GoValue>,
    documents: usize,
}

/// The value of the first document in `bytes`; null if there is none.
pub(super) fn decode(bytes: &[u8]) -> GoResult {
    limits::text(bytes.len())?;
    let Ok(text) = std::str::from_utf8(bytes) else { return broken() };
    let options = granit_parser::options! {
        emit_comments: false,
        flow_nesting_limit: DEPTH_LIMIT,
        block_nesting_limit: DEPTH_LIMIT,
    };
    let mut reader = YamlReader::default();
    for next in Parser::new_from_str_with_options(text, options) {
        let Ok((event, _)) = next else { return broken() };
        limits::items(1)?;
        reader.event(event)?;
        if reader.documents > 1 {
            break;
        }
    }
    Ok(reader.root.unwrap_or(GoValue::Nil))
}

/// What is wrong could quote the text, so it is not said.
fn broken<T>() -> GoResult<T> {
    fault("the text is no YAML, or nested too deep")
}

impl YamlReader {
    fn event(&mut self, event: Event<'_>) -> GoResult<()> {
        match event {
            Event::DocumentStart(..) => self.documents += 1,
            Event::Scalar(text, style, anchor, tag) => {
                let value = match (style, tag.as_deref()) {
                    (ScalarStyle::Plain, None) => plain(&text)?,
                    _ => GoValue::text(text.as_bytes())?,
                };
                self.complete(value, anchor)?;
            }
            Event::SequenceStart(_, anchor, _) => self.open(anchor, YamlContent::List(Vec::new()))?,
            Event::MappingStart(_, anchor, _) => {
                self.open(anchor, YamlContent::Map { entries: BTreeMap::new(), key: None })?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(YamlFrame { anchor, content }) = self.frames.pop() else { return Ok(()) };
                let value = match content {
                    YamlContent::List(items) => GoValue::list(ListType::Any, items)?,
                    YamlContent::Map { entries, .. } => GoValue::map(entries)?,
                };
                self.complete(value, anchor)?;
            }
            Event::Alias(anchor) => match self.anchors.get(&anchor).cloned() {
                Some(value) => self.place(value)?,
                None => return broken(),
            },
            _ => {}
        }
        Ok(())
    }

    fn open(&mut self, anchor: usize, content: YamlContent) -> GoResult<()> {
        if self.frames.len() >= DEPTH_LIMIT {
            return broken();
        }
        self.frames.push(YamlFrame { anchor, content });
        Ok(())
    }

    fn complete(&mut self, value: GoValue, anchor: usize) -> GoResult<()> {
        if anchor != 0 {
            self.anchors.insert(anchor, value.clone());
        }
        self.place(value)
    }

    /// Puts a complete value where it belongs: the root, an item, a key or a value.
    fn place(&mut self, value: GoValue) -> GoResult<()> {
        match self.frames.last_mut().map(|frame| &mut frame.content) {
            None => self.root = Some(value),
            Some(YamlContent::List(items)) => items.push(value),
            Some(YamlContent::Map { entries, key }) => match key.take() {
                None => *key = Some(value),
                Some(GoValue::Text(name)) if *name == *b"<<" => merge(entries, &value)?,
                Some(GoValue::List(_) | GoValue::Map(_)) => return fault("a key of the YAML is no text"),
                Some(name) => {
                    // As Go: of two equal keys the last counts.
                    if let GoValue::Text(name) = print::print(&[name])? {
                        entries.insert(name, value);
                    }
                }
            },
        }
        Ok(())
    }
}

/// `<<`: entries of another map, or of several, that are not there yet.
fn merge(entries: &mut BTreeMap<Rc<[u8]>, GoValue>, value: &GoValue) -> GoResult<()> {
    match value {
        GoValue::Map(map) => {
            let map = map.entries.borrow();
            limits::items(map.len())?;
            for (name, value) in map.iter() {
                entries.entry(Rc::clone(name)).or_insert_with(|| value.clone());
            }
            Ok(())
        }
        GoValue::List(list) => list.items.iter().try_for_each(|item| match item {
            GoValue::Map(_) => merge(entries, item),
            _ => fault("`<<` of the YAML is no map"),
        }),
        _ => fault("`<<` of the YAML is no map"),
    }
}

/// A text without quotes.
fn plain(text: &str) -> GoResult {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(GoValue::Nil),
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "true" | "True" | "TRUE" => {
            return Ok(GoValue::Bool(true));
        }
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" | "false" | "False" | "FALSE" => {
            return Ok(GoValue::Bool(false));
        }
        _ => {}
    }
    let is_number =
        text.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '-' | '+' | '.'));
    if !is_number {
        return GoValue::text(text.as_bytes());
    }
    if let Some(int) = number::whole(text) {
        return Ok(GoValue::Int(int, IntType::Int));
    }
    if matches!(text.trim_start_matches(['-', '+']), ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN") {
        return fault("a number of the YAML is infinite or no number");
    }
    let is_fraction = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    match text.parse::<f64>() {
        Ok(number) if is_fraction && number.is_finite() => {
            // JSON has these digits too, so they can stay.
            let is_json = serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok();
            let has_exponent = text.contains(['e', 'E']);
            Ok(if is_json && !has_exponent {
                GoValue::Digits(text.as_bytes().into(), number)
            } else {
                GoValue::Float(number)
            })
        }
        _ => GoValue::text(text.as_bytes()),
    }
}
