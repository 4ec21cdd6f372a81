//! What one secret's files hold, and what is said when they cannot.

use std::collections::BTreeMap;
use std::path::Path;

use super::*;
use crate::config::secret::SecretSpec;
use crate::disk::{FileMode, Owner};
use crate::secret::SecretText;
use crate::template::{Format, Template};
use crate::testing::{file_read, job_of, secret_spec};

fn path(text: &str) -> TargetPath {
    TargetPath::parse(text, Path::new("/")).unwrap()
}

fn file(content: Content, decoding: Decoding) -> FileSpec {
    let owner = Owner { user: Some(7), group: None };
    let placement = Placement { owner, in_place: true, ..Placement::new(path("/out/file")) };
    FileSpec { placement, content, decoding, check: None }
}

fn directory() -> DirectorySpec {
    let owner = Owner { user: None, group: Some(8) };
    DirectorySpec {
        path: path("/run/app"),
        mode: FileMode::PRIVATE,
        directory_mode: FileMode::PRIVATE,
        accept_mode: false,
        checks: BTreeMap::new(),
        owner,
    }
}

fn job(files: Vec<FileSpec>, directory: Option<DirectorySpec>) -> Job {
    let secret = SecretSpec { files, directory, ..secret_spec("app", file_read("app")) };
    Job { max_file_size: 12, ..job_of(secret) }
}

#[test]
fn bytes_reach_their_file_unchanged_and_no_template_or_document() {
    let bytes = FieldValue::Bytes(SecretBytes::new(b"\xff\0\xfe".to_vec()));
    let fields: Fields =
        [("keystore".to_owned(), bytes), ("user".to_owned(), "app".into())].into_iter().collect();
    let raw = vec![file(Content::Field("keystore".into()), Decoding::None)];
    for rendered in [render(&job(raw, None), &fields), render(&job(Vec::new(), Some(directory())), &fields)] {
        // EXPOSE: compared in a test.
        assert_eq!(rendered.unwrap().files[0].content.expose(), b"\xff\0\xfe");
    }
    let template = Template::compile("{{ keystore }}").unwrap();
    let fault =
        render(&job(vec![file(Content::Template(template), Decoding::None)], None), &fields).unwrap_err();
    assert!(fault.message.contains("keystore (bytes, for `field` only), user"), "{fault}");
    for format in [Format::Dotenv, Format::Json, Format::Yaml, Format::Properties] {
        let files = vec![file(Content::Format(format), Decoding::None)];
        let fault = render(&job(files, None), &fields).unwrap_err();
        assert!(fault.message.contains("keystore") && fault.message.contains("is not text"), "{fault}");
    }
}

