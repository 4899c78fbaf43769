//! Passwords and users of a Linux host.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use claviger_api::wire::{ProbeResult, SudoRule};
use claviger_api::{Login, Secret};
use claviger_connectors::laws::{Fixture, HOSTILE, HOSTILE_SECRETS, ephemeral, hosts, listing, probing, setting};
use claviger_connectors::{Connector, Credential, Deadlines, NewLogin, SetOutcome};
use claviger_tests::openssh::{OpenSsh, make_key, run};
use claviger_tests::poll::until;
use claviger_tests::postgres::random_text;

use super::linux_rig::{Rig, connector};
use super::rig::{login, secret};

#[tokio::test]
async fn laws_of_probing_and_setting() {
    let rig = Rig::start();
    probing::right_wrong_and_absent(&rig).await;
    probing::a_probe_is_silent(&rig).await;
    setting::by_itself(&rig).await;
    setting::by_management_and_twice(&rig).await;
    setting::not_by_everybody(&rig).await;
    setting::an_absent_login_is_not_made(&rig).await;
    setting::a_lost_reply_is_unknown(&rig).await;
    setting::a_lost_change_is_not_claimed(&rig).await;
}

#[tokio::test]
async fn laws_of_ephemeral_users() {
    let rig = Rig::start();
    ephemeral::made_and_removed_twice(&rig).await;
    ephemeral::the_end_is_the_systems_own(&rig).await;
    ephemeral::removal_ends_sessions_and_keeps_property(&rig).await;
    ephemeral::sessions_end_on_demand(&rig).await;
    ephemeral::others_logins_are_left_alone(&rig).await;
    ephemeral::no_half_login(&rig).await;
    ephemeral::a_lost_reply_is_settled_by_repeating(&rig).await;
}

#[tokio::test]
async fn laws_of_listing_users() {
    let rig = Rig::start();
    listing::an_unplanned_power_is_found_with_its_reason(&rig).await;
    listing::who_is_barred_is_told_apart(&rig).await;
    listing::logins_for_a_time_bear_the_mark(&rig).await;
    listing::hostile_names_arrive_exactly(&rig).await;
    listing::whoever_does_not_get_in_is_told_why(&rig).await;
    keys_and_last_logins_are_told_and_no_hash_is_asked_for(&rig).await;
    what_may_not_be_seen_is_told_as_a_gap(&rig).await;
}

async fn keys_and_last_logins_are_told_and_no_hash_is_asked_for(rig: &Rig) {
    let (it, password) = (login("with-keys"), rig.fresh_secret());
    rig.add_login(&it, &password).await;
    let home = rig.openssh.file("home of keys");
    run("usermod", &["-d", &home.display().to_string(), it.as_str()], "");
    fs::create_dir_all(home.join(".ssh")).unwrap();
    fs::write(home.join(".ssh/authorized_keys"), "ssh-ed25519 AAAA somebody\n").unwrap();
    run("passwd", &["-l", it.as_str()], "");
    let logins = listing::all(rig).await;
    let found = listing::one(rig, &logins, &it);
    assert_eq!(found.notes, ["has authorized_keys", "no password opens it"], "{:?}", logins.unseen);
    let root = listing::one(rig, &logins, &login("root"));
    assert!(root.privileges.contains(&"uid 0".to_owned()), "{root:?}");
    assert!(!listing::one(rig, &logins, &login("nobody")).may_log_in);
    assert!(logins.unseen.is_empty(), "{:?}", logins.unseen);
    let lines = rig.command_lines();
    assert!(lines.contains("/usr/bin/cvtsudoers") && !lines.contains("shadow"), "{lines}");
}

