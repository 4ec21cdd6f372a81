//! `template`: the engine, and the templates of `template.data` by name.

use super::context::CompileContext;
use super::go;
use super::section::Section;
use crate::config::diagnostic::{Code, Diagnostic, Place, Position};
use crate::config::keys::{KeySet, KeySpec, KeyType};
use crate::config::value::{Node, NodeStyle};
use crate::template::{CompileError, Template};

pub(super) static KEYS: KeySet = KeySet::new(
    "secrets[].template",
    &[&[
        KeySpec::new(
            "engine",
            KeyType::Choice(&["tera", "go"]),
            "detected from the text",
            "`go` is an error: only Tera templates are supported",
        ),
        KeySpec::new("data", KeyType::NamedTemplates, "", "templates by name, for `files[].key`"),
    ]],
);

/// `template.engine`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Engine {
    Tera,
    Go,
}

/// `template` of one secret.
#[derive(Default)]
pub(super) struct Templates {
    engine: Option<Engine>,
    entries: Vec<Named>,
    /// Whether `engine` is wrong and has been reported: templates are not judged then.
    is_refused: bool,
}

/// One entry of `template.data`.
struct Named {
    name: String,
    place: Place,
    /// Nothing when it does not compile.
    template: Option<Template>,
    is_used: bool,
}

impl Templates {
    pub(super) fn compile(secret: &mut Section<'_>, context: &mut CompileContext<'_>) -> Self {
        let Some(section) = secret.child("template", context) else { return Self::default() };
        let engine = section.choice("engine", &[("tera", Engine::Tera), ("go", Engine::Go)], context);
        if engine == Some(Engine::Go) {
            let refused =
                Diagnostic::new(Code::EngineGoUnsupported, section.place_of("engine"), go::UNSUPPORTED);
            context.push(refused.hint(go::HINT));
        }
        let is_refused = section.has("engine") && engine != Some(Engine::Tera);
        let mut templates = Self { engine, entries: Vec::new(), is_refused };
        if let Some(data) = section.child("data", context) {
            for (entry, place) in data.templates(context) {
                let template = templates.template(&entry.node, place.clone(), context);
                templates.entries.push(Named { name: entry.key.clone(), place, template, is_used: false });
            }
        }
        section.finish(context);
        templates
    }

    /// Compiles one text as a template.
    pub(super) fn template(
        &self,
        node: &Node,
        place: Place,
        context: &mut CompileContext<'_>,
    ) -> Option<Template> {
        let source = node.scalar()?.text();
        if self.is_refused {
            return None;
        }
        if let Some(action) = go::find(source).filter(|_| self.engine.is_none() && !is_surely_tera(source)) {
            let message = format!("{:?} is a Go template", action.text);
            let hint = match action.in_tera() {
                Some(spelling) => format!("write {spelling}, or say \"engine: tera\" if it is Tera already"),
                None => go::HINT.to_owned(),
            };
            context.push(
                Diagnostic::new(Code::EngineGoUnsupported, place, format!("{message}: {}", go::UNSUPPORTED))
                    .hint(hint),
            );
            return None;
        }
        match Template::compile(source) {
            Ok(template) => {
                warn_of_slips(source, place, context);
                Some(template)
            }
            Err(error) => {
                let place = Place { position: Some(position_in(node, &error)), ..place };
                context.push(Diagnostic::new(Code::TemplateSyntax, place, error.message));
                None
            }
        }
    }

    /// The entry called `name`, if there is one that compiles.
    pub(super) fn named(&mut self, name: &str) -> Option<Template> {
        let index = self.entries.iter().position(|entry| entry.name == name)?;
        self.at(index)
    }

    /// The entry at `index`, in the order of the document.
    pub(super) fn at(&mut self, index: usize) -> Option<Template> {
        let entry = self.entries.get_mut(index)?;
        entry.is_used = true;
        entry.template.clone()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| entry.name.as_str())
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Warns of entries that no file takes.
    pub(super) fn warn_of_unused(&self, context: &mut CompileContext<'_>) {
        for entry in self.entries.iter().filter(|entry| !entry.is_used) {
            let message = format!("no file has \"key: {}\": this template is never rendered", entry.name);
            context.push(Diagnostic::new(Code::UnusedTemplate, entry.place.clone(), message));
        }
    }
}

