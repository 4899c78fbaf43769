//! The witness at work: `POST /add-checkpoint`, and a look at the clock.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State as Shared};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use claviger_client::api::audit::note::NOTE_MAX;
use claviger_client::api::audit::witness::{AddCheckpoint, Refusal, judge};
use claviger_client::api::audit::{VerifierKey, cosign};
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::Serve;
use super::state::{Alarm, State};
use crate::clock;
use crate::commands::checkout::listen;
use crate::failure::Failure;
use crate::progress::note;

/// How often the clock is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// The media type of a size, as C2SP has it.
const SIZE: &str = "text/x.tlog.size";

struct Desk {
    /// One request at a time: what is checked is still so when it is kept.
    state: Mutex<State>,
    followed: Vec<VerifierKey>,
    /// When each log was last heard of, and whether its silence was told.
    heard: Mutex<HashMap<String, (Instant, bool)>>,
    silence: Duration,
    on_alarm: Option<PathBuf>,
}

pub async fn run(state: State, serve: Serve) -> Result<(), Failure> {
    let now = Instant::now();
    let heard = serve.logs.iter().map(|key| (key.name().to_owned(), (now, false))).collect();
    let desk = Arc::new(Desk {
        state: Mutex::new(state),
        followed: serve.logs,
        heard: Mutex::new(heard),
        silence: Duration::from_secs(serve.silence.get()),
        on_alarm: serve.on_alarm,
    });
    let unheard = |error| Failure::failed(format!("cannot listen on {}: {error}", serve.listen));
    let listener = TcpListener::bind(serve.listen).await.map_err(unheard)?;
    let address = listener.local_addr().map_err(unheard)?;
    note(&format!("listens on http://{address}"));
    let routes = Router::new().route("/add-checkpoint", post(add_checkpoint));
    let routes = routes.layer(DefaultBodyLimit::max(NOTE_MAX)).with_state(desk.clone());
    let mut signals = listen()?;
    tokio::select! {
        served = async { axum::serve(listener, routes).await } => served.map_err(unheard),
        () = watch(&desk) => Ok(()),
        _ = signals.next() => Ok(()),
    }
}

async fn add_checkpoint(Shared(desk): Shared<Arc<Desk>>, body: String) -> Response {
    match desk.add(&body).await {
        Ok(line) => line.into_response(),
        Err(refusal) => {
            let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::BAD_REQUEST);
            match refusal {
                Refusal::Stale(size) => (status, [(header::CONTENT_TYPE, SIZE)], format!("{size}\n")).into_response(),
                Refusal::Malformed
                | Refusal::UnknownLog
                | Refusal::Unsigned
                | Refusal::Backwards
                | Refusal::Forked(_)
                | Refusal::Inconsistent { .. } => (status, format!("{refusal}\n")).into_response(),
            }
        }
    }
}

impl Desk {
    async fn add(&self, body: &str) -> Result<String, Refusal> {
        let request: AddCheckpoint = body.parse()?;
        let state = self.state.lock().await;
        let found = match judge(&request, &self.followed, |origin| state.known(origin)) {
            Ok(found) => found,
            Err(refusal) => {
                if refusal.is_alarming() {
                    let kind = if matches!(refusal, Refusal::Forked(_)) { "fork" } else { "inconsistent" };
                    let log = origin_of(&request.checkpoint);
                    let known = state.note(&log);
                    let what = refusal.to_string();
                    let shown = Some(request.checkpoint.clone());
                    self.raise(&state, &Alarm { at: clock::now(), log, kind: kind.to_owned(), what, shown, known });
                }
                return Err(refusal);
            }
        };
        let line = cosign(&found, clock::now(), &*state);
        // Durable before anybody is told. What cannot be kept is not cosigned, and silence will tell of it.
        if let Err(error) = state.keep(&found.origin, &format!("{}{line}", request.checkpoint)) {
            note(&format!("warning: the checkpoint of {} could not be kept: {error}", found.origin));
            return Err(Refusal::Stale(state.known(&found.origin).map_or(0, |known| known.size)));
        }
        let back = self.heard.lock().await.insert(found.origin.clone(), (Instant::now(), false));
        if back.is_some_and(|(_, told)| told) {
            note(&format!("{} is heard of again, with {} entries", found.origin, found.size));
        }
        Ok(line)
    }

    /// Keeps an alarm, says it, and runs the program for it.
    fn raise(&self, state: &State, alarm: &Alarm) {
        note(&format!("ALARM: {}: {}: {}", alarm.kind, alarm.log, alarm.what));
        if let Err(error) = state.alarm(alarm) {
            note(&format!("warning: the alarm could not be kept: {error}"));
        }
        if let Some(program) = &self.on_alarm
            && let Err(error) = tell(program, alarm)
        {
            note(&format!("warning: {} could not be run: {error}", program.display()));
        }
    }
}

/// The log that a note claims to be of.
fn origin_of(note: &str) -> String {
    note.lines().next().unwrap_or_default().to_owned()
}

/// Gives an alarm to a program, which goes on by itself.
fn tell(program: &Path, alarm: &Alarm) -> std::io::Result<()> {
    let mut child = std::process::Command::new(program).stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(serde_json::to_string(alarm)?.as_bytes())?;
    }
    std::thread::spawn(move || child.wait());
    Ok(())
}

/// Raises an alarm for each log of which nothing was heard for too long, once until it is heard of again.
async fn watch(desk: &Desk) {
    loop {
        tokio::time::sleep(LOOK).await;
        let mut silent = Vec::new();
        for (log, (heard, told)) in desk.heard.lock().await.iter_mut() {
            if !*told && heard.elapsed() >= desk.silence {
                *told = true;
                silent.push(log.clone());
            }
        }
        for log in silent {
            let state = desk.state.lock().await;
            let what = format!("nothing was heard for {} s", desk.silence.as_secs());
            let known = state.note(&log);
            let kind = "silence".to_owned();
            desk.raise(&state, &Alarm { at: clock::now(), log, kind, what, shown: None, known });
        }
    }
}