/// A management account that may not read sudo's rules does not make believe that there are none.
async fn what_may_not_be_seen_is_told_as_a_gap(rig: &Rig) {
    let (it, secret) = (login("sees-little"), rig.fresh_secret());
    rig.add_login(&it, &secret).await;
    let by = Credential { login: &it, secret: &secret };
    let logins = rig.connector.logins(&rig.system(), &by).await.unwrap();
    assert_eq!(logins.unseen.len(), 3, "{:?}", logins.unseen);
    for gap in ["sudo's rules: ", "whose password is locked or empty: ", "who has authorized_keys: "] {
        assert!(logins.unseen.iter().any(|unseen| unseen.starts_with(gap)), "{gap} in {:?}", logins.unseen);
    }
    assert!(listing::one(rig, &logins, &login("root")).privileges.contains(&"uid 0".to_owned()));
}

#[tokio::test]
async fn anvil_hostile_system_of_linux_hosts() {
    let mut rig = Rig::start();
    rig.connector = connector(Deadlines { login: Duration::from_millis(400), ..Deadlines::LINUX });
    hosts::silence_is_unreachable(&rig).await;
    hosts::nonsense_is_unknown(&rig).await;
    rig.connector = connector(Deadlines::LINUX);
    hosts::strangers_are_not_trusted(&rig).await;
}

/// Names and secrets that would run a command, or change somebody else, if any shell or tool read them otherwise than they
/// are meant. The host's own shells write down all that they are told: no secret is among it.
#[tokio::test]
async fn anvil_shell() {
    let rig = Rig::start();
    setting::hostile_logins_are_exact(&rig).await;
    setting::names_are_never_cut(&rig).await;
    setting::hostile_secrets_are_exact(&rig).await;

    let (it, held) = (login("shell-victim"), rig.fresh_secret());
    rig.add_login(&it, &held).await;
    let (other, others) = (login("shell-other"), rig.fresh_secret());
    rig.add_login(&other, &others).await;
    let ran = rig.openssh.file("left").join("ran");
    let touch = format!("touch {}", ran.display());
    for name in [
        format!("x;{touch}"),
        format!("x$({touch})"),
        format!("x`{touch}`"),
        format!("x\n{touch}"),
        format!("x|{touch}"),
        format!("x&&{touch}"),
        "-R/tmp".to_owned(),
        "shell-victim:known\nshell-other".to_owned(),
        "shell-victim:known".to_owned(),
    ] {
        // A login holds no line break: it does not even come as far as the connector.
        let Ok(name) = name.parse::<Login>() else { continue };
        let before = rig.command_lines();
        let outcome = rig.connector.set(&rig.system(), &rig.management(), &name, &rig.fresh_secret()).await;
        assert!(matches!(outcome, SetOutcome::Refused { by_policy: false, .. }), "{name}: {outcome:?}");
        let ended = rig.connector.end_sessions(&rig.system(), &rig.management(), &name).await;
        assert!(matches!(ended, SetOutcome::Refused { .. }), "{name}: {ended:?}");
        assert_eq!(rig.command_lines(), before, "{name}: the host was told nothing");
    }
    let mut current = held;
    for hostile in [format!("'; {touch}; $({touch})"), format!("\"; `{touch}` #:a:b")] {
        let new = secret(&hostile);
        assert_eq!(rig.connector.set(&rig.system(), &rig.management(), &it, &new).await, SetOutcome::Applied);
        assert!(rig.opens(&it, &new).await, "{hostile}");
        let (by, next) = (Credential { login: &it, secret: &new }, secret(&format!("{hostile} again")));
        assert_eq!(rig.connector.set(&rig.system(), &by, &it, &next).await, SetOutcome::Applied, "{hostile} by itself");
        assert!(rig.opens(&it, &next).await && !rig.opens(&it, &new).await, "{hostile}");
        current = next;
    }
    // What would be a line of another user's, or be cut, is refused as a whole.
    for broken in ["good\nshell-other:known", "good\r", "tab\there", "esc\u{1b}[2J", &"x".repeat(512)] {
        let outcome = rig.connector.set(&rig.system(), &rig.management(), &it, &secret(broken)).await;
        assert!(matches!(outcome, SetOutcome::Refused { by_policy: true, .. }), "{broken:?}: {outcome:?}");
    }
    assert!(rig.opens(&it, &current).await && rig.opens(&other, &others).await);
    assert!(!ran.exists(), "something ran");
    let lines = rig.command_lines();
    assert!(lines.contains("/usr/sbin/chpasswd") && lines.contains("/usr/bin/passwd"), "{lines}");
    for clear in HOSTILE_SECRETS.iter().copied().chain([current.expose()]) {
        assert!(!lines.contains(clear), "a clear password in a command: {clear}");
    }
    for name in HOSTILE.into_iter().filter(|name| !rig.takes_login(&login(name))) {
        assert!(!lines.contains(name), "a hostile name in a command: {name}");
    }
}

