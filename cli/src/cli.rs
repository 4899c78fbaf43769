//! The words of the command line.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::commands::{
    access, account, approval, audit, break_glass, checkout, customer, dependents, emergency, exec, exposure, grant,
    identity_provider, import, issuer, kit, login, mfa, operator, pages, password, report, review, rotation,
    service_account, sign_on, ssh, system, task, user, witness,
};

/// The privileged credential vault of an MSP, from the command line.
///
/// Log in with 'claviger login'. A program sets CLAVIGER_TOKEN to the token of a service account, or shows a client
/// certificate or a token (JWT) of an issuer that the vault trusts.
#[derive(Parser)]
#[command(name = "claviger", version, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0 done        3 not authenticated   6 conflict: held by another
  1 failed      4 forbidden           7 approval needed
  2 usage       5 not found           8 sealed or unreachable
  'exec' and 'ssh' end with the exit code of their command.

Environment:
  CLAVIGER_ADDR     the server, e.g. https://vault.example:8200
  CLAVIGER_CACERT   a file of CA certificates
  CLAVIGER_TOKEN    the token of a service account (cvs_…)
  CLAVIGER_CERTIFICATE, CLAVIGER_KEY, CLAVIGER_SERVICE_ACCOUNT
                    the files of a client certificate and its key (PEM), and the service account to act as
  CLAVIGER_JWT_FILE the file of a token (JWT) that vouches for CLAVIGER_SERVICE_ACCOUNT, read at each login";

/// What every command takes.
#[derive(Args)]
pub struct Global {
    /// The server; plain http only on this machine [env: CLAVIGER_ADDR] [default: the one logged in to]
    #[arg(long, global = true, value_name = "URL", help_heading = "Everywhere")]
    pub address: Option<String>,
    /// CA certificates (PEM) to trust instead of the machine's own [env: CLAVIGER_CACERT]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Everywhere")]
    pub ca_certificate: Option<PathBuf>,
    /// By default a table on a terminal, JSON in a pipe
    #[arg(long, global = true, value_enum, value_name = "FORMAT", help_heading = "Everywhere")]
    pub output: Option<Format>,
}

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Table,
    /// For programs
    Json,
    /// For spreadsheets
    Csv,
}

impl Global {
    /// How results are written: as asked, or a table on a terminal and JSON in a pipe.
    pub fn format(&self) -> Format {
        self.output.unwrap_or_else(|| if std::io::stdout().is_terminal() { Format::Table } else { Format::Json })
    }

    /// Whether errors are for programs too: only where JSON was asked for by name.
    pub fn wants_json(&self) -> bool {
        self.output == Some(Format::Json)
    }
}

