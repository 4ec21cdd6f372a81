//! The tests that a page names as its proof exist.

use std::fs;

use crate::pages::{Page, files, root};

/// Names of tests are sentences: they have at least this number of underscores.
const SENTENCE: usize = 4;

/// What looks like the name of a test and is none in `code`.
fn missing<'a>(page: &'a Page, code: &str) -> Vec<&'a str> {
    let is_name = |word: &&str| {
        let is_plain = word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        is_plain && word.matches('_').count() >= SENTENCE && !word.starts_with("secrets_sync_")
    };
    let words = page.text.split('`').filter(is_name);
    words.filter(|name| !code.contains(&format!("fn {name}("))).collect()
}

#[test]
fn each_test_that_a_page_names_exists() {
    let sources = [files(&root().join("src"), "rs"), files(&root().join("tests"), "rs")].concat();
    let code: String = sources.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    for page in Page::all() {
        assert_eq!(missing(&page, &code), Vec::<&str>::new(), "{}", page.path);
    }
    let page = Page::new(
        "page.md",
        "`a_test_that_is_not_there` `secrets_sync_a_metric_of_ours` `each_test_that_is`",
    );
    assert_eq!(missing(&page, "fn each_test_that_is() {}"), ["a_test_that_is_not_there"]);
}