#[tokio::test]
async fn anvil_shell_of_ephemeral_users() {
    let rig = Rig::start();
    ephemeral::hostile_names_are_exact(&rig).await;
    let ran = rig.openssh.file("left").join("ran");
    let (it, canary, until) = (login("grouped"), rig.fresh_secret(), rig.now().await + Duration::from_hours(1));
    let hostile = [login(&format!("x,root;touch {}", ran.display()))];
    for group in [&hostile[..], &[login("root"), login("-G")]] {
        let new = NewLogin { login: &it, secret: &canary, member_of: group, sudo_rules: &[], valid_until: until };
        let outcome = rig.connector.create_login(&rig.system(), &rig.management(), &new).await;
        assert!(matches!(outcome, SetOutcome::Refused { .. }), "{group:?}: {outcome:?}");
        assert!(!rig.exists(&it).await);
    }
    // What is in a rule reaches no shell, and what no rule is reaches no file in force.
    let rules: Vec<SudoRule> =
        [&format!("ALL=(root) $(touch {0}) `touch {0}`; touch {0}", ran.display()), "ALL=(root) NOPASSWD: relative"]
            .map(|text| text.parse().unwrap())
            .into();
    let new = NewLogin { login: &it, secret: &canary, member_of: &[], sudo_rules: &rules, valid_until: until };
    let outcome = rig.connector.create_login(&rig.system(), &rig.management(), &new).await;
    let SetOutcome::Refused { detail, by_policy: false } = outcome else { panic!("{outcome:?}") };
    assert!(detail.contains("visudo said no"), "{detail}");
    assert!(!rig.exists(&it).await && !ran.exists());
    assert!(files_of(&it).is_empty(), "{:?}", files_of(&it));
    assert!(!rig.command_lines().contains(canary.expose()));
}

/// All that an ephemeral user is, and that nothing of it is left.
#[tokio::test]
async fn an_ephemeral_user_has_what_its_account_names_and_leaves_nothing_behind() {
    let rig = Rig::start();
    let (it, first, second) = (login("all.of-it"), rig.fresh_secret(), rig.fresh_secret());
    let group = login("cv-operators");
    rig.add_group(&group).await;
    let rules = ["ALL=(root) NOPASSWD: /usr/bin/id -u".parse().unwrap(), "ALL=(daemon) NOPASSWD: ALL".parse().unwrap()];
    let until = rig.now().await + Duration::from_hours(1);
    let create = async |secret: &Secret, groups: &[Login], rules: &[SudoRule]| {
        let new = NewLogin { login: &it, secret, member_of: groups, sudo_rules: rules, valid_until: until };
        rig.connector.create_login(&rig.system(), &rig.management(), &new).await
    };
    let says = |secret: &Secret, command: &str| {
        let said = rig.openssh.by_password(it.as_str(), secret.expose(), command).output().unwrap();
        (said.status.success(), String::from_utf8_lossy(&said.stdout).trim().to_owned())
    };
    assert_eq!(create(&first, std::slice::from_ref(&group), &rules).await, SetOutcome::Applied);
    assert_eq!(says(&first, "sudo -n /usr/bin/id -u"), (true, "0".to_owned()), "the first rule");
    assert_eq!(says(&first, "sudo -n -u daemon /usr/bin/id -un"), (true, "daemon".to_owned()), "and the second");
    assert!(!says(&first, "sudo -n /bin/cat /etc/shadow").0, "and no more");
    assert!(rig.is_member(&it, &group).await);
    let end = run("chage", &["-l", it.as_str()], "");
    let tomorrow = (until + Duration::from_secs(86_399)).strftime("%b %d, %Y").to_string();
    assert!(end.lines().any(|line| line.starts_with("Account expires") && line.contains(&tomorrow)), "{end}");
    assert_eq!(files_of(&it).len(), 1);

    // Once more is the second one's state: without group and rules.
    assert_eq!(create(&second, &[], &[]).await, SetOutcome::Applied);
    assert!(!says(&second, "sudo -n /usr/bin/id -u").0 && !rig.is_member(&it, &group).await);
    assert!(!rig.opens(&it, &first).await && files_of(&it).is_empty());
    assert_eq!(create(&second, &[], &rules).await, SetOutcome::Applied);
    assert!(says(&second, "echo mine > ~/file; (sleep 300 >/dev/null 2>&1 &)").0);
    assert!(processes_of(&it));

    assert_eq!(rig.connector.remove_login(&rig.system(), &rig.management(), &it).await, SetOutcome::Applied);
    assert!(!rig.exists(&it).await && files_of(&it).is_empty() && !processes_of(&it));
    assert!(!Path::new("/home/claviger-all.of-it").exists());
    for file in ["/etc/group", "/etc/gshadow", "/etc/shadow", "/etc/subuid", "/etc/subgid"] {
        let held = fs::read_to_string(file).unwrap_or_default();
        assert!(!held.lines().any(|line| line.split(':').next() == Some("all.of-it")), "{file}");
    }
    run("visudo", &["-c"], "");
}

