//! What a secret writes: `files` and `directory`.

use super::checks;
use super::conflicts::{OutputKind, Outputs};
use super::context::CompileContext;
use super::local_path::unexpanded;
use super::section::{Item, Section};
use super::suggest;
use super::template::Templates;
use super::text::Text;
use crate::config::diagnostic::{Code, Diagnostic};
use crate::config::keys::{KeySet, KeySpec, KeyType};
use crate::config::secret::{Content, Decoding, DirectorySpec, FileSpec};
use crate::disk::{self, FileMode, Owner, Placement, TargetPath};
use crate::secret::AnswerPath;
use crate::template::Format;

/// One entry of `files`.
pub(super) static FILE_KEYS: KeySet = KeySet {
    exclusive: &[&["key"], &["field"], &["template"], &["format"]],
    ..KeySet::new(
        "secrets[].files[]",
        &[
            &[
                KeySpec::needed(
                    "path",
                    KeyType::LocalPath,
                    "where it is written; a relative path starts at the working directory",
                ),
                KeySpec::new("key", KeyType::Text, "", "an entry of `template.data`"),
                KeySpec::new("field", KeyType::Text, "", "the raw value of one field"),
                KeySpec::new("template", KeyType::Template, "", "a template, for this file only"),
                KeySpec::new(
                    "format",
                    KeyType::Choice(&[
                        "dotenv",
                        "dotenv-raw",
                        "dotenv-systemd",
                        "json",
                        "yaml",
                        "properties",
                    ]),
                    "",
                    "all fields in one document",
                ),
                KeySpec::new(
                    "decoding",
                    KeyType::Choice(&["none", "base64"]),
                    "`none`",
                    "`base64`: the text is base64 and the file gets the bytes; not with `format`",
                ),
                KeySpec::new(
                    "check",
                    KeyType::Choice(&checks::WORDS),
                    "",
                    "what it has to be, or the change is refused: see [checks.md](checks.md)",
                ),
                KeySpec::new(
                    "inPlace",
                    KeyType::Boolean,
                    "`false`",
                    "rewrite the file instead of replacing it: for bind-mounted single files",
                ),
            ],
            ACCESS_KEYS,
        ],
    )
};

/// `directory`.
pub(super) static DIRECTORY_KEYS: KeySet = KeySet::new(
    "secrets[].directory",
    &[
        &[
            KeySpec::needed(
                "path",
                KeyType::LocalPath,
                "the directory; each field becomes the file of its name",
            ),
            KeySpec::new("directoryMode", KeyType::Mode, "`0750`", "of the directory when it is made"),
            KeySpec::new(
                "check",
                KeyType::NamedChoice(&checks::WORDS),
                "",
                "what the files of these names have to be, as `check` of a file; they have to be there",
            ),
        ],
        ACCESS_KEYS,
    ],
);

/// Who may read what is written.
const ACCESS_KEYS: &[KeySpec] = &[
    KeySpec::new(
        "mode",
        KeyType::Mode,
        "`0600`",
        "of each file, octal; other-writable, setuid, setgid, sticky and modes that let nobody read are refused. `420` is \
         octal, too: Kubernetes writes decimal numbers, and a warning shows both readings",
    ),
    KeySpec::new(
        "owner",
        KeyType::Text,
        "the daemon's, see [files.md](files.md#owners)",
        "a number, or a name of `/etc/passwd`",
    ),
    KeySpec::new(
        "group",
        KeyType::Text,
        "the daemon's, see [files.md](files.md#owners)",
        "a number, or a name of `/etc/group`",
    ),
    KeySpec::new(
        "acceptMode",
        KeyType::Boolean,
        "`false`",
        "accept a file system that does not keep modes and owners (NTFS, FAT, SMB): everybody whom it lets in can read the \
         value",
    ),
];

/// The keys one of which says what a file holds.
fn content_keys() -> impl Iterator<Item = &'static str> {
    FILE_KEYS.exclusive.iter().copied().flatten().copied()
}

const FORMATS: [(&str, Format); 6] = [
    ("dotenv", Format::Dotenv),
    ("dotenv-raw", Format::DotenvRaw),
    ("dotenv-systemd", Format::DotenvSystemd),
    ("json", Format::Json),
    ("yaml", Format::Yaml),
    ("properties", Format::Properties),
];

