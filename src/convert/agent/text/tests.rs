//! What texts ask for.

use super::*;

fn uses(text: &str) -> TextUses {
    TextUses::of(text, &Delimiters::default()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn paths(text: &str) -> Vec<String> {
    uses(text).calls.iter().map(|call| call.path.to_configuration()).collect()
}

#[test]
fn paths_of_texts_and_variables_are_known() {
    for (text, path) in [
        ("{{ with secret \"secret/data/a\" }}{{ end }}", "secret/data/a"),
        ("{{ (secret \"a/b\").Data.x }}", "a/b"),
        ("{{ with secret (printf \"a/%s/%v\" \"b\" `c`) }}{{ end }}", "a/b/c"),
        ("{{ \"b\" | printf \"a/%s\" | secret }}", "a/b"),
        ("{{ $p := \"a/b\" }}{{ secret $p }}", "a/b"),
        ("{{ with secret (print \"a/\" (env \"X\") \"/$c\") }}{{ end }}", "a/${X}/$$c"),
        ("{{ define \"t\" }}{{ secret \"a/b\" }}{{ end }}{{ template \"t\" . }}", "a/b"),
    ] {
        assert_eq!(paths(text), [path], "{text}");
    }
}

#[test]
fn fields_belong_to_the_call_that_they_come_from() {
    let fields = |text: &str| -> Vec<(usize, String)> {
        uses(text).fields.iter().map(|field| (field.call, field.name.clone())).collect()
    };
    for (text, expected) in [
        (
            "{{ with secret \"a/b\" }}{{ .Data.data.x.y }}{{ .Data.z }}{{ .Data.metadata.v }}{{ end }}",
            vec![(0, "x"), (0, "z")],
        ),
        (
            "{{ with $a := secret \"a/b\" }}{{ with secret \"c/d\" }}{{ $a.Data.data.x }}{{ .Data.data.y }}{{ end }}{{ end }}",
            vec![(0, "x"), (1, "y")],
        ),
        (
            "{{ with (secret \"a/b\").Data.data }}{{ .x }}{{ index . \"y-z\" }}{{ end }}",
            vec![(0, "x"), (0, "y-z")],
        ),
    ] {
        let expected: Vec<_> = expected.into_iter().map(|(call, name)| (call, name.to_owned())).collect();
        assert_eq!(fields(text), expected, "{text}");
    }
}

#[test]
fn paths_out_of_secrets_are_refused() {
    for text in [
        "{{ with secret \"a/b\" }}{{ secret (printf \"x/%s\" .Data.k) }}{{ end }}",
        "{{ $p := \"a\" }}{{ if true }}{{ $p = \"b\" }}{{ end }}{{ secret $p }}",
        "{{ range $k, $v := .x }}{{ secret $k }}{{ end }}",
        "{{ secret }}",
    ] {
        assert!(uses(text).problems.iter().any(|problem| !problem.is_warning), "{text}");
    }
}

#[test]
fn what_is_done_with_an_answer_is_known() {
    for (text, expected) in [
        ("{{ with secret \"p/q\" }}{{ .Data.data.x }}{{ end }}", (true, false, false)),
        ("{{ with secret \"p/q\" }}{{ .Data.x }}{{ end }}", (false, true, false)),
        (
            "{{ with $s := secret \"p/q\" }}{{ range $k, $v := $s.Data }}{{ end }}{{ end }}",
            (false, false, true),
        ),
        ("{{ $d := (secret \"p/q\").Data }}{{ $d.data.x }}", (true, false, false)),
        ("{{ with secret \"p/q\" }}{{ with .Data.data }}{{ .x }}{{ end }}{{ end }}", (true, false, false)),
        (
            "{{ with secret \"p/q\" }}{{ index .Data \"x-y\" }}{{ .Data | toJSON }}{{ end }}",
            (false, true, true),
        ),
        (
            "{{ define \"t\" }}{{ .Data.data.x }}{{ end }}{{ with secret \"p/q\" }}{{ template \"t\" . }}{{ end }}",
            (true, false, false),
        ),
    ] {
        let uses = uses(text);
        let call = uses.calls.first().unwrap();
        let has = |part| call.uses.contains(&part);
        let found = (has(AnswerPart::Data), has(AnswerPart::Field), has(AnswerPart::Whole));
        assert_eq!(found, expected, "{text}");
    }
}

#[test]
fn functions_that_reach_further_are_named() {
    for (text, word, at) in [
        ("{{ file \"/etc/x\" }}", "`file`", 3),
        ("a {{ key \"x\" }}", "`key`", 5),
        ("{{ .x | default \"y\" }}", "sprig_default", 8),
        ("{{ range service \"db\" }}{{ end }}", "Consul", 9),
        ("{{ env \"NOMAD_IP_http\" }}", "Nomad", 3),
        ("{{ with secret \"a/b\" }}{{ .RequestID }}{{ end }}", "`.RequestID`", 26),
        ("{{ timestamp }}", "created_time", 3),
        ("{{ nothing }}", "no such function", 3),
    ] {
        let uses = uses(text);
        let found = uses.problems.first().unwrap();
        assert!(found.message.contains(word) && found.at == at, "{text}: {found:?}");
    }
    assert!(uses("{{ sprig_default \"x\" .y | toUpper | printf \"%q\" }}").problems.is_empty());
}

#[test]
fn texts_that_use_each_other_end() {
    let twice = |n: usize| {
        let inner = format!("{{{{ template \"t{}\" . }}}}", n + 1);
        format!("{{{{ define \"t{n}\" }}}}{inner}{inner}{{{{ end }}}}")
    };
    let mut text: String = (0..40).map(twice).collect();
    text.push_str("{{ define \"t40\" }}{{ template \"t0\" . }}{{ end }}{{ template \"t0\" . }}");
    assert!(uses(&text).calls.is_empty());
}
