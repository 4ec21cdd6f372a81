//! The pages of docs/migration show what `convert` makes of their first block.

use crate::daemon::Sandbox;
use crate::pages::{Block, Page};

fn block<'b>(blocks: &'b [Block], place: &str) -> (&'b str, &'b str) {
    let found =
        blocks.iter().find_map(|block| Some((block.language.strip_suffix(place)?.trim(), &*block.text)));
    found.unwrap()
}

#[test]
fn what_stood_before_becomes_what_stands_after() {
    let pages: Vec<_> =
        Page::all().into_iter().filter(|page| page.path.starts_with("docs/migration/")).collect();
    assert!(pages.len() > 1, "{} pages found", pages.len());
    for page in pages {
        let blocks = page.blocks();
        let sandbox = Sandbox::new("");
        let (language, before) = block(&blocks, " before");
        let file = format!("before.{language}");
        sandbox.write(&file, before);
        let finished = sandbox.run(&["convert", &file]);
        assert!([0, 12].contains(&finished.code), "{}: {}", page.path, finished.output());
        assert_eq!(finished.stdout, block(&blocks, " after").1, "{}", page.path);
    }
}