/// A group that is not there, or a password that the host does not take, leaves no user.
#[tokio::test]
async fn what_cannot_be_made_whole_is_not_made() {
    let rig = Rig::start();
    let (it, until) = (login("not-whole"), rig.now().await + Duration::from_hours(1));
    let groups = [login("cv-no-such-group")];
    let fresh = rig.fresh_secret();
    let new = NewLogin { login: &it, secret: &fresh, member_of: &groups, sudo_rules: &[], valid_until: until };
    let outcome = rig.connector.create_login(&rig.system(), &rig.management(), &new).await;
    let SetOutcome::Refused { detail, by_policy: false } = outcome else { panic!("{outcome:?}") };
    assert!(detail.contains("cv-no-such-group"), "the host says why: {detail}");
    assert!(!rig.exists(&it).await && !Path::new("/home/claviger-not-whole").exists());
    let long = secret(&"x".repeat(512));
    let new = NewLogin { login: &it, secret: &long, member_of: &[], sudo_rules: &[], valid_until: until };
    let outcome = rig.connector.create_login(&rig.system(), &rig.management(), &new).await;
    assert!(matches!(outcome, SetOutcome::Refused { by_policy: true, .. }), "{outcome:?}");
    assert!(!rig.exists(&it).await);
}

/// A user that its holder gave another's number is barred, and nothing of that other's is ended.
#[tokio::test]
async fn who_took_anothers_number_is_barred_and_the_other_is_let_be() {
    let rig = Rig::start();
    let (it, other, right) = (login("not-itself"), login("the-other"), rig.fresh_secret());
    rig.add_login(&other, &right).await;
    let end = rig.now().await + Duration::from_hours(1);
    let new = NewLogin { login: &it, secret: &right, member_of: &[], sudo_rules: &[], valid_until: end };
    assert_eq!(rig.connector.create_login(&rig.system(), &rig.management(), &new).await, SetOutcome::Applied);
    let number = run("id", &["-u", it.as_str()], "");
    run("usermod", &["-o", "-u", run("id", &["-u", other.as_str()], "").trim(), it.as_str()], "");
    let mut stay = rig.stay(&other, &right).await;
    assert!(stay.lives().await);
    let outcome = rig.connector.remove_login(&rig.system(), &rig.management(), &it).await;
    let SetOutcome::Refused { detail, .. } = outcome else { panic!("{outcome:?}") };
    assert!(detail.contains("another number") && !rig.opens(&it, &right).await, "{detail}");
    assert!(stay.lives().await && rig.opens(&other, &right).await);
    drop(stay);
    until("nothing runs under the number", Duration::from_secs(10), async || (!processes_of(&other)).then_some(()))
        .await;
    run("usermod", &["-u", number.trim(), it.as_str()], "");
    assert_eq!(rig.connector.remove_login(&rig.system(), &rig.management(), &it).await, SetOutcome::Applied);
}

