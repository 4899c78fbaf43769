//! What a stream tells of one entry: where it stands, and the fields that its reader may see.

use std::collections::BTreeMap;

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::{Entry, FieldName, FieldView};
use claviger_api::{CustomerId, Part, Timestamp};

/// The log that an entry stands in.
#[derive(Debug, Clone)]
pub struct Place {
    /// The vault's name.
    pub vault: String,
    /// The log's origin, as in its checkpoints.
    pub log: String,
    /// The customer, in a customer's log.
    pub customer: Option<Customer>,
}

/// Whose log.
#[derive(Debug, Clone)]
pub struct Customer {
    /// Its id.
    pub id: CustomerId,
    /// The first part of its paths, while the customer is there.
    pub slug: Option<Part>,
}

/// An entry, opened.
#[derive(Debug, Clone)]
pub struct Told {
    /// Its log.
    pub place: Place,
    /// Its number in the log, from 0.
    pub index: u64,
    /// When.
    pub time: Timestamp,
    /// What happened.
    pub kind: EventKind,
    /// All else that is open: what was erased is not there.
    pub fields: BTreeMap<FieldName, String>,
    /// Whether values were cut to fit.
    pub cut: bool,
}

impl Told {
    /// What an entry tells; nothing, where its time or kind is no such thing.
    pub fn of(place: Place, index: u64, entry: &Entry) -> Option<Self> {
        let mut fields = BTreeMap::new();
        for (name, view) in entry.views() {
            if let FieldView::Open { value, .. } = view {
                fields.insert(*name, value.clone());
            }
        }
        let time = fields.remove(&FieldName::Time)?.parse().ok()?;
        let kind = fields.remove(&FieldName::Kind)?.parse().ok()?;
        Some(Self { place, index, time, kind, fields, cut: false })
    }

    /// One name for this entry in all the world, the same whenever it is told.
    pub fn id(&self) -> String {
        format!("{}/{}", self.place.log, self.index)
    }

    /// A field that is open.
    pub fn value(&self, name: FieldName) -> Option<&str> {
        self.fields.get(&name).map(String::as_str)
    }

    /// What it was done to, by the narrowest name.
    pub fn subject(&self) -> Option<&str> {
        let by_name = [
            FieldName::Account,
            FieldName::System,
            FieldName::PrincipalName,
            FieldName::Principal,
            FieldName::Customer,
        ];
        by_name.into_iter().find_map(|name| self.value(name))
    }

    /// A sentence for people: `checkout revealed: acme/dc01/administrator`.
    pub fn sentence(&self) -> String {
        let words = self.kind.text().replace(['.', '_'], " ");
        self.subject().map_or_else(|| words.clone(), |subject| format!("{words}: {subject}"))
    }

    /// The same with no value longer than so many characters.
    #[must_use]
    pub fn within(&self, most: usize) -> Self {
        let mut cut = self.clone();
        for value in cut.fields.values_mut() {
            if let Some((end, _)) = value.char_indices().nth(most) {
                value.truncate(end);
                cut.cut = true;
            }
        }
        cut
    }
}
