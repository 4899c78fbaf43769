//! `claviger-server`: runs the vault.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Args, Parser, Subcommand};
use claviger_api::AccountPath;
use claviger_server::dev::{self, Hints};
use claviger_server::restore::{Backup, Keys};
use claviger_server::{Config, Stopped, check_files, logging, manager, openapi, start};
use claviger_service::crypto::harden_process;
use tokio::signal::unix::{SignalKind, signal};
use zeroizing_alloc::ZeroAlloc;

/// Wipes what is given back: libraries' buffers, too, hold what went through them.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<mimalloc::MiMalloc> = ZeroAlloc(mimalloc::MiMalloc);

/// The privileged credential vault of an MSP: the server.
#[derive(Parser)]
#[command(name = "claviger-server", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server
    Run(Run),
    /// Print what 'claviger login admin --stdin' reads: password and code of a --dev server's administrator
    DevLogin {
        /// The directory of --dev
        #[arg(long, value_name = "DIR", default_value = dev::DIRECTORY)]
        dir: PathBuf,
    },
    /// Say whether a configuration file is right
    CheckConfig {
        /// The file
        file: PathBuf,
    },
    /// Say whether a backup is whole, and with --verify prove that every row of it opens and every log is whole
    CheckBackup {
        #[command(flatten)]
        from: From,
    },
    /// Write what files of the escrow stream hold, in clear, for 'claviger operator restore add-secrets -'
    OpenEscrow {
        /// The files
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// The file of an age private key that they were written for (mode 0600)
        #[arg(long, value_name = "FILE")]
        identity: PathBuf,
        /// Only this account's, e.g. acme/db/root
        #[arg(long, value_name = "CUSTOMER/SYSTEM/ACCOUNT")]
        account: Option<AccountPath>,
    },
    /// Read shares of an emergency kit and write the age identity that opens it, for 'age -d -i - kit.age'
    ///
    /// Shares come from standard input, one a line, or are asked for at a terminal. It needs no vault, no configuration and no
    /// network.
    CombineKit,
    /// Make an empty store of a backup; the vault that starts there acts on no system before it is resumed
    Restore {
        #[command(flatten)]
        from: From,
        /// The configuration file of the server that it is restored for
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Move an installation to another store, e.g. from the embedded one to a database, while no server runs
    Migrate {
        /// The configuration file of the server as it ran
        #[arg(long, value_name = "FILE")]
        from: PathBuf,
        /// That of the server as it will run: its store is empty
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
    },
    /// Print the API's description (OpenAPI 3.1)
    Openapi,
}

#[derive(Args)]
struct From {
    /// The whole backup, and after it the increments upon it, in the order of their names
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The file of an age private key that it was written for (mode 0600)
    #[arg(long, value_name = "FILE")]
    identity: PathBuf,
    /// Open every row: asks for the shares, or the passphrase, that opened the vault then
    #[arg(long)]
    verify: bool,
    /// Read them from standard input, one a line
    #[arg(long, requires = "verify")]
    stdin: bool,
}

#[derive(Args)]
#[command(group(clap::ArgGroup::new("how").required(true).args(["config", "dev"])))]
struct Run {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Only for trying out: initialises and unseals itself, and keeps its keys in its own directory
    #[arg(long)]
    dev: bool,
    /// The directory of --dev
    #[arg(long, requires = "dev", value_name = "DIR", default_value = dev::DIRECTORY)]
    dir: PathBuf,
    /// Where --dev listens
    #[arg(long, requires = "dev", value_name = "ADDRESS:PORT", default_value_t = dev::LISTEN)]
    listen: SocketAddr,
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(run) => run.run(),
        Command::DevLogin { dir } => dev_login(&dir),
        Command::CheckConfig { file } => check_config(&file),
        Command::CheckBackup { from } => restored(&from, None),
        Command::OpenEscrow { files, identity, account } => opened(&files, &identity, account.as_ref()),
        Command::CombineKit => combined(),
        Command::Restore { from, config } => restored(&from, Some(&config)),
        Command::Migrate { from, to } => migrate(&from, &to),
        Command::Openapi => openapi().map(|text| println!("{text}")).map_err(Into::into),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("claviger-server: {}", told(&error));
            ExitCode::FAILURE
        }
    }
}

