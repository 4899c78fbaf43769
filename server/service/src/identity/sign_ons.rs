//! Whom an identity provider takes for which user: by issuer and subject, never by a name or an e-mail address.
//!
//! An administrator links a user who was never enrolled, and so has nothing to lose. Everybody else links themselves: in a
//! session with a fresh second factor by an administrator's invitation, or at enrolment by the code of that. Nobody can
//! so become another user alone.

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{InviteSignOn, NewSignOn, Principal, PrincipalKind, PrincipalState, SUBJECT_MAX, SignOn};
use claviger_api::wire::{SignOnInvitation, SignOnLink};
use claviger_api::{Part, PrincipalId, ProviderId, Scope, UserName};
use claviger_core::policy::{Permit, PrincipalManage};
use claviger_crypto::{Token, TokenKind};
use claviger_store::{RowId, Table, Versioned};

use super::sso::SignedOn;
use super::{ENROLMENT_TTL, token_hash};
use crate::error::{Error, Result};
use crate::event::Event;
use crate::idempotency::Once;
use crate::journal::Change;
use crate::open::{Caller, Open, deciding, deciding_once};
use crate::records::{
    IdentityProviderRecord, InvitationRecord, NameRecord, PrincipalRecord, SignOnRecord, TokenRecord,
};

/// What invites anew.
const INVITE_AGAIN: &str = "POST /v1/users/{name}/actions/invite-sign-on";

impl Open {
    /// Links a user who was never enrolled: the first sign-on is the first login.
    pub async fn link_user(
        &self,
        name: &UserName,
        new: &NewSignOn,
        once: &Once,
        caller: &Caller,
        _permit: Permit<PrincipalManage>,
    ) -> Result<Principal> {
        check_subject(&new.subject)?;
        deciding_once(once, || async {
            if let Some(done) = self.done(Scope::Operator, once, caller).await? {
                let row = RowId::principal(PrincipalId::from_uuid(done));
                return self.principal_view(&self.load::<PrincipalRecord>(&row).await?.value).await;
            }
            let user = self.principal_of_kind(name, PrincipalKind::User).await?;
            if user.value.state != PrincipalState::Invited || user.value.factors_reset.is_some() {
                let detail = "The user has been enrolled before, and links themselves: invite them, by \
                              'claviger user invite-sign-on', or let them enrol by the sign-on.";
                return Err(Error::new(ProblemType::InUse, detail));
            }
            let provider = self.provider_named(&new.provider).await?;
            let linked = self.linked(&user.value, &provider.value, &new.subject).await?;
            let event = self.sign_on_event(EventKind::UserSignOnLinked, caller, &user.value, &provider.value);
            let event = event.with_personal(user.value.id, FieldName::Subject, &new.subject);
            let change = self.with_link(self.change(event), &user, &linked, &provider)?;
            self.commit(self.remember(change, Scope::Operator, once, caller, user.value.id.uuid())?).await?;
            self.principal_view(&linked).await
        })
        .await
    }

    /// A user can sign on by this provider no more; every session ends.
    pub async fn unlink_user(
        &self,
        name: &UserName,
        provider: &Part,
        caller: &Caller,
        _permit: Permit<PrincipalManage>,
    ) -> Result<()> {
        deciding(|| async {
            let user = self.principal_of_kind(name, PrincipalKind::User).await?;
            let provider = self.provider_named(provider).await?;
            let own = user.value.sign_ons.iter().find(|own| own.provider == provider.value.id);
            let own = own.ok_or_else(Error::not_found)?;
            let mut changed = user.value.clone().without_sessions();
            changed.sign_ons.retain(|other| other != own);
            let event = self.sign_on_event(EventKind::UserSignOnUnlinked, caller, &user.value, &provider.value);
            let event = event.with_personal(user.value.id, FieldName::Subject, &own.subject);
            let change = self.change(event).update(&user, &changed)?.erase(self.link_row(own.provider, &own.subject));
            self.commit(self.end_sessions_of(change, user.value.id).await?).await.map(drop)
        })
        .await
    }