pub(super) fn compile(
    secret: &mut Section<'_>,
    paths: Option<Vec<AnswerPath>>,
    written: &mut Outputs,
    context: &mut CompileContext<'_>,
) -> (Vec<FileSpec>, Option<DirectorySpec>) {
    let mut templates = Templates::compile(secret, paths, context);
    let items = secret.list("files", context);
    let is_empty = items.is_empty() && !secret.is_refused("files");
    let files = files(secret, items, &mut templates, written, context);
    templates.warn_of_unused(context);
    let directory =
        secret.child("directory", context).and_then(|section| directory(section, written, context));
    if is_empty && !secret.has("directory") {
        secret.missing(
            "files",
            "list the files that the secret becomes, or give it a \"directory\"",
            context,
        );
    }
    (files, directory)
}

fn files(
    secret: &Section<'_>,
    items: Vec<Item<'_>>,
    templates: &mut Templates,
    written: &mut Outputs,
    context: &mut CompileContext<'_>,
) -> Vec<FileSpec> {
    let mut sections: Vec<_> = items.into_iter().filter_map(|item| item.open(context)).collect();
    let pairing = pairing(secret, &sections, templates, context);
    let mut files = Vec::with_capacity(sections.len());
    for (index, section) in sections.iter_mut().enumerate() {
        files.extend(file(section, index, pairing, templates, written, context));
    }
    for section in sections {
        section.finish(context);
    }
    files
}

/// Where files without a content key get their content from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pairing {
    /// Each file names its content.
    Named,
    /// The Go tool's shape: the n-th file takes the n-th entry of `template.data`.
    InOrder,
    /// The Go tool's shape with other counts; reported once for all files.
    Refused,
}

