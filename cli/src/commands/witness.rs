//! `claviger witness`: a small program that a customer runs beside, and not with, its provider. It follows the customer's log,
//! cosigns what continues what it has seen, and raises an alarm for whatever does not, and for silence (C2SP tlog-witness).

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use claviger_client::api::audit::VerifierKey;

use crate::connection::Context;
use crate::duration::Seconds;
use crate::failure::Failure;
use crate::progress::note;

mod serve;
mod state;

use state::State;

#[derive(Subcommand)]
pub enum Witness {
    /// Make the witness's key, once, and print the public key that the vault and whoever verifies is to be given
    Init {
        #[command(flatten)]
        at: At,
        /// What the witness is called, e.g. witness.acme.example/w1
        #[arg(long)]
        name: String,
    },
    /// Follow logs, until interrupted
    Serve(Box<Serve>),
    /// What was seen last of each log, and the alarms
    Status(At),
    /// Forget a log, e.g. after its vault was restored from a backup and its operator has said why
    Forget {
        #[command(flatten)]
        at: At,
        /// The log's origin, as status shows it
        #[arg(long)]
        log: String,
    },
}

#[derive(Args)]
pub struct At {
    /// Where the witness keeps its key and what it has seen
    #[arg(long, value_name = "FOLDER")]
    state: PathBuf,
}

#[derive(Args)]
pub struct Serve {
    #[command(flatten)]
    at: At,
    /// A log to follow, by its verifier key (claviger audit checkpoint); may be repeated
    #[arg(long = "log", value_name = "VKEY", required = true)]
    logs: Vec<VerifierKey>,
    /// Where to listen. What comes is signed, so that plain HTTP takes nothing from it; a proxy may add TLS
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8900")]
    listen: SocketAddr,
    /// Raise an alarm where a log is not heard of for so long; the vault sends once a minute, whether anything happened or not
    #[arg(long, value_name = "TIME", default_value = "15m")]
    silence: Seconds,
    /// A program to run at each alarm, e.g. one that sends a mail: it is given the alarm as JSON on standard input
    #[arg(long, value_name = "PROGRAM")]
    on_alarm: Option<PathBuf>,
}

impl Witness {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Init { at, name } => {
                let state = State::make(&at.state, &name)?;
                context.output.done(&format!("{}", state.key()))
            }
            Self::Serve(serve) => {
                let state = State::open(&serve.at.state)?;
                note(&format!("{} follows {} logs", state.key(), serve.logs.len()));
                serve::run(state, *serve).await
            }
            Self::Status(at) => {
                let state = State::open(&at.state)?;
                note(&format!("{}", state.key()));
                context.output.many(&state.seen()?)
            }
            Self::Forget { at, log } => {
                State::open(&at.state)?.forget(&log)?;
                context.output.done(&format!("{log} is forgotten: the next checkpoint is taken as it comes"))
            }
        }
    }
}
