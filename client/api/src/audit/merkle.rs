//! The Merkle tree of RFC 6962 §2.1 and its proofs, as RFC 9162 §2.1.3 and §2.1.4 write them.
//!
//! `MTH(D[0:n])` splits at the largest power of two below n, so a tree is a row of complete subtrees, the largest on the
//! left, and every proof is made of roots of complete subtrees: that is all that a store has to keep.

use serde::{Deserialize, Serialize};

use super::hash::{EMPTY_ROOT, Hash, node_hash};

/// The most leaves that a [`Frontier`] read from outside may claim: no log reaches it, and counting on from it cannot
/// overflow.
pub const TREE_SIZE_MAX: u64 = 1 << 62;

/// Why a proof could not be made, or does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// A leaf, or an older size, that the tree does not have.
    #[error("the tree of {size} leaves has no {asked}")]
    OutOfRange {
        /// The leaf index or older size that was asked for.
        asked: u64,
        /// The leaves in the tree.
        size: u64,
    },
    /// The source does not know a subtree that the proof needs.
    #[error("the hash of subtree {index} at level {level} is not known")]
    Missing {
        /// The height of the subtree.
        level: u8,
        /// Its place among the subtrees of that height.
        index: u64,
    },
    /// Not the number of hashes that this place in this tree needs.
    #[error("the proof has the wrong number of hashes")]
    WrongLength,
    /// The hashes lead to another root.
    #[error("the proof leads to another root")]
    OtherRoot,
}

/// What a frontier read from outside can have wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a frontier has one hash for each bit set in its size, and at most 2^62 leaves")]
pub struct BadFrontier;

/// The right edge of a growing tree: its size, and the roots of the complete subtrees it consists of, largest first.
/// Enough to add leaves and to tell the root.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Edge", into = "Edge")]
pub struct Frontier {
    size: u64,
    hashes: Vec<Hash>,
}

impl Frontier {
    /// The frontier of the tree without leaves.
    pub const fn new() -> Self {
        Self { size: 0, hashes: Vec::new() }
    }

    /// The frontier of this size; one hash for each bit set in it, largest subtree first.
    pub fn from_parts(size: u64, hashes: Vec<Hash>) -> Result<Self, BadFrontier> {
        let bits = usize::try_from(size.count_ones()).map_err(|_| BadFrontier)?;
        if bits == hashes.len() && size <= TREE_SIZE_MAX { Ok(Self { size, hashes }) } else { Err(BadFrontier) }
    }

    /// Adds the hash of a leaf.
    pub fn push(&mut self, leaf: Hash) {
        self.push_with(leaf, |_, _, _| {});
    }

    /// Adds the hash of a leaf, and tells each complete subtree that this makes as (level, index, root): first the leaf
    /// itself at level 0, then upwards. Whoever keeps what is told here can serve as a [`HashSource`].
    pub fn push_with(&mut self, leaf: Hash, mut completed: impl FnMut(u8, u64, Hash)) {
        let (mut level, mut index, mut hash) = (0, self.size, leaf);
        completed(level, index, hash);
        while index & 1 == 1
            && let Some(left) = self.hashes.pop()
        {
            level += 1;
            index >>= 1;
            hash = node_hash(&left, &hash);
            completed(level, index, hash);
        }
        self.hashes.push(hash);
        self.size += 1;
    }

    /// The root of the tree as it is now.
    pub fn root(&self) -> Hash {
        let mut from_the_right = self.hashes.iter().rev();
        let Some(smallest) = from_the_right.next() else { return EMPTY_ROOT };
        from_the_right.fold(*smallest, |right, left| node_hash(left, &right))
    }

    /// The leaves so far.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The roots of the complete subtrees, largest first.
    pub fn hashes(&self) -> &[Hash] {
        &self.hashes
    }
}

/// How a frontier is written down.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Edge {
    size: u64,
    hashes: Vec<Hash>,
}

impl TryFrom<Edge> for Frontier {
    type Error = BadFrontier;

    fn try_from(edge: Edge) -> Result<Self, BadFrontier> {
        Self::from_parts(edge.size, edge.hashes)
    }
}

impl From<Frontier> for Edge {
    fn from(frontier: Frontier) -> Self {
        Self { size: frontier.size, hashes: frontier.hashes }
    }
}

