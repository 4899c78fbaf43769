//! On a terminal: `script` of util-linux gives the program one, and writes down all that it shows.

use std::process::Output;

use crate::program::{Home, SECRET, code, run, stdout, vault};

/// Runs the program on a terminal as whoever is logged in; what is typed is typed there.
pub fn as_user_on_a_terminal(home: &Home, words: &str, typed: &str) -> Output {
    let line = format!("{} {words}", env!("CARGO_BIN_EXE_claviger"));
    run(home.command("script", &["--quiet", "--return", "--echo", "never", "--command", &line, "/dev/null"]), typed)
}

/// The same as a service account.
fn on_a_terminal(home: &Home, words: &str, typed: &str) -> Output {
    let line = format!("{} {words}", env!("CARGO_BIN_EXE_claviger"));
    let mut command =
        home.command("script", &["--quiet", "--return", "--echo", "never", "--command", &line, "/dev/null"]);
    command.env("CLAVIGER_TOKEN", if words.starts_with("login") { "" } else { "cvs_x" });
    run(command, typed)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_copies_the_secret_shows_it_to_nobody_and_clears_the_clipboard() {
    let vault = vault().await;
    let home = Home::at(&vault.uri());
    let output = on_a_terminal(&home, "checkout acme/db01/postgres --reason x", "\n");
    let screen = stdout(&output);
    assert_eq!(code(&output), 0, "{screen}");
    let copied = screen.find("\x1b]52;c;Y2FuYXJ5LTljMWQ=\x07").unwrap_or_else(|| panic!("not copied: {screen:?}"));
    let cleared = screen.find("\x1b]52;c;IA==\x07").unwrap_or_else(|| panic!("not cleared: {screen:?}"));
    assert!(copied < cleared);
    assert!(!screen.contains(SECRET), "{screen:?}");

    let shown = stdout(&on_a_terminal(&home, "checkout acme/db01/postgres --reason x --show", ""));
    assert!(shown.contains(SECRET) && !shown.contains("\x1b]52"), "{shown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_asked_for_without_echo() {
    let vault = vault().await;
    let home = Home::at(&vault.uri());
    let output = on_a_terminal(&home, "login anna", "correct horse\n");
    let screen = stdout(&output);
    assert_eq!(code(&output), 0, "{screen}");
    assert!(screen.contains("Password: ") && screen.contains("logged in"), "{screen:?}");
    assert!(!screen.contains("correct horse"), "{screen:?}");
}
