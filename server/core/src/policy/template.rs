//! The templates of `roles.cedar`, by their `@id`.

use claviger_api::wire::{GrantKind, Role};

pub const THROUGH_CUSTOMER: &str = "way_through_customer";
pub const THROUGH_SYSTEM: &str = "way_through_system";
/// What a broken glass gives while it is open.
pub const OPEN_GLASS: &str = "break_glass.opened";

/// The role itself. This is also the role's name in the context of `grant.make`.
pub const fn to_use(role: Role) -> &'static str {
    match role {
        Role::Administrator => "administrator",
        Role::Technician => "technician",
        Role::Automation => "automation",
        Role::Approver => "approver",
        Role::Auditor => "auditor",
        Role::CustomerAuditor => "customer_auditor",
        Role::CustomerAdministrator => "customer_administrator",
        Role::BreakGlass => "break_glass",
    }
}

/// The right to hand the role on.
pub const fn to_hand_on(role: Role) -> &'static str {
    match role {
        Role::Administrator => "may_grant.administrator",
        Role::Technician => "may_grant.technician",
        Role::Automation => "may_grant.automation",
        Role::Approver => "may_grant.approver",
        Role::Auditor => "may_grant.auditor",
        Role::CustomerAuditor => "may_grant.customer_auditor",
        Role::CustomerAdministrator => "may_grant.customer_administrator",
        Role::BreakGlass => "may_grant.break_glass",
    }
}

/// The kind's name in the context of `grant.make`.
pub const fn kind(kind: GrantKind) -> &'static str {
    match kind {
        GrantKind::MayUse => "may_use",
        GrantKind::MayGrant => "may_grant",
    }
}
