//! The tables of the store: their tags, the layout of their keys, and which key seals their rows.
//!
//! **Append only.** A tag, once shipped, is never given to another table and its layout never changes: a table that
//! goes stays here as a tombstone. Another layout is another table, and a migration (`format.rs`).

use Layout::{Due, Name, Scoped};
use SealedBy::{Nobody, Operator, Owner, Wrapped};

/// A kind of row. The discriminant is the first byte of the row's key.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Table {
    /// What must be readable while sealed: the format version, the seal's configuration.
    Meta = 0x01,
    /// The wrapped keys of the hierarchy.
    Keys = 0x02,
    /// Which id a name stands for, by a keyed hash of the name.
    Names = 0x03,
    /// Customers.
    Customers = 0x10,
    /// Systems.
    Systems = 0x11,
    /// Accounts, as people describe them.
    Accounts = 0x12,
    /// What an account is doing: its candidates, its holder, its rotation.
    AccountStates = 0x13,
    /// The values that open accounts.
    Secrets = 0x14,
    /// Checkouts.
    Checkouts = 0x15,
    /// Rotations.
    Rotations = 0x16,
    /// Who has seen which secret version.
    Exposures = 0x17,
    /// Keyed hashes of secrets, to find one used twice.
    Fingerprints = 0x18,
    /// Emergency rotations of a customer.
    Emergencies = 0x19,
    /// Their lines, an account each.
    EmergencyLines = 0x1a,
    /// Certificates that still have time, though their checkout has ended.
    RevokedCertificates = 0x1b,
    /// Who depends on an account's secret, and how far they are with it.
    FollowUps = 0x1c,
    /// When an account's secret was last tried, and whether it is overdue.
    Watches = 0x1d,
    /// What logins a system has, and who answers for those outside of the vault.
    Discoveries = 0x1e,
    /// Users and service accounts.
    Principals = 0x20,
    /// Grants.
    Grants = 0x21,
    /// Sessions.
    Sessions = 0x22,
    /// Hashes of tokens.
    Tokens = 0x23,
    /// Failed logins.
    LoginCounters = 0x24,
    /// Users' second factors.
    Factors = 0x25,
    /// Issuers of tokens that are trusted.
    Issuers = 0x26,
    /// When secrets were revealed under a grant that limits it.
    RevealTimes = 0x27,
    /// The names of principals that were removed.
    FormerPrincipals = 0x28,
    /// Reviews of who reaches a customer.
    Reviews = 0x29,
    /// Their lines, a grant each.
    ReviewLines = 0x2a,
    /// Identity providers.
    IdentityProviders = 0x2b,
    /// Broken glasses: emergency access.
    BreakGlasses = 0x2c,
    /// How far the streams of each log have been received.
    StreamCursors = 0x2d,
    /// Backups that were taken, and where they are.
    Backups = 0x2e,
    /// Customers that were offboarded.
    Offboardings = 0x2f,
    /// What falls due when.
    Timers = 0x30,
    /// Which request an Idempotency-Key belongs to.
    Idempotency = 0x31,
    /// Each log's size, hashes and freshness digest.
    LogHeads = 0x40,
    /// Each log's entries.
    LogLeaves = 0x41,
    /// Each log's hash tiles.
    LogTiles = 0x42,
    /// Each log's index, by which it is searched.
    LogIndex = 0x43,
    /// Where each log's oldest entries are, outside of the store.
    LogArchives = 0x44,
    /// How far the replacement of a customer's key is, or was.
    KeyRotations = 0x45,
    /// Emergency kits of a customer, and where they are.
    Kits = 0x46,
}

/// What a table is: one row of the table below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Facts {
    layout: Layout,
    sealed_by: SealedBy,
    fresh: bool,
}

