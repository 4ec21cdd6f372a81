//! Real certificates, made by rcgen, against each rule.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PKCS_ECDSA_P384_SHA384, PKCS_ED25519,
    PKCS_RSA_SHA256, SignatureAlgorithm,
};

use super::*;

const DAY: Duration = Duration::from_secs(86_400);
const NO_LIFE: Duration = Duration::ZERO;

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + DAY * 20_000
}

/// Valid from `begin` to `end`, days from now.
fn params(common_name: &str, names: &[&str], begin: i64, end: i64) -> CertificateParams {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, common_name);
    let midnight = rcgen::date_time_ymd(2024, 10, 4);
    let days = |days: i64| {
        let distance = DAY * u32::try_from(days.abs()).unwrap();
        if days < 0 { midnight - distance } else { midnight + distance }
    };
    (params.not_before, params.not_after) = (days(begin), days(end));
    params
}

struct Ca {
    issuer: Issuer<'static, KeyPair>,
    params: CertificateParams,
    pem: String,
}

impl Ca {
    /// A root, or what `parent` has issued.
    fn new(name: &str, parent: Option<&Ca>, end: i64) -> Self {
        Self::of_key(name, parent, end, KeyPair::generate().unwrap())
    }

    fn of_key(name: &str, parent: Option<&Ca>, end: i64, key: KeyPair) -> Self {
        let mut params = params(name, &[], -400, end);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let own = match parent {
            Some(parent) => params.signed_by(&key, &parent.issuer).unwrap(),
            None => params.self_signed(&key).unwrap(),
        };
        Self { issuer: Issuer::new(params.clone(), key), params, pem: own.pem() }
    }

    /// The certificate that `other` issues for this CA's name and key.
    fn signed_by(&self, other: &Ca, end: i64) -> String {
        let mut params = self.params.clone();
        params.not_after = self::params("", &[], -1, end).not_after;
        params.signed_by(self.issuer.key(), &other.issuer).unwrap().pem()
    }

    fn issue(&self, params: &CertificateParams) -> (String, KeyPair) {
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key)
    }
}

fn chain(parts: &[&str]) -> CertificateChain {
    CertificateChain::read(PemFile::read(parts.concat().as_bytes()).unwrap().certificates).unwrap()
}

fn roots(parts: &[&str]) -> CaCertificates {
    CaCertificates::read(PemFile::read(parts.concat().as_bytes()).unwrap().certificates).unwrap()
}

fn key(pem: &str) -> PrivateKey {
    PrivateKey::read(PemFile::read(pem.as_bytes()).unwrap().keys.remove(0)).unwrap()
}

fn cause(checked: Result<(), Flaw>) -> String {
    checked.unwrap_err().cause
}

#[test]
fn a_chain_is_in_order_when_each_certificate_is_issued_by_the_next() {
    let root = Ca::new("root", None, 400);
    let middle = Ca::new("middle", Some(&root), 400);
    let (leaf, _) = middle.issue(&params("leaf", &["a.example"], -1, 30));
    for good in [vec![&*leaf], vec![&leaf, &middle.pem], vec![&leaf, &middle.pem, &root.pem], vec![&root.pem]]
    {
        assert_eq!(chain(&good).check_order(), Ok(()));
    }
    let stranger = Ca::new("root", None, 400);
    for (bad, nth) in [
        (vec![&*middle.pem, &leaf], "2 of 2"),
        (vec![&leaf, &root.pem, &middle.pem], "2 of 3"),
        (vec![&leaf, &middle.pem, &stranger.pem], "3 of 3"),
        (vec![&leaf, &leaf], "2 of 2"),
    ] {
        let cause = cause(chain(&bad).check_order());
        assert!(cause.contains("out of order") && cause.contains(nth), "{cause}");
    }
}

#[test]
fn the_name_of_an_issuer_is_not_enough() {
    let (real, false_one) = (Ca::new("root", None, 400), Ca::new("root", None, 400));
    let (leaf, _) = real.issue(&params("leaf", &["a.example"], -1, 30));
    assert_eq!(chain(&[&leaf, &real.pem]).check_order(), Ok(()));
    assert!(chain(&[&leaf, &false_one.pem]).check_order().is_err());
    assert!(roots(&[&false_one.pem]).check_path(&chain(&[&leaf]), now(), NO_LIFE).is_err());
}

