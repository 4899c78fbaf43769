//! The users of a host, and what power each has: by its number, its groups and sudo's rules. What only root may read is
//! asked for by commands that show no hash; one that is refused leaves a gap that is told.

use std::collections::{BTreeMap, BTreeSet};

use claviger_api::{Login, Timestamp};
use serde::Deserialize;

use super::command::Command;
use super::name::UserName;
use super::session::{Answer, Session, refused};
use super::users;
use crate::SetOutcome;
use crate::logins::{FoundLogin, Logins};

/// Groups whose members are root, or can become it without anybody's leave.
const POWERFUL: [&str; 10] = ["root", "sudo", "wheel", "admin", "docker", "lxd", "libvirt", "disk", "shadow", "kvm"];
/// Programs in a shell's place that let nobody in.
const NO_SHELLS: [&str; 5] = ["nologin", "false", "sync", "halt", "shutdown"];
/// So many files are looked for by one command.
const FILES_AT_ONCE: usize = 60;
/// How `lastlog` writes a time.
const LAST_LOGIN: &str = "%a %b %d %H:%M:%S %z %Y";

/// All users that the host knows by name, those of a directory behind it too, where it lists them.
pub(super) async fn all(session: &mut Session<'_>) -> Result<Logins, SetOutcome> {
    let passwd = needed(session, &Command::new("/usr/bin/getent passwd")).await?;
    let group = needed(session, &Command::new("/usr/bin/getent group")).await?;
    let users: Vec<User<'_>> = passwd.out.lines().filter_map(User::of).collect();
    let groups: Vec<Group<'_>> = group.out.lines().filter_map(Group::of).collect();

    let mut unseen = Vec::new();
    let rules = sudo_rules(session, &mut unseen).await?;
    let passwords = passwords(session, &mut unseen).await?;
    let with_keys = with_keys(session, &users, &mut unseen).await?;
    let last = last_logins(session).await?;

    let found = users.iter().map(|user| FoundLogin {
        name: user.name.to_owned(),
        also: Vec::new(),
        may_log_in: !NO_SHELLS.contains(&user.shell.rsplit('/').next().unwrap_or_default()),
        privileges: privileges(user, &groups, &rules),
        notes: notes(user, &passwords, &with_keys),
        last_login_at: last.get(user.name).copied(),
        marked: users::is_home_of_ours(user.home, user.name),
    });
    Ok(Logins::of(found.collect(), passwd.cut, unseen))
}

/// A line of `passwd`.
struct User<'a> {
    name: &'a str,
    number: &'a str,
    group: &'a str,
    home: &'a str,
    shell: &'a str,
}

impl<'a> User<'a> {
    fn of(line: &'a str) -> Option<Self> {
        let mut parts = line.split(':');
        let (name, _, number, group) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let (_, home, shell) = (parts.next()?, parts.next()?, parts.next()?);
        (!name.is_empty()).then_some(Self { name, number, group, home, shell })
    }
}

/// A line of `group`.
struct Group<'a> {
    name: &'a str,
    number: &'a str,
    members: Vec<&'a str>,
}

impl<'a> Group<'a> {
    fn of(line: &'a str) -> Option<Self> {
        let mut parts = line.split(':');
        let (name, _, number, members) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        Some(Self { name, number, members: members.split(',').collect() })
    }

    fn holds(&self, user: &User<'_>) -> bool {
        self.number == user.group || self.members.contains(&user.name)
    }
}

fn privileges(user: &User<'_>, groups: &[Group<'_>], rules: &[Rule]) -> Vec<String> {
    let of: Vec<&Group<'_>> = groups.iter().filter(|group| group.holds(user)).collect();
    let by_number = (user.number == "0").then(|| "uid 0".to_owned());
    let by_group = of.iter().filter(|group| POWERFUL.contains(&group.name)).map(|group| format!("in {}", group.name));
    let by_rule = rules.iter().filter(|rule| rule.is_for(user, &of)).map(|rule| rule.words().to_owned());
    by_number.into_iter().chain(by_group).chain(by_rule).collect()
}

