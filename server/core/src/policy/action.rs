//! The verbs, each a value of [`Action`] and a marker type of its own, so that a permit for one is no permit for another.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A verb as a type: what a [`Permit`](super::Permit) is for. Implemented by the marker types of this module only.
pub trait Act: sealed::Sealed + 'static {
    /// The verb as a value.
    const ACTION: Action;
}

mod sealed {
    /// Keeps [`Act`](super::Act) to the markers of this module.
    pub trait Sealed {}
}

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// Everything that can be asked for. The text forms are the action names of `claviger.cedarschema`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Action {
            $($(#[$doc])* $name,)*
        }

        impl Action {
            /// All of them, in order.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The text form, e.g. `checkout.reveal`.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }

        $(
            $(#[$doc])*
            #[derive(Debug)]
            pub enum $name {}

            impl sealed::Sealed for $name {}

            impl Act for $name {
                const ACTION: Action = Action::$name;
            }
        )*
    };
}

actions! {
    /// See how the vault itself is doing.
    SysStatus = "sys.status";
    /// Drop the root key from memory.
    SysSeal = "sys.seal";
    /// Have the whole store checked.
    SysScrub = "sys.scrub";
    /// Have a backup taken, for the recipients that the configuration names.
    SysBackup = "sys.backup";
    /// Change what opens the vault, and the root key.
    SysRekey = "sys.rekey";
    /// Have a restored vault compared with the world, and let it act again.
    SysRestore = "sys.restore";
    /// Add a customer.
    CustomerCreate = "customer.create";
    /// See a customer.
    CustomerView = "customer.view";
    /// Change a customer.
    CustomerUpdate = "customer.update";
    /// Set what the customer wants of everybody who works there.
    CustomerLimit = "customer.limit";
    /// Remove a customer.
    CustomerRemove = "customer.remove";
    /// End what is checked out at a customer, and drop its key from memory.
    CustomerLock = "customer.lock";
    /// Take a locked customer's key into memory again.
    CustomerUnlock = "customer.unlock";
    /// Destroy a customer's key, and all that it opens.
    CustomerOffboard = "customer.offboard";
    /// Have an emergency kit made of a customer, for the recipients that it and the configuration name.
    KitCreate = "kit.create";
    /// See a customer's emergency kits, and get the encrypted file.
    KitView = "kit.view";
    /// Add a system to a customer.
    SystemCreate = "system.create";
    /// See a system.
    SystemView = "system.view";
    /// Change a system.
    SystemUpdate = "system.update";
    /// Remove a system.
    SystemRemove = "system.remove";
    /// Add an account to a system.
    AccountCreate = "account.create";
    /// See an account, never its secret.
    AccountView = "account.view";
    /// Change an account's settings.
    AccountUpdate = "account.update";
    /// Remove an account.
    AccountRemove = "account.remove";
    /// Store a secret that was changed elsewhere, or import one.
    AccountSetSecret = "account.set_secret";
    /// Try the current secret on the system; it is shown to nobody.
    AccountVerify = "account.verify";
    /// Replace the secret on the system; it is shown to nobody.
    AccountRotate = "account.rotate";
    /// See the stored versions of an account whose rotation is not settled.
    AccountRevealUnresolved = "account.reveal_unresolved";
    /// Check out an account.
    CheckoutCreate = "checkout.create";
    /// See a checkout, never its secret.
    CheckoutView = "checkout.view";
    /// See the secret of a checkout.
    CheckoutReveal = "checkout.reveal";
    /// Prolong a checkout.
    CheckoutExtend = "checkout.extend";
    /// Give a checkout back.
    CheckoutCheckin = "checkout.checkin";
    /// End another's checkout.
    CheckoutRevoke = "checkout.revoke";
    /// Say yes or no to another's checkout.
    CheckoutApprove = "checkout.approve";
    /// End another's checkout and start one's own.
    CheckoutTakeOver = "checkout.take_over";
    /// See a rotation.
    RotationView = "rotation.view";
    /// Cancel a rotation.
    RotationCancel = "rotation.cancel";
    /// Do by hand what a rotation asks a person to do: see the candidate, and say what came of it.
    RotationPerform = "rotation.perform";
    /// Add, change, suspend or remove users and service accounts.
    PrincipalManage = "principal.manage";
    /// See users and service accounts.
    PrincipalView = "principal.view";
    /// Make a grant; decided by [`authorize_grant`](super::authorize_grant) alone.
    GrantMake = "grant.make";
    /// End a grant.
    GrantRevoke = "grant.revoke";
    /// See grants.
    GrantView = "grant.view";
    /// See who can reach what, by which grant.
    AccessView = "access.view";
    /// Ask for emergency access.
    BreakGlassOpen = "break_glass.open";
    /// Agree to another's emergency access.
    BreakGlassAgree = "break_glass.agree";
    /// End emergency access.
    BreakGlassClose = "break_glass.close";
    /// See emergency access, and what was done by it.
    BreakGlassView = "break_glass.view";
    /// Close the review of emergency access.
    BreakGlassReview = "break_glass.review";
    /// Read the audit log.
    AuditRead = "audit.read";
    /// Export the audit log.
    AuditExport = "audit.export";
}

impl Action {
    /// The verb of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|action| action.as_str() == name).copied()
    }
}

impl Serialize for Action {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Action {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::named(&name).ok_or_else(|| de::Error::custom("not a verb that this version knows"))
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