#[rustfmt::skip]
#[expect(clippy::match_same_arms, reason = "a line a table, to be read as one")]
const fn facts(table: Table) -> Facts {
    use Table as T;
    const fn row(layout: Layout, sealed_by: SealedBy, fresh: bool) -> Facts {
        Facts { layout, sealed_by, fresh }
    }
    match table {
        //                        key after the tag             sealed by   counts in the freshness digest
        T::Meta          => row(Name,                           Nobody,   false), // name
        T::Keys          => row(Scoped(1 + UUID),               Wrapped,  true),  // scope ‖ purpose u8 ‖ id
        T::Names         => row(Scoped(HASH),                   Owner,    true),  // scope ‖ lookup index
        T::Customers     => row(Scoped(0),                      Operator, true),  // scope
        T::Systems       => row(Scoped(UUID),                   Owner,    true),  // scope ‖ system
        T::Accounts      => row(Scoped(UUID),                   Owner,    true),  // scope ‖ account
        T::AccountStates => row(Scoped(UUID),                   Owner,    true),  // scope ‖ account
        T::Secrets       => row(Scoped(UUID + NUMBER),          Owner,    true),  // scope ‖ account ‖ version be8
        T::Checkouts     => row(Scoped(UUID),                   Owner,    true),  // scope ‖ checkout
        T::Rotations     => row(Scoped(UUID),                   Owner,    true),  // scope ‖ rotation
        T::Exposures     => row(Scoped(UUID + NUMBER + UUID),   Owner,    true),  // scope ‖ account ‖ version be8 ‖ principal
        T::Fingerprints  => row(Scoped(HASH + UUID),            Owner,    true),  // scope ‖ fingerprint ‖ account
        T::Emergencies   => row(Scoped(UUID),                   Owner,    true),  // scope ‖ emergency
        T::EmergencyLines => row(Scoped(UUID + UUID),           Owner,    true),  // scope ‖ emergency ‖ account
        T::RevokedCertificates => row(Scoped(UUID + UUID),      Owner,    true),  // scope ‖ system ‖ checkout
        T::FollowUps     => row(Scoped(UUID),                   Owner,    true),  // scope ‖ account
        T::Watches       => row(Scoped(UUID),                   Owner,    true),  // scope ‖ account
        T::Discoveries   => row(Scoped(UUID),                   Owner,    true),  // scope ‖ system
        T::Principals    => row(Scoped(UUID),                   Operator, true),  // scope ‖ principal
        T::Grants        => row(Scoped(UUID),                   Operator, true),  // scope ‖ grant
        T::Sessions      => row(Scoped(UUID),                   Operator, true),  // scope ‖ session
        T::Tokens        => row(Scoped(HASH),                   Operator, true),  // scope ‖ hash of the token
        T::LoginCounters => row(Scoped(HASH),                   Operator, true),  // scope ‖ lookup index
        T::Factors       => row(Scoped(UUID),                   Operator, true),  // scope ‖ principal
        T::Issuers       => row(Scoped(UUID),                   Operator, true),  // scope ‖ issuer
        T::RevealTimes   => row(Scoped(UUID),                   Operator, true),  // scope ‖ grant
        T::FormerPrincipals => row(Scoped(UUID),                Operator, true),  // scope ‖ principal
        T::Reviews       => row(Scoped(UUID),                   Owner,    true),  // scope ‖ review
        T::ReviewLines   => row(Scoped(UUID + UUID),            Owner,    true),  // scope ‖ review ‖ grant
        T::IdentityProviders => row(Scoped(UUID),               Operator, true),  // scope ‖ identity provider
        T::BreakGlasses  => row(Scoped(UUID),                   Owner,    true),  // scope ‖ break-glass
        T::StreamCursors => row(Scoped(HASH),                   Operator, false), // scope ‖ lookup index of the stream's name
        T::Backups       => row(Scoped(UUID),                   Operator, true),  // scope ‖ backup
        T::Offboardings  => row(Scoped(UUID),                   Operator, true),  // scope ‖ customer
        T::Timers        => row(Due,                            Owner,    true),  // due ms be8 ‖ scope ‖ kind u8 ‖ id
        T::Idempotency   => row(Scoped(HASH),                   Owner,    true),  // scope ‖ hash of principal and key
        T::LogHeads      => row(Scoped(0),                      Operator, false), // scope
        T::LogLeaves     => row(Scoped(NUMBER),                 Owner,    false), // scope ‖ index be8
        T::LogTiles      => row(Scoped(1 + NUMBER),             Operator, false), // scope ‖ level u8 ‖ index be8
        T::LogIndex      => row(Scoped(1 + NUMBER + 1),         Owner,    false), // scope ‖ level u8 ‖ place be8 ‖ part u8
        T::LogArchives   => row(Scoped(NUMBER),                 Operator, true),  // scope ‖ first index be8
        T::KeyRotations  => row(Scoped(0),                      Operator, true),  // scope
        T::Kits          => row(Scoped(UUID),                   Operator, true),  // scope ‖ kit
    }
}

/// Bytes of an id.
pub(crate) const UUID: usize = 16;
/// Bytes of a keyed hash.
pub(crate) const HASH: usize = 32;
/// Bytes of a number, big-endian so that numbers sort as numbers.
pub(crate) const NUMBER: usize = 8;

/// How a table's key goes on after the tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// A name in clear; the table belongs to the operator.
    Name,
    /// The scope's 16 bytes, then an id of this many bytes.
    Scoped(usize),
    /// The due time first, so that one scan finds what is due at any customer: milliseconds, scope, kind, id.
    Due,
}

