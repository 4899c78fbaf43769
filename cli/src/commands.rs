//! What each command does, one file a group.

use crate::cli::{Cli, Command};
use crate::connection::Context;
use crate::failure::Failure;

pub mod access;
pub mod account;
pub mod approval;
mod around;
pub mod audit;
pub mod break_glass;
pub mod checkout;
pub mod customer;
pub mod dependents;
mod discovery;
pub mod emergency;
pub mod exec;
pub mod exposure;
pub mod grant;
pub mod identity_provider;
pub mod import;
pub mod issuer;
pub mod kit;
pub mod login;
mod login_program;
pub mod mfa;
pub mod operator;
pub mod pages;
pub mod password;
pub mod policy;
pub mod report;
pub mod review;
pub mod rotation;
pub mod service_account;
pub mod sign_on;
pub mod ssh;
pub mod status;
pub mod system;
mod taking;
pub mod task;
pub mod user;
mod what_if;
pub mod witness;

/// Does what the words say.
pub async fn run(cli: Cli) -> Result<(), Failure> {
    let context = &Context::new(cli.global)?;
    match cli.command {
        Command::Login(login) => login.run(context).await,
        Command::Logout => login::logout(context).await,
        Command::Mfa(mfa) => mfa.run(context).await,
        Command::Password(password) => password.run(context).await,
        Command::Whoami => status::whoami(context).await,
        Command::Status => status::status(context).await,
        Command::Operator(operator) => operator.run(context).await,
        Command::Customer(customer) => customer.run(context).await,
        Command::System(system) => system.run(context).await,
        Command::Account(account) => account.run(context).await,
        Command::User(user) => user.run(context).await,
        Command::ServiceAccount(service_account) => service_account.run(context).await,
        Command::Issuer(issuer) => issuer.run(context).await,
        Command::IdentityProvider(provider) => provider.run(context).await,
        Command::Link(link) => link.run(context).await,
        Command::Access(access) => access.run(context).await,
        Command::BreakGlass(glass) => glass.run(context).await,
        Command::Review(review) => review.run(context).await,
        Command::Grant(grant) => grant.run(context).await,
        Command::Checkout(check_out) => check_out.run(context).await,
        Command::Checkin(checkin) => checkin.run(context).await,
        Command::Extend(extend) => extend.run(context).await,
        Command::Reveal(reveal) => reveal.run(context).await,
        Command::Revoke(revoke) => revoke.run(context).await,
        Command::TakeOver(take_over) => take_over.run(context).await,
        Command::Checkouts(checkouts) => checkouts.run(context).await,
        Command::Approve(decision) => decision.approve(context).await,
        Command::Deny(decision) => decision.deny(context).await,
        Command::Approvals(approvals) => approvals.run(context).await,
        Command::Exec(exec) => exec.run(context).await,
        Command::Ssh(ssh) => ssh.run(context).await,
        Command::Rotate(rotate) => rotate.run(context).await,
        Command::Rotations(rotations) => rotations.run(context).await,
        Command::Rotation(rotation) => rotation.run(context).await,
        Command::Task(task) => task.run(context).await,
        Command::Emergency(emergency) => emergency.run(context).await,
        Command::Kit(kit) => kit.run(context).await,
        Command::Report(report) => report.run(context).await,
        Command::Witness(witness) => witness.run(context).await,
        Command::Dependents(dependents) => dependents.run(context).await,
        Command::Exposure(exposure) => exposure.run(context).await,
        Command::Audit(audit) => audit.run(context).await,
        Command::Import(import) => import.run(context).await,
        Command::Completions(completions) => completions.run(),
        Command::Man(man) => man.run(),
    }
}