#[derive(Subcommand)]
pub enum Command {
    /// Log in as a user and keep the session
    Login(login::Login),
    /// End the kept session
    Logout,
    /// Your second factors: authenticator apps, passkeys and recovery codes
    #[command(subcommand)]
    Mfa(mfa::Mfa),
    /// Link yourself to an identity provider, by an administrator's invitation
    Link(sign_on::Link),
    /// Change your password; every other session of yours ends
    Password(password::Password),
    /// Who the vault takes you for, and what you may do
    Whoami,
    /// How the vault is
    Status,
    /// The life of the vault itself: init, unseal, seal
    #[command(subcommand)]
    Operator(operator::Operator),
    /// The businesses the MSP serves
    #[command(subcommand)]
    Customer(customer::Customer),
    /// What has administrator accounts at a customer
    #[command(subcommand)]
    System(system::System),
    /// Privileged logins on a system
    #[command(subcommand)]
    Account(account::Account),
    /// People
    #[command(subcommand)]
    User(user::User),
    /// Programs
    #[command(subcommand)]
    ServiceAccount(service_account::ServiceAccount),
    /// Who may vouch for programs, by signed tokens
    #[command(subcommand)]
    Issuer(issuer::Issuer),
    /// Who may sign people in, by single sign-on
    #[command(subcommand)]
    IdentityProvider(identity_provider::IdentityProvider),
    /// Who may do what, where, and until when
    #[command(subcommand)]
    Grant(grant::Grant),
    /// Who can reach what, and why or why not
    #[command(subcommand)]
    Access(access::Access),
    /// Who reaches a customer, confirmed or cut line by line
    #[command(subcommand)]
    Review(review::Review),
    /// Emergency access that two people open, everybody sees, and a third reviews
    #[command(subcommand)]
    BreakGlass(break_glass::BreakGlass),
    /// Check an account out; on a terminal its secret is copied to the clipboard
    Checkout(checkout::CheckOut),
    /// End the use of an account, or withdraw a checkout that waits
    Checkin(checkout::Checkin),
    /// Make the use of an account longer
    Extend(checkout::Extend),
    /// The secret of a checkout, again
    Reveal(checkout::Reveal),
    /// End another's checkout
    Revoke(checkout::Revoke),
    /// End another's checkout and take the account
    TakeOver(checkout::TakeOver),
    /// List a customer's checkouts
    Checkouts(checkout::Checkouts),
    /// Say yes to another's request
    Approve(approval::Decision),
    /// Say no to another's request, or take back what was approved
    Deny(approval::Decision),
    /// What waits for your yes
    Approvals(approval::Approvals),
    /// Run a command with an account's secret in its environment, and check in when it ends
    Exec(exec::Exec),
    /// Open a session on a Linux host by a certificate of its own, and check in when it ends
    Ssh(ssh::Ssh),
    /// Replace secrets on the systems themselves
    Rotate(rotation::Rotate),
    /// List a customer's rotations
    Rotations(rotation::Rotations),
    /// One rotation
    #[command(subcommand)]
    Rotation(rotation::Rotation),
    /// What people are asked to do by hand on systems that no program reaches
    #[command(subcommand)]
    Task(task::Task),
    /// Emergency rotations of a customer: their progress and their signed reports
    #[command(subcommand)]
    Emergency(emergency::Emergency),
    /// Emergency kits of a customer: what opens its systems when there is no vault any more, for several people together
    #[command(subcommand)]
    Kit(kit::Kit),
    /// Accounts that share a secret, and those that nobody uses
    #[command(subcommand)]
    Report(report::Report),
    /// Follow a log for the one whom it tells of, cosign it, and raise an alarm for a fork, a rollback or silence
    #[command(subcommand)]
    Witness(witness::Witness),
    /// Who depends on an account's secret, and is told of a new one or given a copy
    #[command(subcommand)]
    Dependents(dependents::Dependents),
    /// Who has seen a secret that still works
    #[command(subcommand)]
    Exposure(exposure::Exposure),
    /// What happened, and the proof that the record is whole
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Add many accounts with their present secrets from a CSV file
    Import(import::Import),
    /// The completion script of a shell
    Completions(pages::Completions),
    /// The manual pages
    Man(pages::Man),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_words_do_not_contradict_each_other() {
        Cli::command().debug_assert();
    }

    /// The help of every command, so that a change of the surface is seen.
    #[test]
    fn help() {
        let mut pages = String::new();
        write_help(&mut Cli::command().term_width(100), &mut pages);
        insta::assert_snapshot!(pages);
    }

    fn write_help(command: &mut clap::Command, pages: &mut String) {
        command.build();
        let name = command.get_bin_name().unwrap_or("claviger").to_owned();
        *pages += &["=== ", &name, "\n", &command.render_help().to_string(), "\n"].concat();
        for sub in command.get_subcommands_mut() {
            if sub.get_name() != "help" {
                write_help(sub, pages);
            }
        }
    }

    #[test]
    fn the_commands_of_kits_are_understood() {
        for line in [
            "kit create acme",
            "kit download acme ki_0197a3c2e1f07b1a8c3d4e5f60718293 --to acme.tar",
            "kit opened acme ki_0197a3c2e1f07b1a8c3d4e5f60718293 --reason drill",
            "customer limit acme --kit-recipient age1a --kit-recipient age1b --kit-threshold 2",
            "customer offboarded cu_0197a3c2e1f07b1a8c3d4e5f60718293 --hand-over acme.age",
            "customer offboard acme --reason gone --confirm acme --without-hand-over",
        ] {
            let words = ["claviger"].into_iter().chain(line.split(' '));
            assert!(Cli::try_parse_from(words).is_ok(), "{line}");
        }
    }

