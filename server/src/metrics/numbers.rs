//! The numbers, and how they are written.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::atomic::AtomicU64;

use claviger_api::Timestamp;
use claviger_api::wire::{StreamState, StreamStatus};
use claviger_service::audit::publish::Published;
use claviger_service::backup::BackedUp;
use claviger_service::kit::KitsSeen;
use claviger_service::scrub::Scrubbed;
use claviger_service::upkeep::Seen;
use jiff::SignedDuration;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::Traffic;

/// Numbers of accounts are told so long after the look that they are of: of several servers one looks, and another goes on where it ends.
const TOLD_FOR: SignedDuration = SignedDuration::from_mins(15);

/// What is known at one moment.
#[derive(Debug, Clone)]
pub struct Numbers {
    /// The moment.
    pub now: Timestamp,
    /// When the server started.
    pub started_at: Timestamp,
    /// Whether a lost disk loses what was changed since the last backup.
    pub single_copy: bool,
    /// Whether the escrow stream takes nothing; nothing where there is none.
    pub escrow_trouble: Option<bool>,
    /// When the certificate that is shown ends, and whether its files hold what was refused; nothing where none is shown.
    pub certificate: Option<(Option<Timestamp>, bool)>,
    /// The disk of the store, where it is one.
    pub disk: Option<Disk>,
    /// Whether the HSM that has sealed the vault would not open it; nothing where none has.
    pub hsm_failing: Option<bool>,
    /// What is known of an open vault. What a sealed one cannot know is not there, rather than 0.
    pub open: Option<OfOpen>,
}

/// What is known of an open vault.
#[derive(Debug, Clone)]
pub struct OfOpen {
    /// Whether it was restored and acts on no system yet.
    pub paused: bool,
    /// What the last look at all accounts saw, if there was one.
    pub seen: Option<Seen>,
    /// How far checkpoints have come.
    pub published: Published,
    /// What the last check of the store found, if there was one.
    pub scrubbed: Option<Scrubbed>,
    /// The last backup, and whether the last try failed; nothing where none are taken.
    pub backups: Option<(Option<BackedUp>, bool)>,
    /// What the last look at all customers' emergency kits saw, if there was one.
    pub kits: Option<KitsSeen>,
    /// How many customers' keys are being replaced.
    pub key_rotations: u64,
    /// Since when the first of the timers that are due has waited.
    pub due_since: Option<Timestamp>,
    /// The streams, where there are any.
    pub streams: Option<Streams>,
}

/// The streams of the audit log, all in one: who wants to know which of them it is asks `claviger status`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Streams {
    broken: u64,
    behind: u64,
    behind_seconds: u64,
}

/// How full a disk is, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Disk {
    free: u64,
    size: u64,
}

impl Streams {
    /// All of them in one.
    pub fn of(streams: &[StreamStatus], now: Timestamp) -> Self {
        let mut all = Self::default();
        for stream in streams {
            all.broken += u64::from(stream.state == StreamState::Broken);
            all.behind = all.behind.max(stream.behind);
            all.behind_seconds = all.behind_seconds.max(since(stream.behind_since, now));
        }
        all
    }
}

impl Disk {
    /// The disk of this directory; what is free is what a process without privileges may still use.
    pub fn of(directory: &Path) -> io::Result<Self> {
        let disk = rustix::fs::statvfs(directory)?;
        let bytes = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
        Ok(Self { free: bytes(disk.f_bavail), size: bytes(disk.f_blocks) })
    }
}

impl Numbers {
    /// As text, with what was asked of the server.
    pub fn text(&self, traffic: &Traffic) -> Result<String, fmt::Error> {
        let mut registry = Registry::with_prefix("claviger");
        let mut number = |name: &str, help: &str, value: u64| {
            let gauge = Gauge::<u64, AtomicU64>::default();
            gauge.set(value);
            registry.register(name, help, gauge);
        };
        number("sealed", "Whether the vault is sealed", u64::from(self.open.is_none()));
        number("started_at_seconds", "When the server started, in Unix time", unix(self.started_at));
        let help = "Whether a lost disk loses the secrets that were changed since the last backup";
        number("single_copy", help, u64::from(self.single_copy));
        if let Some(trouble) = self.escrow_trouble {
            let help = "Whether the escrow stream takes nothing: until it does, no secret is stored or rotated";
            number("escrow_trouble", help, u64::from(trouble));
        }
        if let Some((ends_at, refused)) = self.certificate {
            if let Some(at) = ends_at {
                number(
                    "certificate_ends_at_seconds",
                    "When the certificate that is shown ends, in Unix time",
                    unix(at),
                );
            }
            let help = "Whether the files of the certificate hold what cannot be used, and an older one is shown";
            number("certificate_refused", help, u64::from(refused));
        }
        if let Some(disk) = self.disk {
            number("store_disk_free_bytes", "What is free on the disk of the store", disk.free);
            number("store_disk_size_bytes", "How large the disk of the store is", disk.size);
        }
        if let Some(failing) = self.hsm_failing {
            let help = "Whether the HSM that has sealed the vault would not open it";
            number("hsm_failing", help, u64::from(failing));
        }
        if let Some(open) = &self.open {
            open.write(self.now, &mut number);
        }
        traffic.register(&mut registry);
        let mut text = String::new();
        encode(&mut text, &registry)?;
        Ok(text)
    }
}

