//! What another tool writes, read from its files alone: `convert --verify` renders it beside the configuration. Nothing of
//! the conversion is used, so that its mistakes show.

mod external;
mod go_tool;
mod template;

use crate::convert::detect::{self, InputKind};
use crate::convert::object;
use crate::convert::options::{ConvertInput, ConvertOptions, TemplateFinder};
pub use external::{OriginalPart, OriginalSecret};
pub use go_tool::OriginalEntry;
pub use template::{OriginalField, OriginalRead, OriginalTemplate};

/// All that the files of one call write.
#[derive(Default)]
pub struct Originals {
    /// Templates of the Agent, consul-template and Nomad.
    pub templates: Vec<OriginalTemplate>,
    /// Manifests of External Secrets.
    pub secrets: Vec<OriginalSecret>,
    /// Entries of configurations of the Go tool.
    pub entries: Vec<OriginalEntry>,
    /// What this reading does not know: the file, its line, and why.
    pub unread: Vec<(String, u32, String)>,
}

/// Reads all files.
pub fn originals(
    inputs: &[ConvertInput],
    options: &ConvertOptions,
    templates: &TemplateFinder<'_>,
) -> Originals {
    let mut found = Originals::default();
    let mut roots = Vec::new();
    for input in inputs {
        let unread = |what: &str| (input.name.clone(), 1, format!("{what} is not rendered for comparison"));
        match detect::detect(input) {
            Ok(InputKind::Agent(root)) => {
                let reading = template::Reading { file: &input.name, inputs, options, templates };
                reading.agent(&root, &mut found);
            }
            Ok(InputKind::Nomad(root)) => {
                let reading = template::Reading { file: &input.name, inputs, options, templates };
                reading.nomad(&root, &mut found);
            }
            Ok(InputKind::Yaml(documents)) => {
                roots.extend(documents.into_iter().map(|root| (&input.name, root)));
            }
            Ok(InputKind::Envconsul(_)) => found.unread.push(unread("a configuration of envconsul")),
            Ok(InputKind::Template | InputKind::Foreign(_)) | Err(_) => {}
        }
    }
    let mut objects = Vec::new();
    for (file, root) in &roots {
        if super::go_tool::is_one(root) {
            go_tool::read(file, root, &mut found);
        } else if let Ok(some) = object::objects(file, root) {
            objects.extend(some);
        }
    }
    external::read(&objects, options, &mut found);
    found
}