/// Where the hashes of a tree are kept.
pub trait HashSource {
    /// The root of the complete subtree of 2^`level` leaves that starts at leaf `index` · 2^`level`.
    fn complete(&self, level: u8, index: u64) -> Option<Hash>;
}

/// A frontier knows the subtrees that it consists of, and none within them.
impl HashSource for Frontier {
    fn complete(&self, level: u8, index: u64) -> Option<Hash> {
        let above = self.size.checked_shr(level.into())?;
        let is_own = above & 1 == 1 && index == above - 1;
        let before = usize::try_from((above >> 1).count_ones()).ok()?;
        if is_own { self.hashes.get(before).copied() } else { None }
    }
}

/// The root of the tree of the first `size` leaves.
pub fn root_at(source: &(impl HashSource + ?Sized), size: u64) -> Result<Hash, ProofError> {
    if size == 0 { Ok(EMPTY_ROOT) } else { range(source, 0, size) }
}

/// The proof that leaf `index` is in the tree of `size` leaves, from the leaf up (RFC 9162 §2.1.3.1).
pub fn inclusion_proof(source: &(impl HashSource + ?Sized), index: u64, size: u64) -> Result<Vec<Hash>, ProofError> {
    if index >= size {
        return Err(ProofError::OutOfRange { asked: index, size });
    }
    let mut proof = Vec::new();
    path(source, index, (0, size), 1, &mut proof)?;
    Ok(proof)
}

/// The proof that the block of up to 2^`height` leaves which starts at leaf `block` · 2^`height` is in the tree of `size`
/// leaves: the upper part of the inclusion proof of any of its leaves. [`verify_inclusion`] checks it, with the root of
/// the block for the leaf's hash, `block` for its index, and the number of blocks for the size.
pub fn block_proof(
    source: &(impl HashSource + ?Sized),
    height: u8,
    block: u64,
    size: u64,
) -> Result<Vec<Hash>, ProofError> {
    let width = 1_u64.checked_shl(height.into()).unwrap_or(u64::MAX);
    let first = block.checked_mul(width).filter(|first| *first < size);
    let first = first.ok_or(ProofError::OutOfRange { asked: block, size })?;
    let mut proof = Vec::new();
    path(source, first, (0, size), width, &mut proof)?;
    Ok(proof)
}

/// The proof that the tree of `from` leaves is the beginning of that of `size` leaves (RFC 9162 §2.1.4.1). Nothing is
/// needed to prove it of the empty tree, or of a tree and itself.
pub fn consistency_proof(source: &(impl HashSource + ?Sized), from: u64, size: u64) -> Result<Vec<Hash>, ProofError> {
    if from > size {
        return Err(ProofError::OutOfRange { asked: from, size });
    }
    let mut proof = Vec::new();
    if from > 0 {
        subproof(source, from, (0, size), true, &mut proof)?;
    }
    Ok(proof)
}

/// Checks that the leaf of this hash is number `index` in the tree of `size` leaves with this root (RFC 9162 §2.1.3.2).
pub fn verify_inclusion(leaf: &Hash, index: u64, size: u64, proof: &[Hash], root: &Hash) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::OutOfRange { asked: index, size });
    }
    let mut climb = Climb { node: index, last: size - 1 };
    let mut reached = *leaf;
    for sibling in proof {
        reached = match climb.step()? {
            Side::Left => node_hash(sibling, &reached),
            Side::Right => node_hash(&reached, sibling),
        };
    }
    climb.at_the_top()?;
    if reached == *root { Ok(()) } else { Err(ProofError::OtherRoot) }
}