/// An error with its causes, but for those that it tells itself.
fn told(error: &anyhow::Error) -> String {
    error.chain().skip(1).fold(error.to_string(), |told, cause| {
        let cause = cause.to_string();
        if told.contains(&cause) { told } else { format!("{told}: {cause}") }
    })
}

fn dev_login(directory: &std::path::Path) -> Result<()> {
    let (password, code) = dev::login(directory)?;
    println!("{}\n{}", password.expose(), code.expose());
    Ok(())
}

fn check_config(file: &std::path::Path) -> Result<()> {
    let config = Config::read_here(file)?;
    for note in check_files(&config)? {
        eprintln!("note: {note}");
    }
    println!("{} is right", file.display());
    Ok(())
}

fn restored(from: &From, config: Option<&std::path::Path>) -> Result<()> {
    if from.verify {
        harden_process()?;
    }
    let config = config.map(Config::read_here).transpose()?;
    let backup = Backup::open(from.files.clone(), &from.identity)?;
    let keys = if from.stdin { Keys::Stdin } else { Keys::Terminal };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut say = std::io::stdout();
        let whole = backup.check(&mut say)?;
        if from.verify {
            backup.prove(keys, &mut say).await?;
        }
        match config {
            Some(config) => backup.restore(&whole, &config, &mut say).await,
            None => Ok(()),
        }
    })
}

fn opened(files: &[PathBuf], identity: &std::path::Path, account: Option<&AccountPath>) -> Result<()> {
    harden_process()?;
    claviger_server::escrow::open(files, identity, account)
}

fn combined() -> Result<()> {
    harden_process()?;
    claviger_server::kits::combine()
}

fn migrate(from: &std::path::Path, to: &std::path::Path) -> Result<()> {
    harden_process()?;
    let (old, new) = (Config::read(from)?, Config::read(to)?);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let rows = runtime.block_on(claviger_server::migrate::migrate(&old, &new))?;
    println!(
        "{rows} rows were moved, and are the same at both places: run the server with {} from now on",
        to.display()
    );
    eprintln!("note: anchors, archives of logs and backups are where they were; the old store is as it was");
    Ok(())
}

impl Run {
    fn run(self) -> Result<()> {
        let hardened = harden_process();
        match &hardened {
            Err(error) if self.dev => eprintln!("warning: {error}"),
            Err(_) | Ok(()) => hardened?,
        }
        let config = match &self.config {
            Some(file) => Config::read_here(file)?,
            None => dev::config(&self.dir, self.listen)?,
        };
        // Dropped last: what happens at the end is told too.
        let _traces = logging::begin(config.log.level, config.traces.as_ref())?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let stopped = runtime.block_on(self.serve(config))?;
        // What workers still have in hand ends here, as by a crash: they take it up again after the next unsealing.
        drop(runtime);
        if !stopped.close() {
            tracing::warn!("the store is still in use; what is stored is safe");
        }
        Ok(())
    }

    async fn serve(self, config: Config) -> Result<Stopped> {
        let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
        let mut hang_up = signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?;
        let running = start(config).await?;
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let told = tokio::spawn(manager::run(running.vault.clone(), stopped));
        if self.dev {
            announce(&dev::open(&running.vault, &self.dir, running.address).await?, &self.dir);
        }
        manager::ready();
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hang_up.recv() => manager::reloading(|| running.reload()),
            }
        }
        tracing::info!("the server stops");
        manager::stopping();
        let ended = running.stop().await;
        // Pulses go on until the last request is answered.
        let _ = stop.send(true);
        let _ = told.await;
        Ok(ended)
    }
}

fn announce(hints: &Hints, directory: &std::path::Path) {
    eprintln!(
        "\n\
         *** ONLY FOR TRYING OUT ******************************************************************\n\
         *** The passphrase of this vault, its administrator's password and what the codes are ***\n\
         *** made of lie beside its data.                                                      ***\n\
         *** Put no secret into it that opens anything real.                                    ***\n\n\
         Listening on {address}\n\
         In a shell:\n\n  {environment}\n  claviger-server dev-login --dir {directory} | claviger login {name} --stdin\n",
        address = hints.address,
        environment = hints.environment().trim_end().replace('\n', "\n  "),
        name = hints.administrator,
        directory = directory.display(),
    );
}