/// Where in the file the engine's line and column are, where the style of the text allows it.
fn position_in(node: &Node, error: &CompileError) -> Position {
    let start = node.position;
    let (Some(scalar), Some(line)) = (node.scalar(), error.line) else { return start };
    let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let (line, column) = (number(line), error.column.map_or(1, number));
    match scalar.style() {
        NodeStyle::Literal => {
            let blank = scalar.text().bytes().take_while(|byte| *byte == b'\n').count();
            Position {
                line: (start.line + line).saturating_sub(number(blank) + 1),
                column: start.column + column - 1,
            }
        }
        NodeStyle::Plain if line == 1 => Position { column: start.column + column - 1, ..start },
        NodeStyle::Quoted if line == 1 => Position { column: start.column + column, ..start },
        _ => start,
    }
}

/// Texts that compile and are hardly what is meant.
fn warn_of_slips(source: &str, place: Place, context: &mut CompileContext<'_>) {
    let is_name = |text: &str| {
        text.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_')
            && text.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
    };
    let between = |open: &'static str, close: &'static str| {
        source
            .split(open)
            .skip(1)
            .filter_map(move |text| Some(text.split_once(close)?.0.trim_matches('-').trim()))
    };
    if let Some(name) = between("${", "}").find(|name| is_name(name)) {
        let message = format!("\"${{{name}}}\" stays as it is: templates have no access to the environment");
        let warning = Diagnostic::new(Code::LiteralVariable, place.clone(), message);
        context.push(warning.hint(format!("for a field write {{{{ {name} }}}}")));
    }
    let tags = || between("{{", "}}").chain(between("{%", "%}"));
    let defines_env = |tag: &str| {
        let mut words = tag.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
        matches!(words.next(), Some("set" | "set_global" | "for")) && words.take(3).any(|word| word == "env")
    };
    let reads_env = |tag: &str| {
        let mut paths = tag.split(|letter: char| !letter.is_alphanumeric() && !"_.[".contains(letter));
        paths.any(|path| path.starts_with("env.") || path.starts_with("env["))
    };
    if tags().any(reads_env) && !tags().any(defines_env) {
        let message = "\"env\" is a field here: templates have no access to the environment".to_owned();
        let warning = Diagnostic::new(Code::LiteralVariable, place.clone(), message);
        context.push(warning.hint("put the value into the secret, or write it in the template"));
    }
    let is_hyphenated = |text: &&str| text.contains('-') && text.split('-').all(is_name);
    if let Some(name) = between("{{", "}}").find(is_hyphenated) {
        let message = format!("{name:?} is a subtraction here");
        let warning = Diagnostic::new(Code::HyphenInTemplate, place, message);
        context.push(warning.hint(format!("for a field of that name write {{{{ data[{name:?}] }}}}")));
    }
}

/// Go templates know neither tags nor comments of this kind. `{% raw %}` is how Tera writes braces, Go's included.
fn is_surely_tera(source: &str) -> bool {
    source.contains("{%") || source.contains("{#")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(yaml: &str, line: usize, column: Option<usize>) -> (u32, u32) {
        let root = crate::config::yaml::parse(yaml).unwrap();
        let node = &root.entries().unwrap()[0].node;
        let error = CompileError { line: Some(line), column, message: String::new() };
        let Position { line, column } = position_in(node, &error);
        (line, column)
    }

    #[test]
    fn errors_of_the_engine_are_found_in_the_file() {
        assert_eq!(position("a: |\n  one\n  two {{\n", 2, Some(5)), (3, 7));
        assert_eq!(position("a: |\n\n  one\n  two {{\n", 3, Some(5)), (4, 7));
        assert_eq!(position("a: '{{ x'\n", 1, Some(3)), (1, 7));
        assert_eq!(position("a: x {{ y\n", 1, Some(3)), (1, 6));
        assert_eq!(position("a: >\n  one\n  two\n", 2, Some(1)), (2, 3));
    }
}
