//! What each operation is sent with, and who may do it. `<customer>` and the like are filled in.

use claviger_api::wire::Role::{
    self, Administrator, Approver, Auditor, Automation, BreakGlass, CustomerAdministrator, CustomerAuditor, Technician,
};

/// One operation.
pub struct Wanted {
    /// Its name in the description.
    pub id: &'static str,
    /// The roles that may, everywhere.
    pub may: &'static [Role],
    /// Whose things it names.
    pub about: About,
    /// A right query.
    pub query: &'static str,
    /// A right body.
    pub body: &'static str,
}

/// Whose things an operation names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// The caller's own, or the vault's.
    Vault,
    /// A customer's: by a name or id in its path, query or body.
    Customer,
}

/// Open to everybody: each has a budget.
pub const OPEN: [&str; 22] = [
    "answerCeremony",
    "askPasskeyOfLogin",
    "beginDeviceSignOn",
    "beginSignOn",
    "describe",
    "endSignOn",
    "enrol",
    "enrolBySignOn",
    "giveRekeyKey",
    "health",
    "init",
    "logIn",
    "logInBySignOn",
    "passkeyPage",
    "passkeyScript",
    "passkeyStyle",
    "pollDeviceSignOn",
    "proveSecondFactor",
    "refresh",
    "sealStatus",
    "showCeremony",
    "unseal",
];

/// Refused to everybody whose second factor is not fresh.
pub const SENSITIVE: [&str; 56] = [
    "addIdentityProvider",
    "addIssuer",
    "addServiceAccount",
    "addUser",
    "agreeBreakGlass",
    "approveCheckout",
    "beginRekey",
    "cancelReEnrolUser",
    "cancelRekey",
    "changeIdentityProvider",
    "changeIssuer",
    "changePassword",
    "changeServiceAccount",
    "changeSystem",
    "compareRestored",
    "confirmPasskey",
    "confirmReEnrolUser",
    "confirmTotp",
    "denyCheckout",
    "erasePrincipal",
    "exportLog",
    "inviteSignOn",
    "limitCustomer",
    "linkSignOn",
    "linkUser",
    "makeGrant",
    "makeRecoveryCodes",
    "markKnown",
    "markUnknown",
    "offboardCustomer",
    "offerPasskey",
    "offerTotp",
    "openBreakGlass",
    "reEnrolUser",
    "removeAccount",
    "removeCustomer",
    "removeFactor",
    "removeIdentityProvider",
    "removeIssuer",
    "removeServiceAccount",
    "removeUser",
    "recoverSecrets",
    "renewGrant",
    "replaceToken",
    "resumeRestored",
    "resumeServiceAccount",
    "resumeUser",
    "revealUnresolved",
    "reviewBreakGlass",
    "rotateCustomerKey",
    "rotateRoot",
    "seal",
    "suspendServiceAccount",
    "suspendUser",
    "unlinkUser",
    "unlockCustomer",
];

/// Refused to them on an account that is sensitive.
pub const ON_SENSITIVE: [&str; 3] = ["changeAccount", "revealCheckout", "signCertificate"];

const ALL: &[Role] =
    &[Administrator, Technician, Automation, Auditor, CustomerAuditor, Approver, CustomerAdministrator, BreakGlass];
/// Emergency access is told to people.
const PEOPLE: &[Role] =
    &[Administrator, Technician, Auditor, CustomerAuditor, Approver, CustomerAdministrator, BreakGlass];
const CLOSERS: &[Role] = &[Administrator, CustomerAdministrator, BreakGlass];
const REVIEWERS: &[Role] = &[Administrator, Approver, CustomerAdministrator];
const ADMINISTRATOR: &[Role] = &[Administrator];
const USERS: &[Role] = &[Technician, Automation];
const ROTATORS: &[Role] = &[Administrator, Technician, Automation];
const SEE_ROTATIONS: &[Role] = &[Administrator, Technician, Automation, Auditor, CustomerAuditor];
const READERS: &[Role] = &[Administrator, Auditor];
const AUDITORS: &[Role] = &[Administrator, Auditor, CustomerAuditor];
const ACCESS: &[Role] = &[Administrator, Auditor, CustomerAuditor, CustomerAdministrator];
const NONE: &[Role] = &[];

const fn vault(id: &'static str, may: &'static [Role], body: &'static str) -> Wanted {
    Wanted { id, may, about: About::Vault, query: "", body }
}

