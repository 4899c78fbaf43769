//! `claviger import`: many accounts with their present secrets, from a CSV file. All of them, or none.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use clap::Args;
use claviger_client::api::problem::ValueError;
use claviger_client::api::wire::{IMPORT_ROWS_MAX, ImportRequest, ImportRow};
use claviger_client::api::{Login, Part, Secret};
use csv::StringRecord;

use super::account::tier;
use crate::connection::Context;
use crate::failure::{Failure, wrong_values};
use crate::progress::note;

#[derive(Args)]
pub struct Import {
    /// A CSV file with the columns system, account, login, secret, sensitive (yes or no) and tier (0 to 2); the last two
    /// and login may be absent or empty
    file: PathBuf,
    /// The customer whose accounts these are
    #[arg(long, value_name = "CUSTOMER")]
    customer: Part,
}

impl Import {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let file = std::fs::File::open(&self.file).map_err(|error| unreadable(&self.file, &error.to_string()))?;
        let rows = read(file).map_err(|refusal| refusal.tell(&self.file))?;
        let imported = context.client()?.customers().import(&self.customer, &ImportRequest { rows }).await?;
        context.output.one(&imported)?;
        note("The file still holds every secret in clear: delete it now, and from backups and editors too.");
        note(&format!("Next: claviger rotate --customer {}", self.customer));
        Ok(())
    }
}

/// Why a file is not imported.
#[derive(Debug)]
enum Refusal {
    /// The file as a whole.
    File(String),
    /// One entry a wrong row.
    Rows { wrong: Vec<ValueError>, all: usize },
}

impl Refusal {
    fn tell(self, path: &Path) -> Failure {
        match self {
            Self::File(why) => unreadable(path, &why),
            Self::Rows { wrong, all } => {
                wrong_values(format!("{} of {all} rows cannot be imported; nothing was sent.", wrong.len()), wrong)
            }
        }
    }
}

fn unreadable(path: &Path, why: &str) -> Failure {
    Failure::usage(
        format!("{} cannot be imported: {why}", path.display()),
        "a CSV file starts with the line: system,account,login,secret",
    )
}

/// Where each column stands.
struct Columns {
    system: usize,
    account: usize,
    login: Option<usize>,
    secret: usize,
    sensitive: Option<usize>,
    tier: Option<usize>,
    count: usize,
}

/// Every row, or every wrong row.
fn read(file: impl std::io::Read) -> Result<Vec<ImportRow>, Refusal> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(file);
    let columns = Columns::of(reader.headers().map_err(|_| Refusal::File("it is not CSV in UTF-8".to_owned()))?)?;
    let mut rows: Vec<ImportRow> = Vec::new();
    let mut wrong = Vec::new();
    let mut first_at: HashMap<(Part, Part), u32> = HashMap::new();
    let mut all = 0;
    let mut record = StringRecord::new();
    loop {
        let line = u32::try_from(reader.position().line()).unwrap_or(u32::MAX);
        let row = match reader.read_record(&mut record) {
            Ok(false) => break,
            Ok(true) => columns.row(&record, line_of(&record, line)),
            Err(_) => Err((line, "it is not CSV in UTF-8".to_owned())),
        };
        all += 1;
        match row {
            Ok(row) => match first_at.insert((row.system.clone(), row.account.clone()), row.line) {
                None => rows.push(row),
                Some(first) => wrong.push(wrong_row(row.line, format!("the account is on line {first} already"))),
            },
            Err((line, why)) => wrong.push(wrong_row(line, why)),
        }
    }
    match (wrong.is_empty(), all) {
        (true, 0) => Err(Refusal::File("it has no rows".to_owned())),
        (true, 1..=IMPORT_ROWS_MAX) => Ok(rows),
        (true, _) => Err(Refusal::File(format!("it has {all} rows, and {IMPORT_ROWS_MAX} are the most; split it"))),
        (false, _) => Err(Refusal::Rows { wrong, all }),
    }
}

fn line_of(record: &StringRecord, fallback: u32) -> u32 {
    record.position().and_then(|position| u32::try_from(position.line()).ok()).unwrap_or(fallback)
}

fn wrong_row(line: u32, message: String) -> ValueError {
    ValueError { at: format!("line {line}"), message }
}

impl Columns {
    fn of(heads: &StringRecord) -> Result<Self, Refusal> {
        let at = |name: &str| heads.iter().position(|head| head.trim() == name);
        let needed = |name: &str| at(name).ok_or_else(|| Refusal::File(format!("it has no column '{name}'")));
        let columns = Self {
            system: needed("system")?,
            account: needed("account")?,
            login: at("login"),
            secret: needed("secret")?,
            sensitive: at("sensitive"),
            tier: at("tier"),
            count: heads.len(),
        };
        let optional = [columns.login, columns.sensitive, columns.tier];
        if heads.len() > 3 + optional.iter().flatten().count() {
            let known = "it has columns other than system, account, login, secret, sensitive and tier";
            return Err(Refusal::File(known.to_owned()));
        }
        Ok(columns)
    }

