//! `claviger account`: privileged logins on a system.

use clap::{Args, Subcommand, ValueEnum};
use claviger_client::api::wire::{
    Account as AccountView, AccountChange, AccountKind, AccountSettings, BadSudoRule, BadTier, CertificateSettings,
    Network, NewAccount, PasswordPolicy, ProbeResult, RotateBy, SshExtension, SshPrincipal, SudoRule, Tier,
};
use claviger_client::api::{AccountPath, Login, Part};
use claviger_client::{Client, Exit};

use crate::commands::policy::Policy;
use crate::connection::Context;
use crate::failure::Failure;
use crate::input::Input;
use crate::output::word;

#[derive(Subcommand)]
pub enum Account {
    /// Add an account to a system
    Add(Add),
    /// List a customer's accounts, of all its systems or of one
    List {
        /// The customer
        #[arg(long, value_name = "CUSTOMER")]
        customer: Part,
        /// Only of this system of the customer
        #[arg(long, value_name = "SYSTEM")]
        system: Option<Part>,
    },
    /// Show one account
    Show {
        /// customer/system/account
        path: AccountPath,
    },
    /// Change an account's settings; what is not named stays
    Set {
        /// customer/system/account
        path: AccountPath,
        #[command(flatten)]
        settings: Settings,
    },
    /// Remove an account that nobody holds
    Remove {
        /// customer/system/account
        path: AccountPath,
    },
    /// Tell the vault the secret that the account has now, because it was changed elsewhere
    SetSecret {
        /// customer/system/account
        path: AccountPath,
        /// Read the secret from standard input
        #[arg(long)]
        stdin: bool,
    },
    /// Try the stored secret with a fresh login
    Verify {
        /// customer/system/account
        path: AccountPath,
    },
}

#[derive(Args)]
pub struct Add {
    /// customer/system/account, e.g. acme/db01/postgres
    path: AccountPath,
    /// Exists and is rotated; made at check-out and removed at its end; or opened by SSH certificates
    #[arg(long, value_enum, default_value = "standing")]
    kind: Kind,
    /// Its login name on the system; the account's name by default
    #[arg(long)]
    login: Option<Login>,
    /// A role or group that an ephemeral login becomes a member of; may be repeated
    #[arg(long, value_name = "ROLE")]
    member_of: Vec<Login>,
    /// Ask for the account's present secret
    #[arg(long)]
    with_secret: bool,
    /// Read the account's present secret from standard input
    #[arg(long, conflicts_with = "with_secret")]
    stdin: bool,
    #[command(flatten)]
    settings: Settings,
}

/// What can be set at any time.
#[derive(Args)]
pub struct Settings {
    /// Who changes the secret on the system: the account itself (default) or the management account
    #[arg(long, value_enum, value_name = "WHO")]
    rotate_by: Option<By>,
    /// Rotate at the end of each checkout; true by default
    #[arg(long, value_name = "BOOL")]
    rotate_on_end: Option<bool>,
    /// How many may hold the account at once; 1 by default
    #[arg(long, value_name = "N")]
    max_holders: Option<u32>,
    /// Show its secret only to those who have just proven a second factor; false by default
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    sensitive: Option<bool>,
    /// What it controls: 0 identities, or everything (implies sensitive); 1 servers; 2 workstations
    #[arg(long, value_name = "0-2", value_parser = tier)]
    tier: Option<Tier>,
    /// Who answers for it, e.g. a team; '' for nobody
    #[arg(long, value_name = "TEXT")]
    owner: Option<String>,
    #[command(flatten)]
    password: Password,
    #[command(flatten)]
    certificate: Certificate,
    /// Ephemeral users of Linux hosts: what they may do by sudo, as it follows the user in sudoers, or none; may be
    /// repeated
    #[arg(long = "sudo-rule", value_name = "RULE", value_parser = sudo_rule)]
    sudo_rules: Vec<Option<SudoRule>>,
    #[command(flatten)]
    policy: Policy,
}

