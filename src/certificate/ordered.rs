//! The order of the certificates of a file as External Secrets finds it: by the key identifiers that stand in them.
//! Neither signatures nor dates are looked at.

use rustls::pki_types::CertificateDer;

use super::x509::{KeyIds, key_ids};

/// Most certificates of a file: each is compared with each.
const CERTIFICATES: usize = 100;

/// One chain: from the certificate that has issued none of the others, to the one whose issuer is not there.
pub(crate) struct OrderedChain(Vec<Link>);

struct Link {
    der: CertificateDer<'static>,
    ids: KeyIds,
}

impl OrderedChain {
    /// Orders `certificates`.
    ///
    /// # Errors
    /// They are none, too many, damaged, or not one chain.
    pub(crate) fn new(certificates: Vec<CertificateDer<'static>>) -> Result<Self, String> {
        let all = certificates.len();
        if all > CERTIFICATES {
            return Err(format!("the text holds {all} certificates, and {CERTIFICATES} are allowed"));
        }
        let read = |(index, der): (usize, CertificateDer<'static>)| match key_ids(&der) {
            Some(ids) => Ok(Link { der, ids }),
            None => Err(format!("certificate {} of {all} is damaged", index + 1)),
        };
        let links = certificates.into_iter().enumerate().map(read).collect::<Result<Vec<_>, _>>()?;
        let issuers: Vec<_> = (0..all).map(|index| issuer(&links, index)).collect();
        let mut leaves = (0..all).filter(|index| !issuers.contains(&Some(*index)));
        let leaf = leaves.next().ok_or(match all {
            0 => "the text holds no certificate",
            _ => "each certificate has issued another one",
        })?;
        if leaves.next().is_some() {
            return Err(
                "the certificates are more than one chain: two of them have issued none of the others".into(),
            );
        }
        let mut order = vec![leaf];
        while let Some(next) = order.last().and_then(|last| issuers.get(*last)).copied().flatten() {
            if order.contains(&next) {
                return Err("the certificates have issued each other in a circle".into());
            }
            order.push(next);
        }
        let mut links: Vec<_> = links.into_iter().map(Some).collect();
        Ok(Self(order.into_iter().filter_map(|index| links.get_mut(index)?.take()).collect()))
    }

    /// The first one, if another has issued it.
    pub(crate) fn leaf(&self) -> impl Iterator<Item = &[u8]> {
        ders(self.0.iter().take(1).filter(|link| !link.is_root()))
    }

    /// Those after the first one, before a root.
    pub(crate) fn intermediates(&self) -> impl Iterator<Item = &[u8]> {
        ders(self.0.iter().skip(1).take_while(|link| !link.is_root()))
    }

    /// The last one, if it has issued itself.
    pub(crate) fn root(&self) -> impl Iterator<Item = &[u8]> {
        ders(self.0.last().into_iter().filter(|link| link.is_root()))
    }
}

impl Link {
    /// A certificate that names no issuer counts as one that has issued itself.
    fn is_root(&self) -> bool {
        self.ids.issuer.is_none() || self.ids.issuer == self.ids.own
    }
}

/// The first other one that the certificate at `index` names as its issuer. No identifier names one that has none.
fn issuer(links: &[Link], index: usize) -> Option<usize> {
    let wanted = &links.get(index)?.ids.issuer;
    links.iter().enumerate().position(|(other, link)| other != index && link.ids.own == *wanted)
}

fn ders<'l>(links: impl Iterator<Item = &'l Link>) -> impl Iterator<Item = &'l [u8]> {
    links.map(|link| link.der.as_ref())
}