/// Where a home looks like the vault's but is another user's, or the comment alone says so, it is not the vault's user.
#[tokio::test]
async fn a_user_is_the_vaults_by_its_home_alone() {
    let rig = Rig::start();
    let (it, right) = (login("look-alike"), rig.fresh_secret());
    rig.add_login(&it, &right).await;
    for change in [["-c", "claviger-ephemeral-login"], ["-d", "/home/claviger-another"]] {
        run("usermod", &[&change[..], &["look-alike"]].concat(), "");
        let outcome = rig.connector.remove_login(&rig.system(), &rig.management(), &it).await;
        assert!(matches!(outcome, SetOutcome::Refused { by_policy: false, .. }), "{change:?}: {outcome:?}");
    }
    assert!(rig.opens(&it, &right).await);
}

/// By its own right an account ends its other sessions, and not the one by which it does.
#[tokio::test]
async fn an_account_ends_its_own_sessions_and_root_is_let_be() {
    let rig = Rig::start();
    let (it, right) = (login("leaves-itself"), rig.fresh_secret());
    rig.add_login(&it, &right).await;
    let (mut one, mut two) = (rig.stay(&it, &right).await, rig.stay(&it, &right).await);
    assert!(one.lives().await && two.lives().await);
    let by = Credential { login: &it, secret: &right };
    for _ in 0..2 {
        assert_eq!(rig.connector.end_sessions(&rig.system(), &by, &it).await, SetOutcome::Applied);
    }
    assert!(!one.lives().await && !two.lives().await);
    until("no process is left", Duration::from_secs(10), async || (!processes_of(&it)).then_some(())).await;
    let root = rig.connector.end_sessions(&rig.system(), &rig.management(), &login("root")).await;
    let SetOutcome::Refused { detail, .. } = root else { panic!("{root:?}") };
    assert!(detail.contains("services"), "{detail}");
    let absent = rig.connector.end_sessions(&rig.system(), &rig.management(), &login("cv-nobody")).await;
    assert!(matches!(absent, SetOutcome::Refused { .. }), "{absent:?}");
}