/// What SSH certificates say.
#[derive(Args)]
struct Certificate {
    /// Certificates: whom they are good for, instead of the login name; may be repeated
    #[arg(long = "principal", value_name = "NAME")]
    principals: Vec<SshPrincipal>,
    /// Certificates: from where they are good; may be repeated
    #[arg(long = "source-network", value_name = "NETWORK")]
    source_networks: Vec<Network>,
    /// Certificates: what the host runs, whatever is asked for
    #[arg(long, value_name = "COMMAND")]
    force_command: Option<String>,
    /// Certificates: what they allow, permit-pty by default; may be repeated
    #[arg(long = "extension", value_enum, value_name = "NAME")]
    extensions: Vec<Extension>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Extension {
    None,
    PermitPty,
    PermitPortForwarding,
    PermitAgentForwarding,
    PermitX11Forwarding,
    PermitUserRc,
}

impl Extension {
    fn wire(self) -> Option<SshExtension> {
        match self {
            Self::None => None,
            Self::PermitPty => Some(SshExtension::PermitPty),
            Self::PermitPortForwarding => Some(SshExtension::PermitPortForwarding),
            Self::PermitAgentForwarding => Some(SshExtension::PermitAgentForwarding),
            Self::PermitX11Forwarding => Some(SshExtension::PermitX11Forwarding),
            Self::PermitUserRc => Some(SshExtension::PermitUserRc),
        }
    }
}

impl Certificate {
    /// The present settings with what was named.
    fn apply(self, mut settings: CertificateSettings) -> CertificateSettings {
        if !self.principals.is_empty() {
            settings.principals = Some(self.principals);
        }
        if !self.source_networks.is_empty() {
            settings.source_networks = self.source_networks;
        }
        if self.force_command.is_some() {
            settings.force_command = self.force_command;
        }
        if !self.extensions.is_empty() {
            settings.extensions = self.extensions.into_iter().filter_map(Extension::wire).collect();
        }
        settings
    }
}

/// What generated passwords look like.
#[derive(Args)]
struct Password {
    /// Generated passwords: characters, 8 to 128
    #[arg(long = "password-length", value_name = "N")]
    length: Option<u16>,
    /// Generated passwords: at least so many of a-z
    #[arg(long = "password-min-lower", value_name = "N")]
    min_lower: Option<u16>,
    /// Generated passwords: at least so many of A-Z
    #[arg(long = "password-min-upper", value_name = "N")]
    min_upper: Option<u16>,
    /// Generated passwords: at least so many of 0-9
    #[arg(long = "password-min-digits", value_name = "N")]
    min_digits: Option<u16>,
    /// Generated passwords: at least so many symbols
    #[arg(long = "password-min-symbols", value_name = "N")]
    min_symbols: Option<u16>,
    /// Generated passwords: characters never used
    #[arg(long = "password-exclude", value_name = "CHARACTERS")]
    exclude: Option<String>,
    /// Generated passwords: at least so many positions differ from the one before
    #[arg(long = "password-min-differences", value_name = "N")]
    min_differences: Option<u16>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    Standing,
    Ephemeral,
    Certificate,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum By {
    Itself,
    Management,
}

impl Account {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        let accounts = client.accounts();
        let output = context.output;
        match self {
            Self::Add(add) => {
                let (customer, system) = (add.path.customer.clone(), add.path.system.clone());
                output.one(&accounts.add(&customer, &system, &add.new_account()?).await?)
            }
            Self::List { customer, system } => output.many(&list(&client, &customer, system.as_ref()).await?),
            Self::Show { path } => output.one(&accounts.show(&path).await?),
            Self::Set { path, settings } => {
                let change = settings.change(&accounts.show(&path).await?.settings);
                output.one(&accounts.set(&path, &change).await?)
            }
            Self::Remove { path } => {
                accounts.remove(&path).await?;
                output.done(&format!("removed {path}"))
            }
            Self::SetSecret { path, stdin } => {
                let secret = Input::from_stdin(stdin).account_secret("Present secret of the account")?;
                output.one(&accounts.set_secret(&path, secret).await?)
            }
            Self::Verify { path } => verify(context, &client, &path).await,
        }
    }
}

async fn list(client: &Client, customer: &Part, system: Option<&Part>) -> claviger_client::Result<Vec<AccountView>> {
    match system {
        Some(system) => client.accounts().list(customer, system).all().await,
        None => client.accounts().list_of_customer(customer).all().await,
    }
}

/// Anything but an accepted login is a failure for scripts; the result says which.
async fn verify(context: &Context, client: &Client, path: &AccountPath) -> Result<(), Failure> {
    let verification = client.accounts().verify(path).await?;
    context.output.one(&verification)?;
    if verification.result == ProbeResult::Accepted {
        return Ok(());
    }
    Err(Failure::Own {
        exit: Exit::Failed,
        what: format!("the stored secret of {path} was not accepted: {}", word(&verification.result)),
        help: Some(
            "unreachable or locked_out say nothing about the secret; refused: claviger rotate, or set-secret"
                .to_owned(),
        ),
    })
}

impl Add {
    fn new_account(self) -> Result<NewAccount, Failure> {
        let secret = match (self.with_secret, self.stdin) {
            (false, false) => None,
            (_, stdin) => Some(Input::from_stdin(stdin).account_secret("Present secret of the account")?.disclose()),
        };
        Ok(NewAccount {
            name: self.path.account,
            kind: match self.kind {
                Kind::Standing => AccountKind::Standing,
                Kind::Ephemeral => AccountKind::Ephemeral,
                Kind::Certificate => AccountKind::Certificate,
            },
            login: self.login,
            secret,
            member_of: self.member_of,
            settings: self.settings.of_new_account(),
        })
    }
}

impl Settings {
    fn of_new_account(self) -> AccountSettings {
        let default = AccountSettings::default();
        AccountSettings {
            rotate_by: self.rotate_by.map_or(default.rotate_by, By::wire),
            rotate_on_end: self.rotate_on_end.unwrap_or(default.rotate_on_end),
            max_holders: self.max_holders.unwrap_or(default.max_holders),
            password_policy: self.password.apply(default.password_policy),
            sensitive: self.sensitive.unwrap_or(default.sensitive),
            tier: self.tier.or(default.tier),
            certificate: self.certificate.apply(default.certificate),
            sudo_rules: self.sudo_rules.into_iter().flatten().collect(),
            owner: self.owner.filter(|owner| !owner.is_empty()),
            rotation_policy: self.policy.apply(&default.rotation_policy),
        }
    }

