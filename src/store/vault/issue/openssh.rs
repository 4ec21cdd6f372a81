//! OpenSSH certificates, as much as is needed to know whose they are and when they end. The format is that of
//! PROTOCOL.certkeys and, for keys, PROTOCOL.key of OpenSSH: big-endian numbers, and strings with their length.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// No certificate, and no private key, is longer.
const LONGEST: usize = 64 << 10;

/// Each type of certificate, the type of its key, and of how many strings the key is.
const TYPES: [(&str, &str, usize); 7] = [
    ("ssh-rsa-cert-v01@openssh.com", "ssh-rsa", 2),
    ("ssh-ed25519-cert-v01@openssh.com", "ssh-ed25519", 1),
    ("ecdsa-sha2-nistp256-cert-v01@openssh.com", "ecdsa-sha2-nistp256", 2),
    ("ecdsa-sha2-nistp384-cert-v01@openssh.com", "ecdsa-sha2-nistp384", 2),
    ("ecdsa-sha2-nistp521-cert-v01@openssh.com", "ecdsa-sha2-nistp521", 2),
    ("sk-ssh-ed25519-cert-v01@openssh.com", "sk-ssh-ed25519@openssh.com", 2),
    ("sk-ecdsa-sha2-nistp256-cert-v01@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com", 3),
];

/// What an unencrypted or encrypted private key begins with; its public half is never encrypted.
const PRIVATE: &[u8] = b"openssh-key-v1\0";
const PRIVATE_BEGIN: &str = "-----BEGIN OPENSSH PRIVATE KEY-----";
const PRIVATE_END: &str = "-----END OPENSSH PRIVATE KEY-----";

/// A certificate, as a line of a `-cert.pub` file.
pub(crate) struct SshCertificate {
    /// Seconds after 1970.
    pub(crate) valid_after: u64,
    /// The same; `u64::MAX` is never.
    pub(crate) valid_before: u64,
    key_type: &'static str,
    /// The strings of its public key, as they are written.
    key: Vec<u8>,
}

impl SshCertificate {
    /// `None` if `line` is no certificate.
    pub(crate) fn read(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let (stated, encoded) = (words.next()?, words.next()?);
        let (name, key_type, strings) = *TYPES.iter().find(|(name, ..)| *name == stated)?;
        let content = decoded(encoded)?;
        let mut wire = Wire(&content);
        if wire.string()? != name.as_bytes() {
            return None;
        }
        let _nonce = wire.string()?;
        let begun = wire.0;
        for _ in 0..strings {
            wire.string()?;
        }
        let key = begun.get(..begun.len().checked_sub(wire.0.len())?)?.to_vec();
        let (_serial, _kind) = (wire.u64()?, wire.u32()?);
        let (_key_id, _principals) = (wire.string()?, wire.string()?);
        let (valid_after, valid_before) = (wire.u64()?, wire.u64()?);
        // Critical options, extensions, reserved, the signer's key, the signature; nothing after it.
        for _ in 0..5 {
            wire.string()?;
        }
        let is_whole = wire.0.is_empty() && valid_after < valid_before;
        is_whole.then_some(Self { valid_after, valid_before, key_type, key })
    }

    /// Whether it is for the public key in `line`.
    pub(crate) fn is_of(&self, line: &str) -> bool {
        let encoded = line.split_ascii_whitespace().nth(1);
        encoded.and_then(decoded).is_some_and(|blob| self.is_of_blob(&blob))
    }

    /// Whether it is for the private key `text`. `None` where that is in another form than OpenSSH's.
    pub(crate) fn is_of_private(&self, text: &str) -> Option<bool> {
        let (_, begun) = text.split_once(PRIVATE_BEGIN)?;
        let (body, _) = begun.split_once(PRIVATE_END)?;
        let encoded: Zeroizing<String> = Zeroizing::new(body.split_ascii_whitespace().collect());
        let content = decoded(&encoded)?;
        let mut wire = Wire(content.strip_prefix(PRIVATE)?);
        let (_cipher, _kdf, _kdf_options) = (wire.string()?, wire.string()?, wire.string()?);
        let _keys = wire.u32()?;
        Some(self.is_of_blob(wire.string()?))
    }

    fn is_of_blob(&self, blob: &[u8]) -> bool {
        let mut wire = Wire(blob);
        wire.string() == Some(self.key_type.as_bytes()) && wire.0 == self.key
    }
}

fn decoded(encoded: &str) -> Option<Zeroizing<Vec<u8>>> {
    let encoded = Some(encoded).filter(|encoded| encoded.len() <= LONGEST)?;
    STANDARD.decode(encoded).ok().map(Zeroizing::new)
}

/// What is left to read.
struct Wire<'a>(&'a [u8]);

