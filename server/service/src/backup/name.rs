//! What backups are called, and which of those that are there are this vault's own.

use claviger_api::{BackupId, Timestamp};
use uuid::Uuid;

const WHOLE: &str = ".age";
const INCREMENT: &str = ".increment.age";

/// The names of one vault's backups: `claviger-VAULT-TIME-ID.age`, and of the increments upon them: `claviger-VAULT-TIME-ID.increment.age`.
/// They sort as they were taken.
pub(super) struct Names {
    prefix: String,
}

impl Names {
    pub fn of(vault: Uuid) -> Self {
        let vault = vault.simple().to_string();
        // The last digits: the first of a UUID version 7 are a time.
        Self { prefix: format!("claviger-{}-", vault.get(20..).unwrap_or_default()) }
    }

    /// The name of a backup.
    pub fn name(&self, moment: Timestamp, id: BackupId, is_increment: bool) -> String {
        let suffix = if is_increment { INCREMENT } else { WHOLE };
        let id = id.uuid().simple().to_string();
        let time = moment.strftime("%Y%m%dT%H%M%S%3fZ");
        format!("{}{time}-{}{suffix}", self.prefix, id.get(20..).unwrap_or_default())
    }

    /// Those of this vault that are past what is kept, and no file of anybody else's. The newest whole ones are kept, one at the least,
    /// and what goes upon them.
    pub fn past(&self, names: &[String], keep: usize) -> Vec<String> {
        let mut own: Vec<&String> = names.iter().filter(|name| self.is_own(name)).collect();
        own.sort_unstable();
        let whole = own.iter().enumerate().rev().filter(|(_, name)| !name.ends_with(INCREMENT));
        let first = whole.map(|(at, _)| at).take(keep.max(1)).last().unwrap_or(0);
        own.into_iter().take(first).cloned().collect()
    }

    fn is_own(&self, name: &str) -> bool {
        let rest = name.strip_prefix(&self.prefix);
        let middle = rest.and_then(|rest| rest.strip_suffix(INCREMENT).or_else(|| rest.strip_suffix(WHOLE)));
        let parts = middle.and_then(|middle| middle.split_once('-'));
        parts.is_some_and(|(time, id)| is_time(time) && id.len() == 12 && id.bytes().all(|b| b.is_ascii_hexdigit()))
    }
}

fn is_time(text: &str) -> bool {
    let shape = text.bytes().map(|byte| if byte.is_ascii_digit() { b'0' } else { byte });
    shape.eq(*b"00000000T000000000Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_vaults_own_oldest_backups_are_past() {
        let (names, other) = (Names::of(Uuid::from_u128(7)), Names::of(Uuid::from_u128(8)));
        let at = |second: i64| Timestamp::from_second(1_795_000_000 + second).unwrap();
        let name = |names: &Names, second: i64| names.name(at(second), BackupId::from_uuid(Uuid::from_u128(9)), false);
        let own: Vec<String> = (0..4).map(|second| name(&names, second)).collect();
        let foreign = [
            name(&other, 0),
            format!("{}.bak", own[0]),
            own[0].replace(".age", ""),
            own[0].replace('T', "t"),
            format!("{}notes.age", names.prefix),
            "notes.txt".to_owned(),
        ];
        let mut all: Vec<String> = own.iter().rev().chain(&foreign).cloned().collect();
        assert_eq!(names.past(&all, 2), own[..2]);
        assert_eq!(names.past(&all, 4), Vec::<String>::new());
        assert_eq!(names.past(&all, 0), own[..3], "the last one stays, whatever is said");
        let upon = |second: i64| names.name(at(second), BackupId::from_uuid(Uuid::from_u128(9)), true);
        all.extend([upon(10), upon(11)]);
        assert_eq!(names.past(&all, 2), own[..2], "what goes upon a backup stays, and takes no other's place");
        all = vec![upon(-1), own[0].clone(), upon(1), own[2].clone(), upon(3)];
        assert_eq!(names.past(&all, 1), [upon(-1), own[0].clone(), upon(1)], "and goes with it");
        assert_eq!(names.past(&all, 2), [upon(-1)]);
        all = vec![upon(1), upon(2)];
        assert_eq!(names.past(&all, 1), Vec::<String>::new());
        all.clear();
        assert_eq!(names.past(&all, 1), Vec::<String>::new());
    }
}
