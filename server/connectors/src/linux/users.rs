//! Users that are made for one checkout, and the sessions of all users.
//!
//! A user that the vault made is known by its home directory, which nobody but root can change; the comment beside it is
//! for people, since on some hosts a user may write that.

use std::time::Duration;

use claviger_api::{Timestamp, wire::SudoRule};
use sha2::{Digest as _, Sha256};
use tokio::time::sleep;

use super::command::Command;
use super::name::UserName;
use super::password::{self, Password};
use super::session::{Session, refused};
use crate::SetOutcome;

/// Where the homes of users are that the vault made.
const HOME: &str = "/home/claviger-";
/// The numbers that such users get: above what hosts give to people (up to 60000) and systemd to services (up to 65519), below
/// the subordinate numbers of containers (from 100000). So no number that a host gives by itself is one of the vault's.
const FIRST_NUMBER: u32 = 70_000;
const NUMBERS: u32 = 30_000;
/// So many numbers are tried where others have them.
const NUMBER_TRIES: u32 = 8;
/// Processes that were killed are looked for so many times, this long apart.
const ENDING_LOOKS: u32 = 60;
const ENDING_PAUSE: Duration = Duration::from_millis(50);

/// A user to be made.
pub(super) struct NewUser<'a> {
    pub(super) name: UserName<'a>,
    pub(super) password: Password<'a>,
    pub(super) groups: Vec<UserName<'a>>,
    pub(super) sudo_rules: &'a [SudoRule],
    pub(super) until: Timestamp,
}

/// Makes a user, or brings one that the vault made to the same state. Nobody can log in before the last step.
pub(super) async fn create(session: &mut Session<'_>, new: &NewUser<'_>) -> Result<(), SetOutcome> {
    let end = end(session, new.until).await?;
    match found(session, &new.name).await? {
        None => add(session, new, end).await?,
        Some(user) if user.is_ours(&new.name) => {
            let bar = Command::new("/usr/sbin/usermod -L -e").day(end).words("-G").names(&new.groups).name(&new.name);
            done(session, &bar).await?;
        }
        Some(_) => return Err(not_ours(&new.name)),
    }
    let furnished = match set_sudo_rules(session, &new.name, new.sudo_rules).await {
        Ok(()) => password::set(session, &new.name, new.password).await,
        refused => refused,
    };
    if matches!(furnished, Err(SetOutcome::Refused { .. })) {
        // As a whole, or not at all.
        take_away(session, &new.name).await.map_err(in_doubt)?;
    }
    furnished
}

/// Moves the end of a user that the vault made.
pub(super) async fn extend(session: &mut Session<'_>, name: &UserName<'_>, until: Timestamp) -> Result<(), SetOutcome> {
    let end = end(session, until).await?;
    match found(session, name).await? {
        None => Err(nobody(name)),
        Some(user) if user.is_ours(name) => {
            done(session, &Command::new("/usr/sbin/usermod -e").day(end).name(name)).await
        }
        Some(_) => Err(not_ours(name)),
    }
}

/// Removes a user that the vault made: first what ends the right, then what tidies up; each step may run twice.
pub(super) async fn remove(session: &mut Session<'_>, name: &UserName<'_>) -> Result<(), SetOutcome> {
    let user = match found(session, name).await? {
        None => return Ok(()),
        Some(user) if user.is_ours(name) => user,
        Some(_) => return Err(not_ours(name)),
    };
    let past = Command::new("/usr/sbin/usermod -L -e").day(LONG_AGO).name(name);
    done(session, &past).await?;
    if !user.has_a_number_of_ours() {
        forget_sudo_rules(session, name).await?;
        let name = name.as_str();
        return Err(no(format!(
            "somebody gave {name} another number ({}): it is barred; remove it by hand",
            user.number
        )));
    }
    take_away(session, name).await
}

/// Ends what a user runs, logins among it.
pub(super) async fn end_sessions(session: &mut Session<'_>, name: &UserName<'_>) -> Result<(), SetOutcome> {
    match found(session, name).await? {
        None => Err(nobody(name)),
        Some(user) if user.number == "0" => Err(no("what root runs are the host's own services too".to_owned())),
        Some(_) => kill(session, name).await,
    }
}

/// Ends what the user runs who is logged in here, but for this session: all but this shell and what it came from.
pub(super) async fn end_own_sessions(session: &mut Session<'_>) -> Result<(), SetOutcome> {
    let command = Command::new(END_OWN_SESSIONS);
    let answer = session.run(&command).await?;
    if answer.status == 0 { Ok(()) } else { Err(refused(&command, &answer)) }
}

