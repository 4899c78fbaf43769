//! `claviger completions` and `man`: made from the words themselves.

use std::path::PathBuf;

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::cli::Cli;
use crate::failure::Failure;
use crate::output::print;

#[derive(Args)]
pub struct Completions {
    /// The shell
    shell: Shell,
}

#[derive(Args)]
pub struct Man {
    /// Write a page a command into this folder, instead of the main page to standard output
    #[arg(long, value_name = "FOLDER")]
    to: Option<PathBuf>,
}

impl Completions {
    pub fn run(self) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "claviger", &mut script);
        print(&String::from_utf8_lossy(&script))
    }
}

impl Man {
    pub fn run(self) -> Result<(), Failure> {
        let failed = |error: std::io::Error| Failure::failed(format!("the manual cannot be written: {error}"));
        if let Some(folder) = self.to {
            std::fs::create_dir_all(&folder).map_err(failed)?;
            return clap_mangen::generate_to(Cli::command(), folder).map_err(failed);
        }
        let mut page = Vec::new();
        clap_mangen::Man::new(Cli::command()).render(&mut page).map_err(failed)?;
        print(&String::from_utf8_lossy(&page))
    }
}
