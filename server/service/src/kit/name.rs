//! What kits and hand-overs are called, and which of those that are there are of one customer.

use claviger_api::{CustomerId, KitId, Timestamp};
use uuid::Uuid;

const KIT: &str = "claviger-kit-";
const SUFFIX: &str = ".tar";
const HAND_OVER: &str = "claviger-hand-over-";

/// The names of one customer's kits: `claviger-kit-VAULT-CUSTOMER-TIME-ID.tar`. They sort as they were made.
pub(crate) struct Names {
    place: String,
}

impl Names {
    pub fn of(vault: Uuid, customer: CustomerId) -> Self {
        Self { place: format!("{}-{}-", tail(vault), tail(customer.uuid())) }
    }

    /// The name of a kit.
    pub fn kit(&self, moment: Timestamp, id: KitId) -> String {
        format!("{KIT}{}{}-{}{SUFFIX}", self.place, time(moment), tail(id.uuid()))
    }

    /// The name of a hand-over.
    pub fn hand_over(&self, moment: Timestamp) -> String {
        format!("{HAND_OVER}{}{}.age", self.place, time(moment))
    }

    /// Kits of this customer that are past what is kept: the newest stay. No file of anybody else's, and no hand-over.
    pub fn past(&self, names: &[String], keep: usize) -> Vec<String> {
        let mut own: Vec<&String> = names.iter().filter(|name| self.is_own(name)).collect();
        own.sort_unstable();
        let past = own.len().saturating_sub(keep);
        own.into_iter().take(past).cloned().collect()
    }

    /// Hand-overs of this customer.
    pub fn hand_overs(&self, names: &[String]) -> Vec<String> {
        let its = |name: &&String| {
            let rest = name.strip_prefix(HAND_OVER).and_then(|rest| rest.strip_prefix(self.place.as_str()));
            rest.and_then(|rest| rest.strip_suffix(".age")).is_some_and(is_time)
        };
        names.iter().filter(its).cloned().collect()
    }

    fn is_own(&self, name: &str) -> bool {
        let rest = name.strip_prefix(KIT).and_then(|rest| rest.strip_prefix(self.place.as_str()));
        let parts = rest.and_then(|rest| rest.strip_suffix(SUFFIX)).and_then(|middle| middle.split_once('-'));
        parts.is_some_and(|(time, id)| is_time(time) && id.len() == 12 && id.bytes().all(|b| b.is_ascii_hexdigit()))
    }
}

/// The last digits: the first of a UUID version 7 are a time.
fn tail(id: Uuid) -> String {
    let digits = id.simple().to_string();
    digits.get(20..).unwrap_or_default().to_owned()
}

fn time(moment: Timestamp) -> String {
    moment.strftime("%Y%m%dT%H%M%S%3fZ").to_string()
}

fn is_time(text: &str) -> bool {
    let shape = text.bytes().map(|byte| if byte.is_ascii_digit() { b'0' } else { byte });
    shape.eq(*b"00000000T000000000Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_customers_own_oldest_kits_are_past() {
        let of = |customer| Names::of(Uuid::from_u128(7), CustomerId::from_uuid(Uuid::from_u128(customer)));
        let (names, other) = (of(1), of(2));
        let at = |second: i64| Timestamp::from_second(1_795_000_000 + second).unwrap();
        let kit = |names: &Names, second: i64| names.kit(at(second), KitId::from_uuid(Uuid::from_u128(9)));
        let own: Vec<String> = (0..4).map(|second| kit(&names, second)).collect();
        assert_eq!(own[0], "claviger-kit-000000000007-000000000001-20261118T110640000Z-000000000009.tar");
        let foreign = [
            kit(&other, 0),
            kit(&Names::of(Uuid::from_u128(8), CustomerId::from_uuid(Uuid::from_u128(1))), 0),
            names.hand_over(at(0)),
            format!("{}.bak", own[0]),
            own[0].replace('T', "t"),
            "notes.txt".to_owned(),
        ];
        let all: Vec<String> = own.iter().rev().chain(&foreign).cloned().collect();
        assert_eq!(names.past(&all, 2), own[..2]);
        assert_eq!(names.past(&all, 4), Vec::<String>::new());
        assert_eq!(names.hand_overs(&all), [names.hand_over(at(0))]);
        assert_eq!(other.hand_overs(&all), Vec::<String>::new());
        assert_eq!(names.past(&all, 0), own, "all of them, for whoever removes the customer");
    }
}
