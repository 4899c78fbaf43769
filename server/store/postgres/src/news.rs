//! What others have committed: the keys that each commit wrote, by the commits' numbers.

use claviger_store::StoreKey;
use tokio_postgres::types::Type;

use crate::failure::Failure;
use crate::hold::NEWS;
use crate::limits::NEWS_AT_ONCE;
use crate::session::{Session, Value};

/// What was found.
pub(crate) struct Found {
    /// The keys, in the order of the commits; `None` where some commits are not told of any more.
    pub news: Option<Vec<StoreKey>>,
    /// The last commit that they are of.
    pub until: i64,
}

/// What others than this member have committed after one commit, up to another at least.
pub(crate) async fn news_between(session: &Session, member: &str, since: i64, least: i64) -> Result<Found, Failure> {
    let (mut keys, mut until) = (Vec::new(), since);
    loop {
        let values: [Value<'_>; 3] = [(&until, Type::INT8), (&member, Type::TEXT), (&NEWS_AT_ONCE, Type::INT8)];
        let rows = session.query(NEWS, &values).await?;
        for row in &rows {
            let number: i64 = row.try_get(0)?;
            if number != until + 1 {
                return Ok(Found { news: None, until });
            }
            let Some(read) = read(row.try_get(1)?) else { return Ok(Found { news: None, until }) };
            keys.extend(read);
            until = number;
        }
        if i64::try_from(rows.len()).unwrap_or(0) < NEWS_AT_ONCE {
            return Ok(Found { news: (until >= least).then_some(keys), until });
        }
    }
}

/// Keys as one value: each after its length, in two bytes.
pub(crate) fn written(keys: &[StoreKey]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for key in keys {
        // A key is a few ids and hashes long.
        let length = u16::try_from(key.as_bytes().len()).unwrap_or(u16::MAX);
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend(key.as_bytes().iter().take(usize::from(length)));
    }
    bytes
}

fn read(mut bytes: &[u8]) -> Option<Vec<StoreKey>> {
    let mut keys = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<2>() {
        let (key, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        keys.push(StoreKey::from_stored(key));
        bytes = rest;
    }
    bytes.is_empty().then_some(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let keys: Vec<StoreKey> = [&b"a"[..], b"", b"longer"].map(StoreKey::from_stored).into();
        assert_eq!(read(&written(&keys)), Some(keys.clone()));
        assert_eq!(read(&[]), Some(Vec::new()));
        let whole = written(&keys);
        for end in [1, 2, whole.len() - 1] {
            assert_eq!(read(&whole[..end]), None, "{end}");
        }
    }
}
