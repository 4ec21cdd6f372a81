//! `template`: the engine, and the templates of `template.data` by name.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::context::CompileContext;
use super::go;
use super::section::Section;
use crate::config::diagnostic::{Code, Diagnostic, Place, Position};
use crate::config::keys::{KeySet, KeySpec, KeyType};
use crate::config::value::{Node, NodeStyle};
use crate::secret::{AnswerPath, AnswerQuery};
use crate::template::{self, Dialect, Template, TemplateEngine};

pub(super) static KEYS: KeySet = KeySet::new(
    "secrets[].template",
    &[&[
        KeySpec::new(
            "engine",
            KeyType::Choice(&["tera", "go", "consul-template"]),
            "detected from the text",
            "language of the templates: Tera, Go with External Secrets' functions, or Go with those of Vault Agent",
        ),
        KeySpec::new(
            "vars",
            KeyType::NamedTexts,
            "",
            "constants for the templates: `vars.NAME` in Tera, `env \"NAME\"` in `consul-template`",
        ),
        KeySpec::new(
            "delimiters",
            KeyType::Texts,
            "`{{` and `}}`",
            "what opens and closes an action of a Go template, such as `[\"[[\", \"]]\"]`",
        ),
        KeySpec::new("data", KeyType::NamedTemplates, "", "templates by name, for `files[].key`"),
    ]],
);

const ENGINES: [(&str, TemplateEngine); 3] = [
    ("tera", TemplateEngine::Tera),
    ("go", TemplateEngine::Go),
    ("consul-template", TemplateEngine::ConsulTemplate),
];

/// `template` of one secret.
#[derive(Default)]
pub(super) struct Templates {
    engine: Option<TemplateEngine>,
    delimiters: Option<(String, String)>,
    vars: Arc<BTreeMap<String, String>>,
    entries: Vec<Named>,
    /// Whether `engine` is wrong and has been reported: templates are not judged then.
    is_refused: bool,
    /// What `secret` of a Go template may look up; nothing while that is not known.
    paths: Option<Vec<AnswerPath>>,
    /// Whether a text was taken for Go without being called so.
    is_guessed: bool,
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
    /// `paths` is what the sources of the secret read, where that is known.
    pub(super) fn compile(
        secret: &mut Section<'_>,
        paths: Option<Vec<AnswerPath>>,
        context: &mut CompileContext<'_>,
    ) -> Self {
        let mut templates = Self { paths, ..Self::default() };
        let Some(section) = secret.child("template", context) else { return templates };
        templates.engine = section.choice("engine", &ENGINES, context);
        templates.is_refused = section.has("engine") && templates.engine.is_none();
        templates.delimiters = delimiters(&section, templates.engine, context);
        templates.is_refused |= section.has("delimiters") && templates.delimiters.is_none();
        if let Some(vars) = section.child("vars", context) {
            templates.vars = Arc::new(vars.named_texts(context).unwrap_or_default());
        }
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
        &mut self,
        node: &Node,
        place: Place,
        context: &mut CompileContext<'_>,
    ) -> Option<Template> {
        let source = node.scalar()?.text();
        if self.is_refused {
            return None;
        }
        let engine = self.engine.unwrap_or_else(|| self.guess(source));
        if self.engine.is_none() && engine != TemplateEngine::Tera && !self.is_guessed {
            self.is_guessed = true;
            let message =
                format!("the text reads like a Go template and is rendered as one: {}", engine.name());
            let guessed = Diagnostic::new(Code::EngineGuessed, place.clone(), message);
            context.push(
                guessed.hint(format!("write \"template: {{ engine: {} }}\" in the secret", engine.name())),
            );
        }
        let dialect = Dialect { engine, delimiters: self.delimiters.clone(), vars: Arc::clone(&self.vars) };
        match Template::compile_as(source, dialect) {
            Ok(template) => {
                if engine == TemplateEngine::Tera {
                    warn_of_slips(source, place.clone(), context);
                }
                self.check_paths(node, &place, &template, context);
                Some(template)
            }
            Err(error) => {
                let place = Place { position: Some(position_in(node, error.line, error.column)), ..place };
                context.push(Diagnostic::new(Code::TemplateSyntax, place, error.message));
                None
            }
        }
    }

    fn guess(&self, source: &str) -> TemplateEngine {
        if self.delimiters.is_none() && (is_surely_tera(source) || !go::is_go_template(source)) {
            return TemplateEngine::Tera;
        }
        template::go_engine(source, self.delimiters.as_ref())
    }

    /// Refuses a `secret` that looks up what no source of this secret reads: it would fail each time.
    fn check_paths(&self, node: &Node, place: &Place, template: &Template, context: &mut CompileContext<'_>) {
        let Some(paths) = &self.paths else { return };
        for (asked, at) in template.queries() {
            if AnswerPath::find(paths, asked).is_some() {
                continue;
            }
            let place =
                Place { position: Some(position_in(node, Some(at.line), Some(at.column))), ..place.clone() };
            let known = paths.iter().map(AnswerPath::as_str).collect::<Vec<_>>().join(", ");
            let with = if asked.names().next().is_some() { " with these arguments" } else { "" };
            let message =
                format!("no source of this secret reads {:?}{with}; it reads {known}", asked.path());
            context.push(Diagnostic::new(Code::UnknownSource, place, message).hint(source_line(asked)));
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

/// The line that adds the source of `asked`.
fn source_line(asked: &AnswerQuery) -> String {
    let parameters: Vec<_> = asked.names().map(|name| format!("{name}: …")).collect();
    let asked = asked.path();
    if !parameters.is_empty() {
        let parameters = parameters.join(", ");
        return format!("add it: \"vaultDynamic: {{ path: {asked}, parameters: {{ {parameters} }} }}\"");
    }
    let (path, version) = asked.split_once("?version=").unwrap_or((asked, ""));
    let (mount, key) = path.split_once("/data/").or_else(|| path.split_once('/')).unwrap_or(("secret", path));
    let version = if version.is_empty() { String::new() } else { format!(", version: {version}") };
    format!("add it to dataFrom: \"- extract: {{ key: {key}, mountPath: {mount}{version} }}\"")
}

/// `delimiters`: two texts, for Go alone.
fn delimiters(
    section: &Section<'_>,
    engine: Option<TemplateEngine>,
    context: &mut CompileContext<'_>,
) -> Option<(String, String)> {
    if !section.has("delimiters") {
        return None;
    }
    let texts = section.texts("delimiters", context)?;
    let place = section.place_of("delimiters");
    if engine == Some(TemplateEngine::Tera) {
        let refused = Diagnostic::new(Code::ConflictingKeys, place, "Tera has no other delimiters");
        context.push(refused.hint("leave \"delimiters\" out, or say which Go engine it is"));
        return None;
    }
    match <[String; 2]>::try_from(texts) {
        Ok([left, right]) if !left.is_empty() && !right.is_empty() && left != right => Some((left, right)),
        _ => {
            let refused = Diagnostic::new(Code::BadValue, place, "these are not two different texts");
            context.push(refused.hint("write the opening and the closing one: [\"[[\", \"]]\"]"));
            None
        }
    }
}

/// Where in the file line and column of a template are, where the style of the text allows it.
fn position_in(node: &Node, line: Option<usize>, column: Option<usize>) -> Position {
    let start = node.position;
    let (Some(scalar), Some(line)) = (node.scalar(), line) else { return start };
    let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let (line, column) = (number(line), column.map_or(1, number));
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
        let Position { line, column } = position_in(node, Some(line), column);
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
