use proptest::prelude::*;
use tlog_tiles::{HashReader, Tile, split_stored_hash_index};

use super::super::hash::leaf_hash;
use super::super::merkle::root_of;
use super::super::sample::{Kept, leaves, reveal};
use super::*;

#[test]
fn the_paths_of_the_specification() {
    let tile = TileId { level: 0, index: 1_234_067, width: 256 };
    assert_eq!(tile.to_string(), "tile/0/x001/x234/067");
    let bundle = BundleId { index: 1067, width: 12 };
    assert_eq!(bundle.to_string(), "tile/entries/x001/067.p/12");
    assert_eq!("tile/entries/x001/067.p/12".parse(), Ok(bundle));
    assert_eq!("tile/63/000".parse(), Ok(TileId { level: 63, index: 0, width: 256 }));
    for bad in [
        "",
        "tile/0",
        "tile/0/",
        "tile/64/000",
        "tile/00/000",
        "tile/-1/000",
        "tile/0/0",
        "tile/0/0000",
        "tile/0/x000/001",
        "tile/0/001/067",
        "tile/0/x001/x067",
        "tile/0/xx01/067",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/012",
        "tile/0/000.p/",
        "tile/0/000.p/+1",
        "tile/0/000/",
        "/tile/0/000",
        "tile/0/../000",
        "tile/0/x018/x446/x744/x073/x709/x551/616",
        "tile/entries/000",
    ] {
        assert_eq!(bad.parse::<TileId>(), Err(BadTile::Path), "{bad}");
    }
    assert_eq!("tile/0/000".parse::<BundleId>(), Err(BadTile::Path));
}

/// The example of the specification: a tree of 70,000.
#[test]
fn the_tiles_of_a_tree() {
    let width = |level, index| TileId::in_tree(level, index, 70_000).map(|tile| tile.width);
    assert_eq!((width(0, 272), width(0, 273), width(0, 274)), (Some(256), Some(112), None));
    assert_eq!((width(1, 0), width(1, 1), width(1, 2)), (Some(256), Some(17), None));
    assert_eq!((width(2, 0), width(2, 1), width(3, 0), width(63, 0)), (Some(1), None, None, None));
    assert_eq!(TileId::in_tree(0, u64::MAX, u64::MAX), None);
    assert_eq!(BundleId::in_tree(273, 70_000), Some(BundleId { index: 273, width: 112 }));
}

#[test]
fn bytes_read_back_and_others_are_refused() {
    let entries: Vec<[u8; 32]> = (0..300).map(|i| reveal(i, "why").bytes()).collect();
    let bundle = BundleId::in_tree(1, 300).unwrap();
    let bytes = bundle_bytes(&entries[256..]);
    assert_eq!(bytes[..2], [0, 32]);
    assert_eq!(bundle.parse(&bytes).as_deref(), Ok(&entries[256..]));
    let leaves: Vec<Hash> = entries.iter().map(|entry| leaf_hash(entry)).collect();
    let tile = TileId::in_tree(0, 1, 300).unwrap();
    let hashes = tile.read(&Kept::of(&leaves)).unwrap();
    assert_eq!(hashes, leaves[256..]);
    let mut longer = tile_bytes(&hashes);
    longer.push(0);
    assert_eq!(tile.parse(&longer), Err(BadTile::Bytes));
    assert_eq!(tile.parse(&tile_bytes(&hashes)), Ok(hashes));
    assert_eq!(tile.parse(&bytes), Err(BadTile::Bytes));
    assert_eq!(bundle.parse(&bytes[..bytes.len() - 1]), Err(BadTile::Bytes));
    assert_eq!(bundle.parse(&bytes[..bytes.len() - 34]), Err(BadTile::Bytes));
    let mut longer = bytes.clone();
    longer[1] = 33;
    assert_eq!(bundle.parse(&longer), Err(BadTile::Bytes));
    assert!(TileId { level: 200, index: u64::MAX, width: 1 }.read(&Kept::of(&leaves)).is_err());
}

struct Judge<'a>(&'a Kept);

impl HashReader for Judge<'_> {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog_tiles::Hash>, tlog_tiles::Error> {
        let place = |index: &u64| split_stored_hash_index(*index);
        Ok(indexes.iter().map(place).map(|(l, n)| tlog_tiles::Hash(self.0.complete(l, n).unwrap().0)).collect())
    }
}

/// Theirs names the height in the path, and bundles `data`.
fn judged(tile: &Tile) -> String {
    tile.path().replacen("tile/8/", "tile/", 1).replacen("/data/", "/entries/", 1)
}

#[test]
fn an_implementation_that_is_not_ours_makes_the_same_tiles() {
    let size = 70_000;
    let kept = Kept::of(&leaves(size));
    for tile in Tile::new_tiles(8, 0, size) {
        let ours = TileId::in_tree(tile.level(), tile.level_index(), size).unwrap();
        assert_eq!(ours.to_string(), judged(&tile));
        let hashes = ours.read(&kept).unwrap();
        assert_eq!(tile_bytes(&hashes), tile.read_data(&Judge(&kept)).unwrap());
        if ours.width == TILE_WIDTH {
            assert_eq!(kept.complete(8 * (ours.level + 1), ours.index), Some(root_of(&hashes)));
        }
    }
}

proptest! {
    #[test]
    fn paths_agree_with_an_implementation_that_is_not_ours(level in 0_u8..64, index: u64, width in 1_u16..=256) {
        let tile = TileId { level, index, width };
        prop_assert_eq!(tile.to_string(), judged(&Tile::new(8, level, index, width.into(), false)));
        prop_assert_eq!(tile.to_string().parse(), Ok(tile));
        let bundle = BundleId { index, width };
        prop_assert_eq!(bundle.to_string(), judged(&Tile::new(8, 0, index, width.into(), true)));
        prop_assert_eq!(bundle.to_string().parse(), Ok(bundle));
    }

    #[test]
    fn no_path_reads_as_another(path in "tile/(entries|[0-9]{1,2})(/x?[0-9]{2,4}){1,4}(\\.p/[0-9]{1,3})?") {
        if let Ok(tile) = path.parse::<TileId>() {
            prop_assert_eq!(tile.to_string(), path.clone());
        }
        if let Ok(bundle) = path.parse::<BundleId>() {
            prop_assert_eq!(bundle.to_string(), path);
        }
    }
}
