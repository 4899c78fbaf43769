//! What auditors ask: the same question on the terminal, in a spreadsheet, and on paper.

use std::fs;
use std::path::PathBuf;

use clap::Args;
use claviger_client::api::Timestamp;
use claviger_client::api::wire::{AuditReport, AuditReportQuery, ReportKind};

use super::page;
use crate::commands::audit::WhichLog;
use crate::connection::Context;
use crate::failure::Failure;
use crate::progress::note;

/// Of whom, of when, and where to.
#[derive(Args)]
pub struct AuditArgs {
    #[command(flatten)]
    of: WhichLog,
    /// Of what happened not before; 30 days ago by default
    #[arg(long, value_name = "TIME")]
    since: Option<Timestamp>,
    /// And before; now by default
    #[arg(long, value_name = "TIME")]
    until: Option<Timestamp>,
    /// Write a page for a browser or a printer, with a chart, into this file, which must not exist yet
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,
}

impl AuditArgs {
    pub async fn run(self, report: ReportKind, context: &Context) -> Result<(), Failure> {
        let customer = self.of.customer().map(ToString::to_string);
        let query = AuditReportQuery { report, customer, since: self.since, until: self.until };
        let report = context.client()?.reports().audit(&query).await?;
        if let Some(path) = self.page {
            let failed =
                |error: std::io::Error| Failure::failed(format!("{} cannot be written: {error}", path.display()));
            let mut file = fs::File::create_new(&path).map_err(failed)?;
            std::io::Write::write_all(&mut file, page::of(&report).as_bytes()).map_err(failed)?;
            return context.output.done(&format!("the page is in {}", path.display()));
        }
        context.output.sheet(&report, &report.columns, &rows(&report))?;
        note(&summed(&report));
        Ok(())
    }
}

/// The cells of each row, in the order of the columns.
pub fn rows(report: &AuditReport) -> Vec<Vec<String>> {
    let cell = |row: &std::collections::BTreeMap<_, _>, name: &String| {
        row.get(name).map(ToString::to_string).unwrap_or_default()
    };
    report.rows.iter().map(|row| report.columns.iter().map(|name| cell(row, name)).collect()).collect()
}

fn summed(report: &AuditReport) -> String {
    let figures: Vec<String> =
        report.summary.iter().map(|figure| format!("{}: {}", figure.name, figure.value)).collect();
    let more = if report.more { "; there were more rows: ask for less time" } else { "" };
    format!("{}{more}", figures.join(", "))
}
