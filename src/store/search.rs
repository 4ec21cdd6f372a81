//! `find`: the secrets below a folder that fit, each read like any other.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::{join_all, try_join_all};

use super::{Fetched, Life, Revision, Store};
use crate::config::provider::SecretRead;
use crate::config::sources::Search;
use crate::fault::{Fault, Kind};
use crate::secret::{FieldValue, Fields, FingerprintKey};

/// Most folders that are listed for one search.
const MOST_FOLDERS: usize = 1_000;

/// Most secrets that one search reads.
const MOST_SECRETS: usize = 1_000;

/// How deep folders may lie in each other.
const MAX_DEPTH: usize = 32;

/// Lists everything below `folder` and reads what `search` means; each secret is one field, by its path.
///
/// # Errors
/// A folder or a secret could not be read, nothing fits, or there is more than one search may read.
pub(super) async fn find(
    store: &dyn Store,
    folder: &SecretRead,
    search: &Search,
    key: &FingerprintKey,
) -> Result<Fetched, Fault> {
    let mut found = listed(store, folder).await?;
    if let Some(pattern) = &search.name {
        found.retain(|read| pattern.matches(&read.key()));
    }
    if !search.tags.is_empty() {
        let fits = try_join_all(found.iter().map(|read| has_tags(store, read, &search.tags))).await?;
        found = found.into_iter().zip(fits).filter_map(|(read, fits)| fits.then_some(read)).collect();
    }
    if found.len() > MOST_SECRETS {
        return Err(too_many(folder, &format!("{} secrets fit, more", found.len()), MOST_SECRETS));
    }
    let reads = found.iter().map(|read| async move {
        let fetched = store.fetch(read, None).await;
        fetched.map(|fetched| Fetched { turn: None, ..fetched })
    });
    let mut hits = Vec::with_capacity(found.len());
    for (read, outcome) in found.iter().zip(join_all(reads).await) {
        match outcome {
            Ok(fetched) => hits.push((read.key(), fetched)),
            // Deleted versions are listed, too.
            Err(fault) if matches!(fault.kind, Kind::Absent | Kind::Deleted | Kind::Destroyed) => {}
            Err(fault) => return Err(fault),
        }
    }
    if hits.is_empty() {
        let message = format!("no secret below {} fits the search", place(folder));
        return Err(Fault::new(
            Kind::Absent,
            message,
            "correct find.path, find.name or find.tags, or write a secret",
        ));
    }
    let revisions = hits.iter().map(|(path, fetched)| (path.as_str(), fetched.revision));
    let revision = Revision::of_all(revisions, key);
    let life = hits.iter().fold(Life::Open, |life, (_, fetched)| life.shorter(fetched.life));
    let created = hits.iter().filter_map(|(_, fetched)| fetched.created).max();
    let field = |(path, fetched): (String, Fetched)| {
        let fields = fetched.fields.map(|fields| fields.as_ref().clone()).unwrap_or_default();
        (path, FieldValue::Map(fields))
    };
    let fields: Fields = hits.into_iter().map(field).collect();
    Ok(Fetched {
        fields: Some(Arc::new(fields)),
        metadata: None,
        created,
        revision,
        life,
        request_id: None,
        turn: None,
    })
}

/// Every secret below `folder`, in the order of their paths.
async fn listed(store: &dyn Store, folder: &SecretRead) -> Result<Vec<SecretRead>, Fault> {
    let (mut secrets, mut folders, mut count) = (Vec::new(), vec![folder.clone()], 0_usize);
    for _ in 0..MAX_DEPTH {
        count = count.saturating_add(folders.len());
        if count > MOST_FOLDERS {
            return Err(too_many(folder, "there are more folders below it", MOST_FOLDERS));
        }
        let lists = try_join_all(folders.iter().map(|folder| store.list(folder))).await?;
        let mut below = Vec::new();
        for (folder, names) in folders.iter().zip(lists) {
            for name in names {
                match name.strip_suffix('/') {
                    Some(name) => below.extend(folder.below(name)),
                    None => secrets.extend(folder.below(&name)),
                }
            }
        }
        folders = below;
        if folders.is_empty() {
            secrets.sort_by_cached_key(SecretRead::key);
            return Ok(secrets);
        }
    }
    Err(too_many(folder, "folders lie deeper in each other", MAX_DEPTH))
}

async fn has_tags(
    store: &dyn Store,
    read: &SecretRead,
    wanted: &BTreeMap<String, String>,
) -> Result<bool, Fault> {
    let tags = store.tags(read).await?;
    Ok(wanted.iter().all(|(name, value)| tags.get(name) == Some(value)))
}

fn too_many(folder: &SecretRead, what: &str, most: usize) -> Fault {
    let message = format!("{}: {what} than a search may read ({most})", place(folder));
    Fault::new(Kind::BadRequest, message, "narrow find.path, or split the search into several")
}

/// What messages call the folder.
fn place(folder: &SecretRead) -> String {
    format!("{}/", folder.path().trim_end_matches('/'))
}

#[cfg(test)]
mod tests;
