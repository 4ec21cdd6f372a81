//! `filterCertChain` and `certSANs` with real chains, made by rcgen.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType,
};

use super::super::{Context, Dialect, Template, TemplateEngine};
use crate::secret::{Answers, Fields};

fn params(common_name: &str, is_ca: IsCa) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.is_ca = is_ca;
    params.use_authority_key_identifier_extension = true;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params
}

/// PEM sections of a leaf, two CAs between, and a root.
fn chain() -> [String; 4] {
    let ca = || IsCa::Ca(BasicConstraints::Unconstrained);
    let key = || KeyPair::generate().unwrap();
    let (root_key, first_key, second_key) = (key(), key(), key());
    let root = params("root", ca()).self_signed(&root_key).unwrap().pem();
    let root_issuer = Issuer::new(params("root", ca()), root_key);
    let first = params("first", ca()).signed_by(&first_key, &root_issuer).unwrap().pem();
    let first_issuer = Issuer::new(params("first", ca()), first_key);
    let second = params("second", ca()).signed_by(&second_key, &first_issuer).unwrap().pem();
    let second_issuer = Issuer::new(params("second", ca()), second_key);
    let mut leaf = params("leaf", IsCa::ExplicitNoCa);
    leaf.subject_alt_names = vec![
        SanType::URI("spiffe://cluster/shop".try_into().unwrap()),
        SanType::IpAddress("192.0.2.7".parse().unwrap()),
        SanType::DnsName("b.example".try_into().unwrap()),
        SanType::Rfc822Name("ops@example.org".try_into().unwrap()),
        SanType::DnsName("a.example".try_into().unwrap()),
        SanType::IpAddress("2001:db8::1".parse().unwrap()),
    ];
    let leaf = leaf.signed_by(&key(), &second_issuer).unwrap().pem();
    [leaf, second, first, root].map(|pem| pem.replace("\r\n", "\n"))
}

fn render(source: &str, pem: &str) -> Result<String, String> {
    let fields: Fields = [("pem".to_owned(), pem.into())].into_iter().collect();
    let dialect = Dialect { engine: TemplateEngine::Go, ..Dialect::default() };
    let template = Template::compile_as(source, dialect).map_err(|error| error.to_string())?;
    let rendered = template.render(&Context::with_answers(&fields, &Answers::default()), 1 << 20);
    let rendered = rendered.map_err(|error| error.to_string())?;
    Ok(String::from_utf8_lossy(rendered.expose()).into_owned()) // EXPOSE: test
}

fn filtered(place: &str, pem: &str) -> String {
    render(&format!("{{{{ .pem | filterCertChain \"{place}\" }}}}"), pem).unwrap()
}

#[test]
fn a_chain_is_taken_apart_whatever_its_order() {
    let [leaf, second, first, root] = chain();
    let between = format!("{second}{first}");
    for parts in
        [[&leaf, &second, &first, &root], [&root, &first, &leaf, &second], [&first, &root, &second, &leaf]]
    {
        let pem = parts.map(String::as_str).concat();
        assert_eq!(filtered("leaf", &pem), leaf);
        assert_eq!(filtered("intermediate", &pem), between);
        assert_eq!(filtered("root", &pem), root);
    }
    let without_root = format!("junk\n{first}{leaf}{second}");
    assert_eq!(filtered("leaf", &without_root), leaf);
    assert_eq!(filtered("intermediate", &without_root), between);
    assert_eq!(filtered("root", &without_root), "");
    assert_eq!([filtered("leaf", &leaf), filtered("intermediate", &leaf)], [&*leaf, ""]);
}

#[test]
fn a_certificate_that_has_issued_itself_is_a_root_and_no_leaf() {
    let [.., root] = chain();
    assert_eq!([filtered("leaf", &root), filtered("intermediate", &root)], ["", ""]);
    assert_eq!(filtered("root", &root), root);
    // It names no issuer, and the other one has no key identifier at all.
    let mut silent = params("silent", IsCa::Ca(BasicConstraints::Unconstrained));
    silent.use_authority_key_identifier_extension = false;
    let silent = silent.self_signed(&KeyPair::generate().unwrap()).unwrap();
    let bare = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap().cert;
    for own in [silent.pem(), bare.pem()].map(|pem| pem.replace("\r\n", "\n")) {
        assert_eq!([filtered("leaf", &own), filtered("root", &own)], ["", &*own]);
    }
}

