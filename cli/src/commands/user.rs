//! `claviger user`: people.

use clap::Subcommand;
use claviger_client::api::wire::{NewErasure, NewSignOn, NewUser};
use claviger_client::api::{Part, UserName};

use crate::connection::Context;
use crate::failure::Failure;
use crate::progress::note;

#[derive(Subcommand)]
pub enum User {
    /// Add a person; the enrolment code is shown once
    Add {
        /// The name to log in with
        name: UserName,
        /// The customer whose own user this is; by default one of the MSP's people
        #[arg(long, value_name = "CUSTOMER")]
        customer: Option<Part>,
    },
    /// List the people you may see
    List,
    /// Show one person
    Show {
        /// The user
        name: UserName,
    },
    /// Remove a person; every session ends at once
    Remove {
        /// The user
        name: UserName,
    },
    /// Erase the name, addresses and words of a person who was removed, in every log, for good. What they did stays, under
    /// an id; every proof stays valid
    Erase {
        /// The name, or the id, of a person (or program) that was removed
        person: String,
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// Stop a person from logging in; every session ends at once
    Suspend {
        /// The user
        name: UserName,
    },
    /// Let a suspended person log in again
    Resume {
        /// The user
        name: UserName,
    },
    /// Ask for a new enrolment; its code is shown once. Whoever has a second factor keeps everything until another
    /// administrator confirms
    ReEnrol {
        /// The user
        name: UserName,
    },
    /// Confirm what another administrator asked for: password and second factors go; shows the second code, once
    ConfirmReEnrol {
        /// The user
        name: UserName,
    },
    /// Link a person who was never enrolled to whom an identity provider takes for that person
    Link {
        /// The user
        name: UserName,
        /// The identity provider
        #[arg(long, value_name = "PROVIDER")]
        provider: Part,
        /// What the provider calls the person: the claim sub, exactly; never an e-mail address
        #[arg(long, value_name = "SUB")]
        subject: String,
    },
    /// Let a person sign on by an identity provider no more; every session ends
    Unlink {
        /// The user
        name: UserName,
        /// The identity provider
        #[arg(long, value_name = "PROVIDER")]
        provider: Part,
    },
    /// Invite a person to be linked to an identity provider; the code is shown once
    InviteSignOn {
        /// The user
        name: UserName,
        /// The identity provider
        #[arg(long, value_name = "PROVIDER")]
        provider: Part,
    },
    /// Call off a new enrolment that waits for another administrator; without a name, your own
    CancelReEnrol {
        /// The user
        name: Option<UserName>,
    },
}

impl User {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        let users = client.users();
        let output = context.output;
        match self {
            Self::Add { name, customer } => {
                let enrolment = users.add(&NewUser { name, customer }).await?;
                hand_over();
                output.one(&enrolment)
            }
            Self::List => output.many(&users.list().all().await?),
            Self::Show { name } => output.one(&users.show(&name).await?),
            Self::Remove { name } => {
                users.remove(&name).await?;
                output.done(&format!("removed {name}"))
            }
            Self::Erase { person, reason } => {
                let erased = users.erase(&NewErasure { principal: person, reason }).await?;
                output.done(&format!("erased what the record told of {}", erased.principal))
            }
            Self::Suspend { name } => output.one(&users.suspend(&name).await?),
            Self::Resume { name } => output.one(&users.resume(&name).await?),
            Self::ReEnrol { name } => {
                let enrolment = users.re_enrol(&name).await?;
                if enrolment.needs_confirmation {
                    note(&format!(
                        "The code is shown once, and good for nothing until another administrator runs: claviger user \
                         confirm-re-enrol {name}"
                    ));
                } else {
                    hand_over();
                }
                output.one(&enrolment)
            }
            Self::ConfirmReEnrol { name } => {
                let enrolment = users.confirm_re_enrol(&name).await?;
                note(&format!(
                    "The second code is shown once. Hand it to the person, who runs, with the first code at hand: claviger \
                     login {name} --enrolment --confirmation"
                ));
                output.one(&enrolment)
            }
            Self::Link { name, provider, subject } => {
                output.one(&users.link(&name, &NewSignOn { provider, subject }).await?)
            }
            Self::Unlink { name, provider } => {
                users.unlink(&name, &provider).await?;
                output.done(&format!("{name} can sign on by {provider} no more"))
            }
            Self::InviteSignOn { name, provider } => {
                let invitation = users.invite_sign_on(&name, &provider).await?;
                note(&format!(
                    "The invitation is shown once. Hand it to the person, who runs, logged in: claviger link {provider}"
                ));
                output.one(&invitation)
            }
            Self::CancelReEnrol { name: Some(name) } => {
                users.cancel_re_enrol(&name).await?;
                output.done(&format!("the new enrolment of {name} is called off"))
            }
            Self::CancelReEnrol { name: None } => {
                client.auth().cancel_re_enrolment().await?;
                output.done("your new enrolment is called off")
            }
        }
    }
}

fn hand_over() {
    note("The enrolment code is shown once. Hand it to the person, who runs: claviger login NAME --enrolment");
}
