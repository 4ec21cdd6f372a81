//! "Did you mean": the known word that is nearest to an unknown one.

/// The nearest of `known`, if it is near enough to be meant.
pub(super) fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let word: Vec<char> = word.chars().take(64).flat_map(char::to_lowercase).collect();
    let near = known.into_iter().map(|candidate| {
        let letters: Vec<char> = candidate.chars().flat_map(char::to_lowercase).collect();
        (distance(&word, &letters), letters.len(), candidate)
    });
    let (distance, length, candidate) = near.min_by_key(|(distance, _, _)| *distance)?;
    (distance <= (word.len().max(length) / 3).max(1)).then_some(candidate)
}

/// Letters to insert, remove, replace or swap with their neighbour (optimal string alignment).
fn distance(from: &[char], to: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    let mut last = None;
    for (i, &a) in from.iter().enumerate() {
        let mut next = vec![i + 1];
        let mut left = i + 1;
        for (j, &b) in to.iter().enumerate() {
            let at = |row: &[usize], index: usize| row.get(index).copied().unwrap_or(usize::MAX - 1);
            let replaced = at(&row, j) + usize::from(a != b);
            let mut best = replaced.min(left + 1).min(at(&row, j + 1) + 1);
            let crossed = j > 0 && last == Some(b) && to.get(j - 1) == Some(&a);
            if crossed {
                best = best.min(at(&before, j - 1) + 1);
            }
            next.push(best);
            left = best;
        }
        last = Some(a);
        before = std::mem::replace(&mut row, next);
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant() {
        let keys = ["mode", "owner", "path", "kvVersion", "refreshInterval"];
        for (word, expected) in [
            ("mod", Some("mode")),
            ("paht", Some("path")),
            ("kvversion", Some("kvVersion")),
            ("refresh_interval", Some("refreshInterval")),
            ("onwer", Some("owner")),
            ("completely", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, keys), expected, "{word}");
        }
    }
}