    /// Invites a user to be linked; the code is shown once. One from before is good for nothing.
    pub async fn invite_sign_on(
        &self,
        name: &UserName,
        request: &InviteSignOn,
        once: &Once,
        caller: &Caller,
        _permit: Permit<PrincipalManage>,
    ) -> Result<SignOnInvitation> {
        deciding_once(once, || async {
            self.shown_once(Scope::Operator, once, caller, INVITE_AGAIN).await?;
            let user = self.principal_of_kind(name, PrincipalKind::User).await?;
            if user.value.id == caller.id {
                return Err(Error::new(ProblemType::InUse, "Nobody invites themselves; another administrator can."));
            }
            let provider = self.provider_named(&request.provider).await?;
            Self::must_be_of(&user.value, &provider.value)?;
            let code = Token::generate(TokenKind::Invitation, self.random());
            let expires_at = self.now().saturating_add(ENROLMENT_TTL).unwrap_or(claviger_api::Timestamp::MAX);
            let invitation = InvitationRecord { hash: token_hash(&code), provider: provider.value.id, expires_at };
            let event = self.sign_on_event(EventKind::UserSignOnInvited, caller, &user.value, &provider.value);
            let token = TokenRecord { principal: user.value.id, session: None, expires_at };
            let mut change = self.change(event).create(RowId::token(&invitation.hash), &token)?;
            if let Some(before) = user.value.invitation {
                change = change.erase(RowId::token(&before.hash));
            }
            let invited = PrincipalRecord { invitation: Some(invitation), ..user.value.clone() };
            let change = change.update(&user, &invited)?.expect(&provider);
            self.commit(self.remember(change, Scope::Operator, once, caller, user.value.id.uuid())?).await?;
            Ok(SignOnInvitation {
                provider: provider.value.name,
                invitation: code.disclose(),
                invitation_expires_at: expires_at,
            })
        })
        .await
    }

    /// The caller is whom a provider says: by an invitation, and a fresh second factor.
    pub async fn link_sign_on(&self, request: &SignOnLink, caller: &Caller) -> Result<Principal> {
        caller.must_be_a_person()?;
        caller.must_have_fresh_factor(self.now())?;
        let refused = || {
            let detail = "The invitation is not right, used up, too old, or for another; ask for a new one.";
            Error::new(ProblemType::InvalidCredentials, detail)
        };
        let hash = Token::parse(TokenKind::Invitation, request.invitation.secret()).map_err(|_| refused())?.to_bytes();
        let signed_on = self.redeem(request.code.secret(), request.verifier.secret())?;
        deciding(|| async {
            let user = self.load::<PrincipalRecord>(&RowId::principal(caller.id)).await?;
            let invitation = user.value.invitation.filter(|own| own.hash == hash && self.now() < own.expires_at);
            let invitation = invitation.ok_or_else(refused)?;
            if invitation.provider != signed_on.provider {
                return Err(refused());
            }
            let provider = self.load::<IdentityProviderRecord>(&RowId::identity_provider(signed_on.provider)).await?;
            let linked = self.linked(&user.value, &provider.value, &signed_on.subject).await?;
            let event = self.sign_on_event(EventKind::UserSignOnLinked, caller, &user.value, &provider.value);
            let event = event.with_personal(user.value.id, FieldName::Subject, &signed_on.subject);
            let linked = PrincipalRecord { invitation: None, ..linked };
            let change = self.change(event).erase(RowId::token(&hash));
            self.commit(self.with_link(change, &user, &linked, &provider)?).await?;
            self.principal_view(&linked).await
        })
        .await
    }

    /// The user with one more sign-on, if it is one of those that this provider may sign in, and neither is linked yet.
    pub(super) async fn linked(
        &self,
        user: &PrincipalRecord,
        provider: &IdentityProviderRecord,
        subject: &str,
    ) -> Result<PrincipalRecord> {
        Self::must_be_of(user, provider)?;
        if user.sign_ons.iter().any(|own| own.provider == provider.id) {
            return Err(Error::new(ProblemType::InUse, "The user is linked to this provider; unlink that first."));
        }
        if self.read::<NameRecord>(&self.link_row(provider.id, subject)).await?.is_some() {
            return Err(Error::new(ProblemType::InUse, "Another user is linked to this subject of the provider."));
        }
        let mut linked = user.clone();
        let linked_at = self.now();
        linked.sign_ons.push(SignOnRecord { provider: provider.id, subject: subject.to_owned(), linked_at });
        Ok(linked)
    }