/// Checks that the tree of `from` leaves with `from_root` is the beginning of the tree of `size` leaves with `root`
/// (RFC 9162 §2.1.4.2).
pub fn verify_consistency(
    from: u64,
    from_root: &Hash,
    size: u64,
    root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    if from > size {
        return Err(ProofError::OutOfRange { asked: from, size });
    }
    if from == 0 || from == size {
        let expected = if from == 0 { &EMPTY_ROOT } else { root };
        return match (proof.is_empty(), from_root == expected) {
            (false, _) => Err(ProofError::WrongLength),
            (true, false) => Err(ProofError::OtherRoot),
            (true, true) => Ok(()),
        };
    }
    // The first hash both trees share: the old root itself where the old tree is one complete subtree.
    let (shared, rest) =
        if from.is_power_of_two() { (from_root, proof) } else { proof.split_first().ok_or(ProofError::WrongLength)? };
    let mut climb = Climb { node: from - 1, last: size - 1 };
    while climb.node & 1 == 1 {
        climb.up();
    }
    let (mut old, mut new) = (*shared, *shared);
    for sibling in rest {
        match climb.step()? {
            Side::Left => {
                old = node_hash(sibling, &old);
                new = node_hash(sibling, &new);
            }
            Side::Right => new = node_hash(&new, sibling),
        }
    }
    climb.at_the_top()?;
    if old == *from_root && new == *root { Ok(()) } else { Err(ProofError::OtherRoot) }
}

/// `MTH(leaves)` of leaf hashes at hand, e.g. those of one tile.
pub fn root_of(leaves: &[Hash]) -> Hash {
    let mut frontier = Frontier::new();
    for leaf in leaves {
        frontier.push(*leaf);
    }
    frontier.root()
}

/// On which side of the node the next hash of a proof stands.
enum Side {
    Left,
    Right,
}

/// A way from a node to the root: the node's number in its row, and that of the last node in the row.
struct Climb {
    node: u64,
    last: u64,
}

impl Climb {
    /// To the parent; tells where the next hash of the proof stands. Rows in which the node has no sibling are skipped.
    fn step(&mut self) -> Result<Side, ProofError> {
        if self.last == 0 {
            return Err(ProofError::WrongLength);
        }
        let side = if self.node & 1 == 1 || self.node == self.last {
            while self.node & 1 == 0 && self.node != 0 {
                self.up();
            }
            Side::Left
        } else {
            Side::Right
        };
        self.up();
        Ok(side)
    }

    const fn up(&mut self) {
        self.node >>= 1;
        self.last >>= 1;
    }

    const fn at_the_top(&self) -> Result<(), ProofError> {
        if self.last == 0 { Ok(()) } else { Err(ProofError::WrongLength) }
    }
}

/// `PATH(index, D[start:end])`, appended from below up; it begins above the block of at most `width` leaves that has the
/// leaf in it (a power of two, 1 for the leaf itself).
fn path(
    source: &(impl HashSource + ?Sized),
    index: u64,
    (start, end): (u64, u64),
    width: u64,
    proof: &mut Vec<Hash>,
) -> Result<(), ProofError> {
    if end - start <= width {
        return Ok(());
    }
    let middle = start + split(end - start);
    if index < middle {
        path(source, index, (start, middle), width, proof)?;
        proof.push(range(source, middle, end)?);
    } else {
        path(source, index, (middle, end), width, proof)?;
        proof.push(range(source, start, middle)?);
    }
    Ok(())
}

/// `SUBPROOF(from, D[start:end], known)`: `known` while the subtree's root is the old root, which the verifier has.
fn subproof(
    source: &(impl HashSource + ?Sized),
    from: u64,
    (start, end): (u64, u64),
    known: bool,
    proof: &mut Vec<Hash>,
) -> Result<(), ProofError> {
    if from == end {
        if !known {
            proof.push(range(source, start, end)?);
        }
        return Ok(());
    }
    let middle = start + split(end - start);
    if from <= middle {
        subproof(source, from, (start, middle), known, proof)?;
        proof.push(range(source, middle, end)?);
    } else {
        subproof(source, from, (middle, end), false, proof)?;
        proof.push(range(source, start, middle)?);
    }
    Ok(())
}

/// `MTH(D[start:end])` of a range that the tree's own splits make, from complete subtrees.
fn range(source: &(impl HashSource + ?Sized), start: u64, end: u64) -> Result<Hash, ProofError> {
    let width = end - start;
    if !width.is_power_of_two() {
        let middle = start + split(width);
        return Ok(node_hash(&range(source, start, middle)?, &range(source, middle, end)?));
    }
    let level = u8::try_from(width.trailing_zeros()).unwrap_or(u8::MAX);
    let index = start >> level;
    source.complete(level, index).ok_or(ProofError::Missing { level, index })
}

/// The largest power of two below `width`, which is at least 2.
const fn split(width: u64) -> u64 {
    1 << (width - 1).ilog2()
}

#[cfg(test)]
mod tests;