impl OfOpen {
    fn write(&self, now: Timestamp, number: &mut impl FnMut(&str, &str, u64)) {
        number("paused", "Whether the vault was restored and acts on no system yet", u64::from(self.paused));
        number("customer_keys_rotating", "Customers whose key is being replaced", self.key_rotations);
        number("timer_late_seconds", "How long the first of what is due has waited", since(self.due_since, now));
        if let Some(at) = self.published.at {
            number("checkpoints_published_at_seconds", "When checkpoints were last published, in Unix time", unix(at));
        }
        number("anchors_failing", "Anchors that could not be written", self.published.anchors_failing);
        if let Some(seen) = &self.seen {
            write_seen(seen, now, number);
        }
        if let Some(streams) = self.streams {
            number("streams_broken", "Streams of the audit log that do not deliver", streams.broken);
            number("stream_behind_entries", "The most entries that a stream is behind its logs", streams.behind);
            let help = "The age of the oldest entry that is not received";
            number("stream_behind_seconds", help, streams.behind_seconds);
        }
        if let Some(scrubbed) = self.scrubbed {
            if scrubbed.whole {
                let help = "Of which moment the last check of the store tells, in Unix time";
                number("store_checked_at_seconds", help, unix(scrubbed.at));
            }
            let help = "What the last check of the store found that is not as it should be";
            number("store_faults", help, scrubbed.faults);
        }
        if let Some((last, failing)) = self.backups {
            // Without any, the age is that of 1970: whoever watches for old ones is told.
            let at = last.map_or(0, |last| unix(last.at));
            number("backup_taken_at_seconds", "Of which moment the last backup tells, in Unix time", at);
            number("backup_failing", "Whether the last try to take a backup failed", u64::from(failing));
        }
        if let Some(seen) = self.kits.filter(|seen| now.duration_since(seen.at) <= TOLD_FOR) {
            number("kits_failing", "Customers whose last emergency kit could not be made", seen.failing);
        }
    }
}

fn write_seen(seen: &Seen, now: Timestamp, number: &mut impl FnMut(&str, &str, u64)) {
    let help = "When the vault last looked at all accounts, in Unix time";
    number("upkeep_looked_at_seconds", help, unix(seen.at));
    if now.duration_since(seen.at) > TOLD_FOR {
        return;
    }
    number("accounts_overdue", "Accounts whose rotation was due a day ago or more", seen.overdue);
    number("accounts_drifted", "Accounts whose stored secret the system refuses", seen.drifted);
    let help = "Accounts with a rotation that waits for its system or a person";
    number("accounts_unresolved", help, seen.owed.unresolved);
    number("accounts_with_dependents_behind", "Accounts that others wait for the secret of", seen.behind);
    let help = "Old secrets that a system accepts past its grace";
    number("old_secrets_still_accepted", help, seen.owed.still_accepted);
    let help = "Ended checkouts of which nobody has seen yet that what they revealed opens nothing any more";
    number("checkouts_unproven", help, seen.owed.unproven);
    let help = "How long ago the first of those ended";
    number("checkout_unproven_seconds", help, since(seen.owed.unproven_since, now));
}

fn unix(at: Timestamp) -> u64 {
    u64::try_from(at.as_second()).unwrap_or_default()
}