/// root as the management account, with a private key for its secret; and PAM's way of asking, by which passwords are set,
/// refused by policy, and told apart.
#[tokio::test]
async fn root_changes_users_by_a_key_and_pam_asks_for_the_password() {
    let keys = tempfile::tempdir().unwrap();
    let server = OpenSsh::start_with(&format!(
        "PasswordAuthentication no\nKbdInteractiveAuthentication yes\nAuthorizedKeysFile {}/%u.pub\nPermitRootLogin yes\n\
         StrictModes no\n",
        keys.path().display()
    ));
    fs::set_permissions(keys.path(), fs::Permissions::from_mode(0o755)).unwrap();
    make_key(&keys.path().join("root"));
    let (manager, key) = (login("root"), secret(&fs::read_to_string(keys.path().join("root")).unwrap()));
    let (old, new) = (secret(&random_text()), secret(&random_text()));
    let it = login(&server.add_user("cvpm", old.expose()));
    let connector = connector(Deadlines::LINUX);
    let by = Credential { login: &manager, secret: &key };

    let probe = connector.probe(&server.spec(), &manager, &key).await;
    assert_eq!(probe.result, ProbeResult::Accepted, "{}\n{}", probe.detail, server.log());
    assert_eq!(connector.set(&server.spec(), &by, &it, &new).await, SetOutcome::Applied);
    let spec = server.spec();
    let (yes, no) = tokio::join!(connector.probe(&spec, &it, &new), connector.probe(&spec, &it, &old));
    assert_eq!((yes.result, no.result), (ProbeResult::Accepted, ProbeResult::Refused), "{} {}", yes.detail, no.detail);

    // PAM's own checks of what a user chooses: too short, and the one that is there.
    let itself = Credential { login: &it, secret: &new };
    let outcome = connector.set(&server.spec(), &itself, &it, &secret("a1")).await;
    assert!(matches!(outcome, SetOutcome::Refused { by_policy: true, .. }), "{outcome:?}");
    let newer = secret(&random_text());
    assert_eq!(connector.set(&server.spec(), &itself, &it, &newer).await, SetOutcome::Applied);
    assert_eq!(connector.probe(&server.spec(), &it, &newer).await.result, ProbeResult::Accepted);

    // Whoever logs in by a key has no password to change.
    let outcome = connector.set(&server.spec(), &by, &manager, &newer).await;
    let SetOutcome::Refused { detail, by_policy: false } = outcome else { panic!("{outcome:?}") };
    assert!(detail.contains("logs in by a key"), "{detail}");
    let unreadable = secret("-----BEGIN OPENSSH PRIVATE KEY-----\nbm90aGluZw==\n-----END OPENSSH PRIVATE KEY-----\n");
    let probe = connector.probe(&server.spec(), &manager, &unreadable).await;
    assert_eq!(probe.result, ProbeResult::Unknown, "{}", probe.detail);
}

/// A key that its account replaces by itself: options and other people's keys stay, the old one goes.
#[tokio::test]
async fn a_key_is_replaced_by_its_own_account_once_the_new_one_is_let_in() {
    let rig = Rig::start();
    let (it, password) = (login("by-a-key"), rig.fresh_secret());
    rig.add_login(&it, &password).await;
    let keys: Vec<(Secret, String)> = ["first", "second", "other"]
        .map(|name| {
            make_key(&rig.openssh.file(name));
            let text = |file: &str| fs::read_to_string(rig.openssh.file(file)).unwrap();
            (secret(&text(name)), text(&format!("{name}.pub")))
        })
        .into();
    let [(first, first_line), (second, second_line), (_, other_line)] = keys.as_slice() else { unreachable!() };
    let blob = |line: &str| line.split(' ').nth(1).unwrap().to_owned();
    let home = rig.openssh.file("left").join("home");
    fs::create_dir_all(home.join(".ssh")).unwrap();
    let file = home.join(".ssh/authorized_keys");
    fs::write(&file, format!("{other_line}no-pty,environment=\"A=b c\" {first_line}# the end\n")).unwrap();
    run("usermod", &["-d", &home.display().to_string(), it.as_str()], "");
    run("chown", &["-R", it.as_str(), &home.display().to_string()], "");
    let held = || fs::read_to_string(&file).unwrap();
    let set = async |by: &Secret, new: &Secret| {
        rig.connector.set(&rig.system(), &Credential { login: &it, secret: by }, &it, new).await
    };
    let probe = async |key: &Secret| rig.connector.probe(&rig.system(), &it, key).await.result;
    assert_eq!((probe(first).await, probe(second).await), (ProbeResult::Accepted, ProbeResult::Refused));

    assert_eq!(set(first, second).await, SetOutcome::Applied, "{}", rig.openssh.log());
    assert_eq!((probe(first).await, probe(second).await), (ProbeResult::Refused, ProbeResult::Accepted));
    let expected = format!("no-pty,environment=\"A=b c\" ssh-ed25519 {}", blob(second_line));
    assert!(held().contains(&expected) && held().contains(other_line) && held().contains("# the end"), "{}", held());
    assert!(!held().contains(&blob(first_line)), "{}", held());
    let outcome = set(first, second).await;
    assert!(matches!(outcome, SetOutcome::NotSent { result: ProbeResult::Refused, .. }), "{outcome:?}");

    // What the host does not let in is taken out again, and the old key still opens the account.
    let before = held();
    make_key(&rig.openssh.file("third"));
    let third = secret(&fs::read_to_string(rig.openssh.file("third")).unwrap());
    fs::write(rig.openssh.file("revoked"), fs::read_to_string(rig.openssh.file("third.pub")).unwrap()).unwrap();
    let outcome = set(second, &third).await;
    assert!(matches!(outcome, SetOutcome::Refused { by_policy: false, .. }), "{outcome:?}");
    assert_eq!(held(), before);
    assert_eq!(probe(second).await, ProbeResult::Accepted);

    // Only the account itself, only a key for a key, and only where the key has a line of its own.
    let by_another = rig.connector.set(&rig.system(), &rig.management(), &it, &third).await;
    let for_a_password = set(&password, first).await;
    for outcome in [by_another, for_a_password] {
        assert!(matches!(outcome, SetOutcome::Refused { by_policy: false, .. }), "{outcome:?}");
    }
    fs::rename(&file, home.join("elsewhere")).unwrap();
    std::os::unix::fs::symlink(home.join("elsewhere"), &file).unwrap();
    let outcome = set(second, first).await;
    assert!(matches!(&outcome, SetOutcome::Refused { detail, .. } if detail.contains("link")), "{outcome:?}");
    assert_eq!(held(), before);
}