impl<'a> Wire<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_be_bytes(self.take(8)?.try_into().ok()?))
    }

    fn string(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.u32()?).ok()?;
        self.take(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by OpenSSH 9.2 for a key that nobody uses.
    const CERTIFICATE: &str = "ssh-ed25519-cert-v01@openssh.com AAAAIHNzaC1lZDI1NTE5LWNlcnQtdjAxQG9wZW5zc2guY29tAAAAIMO3RHA4sWKBeyb\
        lssdTayrU1aXdZe/oXQC+IyqLoA1gAAAAID23ZRXOL+3CsDQS3At7AYUfpL+qoXb5wwMkQcHugtXfAAAAAAAAAAcAAAABAAAAAml\
        kAAAABwAAAANhcHAAAAAAaVW5AAAAAABrNuyAAAAAAAAAAIIAAAAVcGVybWl0LVgxMS1mb3J3YXJkaW5nAAAAAAAAABdwZXJtaXQ\
        tYWdlbnQtZm9yd2FyZGluZwAAAAAAAAAWcGVybWl0LXBvcnQtZm9yd2FyZGluZwAAAAAAAAAKcGVybWl0LXB0eQAAAAAAAAAOcGV\
        ybWl0LXVzZXItcmMAAAAAAAAAAAAAADMAAAALc3NoLWVkMjU1MTkAAAAgYwy+kkzhrQ76N7LkBn3dxpEve65DJddCUt3HCIweO64\
        AAABTAAAAC3NzaC1lZDI1NTE5AAAAQFJtj5i4dE85I3cCXYlQelWqeHz4iiYIMc4w3Em+m7jIqMvZ1/3OEkk4kMWRwZq1ClyQuVX\
        IqTuUzpoTgNzKBwk= user";
    const PUBLIC: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAID23ZRXOL+3CsDQS3At7AYUfpL+qoXb5wwMkQcHugtXf user";
    const PRIVATE_KEY: &str = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAt\
        zc2gtZW\nQyNTUxOQAAACA9t2UVzi/twrA0EtwLewGFH6S/qqF2+cMDJEHB7oLV3wAAAIgeiGcVHohn\nFQAAAAtzc2gtZWQyNTU\
        xOQAAACA9t2UVzi/twrA0EtwLewGFH6S/qqF2+cMDJEHB7oLV3w\nAAAEARU7W2HLjp8vX2y5owALat+ISmIjuRso3ybXukbLBxG\
        z23ZRXOL+3CsDQS3At7AYUf\npL+qoXb5wwMkQcHugtXfAAAABHVzZXIB\n-----END OPENSSH PRIVATE KEY-----";

    fn string(bytes: &[u8]) -> Vec<u8> {
        let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
        [&length, bytes].concat()
    }

    /// A certificate of the type `name` with a key of this number of strings, valid until `before`.
    fn certificate(name: &str, strings: usize, before: u64) -> String {
        let mut wire = [string(name.as_bytes()), string(&[9; 32])].concat();
        (0..strings).for_each(|_| wire.extend(string(&[7; 65])));
        wire.extend(3_u64.to_be_bytes());
        wire.extend(1_u32.to_be_bytes());
        wire.extend([string(b"id"), string(&string(b"app"))].concat());
        wire.extend([100_u64.to_be_bytes(), before.to_be_bytes()].concat());
        (0..5).for_each(|_| wire.extend(string(b"")));
        format!("{name} {}", STANDARD.encode(wire))
    }

    #[test]
    fn a_certificate_of_openssh_is_read() {
        let certificate = SshCertificate::read(CERTIFICATE).unwrap();
        assert_eq!(certificate.valid_before, 1_798_761_600, "2027-01-01");
        assert!(certificate.is_of(PUBLIC));
        assert_eq!(certificate.is_of_private(PRIVATE_KEY), Some(true));
        let other = PUBLIC.replace("ID23", "ID24");
        assert!(!certificate.is_of(&other) && !certificate.is_of("ssh-ed25519"));
        assert_eq!(certificate.is_of_private("-----BEGIN RSA PRIVATE KEY-----"), None);
        assert_eq!(SshCertificate::read(PUBLIC).map(|read| read.valid_before), None);
    }

    #[test]
    fn every_type_is_read_and_nothing_that_is_cut_or_longer() {
        for (name, _, strings) in TYPES {
            for before in [101, u64::MAX] {
                let line = certificate(name, strings, before);
                assert_eq!(SshCertificate::read(&line).unwrap().valid_before, before, "{name}");
                assert!(SshCertificate::read(&certificate(name, strings + 1, before)).is_none(), "{name}");
            }
        }
        assert!(SshCertificate::read(&certificate(TYPES[1].0, 1, 100)).is_none(), "it ends before it begins");
        assert!(SshCertificate::read(&certificate("ssh-dss-cert-v01@openssh.com", 1, 101)).is_none());
        let (name, encoded) = CERTIFICATE.split_once(' ').unwrap();
        let whole = STANDARD.decode(encoded.split(' ').next().unwrap()).unwrap();
        for length in 0..whole.len() {
            let cut = format!("{name} {}", STANDARD.encode(&whole[..length]));
            assert!(SshCertificate::read(&cut).is_none(), "{length} bytes");
        }
        let longer = format!("{name} {}", STANDARD.encode([whole, vec![0]].concat()));
        assert!(SshCertificate::read(&longer).is_none());
    }
}
