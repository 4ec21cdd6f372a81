//! The engine: one shared instance with our filters, and what it has to say about a source.

use std::sync::LazyLock;

use tera::{ErrorKind, Tera};

use super::error::{CompileError, TemplatePlace};
use super::filters;
use super::lexer::{self, CodeToken, TokenKind};
use super::strict::Strict;

/// The name that the engine knows every template by.
const NAME: &str = "template";

/// The filters of the engine that are not replaced by ours: what they cost does not grow with their input.
#[rustfmt::skip]
pub(super) const FILTERS: &[&str] = &[
    "abs", "first", "get", "int", "last", "length", "nth", "pluralize", "round",
];

/// The tests; some are replaced by ours.
#[rustfmt::skip]
const TESTS: &[&str] = &[
    "array", "bool", "containing", "defined", "divisible_by", "ending_with", "even", "float", "integer",
    "iterable", "map", "none", "number", "odd", "starting_with", "string", "undefined",
];

/// The functions, both replaced by ours.
const FUNCTIONS: &[&str] = &["range", "throw"];

/// What is there in place of macros.
const COMPONENT_HINT: &str = "a component, {% component name(x) %}…{% endcomponent name %}, \
                              and use it as {{ <name x={value} /> }}";

/// What the engine says about a tag it does not know.
const UNKNOWN_TAG: &str = "Unknown tag";
const TAGS_HINT: &str = "the tags are if, for, break, continue, set, set_global, filter, component and raw";

static ENGINE: LazyLock<Tera> = LazyLock::new(|| {
    let mut engine = Tera::new();
    engine.autoescape_on(Vec::<&str>::new());
    filters::register(&mut engine);
    engine
});

/// The engine that all templates are rendered with.
pub(super) fn engine() -> &'static Tera {
    &ENGINE
}

/// Makes `source` strict, and checks it with the engine.
pub(super) fn compile(source: &str) -> Result<Strict, CompileError> {
    let mut engine = ENGINE.clone();
    let is_long = code_length(source) > MOST_CODE;
    let tokens = if is_long { None } else { lexer::tokens(source) };
    if tokens.is_none() && source.matches(BRANCH).count() > MOST_BRANCHES {
        return Err(CompileError::at(None, too_many_branches()));
    }
    if is_long {
        let message = format!("its tags hold more than {} KiB: split the template", MOST_CODE >> 10);
        return Err(CompileError::at(None, message));
    }
    if let Some(tokens) = tokens {
        forbid(source, &tokens)?;
        if let Some(strict) = Strict::new(source, &tokens)
            && engine.add_raw_template(NAME, &strict.source).is_ok()
        {
            return Ok(strict);
        }
    }
    // Errors name a place in the operator's own text.
    engine.add_raw_template(NAME, source).map_err(|error| compile_error(&error))?;
    Err(CompileError::at(
        None,
        "an expression is too complex: put parentheses around both sides of `~`, use `set`, and write a field that is \
         named like a keyword as `data[\"in\"]`",
    ))
}

/// Most bytes in the tags of one template. While it is compiled, a template takes 150 times their memory.
const MOST_CODE: usize = 128 << 10;

/// About the bytes within tags: braces in an expression may end one early.
fn code_length(source: &str) -> usize {
    let mut is_code = false;
    let is_counted = |pair: &&[u8]| {
        is_code = matches!(*pair, b"{{" | b"{%") || is_code && !matches!(*pair, b"}}" | b"%}");
        is_code
    };
    source.as_bytes().windows(2).filter(is_counted).count()
}

const BRANCH: &str = "elif";

/// Each `elif` lies within the one before it, and the engine goes down to it by calling itself, without a limit of its
/// own: some hundred fill the stack of a thread.
const MOST_BRANCHES: usize = 64;

fn too_many_branches() -> String {
    format!("there are more than {MOST_BRANCHES} `elif`: look the value up in a map instead")
}