#[test]
fn a_certificate_is_valid_between_its_dates_and_a_little_before() {
    let root = Ca::new("root", None, 400);
    let (leaf, _) = root.issue(&params("leaf", &[], 0, 30));
    let chain = chain(&[&leaf]);
    let minute = Duration::from_secs(60);
    assert_eq!(chain.check_leaf_life(now(), NO_LIFE), Ok(()));
    assert_eq!(chain.check_leaf_life(now() - minute * 5, NO_LIFE), Ok(()), "clocks differ");
    assert!(
        cause(chain.check_leaf_life(now() - minute * 6, NO_LIFE)).contains("is not valid before 2024-10-04")
    );
    assert_eq!(chain.check_leaf_life(now() + DAY * 30, NO_LIFE), Ok(()));
    let expired = cause(chain.check_leaf_life(now() + DAY * 30 + minute, NO_LIFE));
    assert_eq!(expired, "its certificate expired at 2024-11-03 00:00:00 UTC");
    assert_eq!(chain.check_leaf_life(now() + DAY * 27, DAY * 3), Ok(()));
    let short = cause(chain.check_leaf_life(now() + DAY * 27 + minute, DAY * 3));
    assert!(short.contains("expires at 2024-11-03 00:00:00 UTC, sooner than check.minLife"), "{short}");
    assert!(chain.check_leaf_life(now(), Duration::MAX).is_err(), "beyond every clock");
    assert_eq!(chain.not_after(), now() + DAY * 30);
}

#[test]
fn an_expired_issuer_is_refused_unless_a_good_one_of_the_same_key_is_beside_it() {
    let (old, root) = (Ca::new("old", None, -10), Ca::new("root", None, 400));
    let middle = Ca::new("middle", Some(&root), 20);
    let (leaf, _) = middle.issue(&params("leaf", &[], -1, 30));
    let (good, cross_signed) = (root.pem.clone(), root.signed_by(&old, -10));
    let check = |parts: &[&str], life| chain(parts).check_issuers_life(now(), life);
    assert_eq!(check(&[&leaf, &middle.pem, &good], DAY * 20), Ok(()));
    let short = cause(check(&[&leaf, &middle.pem, &good], DAY * 21));
    assert!(short.starts_with("certificate 2 of 3 in its chain expires at"), "{short}");
    let expired = cause(check(&[&leaf, &middle.pem, &cross_signed], NO_LIFE));
    assert!(expired.starts_with("certificate 3 of 3 in its chain expired at"), "{expired}");
    assert_eq!(check(&[&leaf, &middle.pem, &cross_signed, &good], NO_LIFE), Ok(()));
    assert_eq!(check(&[&leaf, &middle.pem, &good, &cross_signed], NO_LIFE), Ok(()));
}

#[test]
fn webpki_finds_the_way_round_an_expired_root() {
    let (old, root) = (Ca::new("old", None, -10), Ca::new("root", None, 400));
    let middle = Ca::new("middle", Some(&root), 200);
    let (leaf, _) = middle.issue(&params("leaf", &["a.example"], -1, 30));
    let cross_signed = root.signed_by(&old, -10);
    let check = |parts: &[&str], ca: &[&str]| roots(ca).check_path(&chain(parts), now(), DAY);
    for parts in [vec![&*leaf, &middle.pem], vec![&leaf, &middle.pem, &cross_signed]] {
        assert_eq!(check(&parts, &[&old.pem, &root.pem]), Ok(()));
        assert_eq!(check(&parts, &[&cross_signed, &root.pem]), Ok(()));
        assert!(check(&parts, &[&old.pem]).is_err());
    }
    assert!(roots(&[&old.pem, &root.pem]).check_life(now(), DAY).is_ok());
    assert_eq!(cause(roots(&[&old.pem]).check_life(now(), NO_LIFE)), "its certificates have expired");
    let short = cause(roots(&[&root.pem]).check_life(now(), DAY * 401));
    assert!(short.contains("minLife"), "{short}");
}

#[test]
fn a_chain_leads_to_the_ca_or_it_is_said_why_not() {
    let (root, other) = (Ca::new("root", None, 400), Ca::new("other", None, 400));
    let middle = Ca::new("middle", Some(&root), 5);
    let (leaf, _) = middle.issue(&params("leaf", &[], -1, 30));
    let ca = roots(&[&root.pem]);
    assert_eq!(ca.check_path(&chain(&[&leaf, &middle.pem]), now(), NO_LIFE), Ok(()));
    assert_eq!(
        roots(&[&middle.pem]).check_path(&chain(&[&leaf]), now(), NO_LIFE),
        Ok(()),
        "a CA in between will do"
    );
    let why =
        |ca: &CaCertificates, parts: &[&str], life| ca.check_path(&chain(parts), now(), life).unwrap_err();
    assert_eq!(why(&ca, &[&leaf], NO_LIFE), "none of those certificates has issued it");
    assert_eq!(
        why(&roots(&[&other.pem]), &[&leaf, &middle.pem], NO_LIFE),
        "none of those certificates has issued it"
    );
    assert!(why(&ca, &[&leaf, &middle.pem], DAY * 6).contains("expired"));
    // A certificate that is its own CA, and that of a CA.
    let own = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap().cert.pem();
    assert_eq!(roots(&[&own]).check_path(&chain(&[&own]), now(), NO_LIFE), Ok(()));
    assert_eq!(ca.check_path(&chain(&[&middle.pem]), now(), NO_LIFE), Ok(()));
    assert!(roots(&[&other.pem]).check_path(&chain(&[&middle.pem]), now(), NO_LIFE).is_err());
    // The start of a certificate is within the skew: so is the way to it.
    let (soon, _) = root.issue(&params("leaf", &[], 0, 30));
    let early = now() - Duration::from_secs(200);
    assert_eq!(ca.check_path(&chain(&[&soon]), early, NO_LIFE), Ok(()));
}

