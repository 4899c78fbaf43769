//! What a grant and a customer's limits can ask of a request, in the same words.

use clap::Args;
use claviger_client::api::wire::{Conditions, Network, TicketPattern, WeeklyHours};

/// All that are given must be met.
#[derive(Args, Clone)]
pub struct Around {
    /// Use wants a second factor of the last five minutes, which no program has
    #[arg(long)]
    fresh_factor: bool,
    /// A checkout names a ticket of this form, e.g. 'INC-[0-9]+'
    #[arg(long, value_name = "REGEX")]
    ticket: Option<TicketPattern>,
    /// Only from this network, e.g. 192.0.2.0/24; repeat for more
    #[arg(long, value_name = "NETWORK")]
    network: Vec<Network>,
    /// Only in these hours, e.g. 'Mon-Fri 08:00-18:00 Europe/Berlin'
    #[arg(long)]
    hours: Option<WeeklyHours>,
}

impl Around {
    /// As conditions; the others are not set.
    pub fn wire(self) -> Conditions {
        Conditions {
            fresh_factor: self.fresh_factor,
            ticket: self.ticket,
            networks: self.network,
            hours: self.hours,
            ..Conditions::default()
        }
    }
}
