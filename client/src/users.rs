//! `/v1/users`: people.

use claviger_api::wire::{
    Enrolment, Erasure, InviteSignOn, NewErasure, NewSignOn, NewUser, PageQuery, Principal, SignOnInvitation,
};
use claviger_api::{Part, UserName};

use crate::{Client, List, Result};

/// People.
pub struct Users<'a>(&'a Client);

impl Client {
    /// People.
    pub fn users(&self) -> Users<'_> {
        Users(self)
    }
}

impl Users<'_> {
    /// Adds a user. The enrolment code in the answer is shown once; hand it to the person.
    pub async fn add(&self, new: &NewUser) -> Result<Enrolment> {
        self.0.post("/v1/users", new).await
    }

    /// All that the caller may see.
    pub fn list(&self) -> List<'_, Principal> {
        List::new(self.0, "/v1/users", PageQuery::default())
    }

    /// One user.
    pub async fn show(&self, name: &UserName) -> Result<Principal> {
        self.0.get(path(name)).await
    }

    /// Removes a user; every session ends at once.
    pub async fn remove(&self, name: &UserName) -> Result<()> {
        self.0.delete(path(name)).await
    }

    /// Erases what the record tells of a person who was removed. What they did stays, under an id.
    pub async fn erase(&self, new: &NewErasure) -> Result<Erasure> {
        self.0.post("/v1/erasures", new).await
    }

    /// Stops a user from logging in; every session ends at once.
    pub async fn suspend(&self, name: &UserName) -> Result<Principal> {
        self.0.act(format!("{}/actions/suspend", path(name))).await
    }

    /// Lets a suspended user log in again.
    pub async fn resume(&self, name: &UserName) -> Result<Principal> {
        self.0.act(format!("{}/actions/resume", path(name))).await
    }

    /// Asks for a new enrolment; its code is shown once. A user who has a second factor keeps everything until another
    /// administrator [confirms](Self::confirm_re_enrol).
    pub async fn re_enrol(&self, name: &UserName) -> Result<Enrolment> {
        self.0.act(format!("{}/actions/re-enrol", path(name))).await
    }

    /// Confirms what another administrator asked for: password and second factors go. Shows the second code, which the
    /// user needs beside the first.
    pub async fn confirm_re_enrol(&self, name: &UserName) -> Result<Enrolment> {
        self.0.act(format!("{}/actions/confirm-re-enrol", path(name))).await
    }

    /// Links a user who was never enrolled to an identity provider's subject.
    pub async fn link(&self, name: &UserName, new: &NewSignOn) -> Result<Principal> {
        self.0.post(format!("{}/sign-ons", path(name)), new).await
    }

    /// Lets a user sign on by this identity provider no more; every session ends.
    pub async fn unlink(&self, name: &UserName, provider: &Part) -> Result<()> {
        self.0.delete(format!("{}/sign-ons/{provider}", path(name))).await
    }

    /// Invites a user to be linked to an identity provider. The code is shown once; hand it to the person.
    pub async fn invite_sign_on(&self, name: &UserName, provider: &Part) -> Result<SignOnInvitation> {
        let request = InviteSignOn { provider: provider.clone() };
        self.0.post(format!("{}/actions/invite-sign-on", path(name)), &request).await
    }

    /// Calls off what was asked for and waits for another administrator's yes.
    pub async fn cancel_re_enrol(&self, name: &UserName) -> Result<()> {
        self.0.act_silently(format!("{}/actions/cancel-re-enrol", path(name))).await
    }
}

fn path(name: &UserName) -> String {
    format!("/v1/users/{name}")
}