/// A fixed text, into which nothing is put. Killing is repeated until nothing was left to be killed.
const END_OWN_SESSIONS: &str = r#"/bin/sh -c '
me=$(id -u); spare=" $$ "; p=$PPID
[ "$me" = 0 ] && { echo "what root runs are the services of the host too"; exit 1; }
while [ "$(ps -o uid= -p "$p" | tr -d " ")" = "$me" ]; do
    spare="$spare$p "; p=$(ps -o ppid= -p "$p" | tr -d " ")
done
n=0
while [ $n -lt 60 ]; do
    left=
    for p in $(pgrep -U "$me"); do
        case "$spare" in *" $p "*) ;; *) kill -KILL "$p" 2>/dev/null && left=1 ;; esac
    done
    [ -z "$left" ] && exit 0
    sleep 0.05; n=$((n + 1))
done
echo "processes were killed and are still there"; exit 1'"#;

/// A user of the host.
struct User {
    number: String,
    home: String,
}

/// Whether a user of this name with this home is one that the vault made.
pub(super) fn is_home_of_ours(home: &str, name: &str) -> bool {
    home.strip_prefix(HOME) == Some(name)
}

impl User {
    fn is_ours(&self, name: &UserName<'_>) -> bool {
        is_home_of_ours(&self.home, name.as_str())
    }

    /// What runs under another number is not this user's: under 0, the whole host.
    fn has_a_number_of_ours(&self) -> bool {
        self.number.parse().is_ok_and(|number| (FIRST_NUMBER..FIRST_NUMBER + NUMBERS).contains(&number))
    }
}

/// Looks a user up, wherever the host keeps its users.
async fn found(session: &mut Session<'_>, name: &UserName<'_>) -> Result<Option<User>, SetOutcome> {
    const NOT_THERE: u32 = 2;
    let command = Command::new("/usr/bin/getent passwd").name(name);
    let answer = session.run(&command).await?;
    if answer.status == NOT_THERE {
        return Ok(None);
    }
    let of_user = |line: &str| {
        let fields: Vec<&str> = line.split(':').collect();
        match fields.as_slice() {
            [user, _, number, _, _, home, _] if *user == name.as_str() => {
                Some(User { number: (*number).to_owned(), home: (*home).to_owned() })
            }
            _ => None,
        }
    };
    match answer.out.lines().find_map(of_user) {
        Some(user) if answer.status == 0 => Ok(Some(user)),
        Some(_) | None => Err(refused(&command, &answer)),
    }
}

/// Whether there is such a user.
pub(super) async fn exists(session: &mut Session<'_>, name: &UserName<'_>) -> Result<(), SetOutcome> {
    match found(session, name).await? {
        Some(_) => Ok(()),
        None => Err(nobody(name)),
    }
}

/// Adds a user without a password. Its number comes from its name: what an earlier user of the vault's left behind
/// somewhere does not belong to the next one.
async fn add(session: &mut Session<'_>, new: &NewUser<'_>, end: Timestamp) -> Result<(), SetOutcome> {
    const NUMBER_TAKEN: u32 = 4;
    let first = number_of(new.name.as_str());
    let mut tries = 0;
    loop {
        let number = FIRST_NUMBER + (first + tries) % NUMBERS;
        let command = Command::new("/usr/sbin/useradd -m -c claviger-ephemeral-login -e").day(end);
        let command = if new.groups.is_empty() { command } else { command.words("-G").names(&new.groups) };
        let command = command.words("-u").number(number).words("-d").prefixed(" /home/claviger-", &new.name);
        let command = command.name(&new.name);
        let answer = session.run_as_root(&command).await?;
        tries += 1;
        match answer.status {
            0 => return Ok(()),
            NUMBER_TAKEN if tries < NUMBER_TRIES => {}
            _ => return Err(refused(&command, &answer)),
        }
    }
}

fn number_of(name: &str) -> u32 {
    let digest: [u8; 32] = Sha256::digest(name.as_bytes()).into();
    let [a, b, c, d, ..] = digest;
    u32::from_be_bytes([a, b, c, d]) % NUMBERS
}

/// The host's own end is a day, from whose beginning (UTC) it lets nobody in: the next one, or one long past.
async fn end(session: &mut Session<'_>, until: Timestamp) -> Result<Timestamp, SetOutcome> {
    const DAY_SECONDS: i64 = 86_400;
    let command = Command::new("/bin/date +%s");
    let answer = session.run(&command).await?;
    let now = answer.out.lines().last().and_then(|line| line.trim().parse::<i64>().ok());
    let Some(now) = now.filter(|_| answer.status == 0) else { return Err(refused(&command, &answer)) };
    if until.as_second() <= now {
        return Ok(LONG_AGO);
    }
    Ok(Timestamp::from_second(until.as_second().saturating_add(DAY_SECONDS - 1)).unwrap_or(Timestamp::MAX))
}

