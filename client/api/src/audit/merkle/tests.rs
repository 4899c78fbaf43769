use proptest::prelude::*;
use tlog_tiles::{HashReader, check_record, check_tree, prove_record, prove_tree, split_stored_hash_index, tree_hash};

use super::super::hash::leaf_hash;
use super::super::sample::{Kept, leaves, naive_root};
use super::*;

/// The vectors of the certificate-transparency project for RFC 6962: eight leaves, and the root after each.
const VECTORS: [(&[u8], &str); 8] = [
    (b"", "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"),
    (b"\x00", "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"),
    (b"\x10", "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"),
    (b"\x20\x21", "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"),
    (b"\x30\x31", "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4"),
    (b"\x40\x41\x42\x43", "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef"),
    (b"\x50\x51\x52\x53\x54\x55\x56\x57", "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c"),
    (
        b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ),
];

/// (index, size, hashes).
const PATHS: [(u64, u64, &[&str]); 5] = [
    (0, 1, &[]),
    (
        0,
        8,
        &[
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        5,
        8,
        &[
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (2, 3, &["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
    (
        1,
        5,
        &[
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
];

/// (from, size, hashes).
const CONSISTENCY: [(u64, u64, &[&str]); 4] = [
    (1, 1, &[]),
    (
        1,
        8,
        &[
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        6,
        8,
        &[
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (
        2,
        5,
        &[
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
];

fn hashes(texts: &[&str]) -> Vec<Hash> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn the_vectors_of_rfc_6962() {
    let leaves: Vec<Hash> = VECTORS.iter().map(|(leaf, _)| leaf_hash(leaf)).collect();
    let roots: Vec<Hash> = VECTORS.iter().map(|(_, root)| root.parse().unwrap()).collect();
    let root = |size: u64| roots[usize::try_from(size).unwrap() - 1];
    let kept = Kept::of(&leaves);
    let mut frontier = Frontier::new();
    for (leaf, expected) in leaves.iter().zip(&roots) {
        frontier.push(*leaf);
        assert_eq!(frontier.root(), *expected);
        assert_eq!(root_at(&kept, frontier.size()), Ok(*expected));
    }
    for (index, size, path) in PATHS {
        let path = hashes(path);
        assert_eq!(inclusion_proof(&kept, index, size).as_ref(), Ok(&path));
        let leaf = &leaves[usize::try_from(index).unwrap()];
        assert_eq!(verify_inclusion(leaf, index, size, &path, &root(size)), Ok(()));
    }
    for (from, size, proof) in CONSISTENCY {
        let proof = hashes(proof);
        assert_eq!(consistency_proof(&kept, from, size).as_ref(), Ok(&proof));
        assert_eq!(verify_consistency(from, &root(from), size, &root(size), &proof), Ok(()));
    }
}

#[test]
fn every_inclusion_proof_of_small_trees_holds_and_no_changed_one_does() {
    let leaves = leaves(64);
    let kept = Kept::of(&leaves);
    for size in 1..=64_u64 {
        let root = naive_root(&leaves[..usize::try_from(size).unwrap()]);
        for index in 0..size {
            let leaf = leaves[usize::try_from(index).unwrap()];
            let proof = inclusion_proof(&kept, index, size).unwrap();
            let holds = |leaf: &Hash, index, size, proof: &[Hash], root: &Hash| {
                verify_inclusion(leaf, index, size, proof, root).is_ok()
            };
            assert!(holds(&leaf, index, size, &proof, &root));
            assert!(!holds(&flip(leaf), index, size, &proof, &root));
            assert!(!holds(&leaf, index, size, &proof, &flip(root)));
            for other in (0..size).filter(|other| *other != index) {
                assert!(!holds(&leaf, other, size, &proof, &root), "{index} passed for {other} of {size}");
            }
            assert!(mutations(&proof).iter().all(|bad| !holds(&leaf, index, size, bad, &root)));
            assert!(!holds(&leaf, size, size, &proof, &root));
            let longer = [&proof[..], &[EMPTY_ROOT]].concat();
            assert_eq!(verify_inclusion(&leaf, index, size, &longer, &root), Err(ProofError::WrongLength));
        }
    }
}

#[test]
fn every_consistency_proof_of_small_trees_holds_and_no_changed_one_does() {
    let leaves = leaves(64);
    let kept = Kept::of(&leaves);
    let roots: Vec<Hash> = (0..=64).map(|size| naive_root(&leaves[..size])).collect();
    let root = |size: u64| roots[usize::try_from(size).unwrap()];
    for size in 0..=64 {
        for from in 0..=size {
            let proof = consistency_proof(&kept, from, size).unwrap();
            let holds = |from_root: &Hash, root: &Hash, proof: &[Hash]| {
                verify_consistency(from, from_root, size, root, proof).is_ok()
            };
            assert!(holds(&root(from), &root(size), &proof), "{from} to {size}");
            assert!(!holds(&flip(root(from)), &root(size), &proof));
            assert!(from == 0 || !holds(&root(from), &flip(root(size)), &proof), "all trees begin with the empty one");
            assert!(mutations(&proof).iter().all(|bad| !holds(&root(from), &root(size), bad)), "{from} to {size}");
        }
        assert!(verify_consistency(size + 1, &EMPTY_ROOT, size, &root(size), &[]).is_err());
        assert!(consistency_proof(&kept, size + 1, size).is_err());
    }
}

#[test]
fn a_block_is_proven_by_the_upper_part_of_the_proofs_of_its_leaves() {
    for size in [1, 2, 255, 256, 257, 300, 511, 512, 513, 700, 1025] {
        let leaves = leaves(size);
        let kept = Kept::of(&leaves);
        let root = naive_root(&leaves);
        let blocks = size.div_ceil(256);
        for (block, leaves) in (0_u64..).zip(leaves.chunks(256)) {
            let proof = block_proof(&kept, 8, block, size).unwrap();
            assert!(inclusion_proof(&kept, block * 256, size).unwrap().ends_with(&proof));
            assert_eq!(verify_inclusion(&root_of(leaves), block, blocks, &proof, &root), Ok(()), "{block} of {size}");
            assert!(
                mutations(&proof)
                    .iter()
                    .all(|bad| { verify_inclusion(&root_of(leaves), block, blocks, bad, &root).is_err() })
            );
        }
        assert!(block_proof(&kept, 8, blocks, size).is_err());
    }
}

#[test]
fn a_hash_that_is_gone_is_named_not_guessed() {
    let mut kept = Kept::of(&leaves(8));
    kept.forget(1, 2);
    assert_eq!(inclusion_proof(&kept, 6, 8), Err(ProofError::Missing { level: 1, index: 2 }));
    assert_eq!(consistency_proof(&kept, 6, 7), Err(ProofError::Missing { level: 1, index: 2 }));
    assert_eq!(root_at(&kept, 6), Err(ProofError::Missing { level: 1, index: 2 }));
    assert_eq!(inclusion_proof(&kept, 8, 8), Err(ProofError::OutOfRange { asked: 8, size: 8 }));
}

#[test]
fn a_frontier_reads_back_and_a_false_one_is_refused() {
    let mut frontier = Frontier::new();
    for leaf in leaves(11) {
        let text = serde_json::to_string(&frontier).unwrap();
        assert_eq!(serde_json::from_str::<Frontier>(&text).unwrap(), frontier);
        frontier.push(leaf);
    }
    assert_eq!(Frontier::from_parts(11, frontier.hashes().to_vec()), Ok(frontier.clone()));
    assert_eq!(Frontier::from_parts(12, frontier.hashes().to_vec()), Err(BadFrontier));
    assert_eq!(Frontier::from_parts(u64::MAX, vec![EMPTY_ROOT; 64]), Err(BadFrontier));
    assert!(serde_json::from_str::<Frontier>(r#"{"size":1,"hashes":[]}"#).is_err());
    assert!(serde_json::from_str::<Frontier>(r#"{"size":0,"size":0,"hashes":[]}"#).is_err());
}

/// The judge: tlog_tiles keeps the same hashes, numbered in one row.
struct Judge<'a>(&'a Kept);

impl HashReader for Judge<'_> {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog_tiles::Hash>, tlog_tiles::Error> {
        let hash = |index: &u64| {
            let (level, index) = split_stored_hash_index(*index);
            tlog_tiles::Hash(self.0.complete(level, index).expect("known").0)
        };
        Ok(indexes.iter().map(hash).collect())
    }
}

fn theirs(hash: Hash) -> tlog_tiles::Hash {
    tlog_tiles::Hash(hash.0)
}

fn ours(hashes: Vec<tlog_tiles::Hash>) -> Vec<Hash> {
    hashes.into_iter().map(|hash| Hash(hash.0)).collect()
}

proptest! {
    #[test]
    fn the_frontier_has_the_root_of_the_definition(size in 0_u64..600) {
        let leaves = leaves(size);
        let kept = Kept::of(&leaves);
        prop_assert_eq!(root_of(&leaves), naive_root(&leaves));
        prop_assert_eq!(root_at(&kept, size), Ok(naive_root(&leaves)));
    }

    #[test]
    fn an_implementation_that_is_not_ours_agrees(size in 1_u64..600, at in any::<prop::sample::Index>()) {
        let leaves = leaves(size);
        let kept = Kept::of(&leaves);
        let judge = Judge(&kept);
        let root = root_at(&kept, size).unwrap();
        prop_assert_eq!(theirs(root), tree_hash(size, &judge).unwrap());

        let index = at.index(leaves.len());
        let (leaf, index) = (leaves[index], index as u64);
        let inclusion = inclusion_proof(&kept, index, size).unwrap();
        prop_assert_eq!(&inclusion, &ours(prove_record(size, index, &judge).unwrap()));
        let inclusion = inclusion.into_iter().map(theirs).collect();
        prop_assert!(check_record(&inclusion, size, theirs(root), index, theirs(leaf)).is_ok());

        let from = index + 1;
        let from_root = root_at(&kept, from).unwrap();
        let consistency = consistency_proof(&kept, from, size).unwrap();
        prop_assert_eq!(&consistency, &ours(prove_tree(size, from, &judge).unwrap()));
        let consistency = consistency.into_iter().map(theirs).collect();
        prop_assert!(check_tree(&consistency, size, theirs(root), from, theirs(from_root)).is_ok());
    }

    #[test]
    fn no_proof_panics(index in any::<u64>(), size in any::<u64>(), count in 0_usize..80) {
        let proof = vec![EMPTY_ROOT; count];
        let _ = verify_inclusion(&EMPTY_ROOT, index, size, &proof, &EMPTY_ROOT);
        let _ = verify_consistency(index, &EMPTY_ROOT, size, &EMPTY_ROOT, &proof);
        let nothing = Kept::of(&[]);
        prop_assert!(inclusion_proof(&nothing, index, size).is_err());
        prop_assert!(block_proof(&nothing, 8, index, size).is_err());
    }
}

fn flip(mut hash: Hash) -> Hash {
    hash.0[31] ^= 1;
    hash
}

/// Every proof with one hash changed, left out, doubled, or swapped with the next; and with one more at either end.
fn mutations(proof: &[Hash]) -> Vec<Vec<Hash>> {
    let mut bad = vec![[proof, &[EMPTY_ROOT]].concat(), [&[EMPTY_ROOT], proof].concat()];
    for at in 0..proof.len() {
        let mut changed = proof.to_vec();
        changed[at] = flip(changed[at]);
        bad.push(changed);
        bad.push([&proof[..at], &proof[at + 1..]].concat());
        bad.push([&proof[..=at], &proof[at..]].concat());
        if at + 1 < proof.len() {
            let mut swapped = proof.to_vec();
            swapped.swap(at, at + 1);
            bad.push(swapped);
        }
    }
    bad
}