    #[test]
    fn the_commands_of_the_design_are_understood() {
        for line in [
            "login anna",
            "login --enrolment",
            "login --sso entra",
            "login --sso entra --device",
            "login anna --enrolment --sso entra --no-browser",
            "link entra --stdin",
            "login anna --enrolment --confirmation --stdin",
            "mfa enrol --label phone",
            "mfa step-up --stdin",
            "mfa step-up --passkey",
            "mfa add passkey --label laptop",
            "login anna --passkey --stdin",
            "user confirm-re-enrol anna",
            "operator init --administrator anna --shares 5 --threshold 3",
            "operator init --administrator anna --passphrase --stdin",
            "checkout acme/db/a --for 30m --reason x --ticket T-1 --wait 2m --show",
            "checkout acme/db/a --reason x --reuse --copy",
            "exec acme/db/a --for 1h30m --reason x --env SECRET -- psql -c 'select 1' --password",
            "ssh acme/web01/root --for 30m --reason x",
            "ssh acme/web01/root --reason x -o ProxyJump=b -- uptime -p",
            "account add acme/web01/root --kind certificate --principal root --force-command id --extension permit-pty",
            "system add acme/web01 --kind linux --host web01 --host-key SHA256:UCUiLr7Pjs9wFFJMDByLgc3NrtdU344OgUM45wZPcIQ",
            "system ca acme/web01 --write ca.pub",
            "system krl acme/web01 --write krl",
            "rotate acme/db/a",
            "rotate --customer acme --wait",
            "report reuse",
            "report unused --days 45 --customer acme",
            "report rotation --attention --customer acme",
            "report discovery --attention --customer acme",
            "system discover acme/db01 --last",
            "system known acme/db01 etl --reason x",
            "system known acme/db01 etl --remove",
            "customer set acme --time-zone Europe/Vienna --rotate-every-days 30 --rotate-at-hour 2 --heartbeat-hours 24",
            "system set acme/db --on-drift reconcile",
            "account set acme/db/a --rotate-after-exposure-hours 8",
            "rotate --exposed-to bob",
            "rotate --customer acme --all --dry-run",
            "rotate --customer acme --all --reason theft --report report.jsonl",
            "emergency thaw acme em_0197a3c2e1f07b1a8c3d4e5f60718293 --reason go",
            "emergency verify report.jsonl",
            "rotate --exposed-to bob --customer acme --wait",
            "exposure list --principal bob --customer acme",
            "dependents add acme/db/a --webhook https://deploy.example/hook --ca ca.pem",
            "dependents add acme/db/a --file web01:/etc/app/db.secret --owner app --group app --mode 0640",
            "dependents skip acme/db/a 1 --reason gone",
            "rotate --customer acme --wait=5m",
            "audit log --operator --limit 5",
            "audit log --customer acme --kind checkout. --since 2026-01-01T00:00:00Z",
            "audit verify FILE",
            "import f.csv --customer acme",
            "grant add anna --role technician --scope acme/db --for 30d",
            "checkout acme/db/a --reason x --not-before 2026-12-24T02:00:00Z --wait 10m",
            "approve co_0197a3c2e1f07b1a8c3d4e5f60718293 --comment go",
            "deny co_0197a3c2e1f07b1a8c3d4e5f60718293 --comment no",
            "approvals --follow",
            "access inactive --days 45",
            "review start acme --for 14d",
            "break-glass open acme/db --for 2h --reason down",
            "break-glass agree bg_0197a3c2e1f07b1a8c3d4e5f60718293 --comment yes",
            "break-glass list --customer acme --follow",
            "break-glass review bg_0197a3c2e1f07b1a8c3d4e5f60718293 --verdict fine",
            "break-glass reveal acme/db/a --reason down --show",
            "review cut acme gr_0197a3c2e1f07b1a8c3d4e5f60718293 --reason gone",
        ] {
            let words = ["claviger"].into_iter().chain(line.split(' '));
            assert!(Cli::try_parse_from(words).is_ok(), "{line}");
        }
        for line in [
            "checkout acme/db --reason x",                 // no path
            "checkout acme/db/a",                          // no reason
            "checkout acme/db/a --reason x --copy --show", // one or the other
            "checkout acme/db/a --reason x --wait 1m --reuse",
            "exec acme/db/a --reason x",                   // no command
            "approve co_0197a3c2e1f07b1a8c3d4e5f60718293", // no comment
            "rotate",                                      // nothing named
            "rotate acme/db/a --customer acme",            // two things named
            "rotate acme/db/a --exposed-to bob",
            "rotate acme/db/a --all",
            "rotate --customer acme --dry-run",
            "dependents add acme/db/a",
            "dependents add acme/db/a --file /etc/passwd",
            "dependents add acme/db/a --file web01:/etc/app --mode 0644",
            "rotate --customer acme --all --exposed-to bob",
            "review confirm acme",        // no line named
            "system known acme/db01 etl", // no reason
            "system known acme/db01 etl --reason x --remove",
            "break-glass open acme", // no reason
            "break-glass agree bg_0197a3c2e1f07b1a8c3d4e5f60718293",
            "audit log", // no log named
            "audit log --operator --customer acme",
            "login --sso entra --device --no-browser",
            "checkout acme/db/a --reason x --for 30", // no unit
            "operator init --administrator anna --passphrase --shares 3 --threshold 2",
        ] {
            let words = ["claviger"].into_iter().chain(line.split(' '));
            assert!(Cli::try_parse_from(words).is_err(), "{line}");
        }
    }
}