/// The epoch is a day that shadow's tools take for none.
const LONG_AGO: Timestamp = Timestamp::constant(86_400, 0);

/// Writes a user's rules beside those in force, has them checked, and only then puts them in force, in one step.
async fn set_sudo_rules(session: &mut Session<'_>, user: &UserName<'_>, rules: &[SudoRule]) -> Result<(), SetOutcome> {
    if rules.is_empty() {
        return forget_sudo_rules(session, user).await;
    }
    let lines: Vec<String> = rules.iter().map(|rule| format!("{} {rule}", user.as_str())).collect();
    // sudo passes over this file: its name has a dot in it.
    let write = Command::new("/usr/bin/tee").sudoers_file(user, ".new").reading(&[&lines.join("\n")]);
    let guard = Command::new("/bin/chmod 0440").sudoers_file(user, ".new");
    let check = Command::new("/usr/sbin/visudo -c -f").sudoers_file(user, ".new");
    let put = Command::new("/bin/mv -f").sudoers_file(user, ".new").sudoers_file(user, "");
    for command in [write, guard, check, put] {
        done(session, &command).await?;
    }
    Ok(())
}

async fn forget_sudo_rules(session: &mut Session<'_>, user: &UserName<'_>) -> Result<(), SetOutcome> {
    done(session, &Command::new("/bin/rm -f").sudoers_file(user, "").sudoers_file(user, ".new")).await
}

/// Sessions, rules, jobs, home and the user itself.
async fn take_away(session: &mut Session<'_>, user: &UserName<'_>) -> Result<(), SetOutcome> {
    const NOT_THERE: u32 = 6;
    const BUSY: u32 = 8;
    const HOME_REMAINS: u32 = 12;
    forget_sudo_rules(session, user).await?;
    kill(session, user).await?;
    // There may be no cron, or no jobs.
    let _none = session.run_as_root(&Command::new("/usr/bin/crontab -r -u").name(user)).await?;
    let command = Command::new("/usr/sbin/userdel -r").name(user);
    for _ in 0..ENDING_LOOKS {
        let answer = session.run_as_root(&command).await?;
        match answer.status {
            0 | NOT_THERE | HOME_REMAINS => return Ok(()),
            BUSY => sleep(ENDING_PAUSE).await,
            _ => return Err(refused(&command, &answer)),
        }
    }
    Err(SetOutcome::Unknown(format!("{} is barred, and the host says that it is still in use", user.as_str())))
}

/// Ends the sessions that systemd knows, with all that was begun in them, and whatever else the user runs, until
/// nothing is left.
async fn kill(session: &mut Session<'_>, user: &UserName<'_>) -> Result<(), SetOutcome> {
    const NONE: u32 = 1;
    // Without systemd there is nothing to be told; processes are killed either way.
    let _told = session.run_as_root(&Command::new("/usr/bin/loginctl terminate-user").name(user)).await?;
    let (kill, look) =
        (Command::new("/usr/bin/pkill -KILL -U").name(user), Command::new("/usr/bin/pgrep -U").name(user));
    for _ in 0..ENDING_LOOKS {
        let answer = session.run_as_root(&kill).await?;
        if answer.status > NONE {
            return Err(refused(&kill, &answer));
        }
        if session.run_as_root(&look).await?.status == NONE {
            return Ok(());
        }
        sleep(ENDING_PAUSE).await;
    }
    Err(SetOutcome::Unknown(format!("what {} runs was killed and is still there", user.as_str())))
}

async fn done(session: &mut Session<'_>, command: &Command) -> Result<(), SetOutcome> {
    let answer = session.run_as_root(command).await?;
    if answer.status == 0 { Ok(()) } else { Err(refused(command, &answer)) }
}

fn no(detail: String) -> SetOutcome {
    SetOutcome::Refused { detail, by_policy: false }
}

fn nobody(name: &UserName<'_>) -> SetOutcome {
    no(format!("there is no user {}", name.as_str()))
}

fn not_ours(name: &UserName<'_>) -> SetOutcome {
    let name = name.as_str();
    no(format!("the vault did not make the user {name} (its home is not {HOME}{name}) and leaves it alone"))
}

/// What could not be undone is there in part.
fn in_doubt(outcome: SetOutcome) -> SetOutcome {
    match outcome {
        SetOutcome::Applied => SetOutcome::Unknown("a user without a password may remain".to_owned()),
        SetOutcome::NotSent { detail, .. } | SetOutcome::Refused { detail, .. } | SetOutcome::Unknown(detail) => {
            SetOutcome::Unknown(format!("a user without a password remains: {detail}"))
        }
    }
}
