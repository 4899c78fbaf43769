//! The second factor of the administrator for trying out. Its secret lies in the directory like everything else, so it is
//! no second factor at all: it only shows how one feels.

use std::path::Path;
use std::time::Duration;

use claviger_api::wire::{LoginAnswer, NewTotp, Tokens};
use claviger_api::{RequestId, Secret};
use claviger_service::clock::{Clock, SystemClock, new_uuid};
use claviger_service::crypto::{OsRandom, totp};
use claviger_service::{Once, Open, Origin};

use super::{DevError, PASSWORD, administrator, kept, why};
use crate::private::{self, PrivateError};

/// The secret, in base 32 as apps take it.
const SECRET: &str = "totp-secret";
/// The newest step whose code was given out: the vault takes each once.
const STEP: &str = "totp-step";
/// How often it is looked whether the next step has come.
const TICK: Duration = Duration::from_millis(200);

/// Enrols a second factor for the administrator, where there is none yet. What a start that is broken off leaves is
/// taken up by the next.
pub async fn enrol(open: &Open, directory: &Path) -> Result<(), DevError> {
    let failed =
        |error: claviger_service::Error| DevError::Vault { what: "enrolling a second factor", why: why(&error) };
    let password = kept(&directory.join(PASSWORD))?;
    let LoginAnswer::Session(tokens) = open.login_user(&administrator()?, &password, None).await.map_err(failed)?
    else {
        return Ok(());
    };
    confirm(open, directory, &tokens).await.map_err(failed)?
}

async fn confirm(open: &Open, directory: &Path, tokens: &Tokens) -> claviger_service::Result<Result<(), DevError>> {
    let request = RequestId::from_uuid(new_uuid(open.now(), &OsRandom));
    let caller = open.authenticate(tokens.access_token.secret().expose(), &Origin::default(), request).await?;
    let offered = open.offer_totp(&NewTotp { label: "for trying out".to_owned() }, &caller).await?;
    let secret = offered.secret.into_secret();
    // The code before this one's: the present one is still good for a login.
    let step = totp::step(open.now()).saturating_sub(totp::SKEW_STEPS);
    let written = keep(&directory.join(SECRET), secret.expose())
        .and_then(|()| keep(&directory.join(STEP), &step.to_string()))
        .and_then(|()| code_of(&secret, step));
    let code = match written {
        Ok(code) => code,
        Err(error) => return Ok(Err(error)),
    };
    open.confirm_totp(&code, &Once::none(), &caller).await?;
    open.logout(&caller).await.map(Ok)
}

/// What `claviger login NAME --stdin` reads: the administrator's password, and a code that was not given out before.
/// Waits for the next one where it must.
pub fn login(directory: &Path) -> Result<(Secret, Secret), DevError> {
    let password = kept(&directory.join(PASSWORD))?;
    let secret = kept(&directory.join(SECRET))?;
    let given: u64 = kept(&directory.join(STEP))?.expose().parse().unwrap_or(0);
    let clock = SystemClock::default();
    let step = totp::step(clock.now()).max(given.saturating_add(1));
    while step > totp::step(clock.now()).saturating_add(totp::SKEW_STEPS) {
        std::thread::sleep(TICK);
    }
    let code = code_of(&secret, step)?;
    keep(&directory.join(STEP), &step.to_string())?;
    Ok((password, code))
}

fn keep(path: &Path, text: &str) -> Result<(), DevError> {
    private::write(path, format!("{text}\n").as_bytes()).map_err(|error: PrivateError| error.into())
}

fn code_of(secret: &Secret, step: u64) -> Result<Secret, DevError> {
    let code = totp::from_base32(secret).and_then(|secret| totp::code(&secret, step));
    let code = code.map_err(|error| DevError::Vault { what: "making a code", why: error.to_string() })?;
    Ok(Secret::new(code)?)
}
