//! The roles that may log in, and what power each has: by itself, and by the roles it belongs to. `pg_roles` is there for
//! everybody to read.

use postgres_protocol::escape::escape_literal;

use super::session::Session;
use super::sql::MARK;
use crate::SetOutcome;
use crate::logins::{FoundLogin, LOGINS_MAX, Logins};

/// The roles of PostgreSQL's own that open the machine beneath, or all data
/// (<https://www.postgresql.org/docs/current/predefined-roles.html>).
const POWERFUL: &str = "'pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files', \
     'pg_read_all_data', 'pg_write_all_data', 'pg_create_subscription', 'pg_maintain'";

/// All roles but PostgreSQL's own, which cannot log in.
pub(super) async fn all(session: &Session<'_>) -> Result<Logins, SetOutcome> {
    let rows = session.rows(&query()).await?;
    let cut = rows.len() > LOGINS_MAX;
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        let (may_log_in, expired) = (session.column::<bool>(row, 1)?, session.column::<bool>(row, 2)?);
        let mut notes = Vec::new();
        if expired {
            notes.push("its password has expired".to_owned());
        }
        found.push(FoundLogin {
            name: session.column(row, 0)?,
            may_log_in,
            privileges: session.column::<Option<Vec<String>>>(row, 4)?.unwrap_or_default(),
            notes,
            marked: session.column(row, 3)?,
            ..FoundLogin::default()
        });
    }
    Ok(Logins::of(found, cut, Vec::new()))
}

/// Whoever belongs to a role can become it, however many roles are between.
fn query() -> String {
    format!(
        "WITH RECURSIVE belongs(member, role) AS ( \
             SELECT member, roleid FROM pg_auth_members \
             UNION SELECT b.member, m.roleid FROM belongs b JOIN pg_auth_members m ON m.member = b.role), \
         own(role, words) AS ( \
             SELECT oid, 'superuser' FROM pg_roles WHERE rolsuper \
             UNION ALL SELECT oid, 'CREATEROLE' FROM pg_roles WHERE rolcreaterole \
             UNION ALL SELECT oid, 'REPLICATION' FROM pg_roles WHERE rolreplication \
             UNION ALL SELECT oid, 'BYPASSRLS' FROM pg_roles WHERE rolbypassrls), \
         reasons(role, words) AS ( \
             SELECT role, words FROM own \
             UNION SELECT b.member, 'member of ' || r.rolname::text FROM belongs b JOIN pg_roles r ON r.oid = b.role \
                 WHERE r.rolname IN ({POWERFUL}) OR EXISTS (SELECT FROM own WHERE own.role = b.role)), \
         told AS ( \
             SELECT r.rolname::text AS name, r.rolcanlogin AS may_log_in, \
                 coalesce(r.rolvaliduntil <= now(), false) AS expired, \
                 coalesce(shobj_description(r.oid, 'pg_authid') = {mark}, false) AS marked, \
                 (SELECT array_agg(x.words) FROM reasons x WHERE x.role = r.oid) AS reasons \
             FROM pg_roles r WHERE r.rolname !~ '^pg_') \
         SELECT name, may_log_in, expired, marked, reasons FROM told \
         ORDER BY reasons IS NULL, NOT may_log_in, name LIMIT {limit}",
        mark = escape_literal(MARK),
        limit = LOGINS_MAX + 1,
    )
}