fn since(at: Option<Timestamp>, now: Timestamp) -> u64 {
    at.map_or(0, |at| u64::try_from(now.duration_since(at).as_secs()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use claviger_service::upkeep::Owed;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn samples(text: &str) -> Vec<&str> {
        text.lines().filter(|line| !line.starts_with('#')).collect()
    }

    /// All that there can be.
    fn everything() -> Numbers {
        let owed = Owed { unresolved: 3, still_accepted: 5, unproven: 6, unproven_since: Some(at(40)) };
        let open = OfOpen {
            paused: false,
            seen: Some(Seen { at: Timestamp::UNIX_EPOCH, overdue: 1, drifted: 2, behind: 4, owed }),
            published: Published { at: Some(at(50)), anchors_failing: 1 },
            scrubbed: Some(Scrubbed { at: Timestamp::UNIX_EPOCH, faults: 2, whole: true }),
            backups: Some((None, true)),
            kits: Some(KitsSeen { at: Timestamp::UNIX_EPOCH, failing: 1 }),
            key_rotations: 1,
            due_since: Some(at(93)),
            streams: Some(Streams { broken: 1, behind: 20, behind_seconds: 300 }),
        };
        let disk = Some(Disk { free: 7, size: 8 });
        let certificate = Some((Some(at(101)), false));
        Numbers {
            now: at(100),
            started_at: at(9),
            single_copy: true,
            escrow_trouble: Some(false),
            certificate,
            disk,
            hsm_failing: Some(true),
            open: Some(open),
        }
    }

    #[test]
    fn numbers_and_nothing_else() {
        let traffic = Traffic::default();
        for status in [200, 404, 503] {
            traffic.answered(status, Duration::from_millis(200));
        }
        let text = everything().text(&traffic).unwrap();
        let (histogram, plain): (Vec<&str>, Vec<&str>) =
            samples(&text).into_iter().partition(|line| line.starts_with("claviger_http_request_seconds"));
        let wanted = [
            "claviger_sealed 0",
            "claviger_started_at_seconds 9",
            "claviger_single_copy 1",
            "claviger_escrow_trouble 0",
            "claviger_certificate_ends_at_seconds 101",
            "claviger_certificate_refused 0",
            "claviger_store_disk_free_bytes 7",
            "claviger_store_disk_size_bytes 8",
            "claviger_hsm_failing 1",
            "claviger_paused 0",
            "claviger_customer_keys_rotating 1",
            "claviger_timer_late_seconds 7",
            "claviger_checkpoints_published_at_seconds 50",
            "claviger_anchors_failing 1",
            "claviger_upkeep_looked_at_seconds 0",
            "claviger_accounts_overdue 1",
            "claviger_accounts_drifted 2",
            "claviger_accounts_unresolved 3",
            "claviger_accounts_with_dependents_behind 4",
            "claviger_old_secrets_still_accepted 5",
            "claviger_checkouts_unproven 6",
            "claviger_checkout_unproven_seconds 60",
            "claviger_streams_broken 1",
            "claviger_stream_behind_entries 20",
            "claviger_stream_behind_seconds 300",
            "claviger_store_checked_at_seconds 0",
            "claviger_store_faults 2",
            "claviger_backup_taken_at_seconds 0",
            "claviger_backup_failing 1",
            "claviger_kits_failing 1",
            "claviger_http_requests_total 3",
            "claviger_http_requests_refused_total 1",
            "claviger_http_requests_failed_total 1",
        ];
        assert_eq!(plain, wanted, "a name and a number each");
        for line in &histogram {
            let labels = line.split_once('{').map(|(_, rest)| rest);
            assert!(labels.is_none_or(|labels| labels.starts_with("le=\"") && !labels.contains(',')), "{line}");
        }
        assert!(histogram.contains(&"claviger_http_request_seconds_bucket{le=\"0.5\"} 3"), "{histogram:?}");
        assert!(histogram.contains(&"claviger_http_request_seconds_bucket{le=\"0.1\"} 0"), "{histogram:?}");
    }

    #[test]
    fn numbers_of_accounts_are_told_while_they_are_new() {
        let told = |minutes| {
            let mut numbers = everything();
            numbers.now = Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minutes);
            let text = numbers.text(&Traffic::default()).unwrap();
            assert!(text.contains("claviger_upkeep_looked_at_seconds 0\n"), "{text}");
            text.contains("claviger_accounts_overdue 1\n")
        };
        assert!(told(15) && !told(16));
    }

    #[test]
    fn what_a_sealed_vault_cannot_know_is_not_there() {
        let numbers = Numbers {
            now: at(100),
            started_at: at(9),
            single_copy: true,
            escrow_trouble: None,
            certificate: None,
            disk: None,
            hsm_failing: None,
            open: None,
        };
        let text = numbers.text(&Traffic::default()).unwrap();
        let plain: Vec<&str> = samples(&text).into_iter().filter(|line| !line.contains("http")).collect();
        assert_eq!(plain, ["claviger_sealed 1", "claviger_started_at_seconds 9", "claviger_single_copy 1"]);
    }

    /// An alert on a number that nobody writes would never be raised, and say nothing of it.
    #[test]
    fn alerts_and_the_dashboard_name_what_is_written() {
        let text = everything().text(&Traffic::default()).unwrap();
        let written: BTreeSet<&str> =
            samples(&text).into_iter().filter_map(|line| line.split([' ', '{']).next()).collect();
        for file in ["prometheus/alerts.yaml", "prometheus/alerts_test.yaml", "grafana/claviger.json"] {
            let path = format!("{}/../deploy/{file}", env!("CARGO_MANIFEST_DIR"));
            let text = std::fs::read_to_string(path).unwrap();
            let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let named: BTreeSet<&str> = words.filter(|word| word.starts_with("claviger_")).collect();
            assert!(named.len() > 20, "{file}: {named:?}");
            let unknown: Vec<_> = named.difference(&written).collect();
            assert!(unknown.is_empty(), "{file} names {unknown:?}");
        }
    }

    #[test]
    fn a_disk_has_a_size() {
        let disk = Disk::of(Path::new("/")).unwrap();
        assert!(disk.size > 0 && disk.free <= disk.size, "{disk:?}");
    }
}