/// Refuses what needs a second template.
fn forbid(source: &str, tokens: &[CodeToken<'_>]) -> Result<(), CompileError> {
    let mut branches = 0_usize;
    for (index, token) in tokens.iter().enumerate().filter(|(_, token)| token.kind == TokenKind::Word) {
        let opens_tag = index.checked_sub(1).and_then(|before| tokens.get(before));
        let is_tag = opens_tag.is_some_and(|before| before.kind == TokenKind::TagStart);
        let is_call = tokens.get(index + 1).is_some_and(|after| after.text == "(");
        branches += usize::from(is_tag && token.text == BRANCH);
        let message = match token.text {
            BRANCH if branches > MOST_BRANCHES => too_many_branches(),
            "include" | "extends" | "block" if is_tag => {
                format!("`{}` is not supported: a template stands alone", token.text)
            }
            "import" if is_tag => {
                format!("`import` is not supported: a template stands alone; define {COMPONENT_HINT}")
            }
            "macro" if is_tag => format!("`macro` is not supported: write {COMPONENT_HINT}"),
            "super" if is_call => "`super` is not supported: a template stands alone".to_owned(),
            name if name.starts_with("__tera") || name.starts_with("__secrets_sync") => {
                format!("`{name}` is a name of the engine's own; a field of this name is `data[\"{name}\"]`")
            }
            _ => continue,
        };
        return Err(CompileError::at(Some(TemplatePlace::of(source, token.at)), message));
    }
    Ok(())
}

fn compile_error(error: &tera::Error) -> CompileError {
    match error.kind() {
        ErrorKind::SyntaxError(report) => {
            let span = report.span();
            let place = TemplatePlace { line: span.start_line, column: span.start_col + 1 };
            let message = report.message().trim_end_matches('.');
            if message == UNKNOWN_TAG {
                return CompileError::at(Some(place), format!("unknown tag: {TAGS_HINT}"));
            }
            CompileError::at(Some(place), message)
        }
        ErrorKind::Msg(report) => unknown_name(report),
        _ => CompileError::at(None, "the engine does not accept the template"),
    }
}

/// Reads the engine's report of a name it does not know: the message, then a line with template, line and column.
fn unknown_name(report: &str) -> CompileError {
    let mut lines = report.lines();
    let message = lines.next().unwrap_or_default().trim_start_matches("error: ");
    let mut place = lines.next().unwrap_or_default().rsplit(':').map(str::parse::<usize>);
    let place = match (place.next(), place.next()) {
        (Some(Ok(column)), Some(Ok(line))) => Some(TemplatePlace { line, column }),
        _ => None,
    };
    let name = message.split('`').nth(1).unwrap_or_default();
    let (what, mut known) = match message.split(' ').nth(1) {
        Some("filter") => ("filter", FILTERS.iter().copied().chain(filters::names()).collect()),
        Some("test") => ("test", TESTS.to_vec()),
        Some("function") => ("function", FUNCTIONS.to_vec()),
        _ => return CompileError::at(place, message.to_lowercase()),
    };
    known.sort_unstable();
    let near = near(name, &known);
    let hint = match near.as_slice() {
        [] => format!("the {what}s are {}", known.join(", ")),
        near => format!("did you mean {}?", near.join(" or ")),
    };
    CompileError::at(place, format!("unknown {what} `{name}`: {hint}"))
}

/// Up to two known names that differ in two letters at most, and in few for their length, or begin like the name.
fn near(name: &str, known: &[&str]) -> Vec<String> {
    let begins = |a: &str, b: &str| b.len() > 2 && a.starts_with(b);
    let most = (name.len() / 3).min(2);
    let mut near: Vec<_> = known
        .iter()
        .map(|known| (strsim::levenshtein(name, known), *known))
        .filter(|(distance, known)| *distance <= most || begins(known, name) || begins(name, known))
        .collect();
    near.sort_unstable();
    near.into_iter().take(2).map(|(_, known)| format!("`{known}`")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(source: &str) -> CompileError {
        compile(source).unwrap_err()
    }

    #[test]
    fn offers_exactly_the_names_that_are_listed() {
        let all: Vec<_> = FILTERS.iter().copied().chain(filters::names()).collect();
        for filter in &all {
            compile(&format!("{{{{ 1|{filter} }}}}")).unwrap();
        }
        for test in TESTS {
            compile(&format!("{{{{ 1 is {test} }}}}")).unwrap();
        }
        for function in FUNCTIONS {
            compile(&format!("{{{{ {function}() }}}}")).unwrap();
        }
        // DEFINED, SHALLOW, TEXT, ITEMS, SLICED and COMPARED; the function is ROUND.
        let internal = 6;
        let shown = format!("{:?}", *ENGINE);
        for counted in [
            format!("filters: {}", all.len() + internal),
            format!("tests: {}", TESTS.len()),
            format!("functions: {}", FUNCTIONS.len() + 1),
            "components: 0".to_owned(),
        ] {
            assert!(shown.contains(&counted), "{counted} in {shown}");
        }
    }

    #[test]
    fn nothing_reaches_the_environment_time_files_or_randomness() {
        for call in ["get_env(name='HOME')", "now()", "get_random(end=9)", "load_data(path='/etc/passwd')"] {
            assert!(error(&format!("{{{{ {call} }}}}")).message.starts_with("unknown function"), "{call}");
        }
    }

    #[test]
    fn tells_the_place_of_a_syntax_error() {
        let error = error("a\nb {{ c d }}");
        assert_eq!((error.line, error.column), (Some(2), Some(8)), "{error}");
        assert!(!error.message.contains('\n'), "{error}");
    }

    #[test]
    fn suggests_near_names() {
        let error = error("x\n  {{ a | b64encod }}");
        assert_eq!((error.line, error.column), (Some(2), Some(10)));
        assert_eq!(error.message, "unknown filter `b64encod`: did you mean `b64encode` or `b64_encode`?");
        for far in ["filesizeformat", "date", "x"] {
            let message = self::error(&format!("{{{{ a | {far} }}}}")).message;
            let expected = format!("unknown filter `{far}`: the filters are abs, b64_decode, ");
            assert!(message.starts_with(&expected) && !message.contains("__"), "{message}");
        }
        assert_eq!(
            self::error("{{ now() }}").message,
            "unknown function `now`: the functions are range, throw"
        );
        assert!(self::error("{{ a is strin }}").message.contains("`string`"));
        assert!(self::error("{{ rang(end=1) }}").message.contains("`range`"));
    }

    #[test]
    fn tags_that_are_not_there_are_told_with_those_that_are() {
        let error = error("x {% macro a(b) %}{% endmacro %}");
        assert_eq!((error.line, error.column), (Some(1), Some(6)));
        assert!(error.message.contains("`macro` is not supported: write a component"), "{error}");
        let error = self::error("{% import 'x' as y %}");
        assert!(error.message.contains("stands alone; define a component"), "{error}");
        let error = self::error("{% with a = 1 %}");
        assert!(error.message.starts_with("unknown tag: the tags are if, for"), "{error}");
        assert_eq!((error.line, error.column), (Some(1), Some(4)));
    }

    #[test]
    fn a_field_named_like_a_keyword_is_refused_with_the_way_out() {
        for source in ["{{ not in }}", "{{ a == and }}", "{{ for == for }}", "{% if a == if %}{% endif %}"] {
            assert!(error(source).message.contains("`data[\"in\"]`"), "{source}");
        }
        compile("{{ data[\"in\"] == data[\"and\"] }}").unwrap();
    }

    #[test]
    fn a_template_stands_alone() {
        for source in [
            "{% include 'x' %}",
            "{% include 'template' %}",
            "{% extends 'x' %}",
            "{% block a %}{% endblock %}",
            "{{ super() }}",
            "{{ <other /> }}",
        ] {
            let error = error(source);
            assert!(error.message.contains("stands alone") || error.message.contains("component"), "{error}");
        }
        compile("{% component own(a) %}{{ a }}{% endcomponent own %}{{ <own a='x' /> }}").unwrap();
    }

    #[test]
    fn names_of_the_engines_own_are_refused() {
        for source in
            ["{{ __tera_context }}", "{% if __tera_context %}{% endif %}", "{{ a|__secrets_sync_text }}"]
        {
            assert!(error(source).message.contains("the engine's own"), "{source}");
        }
        compile("{{ data['__tera_context'] }}{# __tera_context #}{% raw %}{{ __tera_context }}{% endraw %}")
            .unwrap();
    }
}
