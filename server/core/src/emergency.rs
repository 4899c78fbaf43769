//! The emergency rotation of a customer: what is done with each account, in which order, and what became of it.
//!
//! A customer has one at a time. It holds a line an account, made when it is started: what a line says of itself is only
//! whether its rotation was started, and which one that is; what became of it is what became of that rotation. So nothing
//! has to be told twice, and a crash between two commits leaves nothing that disagrees.

use claviger_api::wire::{EmergencyResult, EmergencyState, RotateBy, Tier};
use claviger_api::{AccountId, CustomerId, EmergencyId, KitId, PrincipalId, RotationId, SystemId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::account::AccountState;
use crate::rotation::{Rotation, Step};

/// Rotations of one customer at once.
pub const AT_ONCE: usize = 32;
/// Rotations on one system at once.
pub const AT_ONCE_PER_SYSTEM: usize = 4;
/// After so many accounts in a row of which a system could not be told, it counts as silent: its others are not tried one
/// after the other meanwhile, so that it holds up nobody.
pub const SILENT_AFTER: usize = 2;

/// Where an emergency rotation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Phase {
    /// The running check-outs are being ended.
    Ending,
    /// The accounts are being rotated.
    Rotating,
    /// Each account is settled, unresolved or passed over.
    Done {
        /// When.
        at: Timestamp,
    },
}

/// One emergency rotation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Emergency {
    /// Its id.
    pub id: EmergencyId,
    /// The customer.
    pub customer: CustomerId,
    /// Who started it.
    pub started_by: PrincipalId,
    /// When.
    pub started_at: Timestamp,
    /// Where it is.
    pub phase: Phase,
    /// Who let check-outs go on before it was done.
    pub thawed_by: Option<PrincipalId>,
    /// The due time of the timer that carries it on.
    pub timer: Option<Timestamp>,
    /// The emergency kit that was opened: whoever has it has what was on its way to a system, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kit: Option<KitId>,
}

/// What a customer's row says of the emergency rotation under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnderWay {
    /// Which.
    pub id: EmergencyId,
    /// Whether check-outs are refused because of it.
    pub frozen: bool,
}

/// One account of an emergency rotation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The account.
    pub account: AccountId,
    /// Its system.
    pub system: SystemId,
    /// Its tier, as it was when the emergency rotation was started.
    pub tier: Option<Tier>,
    /// What was done.
    pub state: LineState,
}

/// What was done with an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum LineState {
    /// Nothing yet.
    Waiting,
    /// This rotation is the one that counts.
    Started {
        /// Which.
        rotation: RotationId,
    },
    /// Nothing, and this is why.
    Skipped {
        /// Why.
        why: String,
    },
}

/// What is to be done with an account whose turn has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Start its rotation.
    Rotate,
    /// A rotation is under way whose new secret nobody has seen: it is the one that counts.
    Adopt(RotationId),
    /// A rotation is under way that was begun before what is now to be revoked was seen: first it settles.
    First(RotationId),
    /// There is nothing to rotate.
    Skip(&'static str),
}

impl Emergency {
    /// A new one. `timer` is due at once.
    pub fn start(
        id: EmergencyId,
        customer: CustomerId,
        started_by: PrincipalId,
        now: Timestamp,
        kit: Option<KitId>,
    ) -> Self {
        let (phase, thawed_by, timer) = (Phase::Ending, None, Some(now));
        Self { id, customer, started_by, started_at: now, phase, thawed_by, timer, kit }
    }

    /// What counts of rotations that were begun before it.
    pub fn takes(&self) -> Takes {
        if self.kit.is_some() { Takes::None } else { Takes::Unseen }
    }

    /// How far it is, on the wire.
    pub fn state_name(&self) -> EmergencyState {
        match self.phase {
            Phase::Ending => EmergencyState::Ending,
            Phase::Rotating => EmergencyState::Rotating,
            Phase::Done { .. } => EmergencyState::Done,
        }
    }

    /// When it was done.
    pub fn finished_at(&self) -> Option<Timestamp> {
        match self.phase {
            Phase::Ending | Phase::Rotating => None,
            Phase::Done { at } => Some(at),
        }
    }
}

impl Line {
    /// The order of turns: tier 0 first, what has no tier last; then system by system, in the order in which they were
    /// added.
    pub fn order(&self) -> (u8, SystemId, AccountId) {
        (self.tier.map_or(u8::MAX, u8::from), self.system, self.account)
    }

    /// What became of the account. `rotation` is the line's; gone where it was over so long ago that it was erased.
    pub fn result(&self, rotation: Option<&Rotation>) -> EmergencyResult {
        match (&self.state, rotation) {
            (LineState::Waiting, _) => EmergencyResult::Waiting,
            (LineState::Skipped { .. }, _) => EmergencyResult::Skipped,
            (LineState::Started { .. }, None) => EmergencyResult::Rotated,
            (LineState::Started { .. }, Some(rotation)) => of_rotation(rotation),
        }
    }
}

fn of_rotation(rotation: &Rotation) -> EmergencyResult {
    match rotation.step {
        Step::Done { .. } => EmergencyResult::Rotated,
        Step::ProvingOld { .. } => EmergencyResult::OldNotRefused,
        // Somebody has stopped it before any system was told.
        Step::Cancelled { .. } => EmergencyResult::Unresolved,
        Step::Preparing
        | Step::Ready { .. }
        | Step::Asking { .. }
        | Step::Sending { .. }
        | Step::Verifying { .. }
        | Step::Recovering { .. } => {
            if rotation.unresolved {
                EmergencyResult::Unresolved
            } else {
                EmergencyResult::Rotating
            }
        }
    }
}

/// Whether this much is known for good, as far as an emergency rotation waits for it.
pub fn is_concluded(result: EmergencyResult) -> bool {
    match result {
        EmergencyResult::Waiting | EmergencyResult::Rotating => false,
        EmergencyResult::Rotated
        | EmergencyResult::OldNotRefused
        | EmergencyResult::Unresolved
        | EmergencyResult::Skipped => true,
    }
}

/// What an emergency rotation takes of rotations that were begun before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// Those whose new secret nobody has seen.
    Unseen,
    /// None: their new secrets may have been seen, too.
    None,
}

/// What is to be done with a standing account that nobody holds any more. `last` is its last rotation, if that was started
/// since the emergency rotation was: by the end of what was checked out, say.
pub fn turn_of(rotate_by: RotateBy, state: &AccountState, last: Option<&Rotation>, takes: Takes) -> Turn {
    if let Some(running) = state.rotation.filter(|running| !running.settled) {
        if takes == Takes::None && last.is_none_or(|last| last.id != running.id) {
            return Turn::First(running.id);
        }
        // An unresolved one may take long: what was seen since is revoked when it is settled.
        let counts = state.to_revoke.is_empty() || running.unresolved;
        return if counts { Turn::Adopt(running.id) } else { Turn::First(running.id) };
    }
    if let Some(rotation) = last.filter(|rotation| state.to_revoke.is_empty() && rotation.new_version.is_some()) {
        return Turn::Adopt(rotation.id);
    }
    if state.secrets.current.is_none() && rotate_by == RotateBy::Itself {
        return Turn::Skip("no secret is stored, and it is not rotated by a management account");
    }
    Turn::Rotate
}