fn fields() -> Fields {
    let number = FieldValue::Number(SecretText::new("1.10".into()));
    [
        ("user", "app".into()),
        ("none", FieldValue::Null),
        ("n", number),
        ("b64", "3q2-7w".into()),
        ("long", "x".repeat(13).as_str().into()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into_iter()
    .collect()
}

fn one(content: Content, decoding: Decoding) -> Result<Vec<u8>, Fault> {
    let rendered = render(&job(vec![file(content, decoding)], None), &fields())?;
    Ok(rendered.files[0].content.expose().to_vec()) // EXPOSE: test
}

fn template(source: &str) -> Content {
    Content::Template(Template::compile(source).unwrap())
}

fn field(name: &str) -> Content {
    Content::Field(name.to_owned())
}

fn entries(names: &[&str]) -> Result<Rendered, Fault> {
    let fields = names.iter().map(|name| ((*name).to_owned(), "v".into())).collect();
    render(&job(Vec::new(), Some(directory())), &fields)
}

#[test]
fn each_kind_of_content_is_rendered() {
    assert_eq!(one(template("u={{ user }}"), Decoding::None).unwrap(), b"u=app");
    assert_eq!(one(field("n"), Decoding::None).unwrap(), b"1.10");
    assert_eq!(one(field("b64"), Decoding::Base64).unwrap(), [0xde, 0xad, 0xbe, 0xef]);
    assert_eq!(one(template(" {{ b64 }}\n"), Decoding::Base64).unwrap(), [0xde, 0xad, 0xbe, 0xef]);
    assert_eq!(one(template("{# nothing #}"), Decoding::None).unwrap(), b"");
    let all = [("A".to_owned(), "1 2".into())].into_iter().collect();
    let rendered =
        render(&job(vec![file(Content::Format(Format::Dotenv), Decoding::None)], None), &all).unwrap();
    assert_eq!(rendered.files[0].content.expose(), b"A='1 2'\n"); // EXPOSE: test
}

#[test]
fn a_file_gets_what_its_configuration_says() {
    let rendered = render(&job(vec![file(field("user"), Decoding::None)], None), &fields()).unwrap();
    assert_eq!(rendered.files[0].placement, file(field("user"), Decoding::None).placement);
}

#[test]
fn a_directory_gets_one_file_per_field_after_the_files() {
    let fields: Fields =
        [("b", "2"), ("a", "1")].map(|(name, value)| (name.to_owned(), value.into())).into_iter().collect();
    let rendered = render(&job(vec![file(field("a"), Decoding::None)], Some(directory())), &fields).unwrap();
    let files: Vec<_> =
        rendered.files.iter().map(|file| (file.placement.target.as_path(), file.content.expose())).collect(); // EXPOSE: test
    assert_eq!(
        files,
        [
            (Path::new("/out/file"), &b"1"[..]),
            (Path::new("/run/app/a"), b"1"),
            (Path::new("/run/app/b"), b"2"),
        ]
    );
    let entry = &rendered.files[1].placement;
    assert_eq!((entry.parent_mode, entry.owner.group, entry.in_place), (FileMode::PRIVATE, Some(8), false));
}

#[test]
fn faults_name_the_file_the_cause_and_the_remedy() {
    use Kind::{Output, Template};
    let all = "the secret has b64, long, n, none, user";
    for (content, decoding, kind, message) in [
        (
            template("{{ usr }}"),
            Decoding::None,
            Template,
            format!("line 1, column 4: `usr` is not defined; {all}"),
        ),
        (field("usr"), Decoding::None, Template, format!("there is no field `usr`; {all}")),
        (field("none"), Decoding::None, Template, "field `none`: the field is null".to_owned()),
        (field("user"), Decoding::Base64, Output, "the content is not base64".to_owned()),
        (
            field("long"),
            Decoding::None,
            Output,
            "the result is larger than maxFileSize (12 bytes)".to_owned(),
        ),
        (
            template("{{ long }}"),
            Decoding::None,
            Output,
            "the result is larger than maxFileSize (12 bytes)".to_owned(),
        ),
    ] {
        let fault = one(content, decoding).unwrap_err();
        assert_eq!((fault.kind, &*fault.message), (kind, &*format!("/out/file: {message}")));
        assert!(!fault.remedy.is_empty() && !fault.remedy.ends_with('.'), "{fault:?}");
    }
}

#[test]
fn names_that_are_no_file_names_are_refused() {
    for name in ["", ".", "..", "a/b", "/etc/passwd", "a\0", ".secrets-sync-x", &"x".repeat(256)] {
        let fault = entries(&["ok", name]).unwrap_err();
        assert_eq!(fault.kind, Kind::Output);
        assert!(
            fault
                .message
                .starts_with(&format!("/run/app: field `{}` cannot name a file: it ", name.escape_debug())),
            "{fault}"
        );
    }
    assert_eq!(entries(&["tls.crt", "a b", "é", "...", ".env", &"x".repeat(255)]).unwrap().files.len(), 6);
}

#[test]
fn a_field_is_not_written_over_a_file_of_files() {
    let mut twice = file(field("user"), Decoding::None);
    twice.placement.target = path("/run/app/user");
    let only_user = [("user".to_owned(), "app".into())].into_iter().collect();
    let fault = render(&job(vec![twice], Some(directory())), &only_user).unwrap_err();
    assert_eq!(fault.message, "/run/app: field `user` would be written to a file that `files` names as well");
}

#[test]
fn a_null_field_of_a_directory_is_refused_by_name() {
    let fault = render(&job(Vec::new(), Some(directory())), &fields()).unwrap_err();
    assert_eq!(fault.message, "/run/app/long: the result is larger than maxFileSize (12 bytes)");
    let null = [("a".to_owned(), FieldValue::Null)].into_iter().collect();
    let fault = render(&job(Vec::new(), Some(directory())), &null).unwrap_err();
    assert_eq!(fault.message, "/run/app: field `a` is null");
}

#[test]
fn only_short_values_and_templates_without_logic_are_plain() {
    let template = |source: &str| Content::Template(Template::compile(source).unwrap());
    let plain =
        |content: Content, fields: &Fields| job(vec![file(content, Decoding::None)], None).is_plain(fields);
    let short = fields();
    assert!(plain(field("user"), &short) && plain(template("{{ user }}:{{ pass }}"), &short));
    for source in
        ["{% for c in range(end=9) %}{{ c }}{% endfor %}", "{{ user | upper }}", "{{ range(end=9) }}"]
    {
        assert!(!plain(template(source), &short), "{source}");
    }
    let long = [("user".to_owned(), "x".repeat(20_000).as_str().into())].into_iter().collect();
    let many: Fields = (0..20).map(|index| (index.to_string(), "x".into())).collect();
    let nested = [("user".to_owned(), FieldValue::List(vec!["x".into()]))].into_iter().collect();
    for fields in [&long, &many, &nested] {
        assert!(!plain(field("user"), fields), "{fields:?}");
    }
}
