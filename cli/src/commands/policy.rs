//! The flags of a rotation policy, which an account, a system and a customer have alike.

use clap::{Args, ValueEnum};
use claviger_client::api::wire::{OnDrift, RotationPolicy};

/// What is not named stays.
#[derive(Args)]
pub struct Policy {
    /// By itself: no secret is older than so many days; 0 for any age
    #[arg(long = "rotate-every-days", value_name = "N")]
    every_days: Option<u32>,
    /// By itself: what somebody has seen is replaced so many hours later; 0 for never
    #[arg(long = "rotate-after-exposure-hours", value_name = "N")]
    after_exposure_hours: Option<u32>,
    /// By itself: only within the hour that begins then, 0 to 23, by the customer's clocks
    #[arg(long = "rotate-at-hour", value_name = "HOUR")]
    at_hour: Option<u8>,
    /// A login tries the stored secret every so many hours; 0 for never
    #[arg(long, value_name = "N")]
    heartbeat_hours: Option<u32>,
    /// A secret that was changed by hand is reported (default), or the management account sets another
    #[arg(long, value_enum, value_name = "WHAT")]
    on_drift: Option<Drift>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Drift {
    Report,
    Reconcile,
}

impl Policy {
    /// The present policy with what was named.
    pub fn apply(self, present: &RotationPolicy) -> RotationPolicy {
        let on_drift = self.on_drift.map(|drift| match drift {
            Drift::Report => OnDrift::Report,
            Drift::Reconcile => OnDrift::Reconcile,
        });
        RotationPolicy {
            every_days: self.every_days.or(present.every_days),
            after_exposure_hours: self.after_exposure_hours.or(present.after_exposure_hours),
            at_hour: self.at_hour.or(present.at_hour),
            heartbeat_hours: self.heartbeat_hours.or(present.heartbeat_hours),
            on_drift: on_drift.or(present.on_drift),
        }
    }

    /// The policy to send; nothing, where nothing new was named.
    pub fn change(self, present: &RotationPolicy) -> Option<RotationPolicy> {
        Some(self.apply(present)).filter(|wanted| wanted != present)
    }
}