    /// One row. Secrets are taken as they stand, blanks included; messages never hold one.
    fn row(&self, record: &StringRecord, line: u32) -> Result<ImportRow, (u32, String)> {
        if record.len() != self.count {
            return Err((line, format!("it has {} fields instead of {}", record.len(), self.count)));
        }
        let field = |at: usize| record.get(at).unwrap_or_default();
        let part = |name: &str, at: usize| {
            field(at).trim().parse::<Part>().map_err(|error| (line, format!("{name}: {error}")))
        };
        let filled = |at: Option<usize>| at.map(field).filter(|text| !text.is_empty());
        let login = filled(self.login);
        Ok(ImportRow {
            line,
            system: part("system", self.system)?,
            account: part("account", self.account)?,
            login: login
                .map(|text| text.parse::<Login>().map_err(|error| (line, format!("login: {error}"))))
                .transpose()?,
            secret: Secret::new(field(self.secret).to_owned())
                .map_err(|error| (line, format!("secret: {error}")))?
                .disclose(),
            sensitive: match filled(self.sensitive) {
                None | Some("no" | "false") => false,
                Some("yes" | "true") => true,
                Some(_) => return Err((line, "sensitive: yes or no".to_owned())),
            },
            tier: filled(self.tier).map(|text| tier(text).map_err(|bad| (line, format!("tier: {bad}")))).transpose()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use claviger_client::api::wire::Tier;

    use super::*;

    fn wrong(text: &str) -> Vec<String> {
        match read(text.as_bytes()) {
            Err(Refusal::Rows { wrong, .. }) => {
                wrong.iter().map(|error| format!("{}: {}", error.at, error.message)).collect()
            }
            Err(Refusal::File(why)) => vec![why],
            Ok(_) => Vec::new(),
        }
    }

    #[test]
    fn rows_are_read_with_their_lines_and_secrets_as_they_stand() {
        let text = "secret,login,account,system\n\" p,w\n2 \",CORP\\Admin,admin,dc01\nx,,root,web\n";
        let rows = read(text.as_bytes()).unwrap_or_else(|_| panic!("refused"));
        let seen: Vec<_> = rows
            .into_iter()
            .map(|row| {
                let login = row.login.map(|login| login.to_string());
                (row.line, row.account.to_string(), login, row.secret.into_secret().expose().to_owned())
            })
            .collect();
        assert_eq!(
            seen,
            [
                (2, "admin".to_owned(), Some("CORP\\Admin".to_owned()), " p,w\n2 ".to_owned()),
                (4, "root".to_owned(), None, "x".to_owned()),
            ]
        );
    }

    #[test]
    fn marks_are_read_where_there_are_any() {
        let text = "system,account,secret,tier,sensitive\ns,a,x,0,\ns,b,x,,yes\ns,c,x,2,no\n";
        let rows = read(text.as_bytes()).unwrap_or_else(|_| panic!("refused"));
        let seen: Vec<_> = rows.iter().map(|row| (row.tier, row.sensitive)).collect();
        assert_eq!(seen, [(Some(Tier::Zero), false), (None, true), (Some(Tier::Two), false)]);
        assert_eq!(
            wrong("system,account,secret,tier,sensitive\ns,a,x,3,\ns,b,x,,maybe\n"),
            [
                "line 2: tier: a tier is 0 (identities, or everything), 1 (servers) or 2 (workstations)",
                "line 3: sensitive: yes or no",
            ]
        );
    }

    #[test]
    fn every_wrong_row_is_named_by_its_line_and_no_secret_is() {
        let text = "system,account,login,secret\n\
            DC01,admin,,canary-1\n\
            dc01,admin,,\n\
            dc01,admin,,canary-2\n\
            dc01,admin,,canary-3\n\
            dc01,b,canary-4\n\
            dc01,c,\"a\tb\",canary-5\n";
        let wrong = wrong(text);
        insta::assert_snapshot!(wrong.join("\n"), @r"
        line 2: system: a name is 1 to 63 of a-z, 0-9, '.', '_' and '-', and starts with a letter or digit
        line 3: secret: a secret is not empty or blank
        line 5: the account is on line 4 already
        line 6: it has 3 fields instead of 4
        line 7: login: a login name is 1 to 256 bytes without control characters
        ");
        assert!(!wrong.join("").contains("canary"));
    }

    #[test]
    fn a_file_without_its_columns_or_rows_is_refused() {
        assert_eq!(wrong("system,account\n"), ["it has no column 'secret'"]);
        assert_eq!(wrong("system,account,secret\n"), ["it has no rows"]);
        assert_eq!(
            wrong("system,account,secret,comment\n"),
            ["it has columns other than system, account, login, secret, sensitive and tier"]
        );
        assert_eq!(wrong(""), ["it has no column 'system'"]);
        let many =
            (0..=IMPORT_ROWS_MAX).fold("system,account,secret\n".to_owned(), |text, n| text + &format!("s,a{n},x\n"));
        assert_eq!(wrong(&many), ["it has 5001 rows, and 5000 are the most; split it"]);
    }

    #[test]
    fn text_that_is_not_utf8_is_told_by_line() {
        let bytes = b"system,account,secret\ns,a,x\ns,b,\xff\xfe\n".as_slice();
        let Err(Refusal::Rows { wrong, .. }) = read(bytes) else { panic!("read") };
        assert_eq!(wrong[0].at, "line 3");
    }
}