fn pairing(
    secret: &Section<'_>,
    files: &[Section<'_>],
    templates: &Templates,
    context: &mut CompileContext<'_>,
) -> Pairing {
    let names_content = |file: &Section<'_>| content_keys().any(|key| file.has(key));
    if files.is_empty() || templates.len() == 0 || files.iter().any(names_content) {
        return Pairing::Named;
    }
    if files.len() != templates.len() {
        let (files, entries) = (files.len(), templates.len());
        let message = format!("{files} files cannot be paired with {entries} entries of template.data");
        let refused = Diagnostic::new(Code::NoContent, secret.place_of("files"), message);
        context.push(refused.hint("say in each file which entry it holds: \"key: …\""));
        return Pairing::Refused;
    }
    let pair = |(file, name): (&Section<'_>, &str)| {
        let path = file.path_of("path");
        format!("{} ← {name}", file.written_text("path").unwrap_or(path))
    };
    let pairs: Vec<_> = files.iter().zip(templates.names()).map(pair).collect();
    let message = format!("files take the templates in the order of the document: {}", pairs.join(", "));
    let is_sorted = templates.names().is_sorted();
    let hint = if is_sorted {
        "say in each file which entry it holds: \"key: …\""
    } else {
        "say in each file which entry it holds: \"key: …\". The Go tool took the entries sorted by name instead, so \
         its files held each other's content"
    };
    context.push(Diagnostic::new(Code::PairedByPosition, secret.place_of("files"), message).hint(hint));
    Pairing::InOrder
}

fn file(
    section: &mut Section<'_>,
    index: usize,
    pairing: Pairing,
    templates: &mut Templates,
    written: &mut Outputs,
    context: &mut CompileContext<'_>,
) -> Option<FileSpec> {
    let target = target(section, OutputKind::File, written, context);
    let written_content = content(section, index, pairing, templates, context);
    let decoding = decoding(section, context);
    let mode = mode(section, "mode", (FileMode::PRIVATE, 0o444), context);
    let owner = owner(section, context);
    let in_place = section.boolean("inPlace", context).unwrap_or(false);
    let accept_mode = section.boolean("acceptMode", context).unwrap_or(false);
    let check = checks::of_file(section, context);
    let placement = Placement { mode, owner, in_place, accept_mode, ..Placement::new(target?) };
    Some(FileSpec { placement, content: written_content?, decoding, check })
}

fn content(
    section: &mut Section<'_>,
    index: usize,
    pairing: Pairing,
    templates: &mut Templates,
    context: &mut CompileContext<'_>,
) -> Option<Content> {
    let given = content_keys().filter(|key| section.has(key)).count();
    let keyed = keyed(section, templates, context);
    let field = field(section, context);
    let template = section.template("template", context);
    let template = template.and_then(|node| templates.template(node, section.place_of("template"), context));
    let format = section.choice("format", &FORMATS, context).map(Content::Format);
    match given {
        0 if pairing == Pairing::InOrder => templates.at(index).map(Content::Template),
        0 if pairing == Pairing::Refused => None,
        0 => {
            let missing =
                Diagnostic::new(Code::NoContent, section.place(), "this file does not say what it holds");
            context.push(missing.hint("give it one of key, field, template and format"));
            None
        }
        1 => keyed.or(field).or(template.map(Content::Template)).or(format),
        _ => {
            let message = "only one of key, field, template and format can say what a file holds";
            context.push(
                Diagnostic::new(Code::ConflictingKeys, section.place(), message).hint("keep one of them"),
            );
            None
        }
    }
}

/// `key`: an entry of `template.data`.
fn keyed(
    section: &mut Section<'_>,
    templates: &mut Templates,
    context: &mut CompileContext<'_>,
) -> Option<Content> {
    let text = section.text("key", context)?;
    if templates.names().any(|name| name == text.value) {
        return templates.named(&text.value).map(Content::Template);
    }
    let unknown = Diagnostic::new(
        Code::UnknownTemplate,
        section.place_of("key"),
        text.is_not("an entry of template.data", ""),
    );
    let hint = match suggest::nearest(&text.value, templates.names()) {
        Some(near) => format!("did you mean {near:?}?"),
        None if templates.len() == 0 => "for a field of the secret write \"field: …\"".to_owned(),
        None => format!("entries: {}", templates.names().collect::<Vec<_>>().join(", ")),
    };
    context.push(unknown.hint(hint));
    None
}

fn field(section: &mut Section<'_>, context: &mut CompileContext<'_>) -> Option<Content> {
    let parse = |text: &str| if text.is_empty() { Err("it is empty") } else { Ok(text.to_owned()) };
    section.parsed("field", (Code::BadValue, "the name of a field"), parse, context).map(Content::Field)
}

fn decoding(section: &mut Section<'_>, context: &mut CompileContext<'_>) -> Decoding {
    let words = [("none", Decoding::None), ("base64", Decoding::Base64)];
    let decoding = section.choice("decoding", &words, context).unwrap_or(Decoding::None);
    if decoding == Decoding::Base64 && section.has("format") {
        let message = "a document of all fields is not base64";
        let conflict = Diagnostic::new(Code::ConflictingKeys, section.place_of("decoding"), message);
        context.push(conflict.hint("name the one field that is base64: \"field: …\""));
    }
    decoding
}

fn directory(
    mut section: Section<'_>,
    written: &mut Outputs,
    context: &mut CompileContext<'_>,
) -> Option<DirectorySpec> {
    let path = target(&mut section, OutputKind::Directory, written, context);
    let mode = mode(&mut section, "mode", (FileMode::PRIVATE, 0o444), context);
    let directory_mode = self::mode(&mut section, "directoryMode", (FileMode::DIRECTORY, 0o111), context);
    let owner = owner(&mut section, context);
    let accept_mode = section.boolean("acceptMode", context).unwrap_or(false);
    let checks = checks::of_directory(&section, path.as_ref(), context);
    section.finish(context);
    Some(DirectorySpec { path: path?, mode, directory_mode, owner, accept_mode, checks })
}

fn target(
    section: &mut Section<'_>,
    kind: OutputKind,
    written: &mut Outputs,
    context: &mut CompileContext<'_>,
) -> Option<TargetPath> {
    if !section.has("path") {
        section.missing("path", "where it is written", context);
    }
    let base = context.working_directory;
    let parse = |text: &Text<'_>| match kind {
        _ if unexpanded(text).is_some() => Err(unexpanded(text).unwrap_or_default().to_owned()),
        OutputKind::File => TargetPath::parse(&text.value, base).map_err(|error| error.to_string()),
        OutputKind::Directory | OutputKind::Generations => {
            TargetPath::parse_directory(&text.value, base).map_err(|error| error.to_string())
        }
    };
    let target = section.parsed_text("path", (Code::BadPath, "a path to write to"), parse, context)?;
    warn_of_other_kind(&target, kind, section, context);
    written.add(target.clone(), kind, section.place_of("path"));
    Some(target)
}