#[test]
fn names_are_covered_by_the_rules_of_tls() {
    let root = Ca::new("root", None, 400);
    let (leaf, _) =
        root.issue(&params("cn.example", &["www.example.com", "*.example.org", "10.0.0.1", "::1"], -1, 30));
    let chain = chain(&[&leaf]);
    let name = |text| chain.check_name(&CertificateName::parse(text).unwrap());
    for good in [
        "www.example.com",
        "WWW.EXAMPLE.com",
        "a.example.org",
        "*.example.org",
        "*.EXAMPLE.org",
        "10.0.0.1",
        "::1",
    ] {
        assert_eq!(name(good), Ok(()), "{good}");
    }
    for bad in ["example.com", "example.org", "a.b.example.org", "*.example.com", "10.0.0.2", "cn.example"] {
        assert!(cause(name(bad)).contains(&format!("is not for {bad}, ")), "{bad}");
    }
    assert_eq!(chain.names(), ["www.example.com", "*.example.org", "10.0.0.1", "::1"]);
    for wrong in ["", "a b", "https://a.example", "*", "*.*.example", "a.*.example", "10.0.0.0/8"] {
        assert!(CertificateName::parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_key_of_any_usual_kind_belongs_to_its_own_certificate_alone() {
    let kinds: [&SignatureAlgorithm; 4] =
        [&PKCS_ED25519, &PKCS_ECDSA_P384_SHA384, &PKCS_RSA_SHA256, &rcgen::PKCS_ECDSA_P256_SHA256];
    let pairs = kinds.map(|kind| {
        let key = KeyPair::generate_for(kind).unwrap();
        let own = params("leaf", &["a.example"], -1, 30).self_signed(&key).unwrap();
        (chain(&[&own.pem()]), self::key(&key.serialize_pem()))
    });
    for (nth, (_, key)) in pairs.iter().enumerate() {
        for (other, (chain, _)) in pairs.iter().enumerate() {
            assert_eq!(key.belongs_to(chain), nth == other);
        }
        assert_eq!(pairs[nth].0.check_order(), Ok(()));
    }
    let damaged =
        PemFile::read(b"-----BEGIN PRIVATE KEY-----\naHVudGVyMg==\n-----END PRIVATE KEY-----\n").unwrap();
    let flaw = PrivateKey::read(damaged.keys.into_iter().next().unwrap()).err().unwrap();
    assert!(flaw.cause.contains("cannot be used") && flaw.remedy.contains("openssl pkey"), "{flaw:?}");
}

#[test]
fn a_pem_file_is_read_whole_or_its_flaw_is_named_without_its_text() {
    let read =
        |text: &str| PemFile::read(text.as_bytes()).map(|file| (file.certificates.len(), file.keys.len()));
    let end = "-----END PRIVATE KEY-----\n";
    let begin = "-----BEGIN PRIVATE KEY-----\n";
    let parameters = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
    assert_eq!(read(&format!("# words\n{parameters}{begin}aGk=\n{end}\n")), Ok((0, 1)));
    assert_eq!(read(&format!("{begin}aGk=\n{end}").replace('\n', "\r\n")), Ok((0, 1)));
    for (text, cause) in [
        ("hunter2".to_owned(), "it is no PEM file"),
        (format!("hunter2 {begin}aGk=\n{end}"), "begins in the middle of a line"),
        (format!("{begin}aGk=\n{end}hunter2: {begin}aGk=\n{end}"), "begins in the middle of a line"),
        (format!("{begin}hunter2 hunter2!\n{end}"), "is not base64"),
        (format!("{begin}aGk=\n"), "has no end"),
        (format!("{begin}aGk=\n-----END HUNTER2-----\n"), "has no end"),
        (format!("{begin}aGk=\n{end}").replace('\n', "\\n"), "does not begin as it must"),
        ("-----BEGIN ENCRYPTED PRIVATE KEY-----\nhunter2\n".to_owned(), "is encrypted"),
        (
            format!("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nhunter2\n{end}"),
            "is encrypted",
        ),
    ] {
        let flaw = read(&text).unwrap_err();
        assert!(flaw.cause.contains(cause), "{text}: {flaw:?}");
        assert!(!flaw.cause.to_lowercase().contains("hunter2"), "{flaw:?}");
    }
    let damaged = "-----BEGIN CERTIFICATE-----\naHVudGVyMg==\n-----END CERTIFICATE-----\n";
    let damaged = PemFile::read(damaged.as_bytes()).unwrap().certificates;
    assert_eq!(CertificateChain::read(damaged).err().unwrap().cause, "certificate 1 of 1 is damaged");
    assert_eq!(CertificateChain::read(Vec::new()).err().unwrap().cause, "it holds no certificate");
    assert_eq!(CaCertificates::read(Vec::new()).err().unwrap().cause, "it holds no certificate");
}