fn notes(user: &User<'_>, passwords: &BTreeMap<String, char>, with_keys: &BTreeSet<String>) -> Vec<String> {
    let password = match passwords.get(user.name) {
        Some('L') => Some("no password opens it".to_owned()),
        Some('N') => Some("it has an empty password".to_owned()),
        Some(_) | None => None,
    };
    let keys = with_keys.contains(user.name).then(|| "has authorized_keys".to_owned());
    password.into_iter().chain(keys).collect()
}

/// A rule of sudo's, as `cvtsudoers` writes it.
#[derive(Deserialize)]
struct Rule {
    #[serde(rename = "User_List", default)]
    users: Vec<BTreeMap<String, serde_json::Value>>,
    #[serde(rename = "Cmnd_Specs", default)]
    commands: Vec<Commands>,
}

#[derive(Deserialize)]
struct Commands {
    #[serde(rename = "Commands", default)]
    commands: Vec<BTreeMap<String, serde_json::Value>>,
}

#[derive(Deserialize)]
struct Rules {
    #[serde(rename = "User_Specs", default)]
    rules: Vec<Rule>,
}

impl Rule {
    /// Whether it is about a user; a rule for another host counts too, since the same file may serve many.
    fn is_for(&self, user: &User<'_>, groups: &[&Group<'_>]) -> bool {
        self.users.iter().any(|subject| {
            let is = |kind: &str, text: &str| match subject.get(kind) {
                Some(serde_json::Value::String(named)) => named == text,
                Some(serde_json::Value::Number(number)) => number.to_string() == text,
                Some(_) | None => false,
            };
            is("username", "ALL")
                || is("username", user.name)
                || is("userid", user.number)
                || groups.iter().any(|group| is("usergroup", group.name) || is("usergid", group.number))
        })
    }

    fn words(&self) -> &'static str {
        let all = self
            .commands
            .iter()
            .flat_map(|spec| &spec.commands)
            .any(|command| command.get("command").and_then(serde_json::Value::as_str) == Some("ALL"));
        if all { "any command by sudo" } else { "some commands by sudo" }
    }
}

async fn sudo_rules(session: &mut Session<'_>, unseen: &mut Vec<String>) -> Result<Vec<Rule>, SetOutcome> {
    let command = Command::new("/usr/bin/cvtsudoers -e -f json /etc/sudoers");
    let answer = session.run_as_root(&command).await?;
    match serde_json::from_str::<Rules>(&answer.out) {
        Ok(read) if answer.status == 0 && !answer.cut => Ok(read.rules),
        Ok(_) | Err(_) => {
            unseen.push(gap("sudo's rules", &command, &answer));
            Ok(Vec::new())
        }
    }
}

/// P, L or N: a password, none that opens, an empty one. No hash is among it.
async fn passwords(session: &mut Session<'_>, unseen: &mut Vec<String>) -> Result<BTreeMap<String, char>, SetOutcome> {
    let command = Command::new("/usr/bin/passwd -S -a");
    let answer = session.run_as_root(&command).await?;
    if answer.status != 0 {
        unseen.push(gap("whose password is locked or empty", &command, &answer));
        return Ok(BTreeMap::new());
    }
    let of = |line: &str| {
        let mut words = line.split(' ');
        Some((words.next()?.to_owned(), words.next()?.chars().next()?))
    };
    Ok(answer.out.lines().filter_map(of).collect())
}