/// Which key seals a table's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealedBy {
    /// In clear: read before anything can be opened.
    Nobody,
    /// By the wrapping key above it in the hierarchy (`keyring.rs`).
    Wrapped,
    /// The operator key, whoever's row it is. Customers and log heads: a locked customer must still be listed, found
    /// and given checkpoints. Log tiles: hashes alone, and an offboarded customer's proofs stay valid.
    /// Cursors of streams and places of archives: numbers. How far a key's replacement is, and kits: a locked customer's are shown, too,
    /// and a receipt of its end names them.
    Operator,
    /// The key of the row's scope: the customer's, or the operator's.
    Owner,
}

impl Table {
    /// All tables, in the order of their tags.
    pub const ALL: [Self; 43] = [
        Self::Meta,
        Self::Keys,
        Self::Names,
        Self::Customers,
        Self::Systems,
        Self::Accounts,
        Self::AccountStates,
        Self::Secrets,
        Self::Checkouts,
        Self::Rotations,
        Self::Exposures,
        Self::Fingerprints,
        Self::Emergencies,
        Self::EmergencyLines,
        Self::RevokedCertificates,
        Self::FollowUps,
        Self::Watches,
        Self::Discoveries,
        Self::Principals,
        Self::Grants,
        Self::Sessions,
        Self::Tokens,
        Self::LoginCounters,
        Self::Factors,
        Self::Issuers,
        Self::RevealTimes,
        Self::FormerPrincipals,
        Self::Reviews,
        Self::ReviewLines,
        Self::IdentityProviders,
        Self::BreakGlasses,
        Self::StreamCursors,
        Self::Backups,
        Self::Offboardings,
        Self::Timers,
        Self::Idempotency,
        Self::LogHeads,
        Self::LogLeaves,
        Self::LogTiles,
        Self::LogIndex,
        Self::LogArchives,
        Self::KeyRotations,
        Self::Kits,
    ];

    /// The first byte of the table's keys; also what stands for the table in what is bound into encryption.
    pub const fn tag(self) -> u8 {
        self as u8
    }

    /// The table of this tag.
    pub fn from_tag(tag: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.tag() == tag)
    }

    /// How its keys go on after the tag.
    pub const fn layout(self) -> Layout {
        facts(self).layout
    }

    /// Which key seals its rows.
    pub const fn sealed_by(self) -> SealedBy {
        facts(self).sealed_by
    }

    /// Whether its rows count in the freshness digest of their scope. Meta is read while sealed, the logs prove themselves
    /// by their hashes, and an older cursor of a stream repeats what was received.
    pub const fn counts_in_freshness(self) -> bool {
        facts(self).fresh
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The shipped tags. A line is added for a new table; no line ever changes.
    #[test]
    fn tags_are_append_only() {
        let shipped = [
            "01 Meta",
            "02 Keys",
            "03 Names",
            "10 Customers",
            "11 Systems",
            "12 Accounts",
            "13 AccountStates",
            "14 Secrets",
            "15 Checkouts",
            "16 Rotations",
            "17 Exposures",
            "18 Fingerprints",
            "19 Emergencies",
            "1a EmergencyLines",
            "1b RevokedCertificates",
            "1c FollowUps",
            "1d Watches",
            "1e Discoveries",
            "20 Principals",
            "21 Grants",
            "22 Sessions",
            "23 Tokens",
            "24 LoginCounters",
            "25 Factors",
            "26 Issuers",
            "27 RevealTimes",
            "28 FormerPrincipals",
            "29 Reviews",
            "2a ReviewLines",
            "2b IdentityProviders",
            "2c BreakGlasses",
            "2d StreamCursors",
            "2e Backups",
            "2f Offboardings",
            "30 Timers",
            "31 Idempotency",
            "40 LogHeads",
            "41 LogLeaves",
            "42 LogTiles",
            "43 LogIndex",
            "44 LogArchives",
            "45 KeyRotations",
            "46 Kits",
        ];
        let today: Vec<String> = Table::ALL.iter().map(|t| format!("{:02x} {t:?}", t.tag())).collect();
        assert_eq!(today, shipped);
    }

    #[test]
    fn only_meta_the_logs_and_how_far_they_were_read_are_outside_the_freshness_digest() {
        use Table::{LogHeads, LogIndex, LogLeaves, LogTiles, Meta, StreamCursors};
        let outside: Vec<Table> = Table::ALL.into_iter().filter(|t| !t.counts_in_freshness()).collect();
        assert_eq!(outside, [Meta, StreamCursors, LogHeads, LogLeaves, LogTiles, LogIndex]);
    }

    #[test]
    fn a_tag_reads_back_as_its_table() {
        for table in Table::ALL {
            assert_eq!(Table::from_tag(table.tag()), Some(table));
        }
        assert_eq!(Table::from_tag(0x00), None);
        assert_eq!(Table::from_tag(0xff), None);
    }
}
