//! How a log is published: C2SP tlog-tiles, height 8.
//!
//! A tile is up to 256 hashes of one row of the tree: at level 0 leaf hashes, at level l roots of full tiles of level
//! l - 1. An entry bundle holds the entries of one level-0 tile. Their paths name their width, so a file never changes.

use std::fmt;
use std::str::FromStr;

use super::hash::Hash;
use super::merkle::{HashSource, ProofError};

/// The rows of the tree between two tile levels.
pub const TILE_HEIGHT: u8 = 8;
/// The hashes in a full tile, the entries in a full bundle.
pub const TILE_WIDTH: u16 = 256;
/// The highest level that a path may name.
pub const LEVEL_MAX: u8 = 63;

const HASH_BYTES: usize = 32;
/// A path element holds three digits.
const PATH_BASE: u64 = 1000;

/// What can be wrong with a tile's path or bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadTile {
    /// Not a path of C2SP tlog-tiles, or not the one form of it.
    #[error("not a tile path: it is written tile/LEVEL/INDEX or tile/entries/INDEX, e.g. tile/0/x001/067.p/12")]
    Path,
    /// Not as many hashes or entries as the width says, or not of their size.
    #[error("the tile does not hold what its width says")]
    Bytes,
}

/// One tile of hashes. As text, its path: `tile/0/x001/067.p/12`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TileId {
    /// Its level: 0 for leaf hashes.
    pub level: u8,
    /// Its place among the tiles of its level.
    pub index: u64,
    /// The hashes in it, 1 to 256.
    pub width: u16,
}

/// One bundle of entries. As text, its path: `tile/entries/x001/067.p/12`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BundleId {
    /// Its place.
    pub index: u64,
    /// The entries in it, 1 to 256.
    pub width: u16,
}

impl TileId {
    /// The tile at this place in a tree of `size` leaves, as wide as it is there; none when it would be empty.
    pub fn in_tree(level: u8, index: u64, size: u64) -> Option<Self> {
        let shift = u32::from(level) * u32::from(TILE_HEIGHT);
        let row = size.checked_shr(shift).unwrap_or(0);
        let start = index.checked_mul(u64::from(TILE_WIDTH))?;
        let width = row.checked_sub(start)?.min(u64::from(TILE_WIDTH));
        let width = u16::try_from(width).ok().filter(|width| *width > 0)?;
        Some(Self { level, index, width })
    }

    /// The hashes of this tile.
    pub fn read(self, source: &(impl HashSource + ?Sized)) -> Result<Vec<Hash>, ProofError> {
        let Self { level, index, width } = self;
        let beyond = ProofError::Missing { level, index };
        let row = level.checked_mul(TILE_HEIGHT).ok_or_else(|| beyond.clone())?;
        let start = index.checked_mul(u64::from(TILE_WIDTH)).ok_or(beyond)?;
        let hash = |at: u64| source.complete(row, at).ok_or(ProofError::Missing { level: row, index: at });
        (start..start.saturating_add(u64::from(width))).map(hash).collect()
    }

    /// The hashes in the bytes of this tile.
    pub fn parse(self, bytes: &[u8]) -> Result<Vec<Hash>, BadTile> {
        let (hashes, rest) = bytes.as_chunks::<HASH_BYTES>();
        let whole = rest.is_empty() && hashes.len() == usize::from(self.width);
        if whole { Ok(hashes.iter().copied().map(Hash).collect()) } else { Err(BadTile::Bytes) }
    }
}

/// The bytes of a tile with these hashes.
pub fn tile_bytes(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

impl BundleId {
    /// The bundle at this place of a log of `size` entries, as wide as it is there; none when it would be empty.
    pub fn in_tree(index: u64, size: u64) -> Option<Self> {
        TileId::in_tree(0, index, size).map(|tile| Self { index, width: tile.width })
    }

    /// The entries in the bytes of this bundle. An entry of this log is 32 bytes.
    pub fn parse(self, bytes: &[u8]) -> Result<Vec<[u8; HASH_BYTES]>, BadTile> {
        let (prefixed, rest) = bytes.as_chunks::<{ HASH_BYTES + 2 }>();
        if !rest.is_empty() || prefixed.len() != usize::from(self.width) {
            return Err(BadTile::Bytes);
        }
        let entry = |prefixed: &[u8; HASH_BYTES + 2]| match prefixed.split_first_chunk() {
            Some((&ENTRY_LENGTH, entry)) => entry.try_into().map_err(|_| BadTile::Bytes),
            _ => Err(BadTile::Bytes),
        };
        prefixed.iter().map(entry).collect()
    }
}

/// The length of an entry, as its prefix in a bundle: two bytes, big-endian.
const ENTRY_LENGTH: [u8; 2] = 32_u16.to_be_bytes();

/// The bytes of a bundle with these entries, each behind its length.
pub fn bundle_bytes(entries: &[[u8; HASH_BYTES]]) -> Vec<u8> {
    entries.iter().flat_map(|entry| ENTRY_LENGTH.into_iter().chain(*entry)).collect()
}

impl fmt::Display for TileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tile/{}/{}", self.level, place(self.index, self.width))
    }
}

impl fmt::Display for BundleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tile/entries/{}", place(self.index, self.width))
    }
}

impl FromStr for TileId {
    type Err = BadTile;

    fn from_str(text: &str) -> Result<Self, BadTile> {
        let (level, place) = text.strip_prefix("tile/").and_then(|rest| rest.split_once('/')).ok_or(BadTile::Path)?;
        let level = level.parse().ok().filter(|level| *level <= LEVEL_MAX).ok_or(BadTile::Path)?;
        let (index, width) = parse_place(place).ok_or(BadTile::Path)?;
        one_form(Self { level, index, width }, text)
    }
}

impl FromStr for BundleId {
    type Err = BadTile;

    fn from_str(text: &str) -> Result<Self, BadTile> {
        let place = text.strip_prefix("tile/entries/").ok_or(BadTile::Path)?;
        let (index, width) = parse_place(place).ok_or(BadTile::Path)?;
        one_form(Self { index, width }, text)
    }
}

/// `x001/x234/067`, and `.p/12` behind it unless the tile is full.
fn place(index: u64, width: u16) -> String {
    let mut path = format!("{:03}", index % PATH_BASE);
    let mut rest = index / PATH_BASE;
    while rest > 0 {
        path = format!("x{:03}/{path}", rest % PATH_BASE);
        rest /= PATH_BASE;
    }
    if width < TILE_WIDTH { format!("{path}.p/{width}") } else { path }
}

/// Reads generously; [`one_form`] then refuses everything but the canonical path.
fn parse_place(text: &str) -> Option<(u64, u16)> {
    let (path, width) = match text.split_once(".p/") {
        Some((path, width)) => (path, width.parse().ok().filter(|width| (1..TILE_WIDTH).contains(width))?),
        None => (text, TILE_WIDTH),
    };
    let digits = |index: u64, element: &str| {
        let three: u64 = element.trim_start_matches('x').parse().ok().filter(|three| *three < PATH_BASE)?;
        index.checked_mul(PATH_BASE)?.checked_add(three)
    };
    Some((path.split('/').try_fold(0, digits)?, width))
}

fn one_form<T: fmt::Display>(id: T, text: &str) -> Result<T, BadTile> {
    if id.to_string() == text { Ok(id) } else { Err(BadTile::Path) }
}

#[cfg(test)]
mod tests;
