//! `/v1/auth/passkeys`: asked for by a command line, done in a browser on the page of `page.rs`.

use claviger_api::ProblemType::{
    AlreadyIssued, Forbidden, FreshFactorNeeded, InUse, InvalidCredentials, InvalidValue, NotFound, NotInitialised,
    PasskeysOff, Sealed, SecondFactorNeeded,
};
use claviger_api::wire::{
    CeremonyAnswer, CeremonyShown, CeremonyWanted, ConfirmPasskey, ConfirmedFactor, LoginByPasskey, NewPasskey,
    PasskeyCeremony, PasskeyCode,
};
use claviger_service::{Once, Result};

use super::answer::{Created, Json};
use super::body::Body;
use super::door::{AnySession, Guest, Login};
use super::endpoint::Endpoint;
use super::sys::TheVault;

pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::post(
            "/v1/auth/passkeys",
            "offerPasskey",
            "A page on which a browser makes a passkey. It counts once the code that the page shows is confirmed.",
            offer,
        )
        .fails(&[Forbidden, FreshFactorNeeded, InUse, PasskeysOff]),
        Endpoint::post(
            "/v1/auth/passkeys/confirm",
            "confirmPasskey",
            "The code that the page shows. With the first factor come the recovery codes, shown once.",
            confirm,
        )
        .fails(&[Forbidden, FreshFactorNeeded, InUse, NotFound, AlreadyIssued, InvalidValue, PasskeysOff]),
        Endpoint::post(
            "/v1/auth/passkeys/login",
            "askPasskeyOfLogin",
            "A page on which a browser shows a passkey, as the second factor of a login.",
            for_login,
        )
        .fails(&[InvalidCredentials, NotFound, PasskeysOff, Sealed, NotInitialised]),
        Endpoint::post(
            "/v1/auth/passkeys/step-up",
            "askPasskeyOfSession",
            "A page on which a browser shows a passkey, as a fresh second factor.",
            for_step_up,
        )
        .fails(&[Forbidden, SecondFactorNeeded, NotFound, PasskeysOff]),
        Endpoint::post("/v1/auth/passkeys/ceremony", "showCeremony", "For the page: what it is about.", show).fails(&[
            InvalidCredentials,
            Sealed,
            NotInitialised,
        ]),
        Endpoint::post(
            "/v1/auth/passkeys/answer",
            "answerCeremony",
            "For the page: what the authenticator said. The code is good where the passkey was asked for.",
            answer,
        )
        .fails(&[InvalidCredentials, PasskeysOff, Sealed, NotInitialised]),
    ]
}

async fn offer(session: AnySession, Body(new): Body<NewPasskey>) -> Result<Created<PasskeyCeremony>> {
    session.open.offer_passkey(&new, &session.caller).await.map(Created)
}

async fn confirm(session: AnySession, Body(body): Body<ConfirmPasskey>, once: Once) -> Result<Json<ConfirmedFactor>> {
    session.open.confirm_passkey(body.code.secret(), &once, &session.caller).await.map(Json)
}

async fn for_login(
    guest: Guest<Login>,
    TheVault(vault): TheVault,
    Body(body): Body<LoginByPasskey>,
) -> Result<Created<PasskeyCeremony>> {
    vault.open()?.passkey_for_login(body.challenge.secret(), guest.origin.source).await.map(Created)
}

async fn for_step_up(session: AnySession) -> Result<Created<PasskeyCeremony>> {
    session.open.passkey_for_step_up(&session.caller).await.map(Created)
}

async fn show(
    guest: Guest<Login>,
    TheVault(vault): TheVault,
    Body(body): Body<CeremonyWanted>,
) -> Result<Json<CeremonyShown>> {
    vault.open()?.ceremony(body.ceremony.secret(), guest.origin.source).await.map(Json)
}

async fn answer(
    guest: Guest<Login>,
    TheVault(vault): TheVault,
    Body(body): Body<CeremonyAnswer>,
) -> Result<Json<PasskeyCode>> {
    let CeremonyAnswer { ceremony, credential } = body;
    vault.open()?.answer_ceremony(ceremony.secret(), &credential, guest.origin.source).await.map(Json)
}
