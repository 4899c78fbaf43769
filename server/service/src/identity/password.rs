//! Users' own passwords: what they must be, and how one is changed.

use claviger_api::audit::kind::EventKind;
use claviger_api::problem::ProblemType;
use claviger_api::wire::ChangePassword;
use claviger_api::{Scope, Secret, UserName};
use claviger_store::RowId;
use zxcvbn::{Score, zxcvbn};

use super::login::{hash_password, is_password};
use crate::error::{Error, Result};
use crate::open::{Caller, Open, deciding};
use crate::records::{PrincipalRecord, SessionRecord};

/// The fewest characters in a user's password (NIST SP 800-63B asks for at least 8; the vault guards more than one).
pub const PASSWORD_MIN: usize = 12;
/// The most: more than anybody types, and what it costs to judge one stays bounded.
pub const PASSWORD_MAX: usize = 256;
/// "Safely unguessable": more than 10⁸ guesses at what is no slow hash (<https://github.com/dropbox/zxcvbn>).
const SCORE_MIN: Score = Score::Three;
/// Shorter names than this are in too many words.
const NAME_MIN: usize = 4;
/// Words that everybody knows of every user of a vault.
const KNOWN_WORDS: [&str; 3] = ["claviger", "vault", "password"];

/// What a new password must be: 12 to 256 characters, not common and not easy to guess, and not made of its user's
/// name. `zxcvbn` knows some 90,000 common passwords, names and words, and finds them in disguise too, backwards, on
/// the keyboard, as dates and repetitions.
pub(super) fn check_password(at: &str, password: &Secret, name: &UserName) -> Result<()> {
    let text = password.expose();
    let wrong = |message: String| Err(Error::value(at, message));
    let length = text.chars().count();
    if length < PASSWORD_MIN {
        return wrong("a password has at least 12 characters".to_owned());
    }
    if length > PASSWORD_MAX {
        return wrong("a password has at most 256 characters".to_owned());
    }
    let name = name.as_str();
    let parts = name.split(['.', '_', '-']).filter(|part| part.len() >= NAME_MIN);
    let lower = text.to_lowercase();
    if parts.clone().chain([name]).any(|part| part.len() >= NAME_MIN && lower.contains(part)) {
        return wrong("a password does not hold the name of its user".to_owned());
    }
    let known: Vec<&str> = KNOWN_WORDS.into_iter().chain(parts).chain([name]).collect();
    let guess = zxcvbn(text, &known);
    if guess.score() < SCORE_MIN {
        let why = guess.feedback().and_then(zxcvbn::feedback::Feedback::warning);
        let why = why.map_or_else(String::new, |why| format!(" ({why})"));
        return wrong(format!("this password is too easy to guess{why}; four or five unrelated words make a good one"));
    }
    Ok(())
}

impl Open {
    /// Changes the caller's own password: wants the old one and a fresh second factor. Every other session ends.
    ///
    /// It takes no Idempotency-Key: it makes nothing that a second try would make twice, and to answer a repeat as done,
    /// without the password that is right now, would be to believe whoever holds the session. A repeat of what was done is
    /// told that the old password is not right; whether the new one is, a login says.
    pub async fn change_password(&self, request: ChangePassword, caller: &Caller) -> Result<()> {
        caller.must_be_a_person()?;
        caller.must_have_fresh_factor(self.now())?;
        let (old, new) = (request.old_password.into_secret(), request.new_password.into_secret());
        let stored = self.load::<PrincipalRecord>(&RowId::principal(caller.id)).await?.value.password;
        // Counted and locked out like a login: a session alone is not enough to guess at it.
        let locked = self.is_locked_out(&caller.name, caller.source).await?;
        if !is_password(self, &old, stored.clone().filter(|_| !locked)).await? {
            deciding(|| self.login_failed(&caller.name, caller.source)).await?;
            return Err(Error::new(ProblemType::InvalidCredentials, "The old password is not right."));
        }
        check_password("new_password", &new, &caller.name)?;
        if old.expose() == new.expose() {
            return Err(Error::value("new_password", "this is the password that you have"));
        }
        let phc = hash_password(self, new).await?;
        deciding(|| async {
            let user = self.load::<PrincipalRecord>(&RowId::principal(caller.id)).await?;
            if user.value.password != stored {
                return Err(Error::new(ProblemType::InvalidCredentials, "The password was changed meanwhile."));
            }
            let session = self.own_session(caller).await?;
            let changed = PrincipalRecord { password: Some(phc.clone()), ..user.value.clone() }.without_sessions();
            let kept = SessionRecord { generation: changed.generation, ..session.value };
            let event = self.event(Scope::Operator, EventKind::UserPasswordChanged, caller);
            let change = self.change(event).update(&user, &changed)?.update(&session, &kept)?;
            self.commit(self.end_sessions_but(change, caller.id, Some(caller.session)).await?).await.map(drop)
        })
        .await
    }
}