const fn customer(id: &'static str, may: &'static [Role], body: &'static str) -> Wanted {
    Wanted { id, may, about: About::Customer, query: "", body }
}

const fn query(id: &'static str, may: &'static [Role], query: &'static str) -> Wanted {
    Wanted { id, may, about: About::Customer, query, body: "" }
}

const REASON: &str = r#"{"reason":"x"}"#;

const COMMENT: &str = r#"{"comment":"x"}"#;

pub const TABLE: &[Wanted] = &[
    vault("describe", ALL, ""),
    vault("health", ALL, ""),
    vault("sealStatus", ALL, ""),
    vault("me", ALL, ""),
    vault("logOut", ALL, ""),
    vault("stepUp", ALL, r#"{"totp":"000000"}"#),
    vault("changePassword", ALL, r#"{"old_password":"x","new_password":"x"}"#),
    vault("listFactors", ALL, ""),
    vault("removeFactor", ALL, ""),
    vault("offerTotp", ALL, r#"{"label":"x"}"#),
    vault("confirmTotp", ALL, r#"{"code":"000000"}"#),
    vault("offerPasskey", ALL, r#"{"label":"x"}"#),
    vault("confirmPasskey", ALL, r#"{"code":"00000000"}"#),
    vault("askPasskeyOfLogin", ALL, r#"{"challenge":"x"}"#),
    vault("askPasskeyOfSession", ALL, ""),
    vault("showCeremony", ALL, r#"{"ceremony":"x"}"#),
    vault("answerCeremony", ALL, r#"{"ceremony":"x","credential":{}}"#),
    vault("passkeyPage", ALL, ""),
    vault("passkeyScript", ALL, ""),
    vault("passkeyStyle", ALL, ""),
    vault("makeRecoveryCodes", ALL, ""),
    vault("status", READERS, ""),
    vault("seal", ADMINISTRATOR, ""),
    vault("takeBackup", ADMINISTRATOR, ""),
    vault("listBackups", READERS, ""),
    vault("showBackup", READERS, ""),
    vault("showScrub", READERS, ""),
    vault("scrub", ADMINISTRATOR, ""),
    vault("beginRekey", ADMINISTRATOR, r#"{"seal":"shamir","shares":3,"threshold":2}"#),
    vault("showRekey", READERS, ""),
    vault("cancelRekey", ADMINISTRATOR, ""),
    vault("rotateRoot", ADMINISTRATOR, ""),
    vault("rotateCustomerKey", ADMINISTRATOR, ""),
    vault("showKeyRotation", READERS, ""),
    vault("showRestored", READERS, ""),
    vault("compareRestored", ADMINISTRATOR, ""),
    vault("recoverSecrets", ADMINISTRATOR, r#"{"secrets":[]}"#),
    vault("resumeRestored", ADMINISTRATOR, r#"{"reason":"a test"}"#),
    vault("addCustomer", ADMINISTRATOR, r#"{"slug":"new","display_name":"x"}"#),
    vault("listCustomers", ALL, ""),
    customer("showCustomer", ALL, ""),
    customer("changeCustomer", ADMINISTRATOR, r#"{"display_name":"x"}"#),
    customer("lockCustomer", ADMINISTRATOR, r#"{"reason":"x"}"#),
    customer("offboardCustomer", ADMINISTRATOR, r#"{"reason":"x","confirm":"x"}"#),
    vault("listOffboardings", READERS, ""),
    vault("showOffboarding", READERS, ""),
    vault("downloadHandOver", READERS, ""),
    customer("unlockCustomer", ADMINISTRATOR, r#"{"reason":"x"}"#),
    // Of the customer's own people only, whatever the role.
    customer("limitCustomer", NONE, r#"{"max_checkout_seconds":60}"#),
    customer("removeCustomer", ADMINISTRATOR, ""),
    customer(
        "importAccounts",
        ADMINISTRATOR,
        r#"{"rows":[{"line":1,"system":"<system>","account":"new","secret":"x"}]}"#,
    ),
    customer("addSystem", ADMINISTRATOR, r#"{"name":"new","spec":{"kind":"postgresql","host":"db.example.com"}}"#),
    customer("listSystems", ALL, ""),
    customer("showSystem", ALL, ""),
    customer("showRevokedCertificates", ALL, ""),
    customer("changeSystem", ADMINISTRATOR, r#"{"management_account":"x"}"#),
    customer("removeSystem", ADMINISTRATOR, ""),
    customer("addAccount", ADMINISTRATOR, r#"{"name":"new"}"#),
    customer("listAccounts", ALL, ""),
    customer("listAccountsOfCustomer", ALL, ""),
    customer("showAccount", ALL, ""),
    customer("changeAccount", ADMINISTRATOR, r#"{"rotate_on_end":false}"#),
    customer("removeAccount", ADMINISTRATOR, ""),
    customer("setSecret", &[Administrator, Automation], r#"{"secret":"x"}"#),
    customer("verifyAccount", ROTATORS, ""),
    customer("showDependents", ALL, ""),
    customer("setDependents", ADMINISTRATOR, r#"{"dependents":[]}"#),
    customer("updateDependents", ADMINISTRATOR, ""),
    customer("skipDependent", ADMINISTRATOR, r#"{"number":1,"reason":"x"}"#),
    customer("checkOut", USERS, r#"{"account":"<customer>/<system>/<account>","reason":"x"}"#),
    query("listCheckouts", ALL, "customer=<customer>"),
    customer("showCheckout", ALL, ""),
    // The holder's alone, whatever the role.
    customer("revealCheckout", NONE, ""),
    customer(
        "signCertificate",
        NONE,
        r#"{"public_key":"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti"}"#,
    ),
    customer("extendCheckout", NONE, r#"{"ttl_seconds":60}"#),
    customer("checkIn", NONE, ""),
    customer("revokeCheckout", ADMINISTRATOR, REASON),
    customer("approveCheckout", &[Approver], COMMENT),
    customer("denyCheckout", &[Approver], COMMENT),
    vault("listApprovals", ALL, ""),
    customer("takeOverCheckout", &[Technician], REASON),
    customer("startRotations", ROTATORS, r#"{"account":"<customer>/<system>/<account>"}"#),
    vault("reportReuse", READERS, ""),
    query("reportUnused", ACCESS, "customer=<customer>"),
    query("reportRotation", ACCESS, "customer=<customer>"),
    query("reportDiscovery", ACCESS, "customer=<customer>"),
    customer("showDiscovery", ACCESS, ""),
    customer("discover", ADMINISTRATOR, ""),
    customer("markKnown", ADMINISTRATOR, r#"{"login":"x","reason":"x"}"#),
    customer("markUnknown", ADMINISTRATOR, r#"{"login":"x"}"#),
    query("listExposures", ACCESS, "customer=<customer>"),
    customer("startEmergency", ADMINISTRATOR, REASON),
    customer("listEmergencies", SEE_ROTATIONS, ""),
    customer("planEmergency", SEE_ROTATIONS, ""),
    customer("showEmergency", SEE_ROTATIONS, ""),
    customer("reportEmergency", SEE_ROTATIONS, ""),
    customer("thawEmergency", ADMINISTRATOR, REASON),
    customer("createKit", &[Administrator, CustomerAdministrator], ""),
    customer("listKits", ACCESS, ""),
    customer("showKit", ACCESS, ""),
    customer("downloadKit", ACCESS, ""),
    customer("openedKit", ADMINISTRATOR, REASON),
    query("listRotations", ALL, "customer=<customer>"),
    // An approver decides on requests, and has nothing to do with rotations.
    customer("showRotation", SEE_ROTATIONS, ""),
    customer("cancelRotation", ADMINISTRATOR, ""),
    query("listTasks", ALL, "customer=<customer>"),
    customer("revealTask", &[Technician], ""),
    customer("confirmTask", &[Technician], ""),
    customer("setTask", &[Technician], r#"{"secret":"x"}"#),
    customer("refuseTask", &[Technician], REASON),
    query("listEvents", AUDITORS, "customer=<customer>"),
    // What has pages is not followed: whoever may is refused for that, rather than answered without an end.
    query("followEvents", AUDITORS, "customer=<customer>&limit=1"),
    query("reportAudit", AUDITORS, "customer=<customer>&report=mfa"),
    query("showCheckpoint", AUDITORS, "customer=<customer>"),
    query("proveLog", AUDITORS, "customer=<customer>&index=0"),
    query("listArchives", AUDITORS, "customer=<customer>"),
    query("exportLog", AUDITORS, "customer=<customer>"),
    vault("addUser", ADMINISTRATOR, r#"{"name":"new"}"#),
    vault("listUsers", READERS, ""),
    vault("showUser", READERS, ""),
    vault("removeUser", ADMINISTRATOR, ""),
    vault("erasePrincipal", ADMINISTRATOR, r#"{"principal":"nobody","reason":"x"}"#),
    vault("suspendUser", ADMINISTRATOR, ""),
    vault("resumeUser", ADMINISTRATOR, ""),
    vault("reEnrolUser", ADMINISTRATOR, ""),
    vault("confirmReEnrolUser", ADMINISTRATOR, ""),
    vault("cancelReEnrolUser", ADMINISTRATOR, ""),
    vault("cancelOwnReEnrolment", ALL, ""),
    vault(
        "addIssuer",
        ADMINISTRATOR,
        r#"{"name":"new","issuer":"https://i.example","audience":"x","keys":{"from":"discovery"}}"#,
    ),
    vault("listIssuers", READERS, ""),
    vault("showIssuer", READERS, ""),
    vault("changeIssuer", ADMINISTRATOR, r#"{"keys":{"from":"discovery"}}"#),
    vault("removeIssuer", ADMINISTRATOR, ""),
    vault(
        "addIdentityProvider",
        ADMINISTRATOR,
        r#"{"name":"new","issuer":"https://i.example","client_id":"x","address":"https://vault.example"}"#,
    ),
    vault("listIdentityProviders", READERS, ""),
    vault("showIdentityProvider", READERS, ""),
    vault("changeIdentityProvider", ADMINISTRATOR, r#"{"trusts_mfa":true}"#),
    vault("removeIdentityProvider", ADMINISTRATOR, ""),
    vault("linkUser", ADMINISTRATOR, r#"{"provider":"<provider>","subject":"x"}"#),
    vault("unlinkUser", ADMINISTRATOR, ""),
    vault("inviteSignOn", ADMINISTRATOR, r#"{"provider":"<provider>"}"#),
    vault("linkSignOn", ALL, r#"{"invitation":"x","code":"x","verifier":"x"}"#),
    vault("addServiceAccount", ADMINISTRATOR, r#"{"name":"new","token_ttl_seconds":60}"#),
    vault("listServiceAccounts", READERS, ""),
    vault("showServiceAccount", READERS, ""),
    vault("changeServiceAccount", ADMINISTRATOR, r#"{"networks":["10.0.0.0/8"]}"#),
    vault("removeServiceAccount", ADMINISTRATOR, ""),
    vault("suspendServiceAccount", ADMINISTRATOR, ""),
    vault("resumeServiceAccount", ADMINISTRATOR, ""),
    vault("replaceToken", ADMINISTRATOR, r#"{"token_ttl_seconds":60}"#),
    // Nobody here has a `may_grant`.
    vault(
        "makeGrant",
        NONE,
        r#"{"principal":"<name>","kind":"may_use","role":"auditor","scope":"acme","ttl_seconds":60}"#,
    ),
    vault("renewGrant", NONE, r#"{"ttl_seconds":60}"#),
    query("showAccess", ACCESS, "account=<customer>/<system>/<account>"),
    query("explainAccess", ACCESS, "principal=<name>&action=checkout.create&scope=<customer>/<system>/<account>"),
    customer("testChange", ACCESS, r#"{"customer":"<customer>","limits":{"max_checkout_seconds":60}}"#),
    customer("openBreakGlass", &[BreakGlass], r#"{"scope":"<customer>","reason":"x"}"#),
    query("listBreakGlass", ALL, "customer=<customer>"),
    customer("showBreakGlass", PEOPLE, ""),
    customer("agreeBreakGlass", &[BreakGlass], COMMENT),
    customer("closeBreakGlass", CLOSERS, ""),
    customer("reviewBreakGlass", REVIEWERS, r#"{"verdict":"x"}"#),
    // Of whoever has an open glass, whatever the role.
    customer("revealUnresolved", NONE, REASON),
    customer("startReview", ADMINISTRATOR, "{}"),
    query("listReviews", ACCESS, "customer=<customer>"),
    customer("showReview", ACCESS, ""),
    customer("listReviewLines", ACCESS, ""),
    customer("confirmReviewLine", ADMINISTRATOR, ""),
    customer("cutReviewLine", ADMINISTRATOR, REASON),
    customer("closeReview", ADMINISTRATOR, ""),
    vault("listInactive", READERS, ""),
    vault("listGrants", READERS, ""),
    vault("showGrant", READERS, ""),
    vault("revokeGrant", ADMINISTRATOR, ""),
];