/// Whose file of keys is there and not empty.
async fn with_keys(
    session: &mut Session<'_>,
    users: &[User<'_>],
    unseen: &mut Vec<String>,
) -> Result<BTreeSet<String>, SetOutcome> {
    const FILE: &str = "/.ssh/authorized_keys";
    let mut found = BTreeSet::new();
    let logins: Vec<Login> = users.iter().filter_map(|user| user.name.parse().ok()).collect();
    let names: Vec<UserName<'_>> = logins.iter().filter_map(|login| UserName::of(login).ok()).collect();
    for names in names.chunks(FILES_AT_ONCE) {
        let command = Command::new("/usr/bin/stat -L -c '%s %n'");
        let command = names.iter().fold(command, |command, name| command.file_at_home(name, FILE));
        let answer = session.run_as_root(&command).await?;
        if answer.said.contains("sudo: ") || answer.cut {
            unseen.push(gap("who has authorized_keys", &command, &answer));
            return Ok(found);
        }
        let files: BTreeSet<&str> = answer
            .out
            .lines()
            .filter_map(|line| line.split_once(' '))
            .filter(|(size, _)| *size != "0")
            .map(|it| it.1)
            .collect();
        let has = |user: &&User<'_>| files.contains(format!("{}{FILE}", user.home).as_str());
        found.extend(users.iter().filter(has).map(|user| user.name.to_owned()));
    }
    Ok(found)
}

/// When each last logged in; nothing where the host has no such record any more.
async fn last_logins(session: &mut Session<'_>) -> Result<BTreeMap<String, Timestamp>, SetOutcome> {
    let answer = session.run(&Command::new("/usr/bin/env LC_ALL=C /usr/bin/lastlog")).await?;
    Ok(answer.out.lines().filter_map(last_login).collect())
}

fn last_login(line: &str) -> Option<(String, Timestamp)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let at = words.get(words.len().checked_sub(6)?..)?.join(" ");
    Some(((*words.first()?).to_owned(), Timestamp::strptime(LAST_LOGIN, at).ok()?))
}

async fn needed(session: &mut Session<'_>, command: &Command) -> Result<Answer, SetOutcome> {
    let answer = session.run(command).await?;
    if answer.status == 0 { Ok(answer) } else { Err(refused(command, &answer)) }
}

fn gap(what: &str, command: &Command, answer: &Answer) -> String {
    format!("{what}: {} was not run as root ({}): {}", command.program(), answer.status, answer.said.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(line: &str) -> User<'_> {
        User::of(line).unwrap()
    }

    #[test]
    fn power_comes_by_number_by_group_and_by_a_rule_for_either() {
        let groups: Vec<Group<'_>> = ["sudo:x:27:anna,bert", "staff:x:50:", "docker:x:99:carl"]
            .iter()
            .map(|it| Group::of(it).unwrap())
            .collect();
        let rules: Rules = serde_json::from_str(
            r#"{"User_Specs": [
                {"User_List": [{"usergroup": "staff"}], "Cmnd_Specs": [{"Commands": [{"command": "/usr/bin/less"}]}]},
                {"User_List": [{"userid": 1004}], "Cmnd_Specs": [{"Commands": [{"command": "ALL"}]}]}
            ]}"#,
        )
        .unwrap();
        let of = |line| privileges(&user(line), &groups, &rules.rules);
        assert_eq!(of("root:x:0:0:root:/root:/bin/bash"), ["uid 0"]);
        assert_eq!(of("toor:x:0:50::/root:/bin/sh"), ["uid 0", "some commands by sudo"]);
        assert_eq!(of("bert:x:1001:1001::/home/bert:/bin/sh"), ["in sudo"]);
        assert_eq!(of("carl:x:1002:1002::/home/carl:/bin/sh"), ["in docker"]);
        assert_eq!(of("dora:x:1004:1004::/home/dora:/bin/sh"), ["any command by sudo"]);
        assert!(of("emil:x:1005:1005::/home/emil:/bin/sh").is_empty());
    }

    #[test]
    fn a_last_login_is_read_as_lastlog_writes_it_and_one_that_never_was_is_none() {
        let line = "anna             pts/0    10.0.0.7         Sat Nov 28 20:01:33 +0100 2026";
        assert_eq!(last_login(line), Some(("anna".to_owned(), "2026-11-28T19:01:33Z".parse().unwrap())));
        assert_eq!(last_login("daemon                                     **Never logged in**"), None);
        assert_eq!(last_login("Username         Port     From             Latest"), None);
    }
}
