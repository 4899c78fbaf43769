//! A report as a page: one file that needs nothing else, for a browser or a printer.

use claviger_client::api::Timestamp;
use claviger_client::api::wire::{AuditReport, ReportCell, ReportKind};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::audit::rows;

/// The most lanes of a time line; the table has all of them.
const LANES_MOST: usize = 40;
/// A chart's width, and the height of a line of it, in the units of its view box.
const WIDTH: f64 = 1000.0;
const LINE: f64 = 22.0;
/// Where the bars begin: before them is what they are of.
const LABELS: f64 = 300.0;
/// The room behind the longest bar.
const BEHIND: f64 = 80.0;

/// Black on white, and as good on paper.
const STYLE: &str = "
:root { font: 15px/1.45 system-ui, sans-serif; color: #1b1f24; background: #fff }
body { max-width: 76rem; margin: 2rem auto; padding: 0 1.5rem }
h1 { font-size: 1.6rem; margin: 0 0 .2rem }
p.of { color: #57606a; margin: 0 0 1.5rem }
dl { display: flex; flex-wrap: wrap; gap: .6rem 2.2rem; margin: 0 0 1.5rem }
dt { color: #57606a; font-size: .85rem } dd { margin: 0; font-size: 1.35rem; font-variant-numeric: tabular-nums }
svg { width: 100%; height: auto; margin: 0 0 1.5rem } svg text { font: 12px system-ui, sans-serif; fill: #1b1f24 }
svg .bar { fill: #2f6f8f } svg .line { stroke: #d0d7de; stroke-width: 1 }
table { border-collapse: collapse; width: 100%; font-size: .82rem } thead { display: table-header-group }
th { text-align: left; color: #57606a; font-weight: 600; border-bottom: 2px solid #d0d7de; padding: .3rem .6rem .3rem 0 }
td { border-bottom: 1px solid #eaeef2; padding: .3rem .6rem .3rem 0; vertical-align: top; overflow-wrap: anywhere }
tr { break-inside: avoid } td.fail { color: #a40e26; font-weight: 600 } td.pass { color: #116329 }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font-size: .75rem; color: #57606a }
@media print { body { max-width: none; margin: 0 } @page { size: A4 landscape; margin: 12mm } }
";

/// The page.
pub fn of(report: &AuditReport) -> String {
    let whose = report.customer.as_deref().unwrap_or("the whole house");
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                title { (report.report.title()) " – " (whose) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { (report.report.title()) }
                p.of { (whose) ", " (report.since) " to " (report.until) ", made " (report.made_at) }
                dl { @for figure in &report.summary { div { dt { (figure.name) } dd { (figure.value) } } } }
                (chart(report))
                (table(report))
                @if report.more { p { "There were more rows than a report has: ask for less time." } }
                h2 { "How to check it" }
                p {
                    "Entries are places in the log that this checkpoint signs. Export that log (claviger audit export), verify the "
                    "file without the vault (claviger audit verify), and look at the entries."
                }
                pre { (report.log.checkpoint) "\n" (report.log.verifier_key) }
            }
        }
    }
    .into_string()
}

fn table(report: &AuditReport) -> Markup {
    html! {
        table {
            thead { tr { @for name in &report.columns { th { (name.replace('_', " ")) } } } }
            tbody {
                @for row in rows(report) {
                    tr { @for cell in &row { td.fail[cell == "fail"].pass[cell == "pass"] { (cell) } } }
                }
            }
        }
    }
}

fn chart(report: &AuditReport) -> Markup {
    if report.report == ReportKind::Timeline { time_line(report) } else { bars(report) }
}

/// A lane an account; in it, when somebody held it.
fn time_line(report: &AuditReport) -> Markup {
    let mut lanes: Vec<Line> = Vec::new();
    let place = |time: Timestamp| {
        let whole = report.until.duration_since(report.since).as_secs_f64().max(1.0);
        (time.duration_since(report.since).as_secs_f64() / whole).clamp(0.0, 1.0) * (WIDTH - LABELS)
    };
    for row in &report.rows {
        let time = |name: &str| match row.get(name) {
            Some(ReportCell::Text(text)) => text.parse::<Timestamp>().ok(),
            Some(ReportCell::Number(_) | ReportCell::Entries(_)) | None => None,
        };
        let (from, to) = (place(time("from").unwrap_or(report.since)), place(time("to").unwrap_or(report.until)));
        let bar = (LABELS + from, (to - from).max(2.0));
        let account = row.get("account").map(ToString::to_string).unwrap_or_default();
        match lanes.iter_mut().find(|lane| lane.label == account) {
            Some(lane) => lane.bars.push(bar),
            None => lanes.push(Line { label: account, bars: vec![bar], behind: String::new() }),
        }
    }
    lanes.truncate(LANES_MOST);
    drawn(&lanes)
}

/// A bar a number of the summary.
fn bars(report: &AuditReport) -> Markup {
    let numbers = report.summary.iter().filter_map(|figure| match figure.value {
        ReportCell::Number(number) => Some((&figure.name, number)),
        ReportCell::Text(_) | ReportCell::Entries(_) => None,
    });
    let most = numbers.clone().map(|(_, number)| number).max().unwrap_or(0).max(1);
    #[expect(clippy::cast_precision_loss, reason = "a bar is drawn, not counted")]
    let long = |number: u64| number as f64 / most as f64 * (WIDTH - LABELS - BEHIND);
    let line = |(name, number): (&String, u64)| Line {
        label: name.clone(),
        bars: vec![(LABELS, long(number))],
        behind: number.to_string(),
    };
    drawn(&numbers.map(line).collect::<Vec<_>>())
}

/// A line of a chart.
struct Line {
    label: String,
    /// Where each bar begins, and how long it is.
    bars: Vec<(f64, f64)>,
    /// What stands behind the last.
    behind: String,
}

fn drawn(lines: &[Line]) -> Markup {
    if lines.is_empty() {
        return html! {};
    }
    #[expect(clippy::cast_precision_loss, reason = "a few lines")]
    let at = |line: usize| line as f64 * LINE;
    let height = at(lines.len());
    html! {
        svg viewBox=(format!("0 0 {WIDTH} {height}")) role="img" {
            @for (number, Line { label, bars, behind }) in lines.iter().enumerate() {
                line.line x1="0" x2=(WIDTH) y1=(at(number + 1)) y2=(at(number + 1)) {}
                text x="0" y=(at(number) + 15.0) { (label) }
                @for (from, long) in bars {
                    rect.bar x=(format!("{from:.1}")) y=(at(number) + 4.0) width=(format!("{long:.1}")) height=(LINE - 8.0) rx="2" {}
                }
                @if let Some((from, long)) = bars.last() {
                    text x=(format!("{:.1}", from + long + 6.0)) y=(at(number) + 15.0) { (behind) }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use claviger_client::api::wire::AuditReport;
    use serde_json::json;

    use super::*;

    fn report(kind: &str, rows: &serde_json::Value) -> AuditReport {
        serde_json::from_value(json!({
            "report": kind, "customer": "acme", "since": "2026-11-01T00:00:00Z", "until": "2026-11-03T00:00:00Z",
            "made_at": "2026-11-03T00:00:01Z", "log": {"checkpoint": "vault\n1\nroot\n", "verifier_key": "vault+key"},
            "summary": [{"name": "checkouts", "value": 2}, {"name": "<held>", "value": 1}],
            "columns": ["account", "from", "to", "reason", "entries"], "rows": rows, "more": false,
        }))
        .unwrap()
    }

    #[test]
    fn a_page_shows_what_people_wrote_and_runs_nothing_of_it() {
        let rows = json!([
            {"account": "acme/db/app", "from": "2026-11-01T12:00:00Z", "to": "2026-11-02T00:00:00Z",
             "reason": "<script>alert(1)</script> \"x\" & y", "entries": [4, 7]},
            {"account": "acme/db/app", "from": "2026-10-01T00:00:00Z", "to": "2027-01-01T00:00:00Z"},
        ]);
        let page = of(&report("timeline", &rows));
        assert!(!page.contains("<script"), "{page}");
        assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
        assert!(page.contains(">4 7</td>"), "the entries that prove it: {page}");
        assert_eq!(page.matches("class=\"bar\"").count(), 2, "a lane with two bars");
        assert!(
            page.contains("x=\"475.0\"") && page.contains("width=\"175.0\""),
            "a quarter in, a quarter long: {page}"
        );
        assert!(page.contains("x=\"300.0\"") && page.contains("width=\"700.0\""), "what is beyond is cut");
        assert!(page.contains("&lt;held&gt;") && page.contains("vault+key"));
        assert!(!page.contains("http"), "nothing is loaded from elsewhere");
    }

    #[test]
    fn numbers_are_bars_and_nothing_is_no_chart() {
        let page = of(&report("irregular", &json!([])));
        assert_eq!(page.matches("class=\"bar\"").count(), 2);
        let mut empty = report("irregular", &json!([]));
        empty.summary.clear();
        assert!(!of(&empty).contains("<svg"));
    }
}