#[test]
fn a_private_key_beside_the_chain_is_left_out() {
    let [leaf, second, ..] = chain();
    let key = KeyPair::generate().unwrap().serialize_pem();
    assert_eq!(filtered("leaf", &format!("{key}{leaf}{second}")), leaf);
    assert_eq!(filtered("intermediate", &format!("{leaf}{key}{second}")), second);
}

#[test]
fn what_is_no_chain_is_an_error_that_names_the_function() {
    let [leaf, second, first, root] = chain();
    let [other, ..] = chain();
    let filter = |pem: &str| render("{{ filterCertChain \"leaf\" .pem }}", pem).unwrap_err();
    let damaged = "-----BEGIN CERTIFICATE-----\naHVudGVyMg==\n-----END CERTIFICATE-----\n";
    let cut = leaf.replace("-----END CERTIFICATE-----", "");
    let many = leaf.repeat(101);
    for (pem, cause) in [
        (
            &*format!("{leaf}{second}{other}"),
            "more than one chain: two of them have issued none of the others",
        ),
        (&format!("{leaf}{first}{root}"), "more than one chain"),
        (&format!("{root}{root}"), "each certificate has issued another one"),
        (&format!("{leaf}{second}{damaged}"), "certificate 3 of 3 is damaged"),
        (&cut, "a PEM section has no end"),
        ("hunter2", "it is no PEM file"),
        (&KeyPair::generate().unwrap().serialize_pem(), "the text holds no certificate"),
        (&many, "the text holds 101 certificates, and 100 are allowed"),
    ] {
        let error = filter(pem);
        assert!(error.contains("`filterCertChain`: ") && error.contains(cause), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
    // A circle that no leaf leads out of, and one behind a leaf.
    assert!(filter(&format!("{leaf}{second}{first}{root}{root}")).contains("in a circle"));
    let error = render("{{ .pem | filterCertChain \"Leaf\" }}", &leaf).unwrap_err();
    assert!(error.contains("its first argument is `leaf`, `intermediate` or `root`"), "{error}");
}

#[test]
fn the_names_of_a_certificate_are_a_list() {
    let [leaf, second, ..] = chain();
    let all = "b.example,a.example,192.0.2.7,2001:db8::1,ops@example.org,spiffe://cluster/shop";
    assert_eq!(render("{{ certSANs .pem | join \",\" }}", &format!("{leaf}{second}")).as_deref(), Ok(all));
    assert_eq!(render("{{ range certSANs .pem }}[{{ . }}]{{ end }}", &second).as_deref(), Ok(""));
    for (pem, cause) in [
        ("hunter2", "it is no PEM file"),
        ("-----BEGIN CERTIFICATE-----\naGk=\n-----END CERTIFICATE-----", "the certificate is damaged"),
    ] {
        let error = render("{{ certSANs .pem }}", pem).unwrap_err();
        assert!(error.contains("`certSANs`: ") && error.contains(cause), "{error}");
    }
    // All of them, however many.
    let names = (0..300).map(|index| format!("n{index}.example")).collect::<Vec<_>>();
    let many = rcgen::generate_simple_self_signed(names).unwrap().cert.pem();
    assert_eq!(render("{{ certSANs .pem | len }}", &many).as_deref(), Ok("300"));
}

#[test]
fn the_agent_has_none_of_them() {
    for name in ["filterCertChain", "certSANs"] {
        let dialect = Dialect { engine: TemplateEngine::ConsulTemplate, ..Dialect::default() };
        let error = Template::compile_as(&format!("{{{{ {name} }}}}"), dialect).unwrap_err();
        assert!(error.message.contains(&format!("there is no function `{name}`")), "{error}");
    }
}
