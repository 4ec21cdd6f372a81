//! The pages of docs/migration show what `convert` makes of their first block.

use crate::daemon::Sandbox;
use crate::pages::{Block, Page};

fn block<'b>(blocks: &'b [Block], language: &str) -> &'b str {
    &blocks.iter().find(|block| block.language == language).unwrap().text
}

#[test]
fn what_stood_before_becomes_what_stands_after() {
    let pages: Vec<_> =
        Page::all().into_iter().filter(|page| page.path.starts_with("docs/migration/")).collect();
    assert!(pages.len() > 1, "{} pages found", pages.len());
    for page in pages {
        let blocks = page.blocks();
        let sandbox = Sandbox::new("");
        sandbox.write("before.yaml", block(&blocks, "yaml before"));
        let finished = sandbox.run(&["convert", "before.yaml"]);
        assert!([0, 12].contains(&finished.code), "{}: {}", page.path, finished.output());
        assert_eq!(finished.stdout, block(&blocks, "yaml after"), "{}", page.path);
    }
}