    fn change(self, present: &AccountSettings) -> AccountChange {
        let (policy, certificate) = (&present.password_policy, &present.certificate);
        let wanted = self.password.apply(policy.clone());
        let certified = self.certificate.apply(certificate.clone());
        AccountChange {
            rotate_by: self.rotate_by.map(By::wire),
            rotate_on_end: self.rotate_on_end,
            max_holders: self.max_holders,
            password_policy: (wanted != *policy).then_some(wanted),
            sensitive: self.sensitive,
            tier: self.tier,
            certificate: (certified != *certificate).then_some(certified),
            sudo_rules: (!self.sudo_rules.is_empty()).then(|| self.sudo_rules.into_iter().flatten().collect()),
            owner: self.owner,
            rotation_policy: self.policy.change(&present.rotation_policy),
        }
    }
}

/// A rule; `none` is the word for no rules.
fn sudo_rule(text: &str) -> Result<Option<SudoRule>, BadSudoRule> {
    if text == "none" { Ok(None) } else { text.parse().map(Some) }
}

/// A tier, as people write it.
pub fn tier(text: &str) -> Result<Tier, BadTier> {
    text.parse::<u8>().map_err(|_| BadTier).and_then(Tier::try_from)
}

impl Password {
    fn apply(self, policy: PasswordPolicy) -> PasswordPolicy {
        PasswordPolicy {
            length: self.length.unwrap_or(policy.length),
            min_lower: self.min_lower.unwrap_or(policy.min_lower),
            min_upper: self.min_upper.unwrap_or(policy.min_upper),
            min_digits: self.min_digits.unwrap_or(policy.min_digits),
            min_symbols: self.min_symbols.unwrap_or(policy.min_symbols),
            exclude: self.exclude.unwrap_or(policy.exclude),
            min_differences: self.min_differences.unwrap_or(policy.min_differences),
        }
    }
}

impl By {
    fn wire(self) -> RotateBy {
        match self {
            Self::Itself => RotateBy::Itself,
            Self::Management => RotateBy::Management,
        }
    }
}
