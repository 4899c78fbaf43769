//! The accounts, and what power each has: by itself, and by the roles that it may take. The hashes beside them stay on the
//! server.

use std::collections::{BTreeMap, BTreeSet};

use super::session::Session;
use super::sql::{self, MARK};
use crate::SetOutcome;
use crate::logins::{FoundLogin, LOGINS_MAX, Logins};

/// What gives power over the whole server, and its column in `mysql.user`.
const POWERFUL: [(&str, &str); 4] = [
    ("SUPER", "Super_priv"),
    ("CREATE USER", "Create_user_priv"),
    ("GRANT OPTION", "Grant_priv"),
    ("FILE", "File_priv"),
];
/// How deep roles within roles are followed.
const ROLES_DEEP: usize = 16;

/// A user and the hosts it may come from; of a role, no host.
type Name = (String, String);

/// All accounts that are not roles.
pub(super) async fn all(session: &mut Session<'_>) -> Result<Logins, SetOutcome> {
    let rows = session.table(&accounts()).await?;
    let cut = rows.len() > LOGINS_MAX;
    let mut power: BTreeMap<Name, BTreeSet<String>> = BTreeMap::new();
    let mut users = Vec::new();
    for row in rows {
        let mut cells = row.into_iter().map(Option::unwrap_or_default);
        let mut next = || cells.next().unwrap_or_default();
        let name = (next(), next());
        let (is_role, locked, marked) = (next() == "Y", next(), next() == "1");
        let own: BTreeSet<String> =
            POWERFUL.iter().filter(|_| next() == "Y").map(|(words, _)| (*words).to_owned()).collect();
        if !own.is_empty() {
            power.insert(name.clone(), own);
        }
        if !is_role {
            users.push((name, !matches!(locked.as_str(), "1" | "true"), marked));
        }
    }
    for name in names(session.table(WRITE_THE_TABLES).await?) {
        power.entry(name).or_default().insert("writes the tables of accounts (mysql)".to_owned());
    }
    by_roles(&mut power, &session.table(ROLES).await?);
    let found = users.into_iter().map(|(name, may_log_in, marked)| FoundLogin {
        privileges: power.remove(&name).unwrap_or_default().into_iter().collect(),
        name: format!("{}@{}", name.0, name.1),
        // Which is how it is written without a host.
        also: (name.1 == "%").then_some(name.0).into_iter().collect(),
        may_log_in,
        marked,
        ..FoundLogin::default()
    });
    Ok(Logins::of(found.collect(), cut, Vec::new()))
}

/// Roles first, then those with power or with a role, so that none of them is cut.
fn accounts() -> String {
    let columns = POWERFUL.map(|(_, column)| format!("u.{column}")).join(", ");
    let powerful = POWERFUL.map(|(_, column)| format!("u.{column} = 'Y'")).join(" OR ");
    format!(
        "SELECT u.User, u.Host, u.is_role, JSON_VALUE(g.Priv, '$.account_locked'), INSTR(g.Priv, {mark}) > 0, {columns} \
         FROM mysql.user u JOIN mysql.global_priv g ON g.User = u.User AND g.Host = u.Host \
         ORDER BY u.is_role DESC, ({powerful}) DESC, \
             EXISTS (SELECT 1 FROM mysql.roles_mapping m WHERE m.User = u.User AND m.Host = u.Host) DESC, u.User, u.Host \
         LIMIT {limit}",
        mark = sql::quoted(MARK),
        limit = LOGINS_MAX + 1,
    )
}

/// Who writes the server's own tables makes accounts.
const WRITE_THE_TABLES: &str = "SELECT User, Host FROM mysql.db WHERE Db = 'mysql' \
     AND (Insert_priv = 'Y' OR Update_priv = 'Y' OR Grant_priv = 'Y')";
const ROLES: &str = "SELECT User, Host, Role FROM mysql.roles_mapping";

/// Whoever may take a role has what it has.
fn by_roles(power: &mut BTreeMap<Name, BTreeSet<String>>, mapping: &[Vec<Option<String>>]) {
    for _ in 0..ROLES_DEEP {
        let mut more = false;
        for row in mapping {
            let [Some(user), Some(host), Some(role)] = row.as_slice() else { continue };
            let Some(of_role) = power.get(&(role.clone(), String::new())).cloned() else { continue };
            let name = (user.clone(), host.clone());
            // Of a role within a role, the words stay those of the innermost.
            let words = of_role
                .into_iter()
                .map(|words| if words.contains(" by role ") { words } else { format!("{words} by role {role}") });
            let held = power.entry(name).or_default();
            for words in words {
                more |= held.insert(words);
            }
        }
        if !more {
            return;
        }
    }
}

fn names(rows: Vec<Vec<Option<String>>>) -> impl Iterator<Item = Name> {
    rows.into_iter().filter_map(|row| {
        let mut cells = row.into_iter();
        Some((cells.next()??, cells.next()??))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_power_of_a_role_is_that_of_whoever_may_take_it_however_deep() {
        let row = |user: &str, host: &str, role: &str| [user, host, role].map(|it| Some(it.to_owned())).to_vec();
        let role = |name: &str| (name.to_owned(), String::new());
        let mut power = BTreeMap::from([(role("inner"), BTreeSet::from(["SUPER".to_owned()]))]);
        // Two that hold each other end all the same.
        let mapping = [row("anna", "%", "outer"), row("outer", "", "inner"), row("inner", "", "outer")];
        by_roles(&mut power, &mapping);
        let anna = power.get(&("anna".to_owned(), "%".to_owned())).unwrap();
        assert_eq!(anna.iter().collect::<Vec<_>>(), ["SUPER by role inner"]);
    }
}