/// Each thing that a host can say to a login, and what of it can be told apart.
#[tokio::test]
async fn every_answer_of_a_host_has_its_word() {
    use ProbeResult::{Accepted, Refused};
    let server = OpenSsh::start();
    let (right, wrong) = (secret(&random_text()), secret(&random_text()));
    let user = |kind: &str| login(&server.add_user(kind, right.expose()));
    let (plain, locked, ended, expired, nologin) =
        (user("cvaa"), user("cvlo"), user("cven"), user("cvex"), user("cvnl"));
    run("usermod", &["-L", locked.as_str()], "");
    run("chage", &["-E", "1970-01-02", ended.as_str()], "");
    run("chage", &["-d", "0", expired.as_str()], "");
    run("usermod", &["-s", "/usr/sbin/nologin", nologin.as_str()], "");
    let (connector, spec) = (connector(Deadlines::LINUX), server.spec());
    let probe = async |it: &Login, secret: &Secret| connector.probe(&spec, it, secret).await;
    let rights = tokio::join!(
        probe(&plain, &right),
        probe(&locked, &right),
        probe(&ended, &right),
        probe(&expired, &right),
        probe(&nologin, &right),
    );
    let told = <[_; 5]>::from(rights);
    let results = told.each_ref().map(|probe| probe.result);
    assert_eq!(results, [Accepted, Refused, Refused, Accepted, Accepted], "{told:?}");
    let wrongs =
        tokio::join!(probe(&locked, &wrong), probe(&ended, &wrong), probe(&expired, &wrong), probe(&nologin, &wrong));
    assert_eq!(<[_; 4]>::from(wrongs).map(|probe| probe.result), [Refused; 4]);

    // By themselves they change nothing, and nothing was sent: the secret is right, and something else is in the way.
    for (it, why) in [(&expired, "Password change required"), (&nologin, "not available")] {
        let by = Credential { login: it, secret: &right };
        let outcome = connector.set(&spec, &by, it, &wrong).await;
        let SetOutcome::NotSent { result: Accepted, detail } = outcome else { panic!("{outcome:?}") };
        assert!(detail.contains(why), "{detail}");
    }
}

/// The files in which rules of sudo for this user are, in force or not.
fn files_of(login: &Login) -> Vec<String> {
    let name = login.as_str().replace('.', "=");
    let files = fs::read_dir("/etc/sudoers.d").unwrap();
    let names = files.map(|file| file.unwrap().file_name().to_string_lossy().into_owned());
    names.filter(|file| file.starts_with(&format!("claviger_{name}"))).collect()
}

fn processes_of(login: &Login) -> bool {
    Command::new("pgrep").args(["-U", login.as_str()]).stdout(std::process::Stdio::null()).status().unwrap().success()
}
