//! What docs/templates.md shows is what happens.

use super::*;

const PAGE: &str = include_str!("../../../docs/templates.md");

/// The secret that the page shows.
fn secret() -> Fields {
    let (_, json) = PAGE.split_once("```json\n").unwrap();
    let all = json::parse(json.split("```").next().unwrap()).unwrap();
    let fields =
        all.as_map().unwrap().iter().map(|(name, value)| (name.as_str().unwrap().to_owned(), field(value)));
    fields.collect()
}

fn field(value: &tera::Value) -> FieldValue {
    match (value.as_str(), value.as_array()) {
        (Some(text), _) => text.into(),
        (_, Some(list)) => FieldValue::List(list.iter().map(field).collect()),
        _ if value.is_none() => FieldValue::Null,
        _ => digits(&value.to_string()),
    }
}

/// The cells of the table of filters; a `|` inside code is written `\|`.
fn rows() -> Vec<[String; 4]> {
    let (_, table) =
        PAGE.split_once("| filter | also called | example | result |\n|---|---|---|---|\n").unwrap();
    let rows = table.lines().take_while(|line| line.starts_with('|'));
    let cells = |line: &str| {
        let line = line.replace("\\|", "\0");
        let cells =
            line.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`').replace('\0', "|"));
        cells.collect::<Vec<_>>().try_into().unwrap_or_else(|cells| panic!("{cells:?}"))
    };
    rows.map(cells).collect()
}

#[test]
fn every_example_of_the_table_gives_the_result_it_says() {
    let fields = secret();
    let context = Context::new(&fields);
    let rows = rows();
    assert!(rows.len() > 40);
    for [_, _, source, result] in rows {
        let template = Template::compile(&source).unwrap_or_else(|error| panic!("{source}: {error}"));
        let rendered = template.render(&context, 1000).unwrap_or_else(|error| panic!("{source}: {error}"));
        assert_eq!(std::str::from_utf8(rendered.expose()).unwrap(), result.replace('⏎', "\n"), "{source}"); // EXPOSE: test
    }
}

#[test]
fn every_way_to_ask_for_a_field_works_with_and_without_it() {
    let (_, table) = PAGE
        .split_once("Ask for fields that may be absent:\n\n  | expression | meaning |\n  |---|---|\n")
        .unwrap();
    let rows = table.lines().map(str::trim_start).take_while(|line| line.starts_with('|'));
    // Every second piece between backquotes of the first cell.
    let examples = rows.flat_map(|row| row.split(" | ").next().unwrap().split('`').skip(1).step_by(2));
    let examples: Vec<_> = examples.map(|source| source.replace("\\|", "|")).collect();
    assert_eq!(examples.len(), 5, "{examples:?}");
    let there: Fields =
        ["token", "api-token"].map(|name| (name.to_owned(), "t".into())).into_iter().collect();
    for source in examples {
        let [with, without] = [&there, &Fields::default()].map(|fields| try_render(&source, fields).unwrap());
        let expected = if source.contains("{%") { ("token=t", "") } else { ("t", "none") };
        assert_eq!((&*with, &*without), expected, "{source}");
    }
}

#[test]
fn every_filter_is_in_the_table() {
    let named: Vec<_> = rows().iter().map(|[name, also, ..]| format!("`, `{name}`, `{also}`, `")).collect();
    let named = named.concat();
    for filter in engine::FILTERS.iter().copied().chain(filters::names()) {
        assert!(named.contains(&format!("`, `{filter}`, `")), "{filter}");
    }
}