    /// Adds to a change that a user is linked: the row of names that leads from the subject to the user.
    pub(super) fn with_link<'a>(
        &self,
        change: Change<'a>,
        user: &Versioned<PrincipalRecord>,
        linked: &PrincipalRecord,
        provider: &Versioned<IdentityProviderRecord>,
    ) -> Result<Change<'a>> {
        let Some(own) = linked.sign_ons.last() else { return Err(Error::internal("a link without a sign-on")) };
        let name = self.link_row(own.provider, &own.subject);
        let change = change.create(name, &NameRecord { id: linked.id.uuid() })?.expect(provider);
        change.update(user, linked)
    }

    /// Adds to a change that a user has no sign-on and no invitation any more.
    pub(super) fn without_sign_ons<'a>(&self, mut change: Change<'a>, user: &PrincipalRecord) -> Change<'a> {
        for own in &user.sign_ons {
            change = change.erase(self.link_row(own.provider, &own.subject));
        }
        if let Some(invitation) = user.invitation {
            change = change.erase(RowId::token(&invitation.hash));
        }
        change
    }

    /// The user who is linked to what a provider said, if there is one whom it may sign in.
    pub(super) async fn linked_user(
        &self,
        signed_on: &SignedOn,
        provider: &IdentityProviderRecord,
    ) -> Result<Option<Versioned<PrincipalRecord>>> {
        let name = self.read::<NameRecord>(&self.link_row(provider.id, &signed_on.subject)).await?;
        let Some(name) = name else { return Ok(None) };
        let user = self.read::<PrincipalRecord>(&RowId::principal(PrincipalId::from_uuid(name.value.id))).await?;
        let own = |own: &SignOnRecord| own.provider == provider.id && own.subject == signed_on.subject;
        Ok(user.filter(|user| {
            user.value.kind == PrincipalKind::User
                && user.value.customer == provider.customer
                && user.value.sign_ons.iter().any(own)
        }))
    }

    pub(super) async fn sign_ons_view(&self, user: &PrincipalRecord) -> Result<Vec<SignOn>> {
        let mut views = Vec::with_capacity(user.sign_ons.len());
        for own in &user.sign_ons {
            let provider = self.provider_name(own.provider).await?;
            views.push(SignOn { provider, subject: own.subject.clone(), linked_at: own.linked_at });
        }
        Ok(views)
    }

    /// A customer's own provider is for that customer's own people, and the MSP's for the MSP's.
    fn must_be_of(user: &PrincipalRecord, provider: &IdentityProviderRecord) -> Result<()> {
        if user.customer == provider.customer {
            return Ok(());
        }
        let detail =
            "A customer's own identity provider is for that customer's own users, and the MSP's for the MSP's.";
        Err(Error::value("provider", detail))
    }

    fn sign_on_event(
        &self,
        kind: EventKind,
        caller: &Caller,
        user: &PrincipalRecord,
        provider: &IdentityProviderRecord,
    ) -> Event {
        self.principal_event(kind, caller, user).with(FieldName::Detail, format_args!("by {}", provider.name))
    }

    /// The row of names of a subject: `provider/subject`, where no provider's own name has a slash.
    fn link_row(&self, provider: ProviderId, subject: &str) -> RowId {
        self.keyring().name(Table::IdentityProviders, Scope::Operator, &format!("{provider}/{subject}"))
    }
}

/// A subject, exactly as the provider has it: ASCII of at most 255 characters by its standard; others are let be.
fn check_subject(subject: &str) -> Result<()> {
    if is_subject(subject) {
        return Ok(());
    }
    Err(Error::value("subject", "a subject is 1 to 255 characters, without control characters and blanks around it"))
}

/// Whether it can be a subject.
pub(super) fn is_subject(subject: &str) -> bool {
    let visible = subject.chars().all(|c| !c.is_control() && c != '\u{feff}');
    !subject.is_empty() && subject.trim() == subject && subject.chars().count() <= SUBJECT_MAX && visible
}