/// Something that is there and cannot be replaced; publishing refuses it, and this says so earlier.
fn warn_of_other_kind(
    target: &TargetPath,
    kind: OutputKind,
    section: &Section<'_>,
    context: &mut CompileContext<'_>,
) {
    let path = target.as_path();
    if ["/proc", "/sys", "/dev"].iter().any(|kernel| path.starts_with(kernel))
        && !path.starts_with("/dev/shm")
    {
        let message = "this path is in a file system of the kernel, which is not for files";
        context.push(
            Diagnostic::new(Code::NotAFile, section.place_of("path"), message).hint("choose another path"),
        );
        return;
    }
    let Ok(found) = target.as_path().symlink_metadata() else { return };
    let message = match kind {
        OutputKind::File if found.is_dir() => {
            "there is a directory at this path, and a file is to be written"
        }
        OutputKind::Directory | OutputKind::Generations if found.is_file() => {
            "there is a file at this path, and a directory is to be filled"
        }
        _ => return,
    };
    context.push(Diagnostic::new(Code::NotAFile, section.place_of("path"), message));
}

/// A mode with `needed`, without which nobody can use what is written.
pub(super) fn mode(
    section: &mut Section<'_>,
    key: &'static str,
    (default, needed): (FileMode, u32),
    context: &mut CompileContext<'_>,
) -> FileMode {
    let parse = |text: &str| match FileMode::parse(text) {
        Ok(mode) if mode.bits() & needed == 0 => Err("with it nobody could read what is written".to_owned()),
        Ok(mode) => Ok(mode),
        Err(error) => Err(match as_decimal(text) {
            Some(octal) => format!("it {error}. If it is decimal, as in Kubernetes, write \"{octal}\""),
            None => format!("it {error}"),
        }),
    };
    let Some(mode) = section.parsed(key, (Code::BadMode, "a mode for a secret"), parse, context) else {
        return default;
    };
    let bits = mode.bits();
    let odd = match () {
        () if bits & 0o400 == 0 => "its owner cannot read it",
        () if bits & 0o060 == 0o020 => "the group can write it and cannot read it",
        () => return mode,
    };
    let decimal = section.written_text(key).and_then(|text| Some((as_decimal(&text)?, text)));
    let decimal =
        decimal.map(|(octal, text)| format!("; if {text} is decimal, as in Kubernetes, it is \"{octal}\""));
    let message = format!("as octal this is \"{mode}\": {odd}{}", decimal.unwrap_or_default());
    context.push(Diagnostic::new(Code::OddMode, section.place_of(key), message));
    mode
}

/// The mode that `text` is as a decimal number, if that is a usual one.
fn as_decimal(text: &str) -> Option<FileMode> {
    let bits: u32 = text.parse().ok().filter(|_| !text.starts_with('0'))?;
    FileMode::parse(&format!("{bits:o}")).ok().filter(|mode| mode.bits() & 0o400 != 0)
}

/// Owner and group are resolved apart, so that a mistake is shown at the right one.
pub(super) fn owner(section: &mut Section<'_>, context: &mut CompileContext<'_>) -> Owner {
    let one =
        |text: &str| if text.contains(':') { Err("owner and group are two keys".to_owned()) } else { Ok(()) };
    let user = |text: &str| {
        one(text).and_then(|()| Owner::resolve(Some(text), None).map_err(|error| error.to_string()))
    };
    let group = |text: &str| {
        one(text).and_then(|()| Owner::resolve(None, Some(text)).map_err(|error| error.to_string()))
    };
    let user =
        section.parsed("owner", (Code::BadOwner, "a user"), user, context).and_then(|owner| owner.user);
    let group =
        section.parsed("group", (Code::BadOwner, "a group"), group, context).and_then(|owner| owner.group);
    warn_of_chown("owner", Owner { user, group: None }, section, context);
    warn_of_chown("group", Owner { user: None, group }, section, context);
    Owner { user, group }
}

/// A warning and no error: the configuration may be checked by another user than the one that runs the daemon.
fn warn_of_chown(key: &str, owner: Owner, section: &Section<'_>, context: &mut CompileContext<'_>) {
    if !disk::may_give_to(owner) {
        let message = "cannot change file ownership: needs root or CAP_CHOWN";
        context.push(Diagnostic::new(Code::CannotChown, section.place_of(key), message));
    }
}
