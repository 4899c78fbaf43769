//! Where a browser comes back to: a port of 127.0.0.1 that is open for one sign-on (RFC 8252 §7.3).
//!
//! Any program of this machine, and any page in the browser, can send something here. Only what brings the state of this
//! sign-on counts, and the code in it is good with a verifier alone that never left this process.

use claviger_client::Exit;
use claviger_client::api::wire::CodeChallenge;
use claviger_client::api::{Problem, ProblemType, Secret};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Duration, timeout};
use zeroize::Zeroizing;

use crate::failure::Failure;

/// The most bytes of a request's first line.
const LINE_MAX: usize = 16 * 1024;
/// A browser sends it within this.
const LINE_WITHIN: Duration = Duration::from_secs(5);
/// Connections at once: browsers open some ahead.
const CONNECTIONS_MAX: usize = 16;

/// An open port.
pub struct Landing {
    listener: TcpListener,
    state: CodeChallenge,
}

/// What a browser brought.
enum Brought {
    Code(Secret),
    Refusal { code: String, detail: String },
}

impl Landing {
    /// Opens a port that the system chooses.
    pub async fn open(state: CodeChallenge) -> Result<Self, Failure> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await;
        let listener = listener.map_err(|error| Failure::failed(format!("cannot listen on 127.0.0.1: {error}")))?;
        Ok(Self { listener, state })
    }

    /// The port.
    pub fn port(&self) -> Result<u16, Failure> {
        let address = self.listener.local_addr();
        address.map(|address| address.port()).map_err(|error| Failure::failed(format!("no port: {error}")))
    }

    /// Waits for the browser, and gives the code that it brings.
    pub async fn code(&self) -> Result<Secret, Failure> {
        let mut asking = tokio::task::JoinSet::new();
        loop {
            let brought = tokio::select! {
                accepted = self.listener.accept(), if asking.len() < CONNECTIONS_MAX => {
                    // A connection that failed was not the browser's last.
                    if let Ok((stream, _)) = accepted {
                        asking.spawn(serve(stream, self.state));
                    }
                    continue;
                }
                Some(served) = asking.join_next() => served.ok().flatten(),
            };
            match brought {
                Some(Brought::Code(code)) => return Ok(code),
                Some(Brought::Refusal { code, detail }) => return Err(refused(&code, detail)),
                None => {}
            }
        }
    }
}

/// Answers one request; gives what it brought, if it is of this sign-on.
async fn serve(mut stream: TcpStream, state: CodeChallenge) -> Option<Brought> {
    let line = timeout(LINE_WITHIN, first_line(&mut stream)).await.ok()??;
    let brought = read(&line, state);
    let (status, title, text) = match &brought {
        Some(Brought::Code(_)) => ("200 OK", "Signed on", "Go back to the terminal. This window can be closed."),
        Some(Brought::Refusal { .. }) => {
            ("200 OK", "Not signed on", "The terminal says why. This window can be closed.")
        }
        None => ("404 Not Found", "Nothing here", "This address is for one sign-on, which is another."),
    };
    let page = format!("<!doctype html><meta charset=utf-8><title>{title}</title><h1>{title}</h1><p>{text}</p>");
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\nCache-Control: no-store\r\n\
         Content-Security-Policy: default-src 'none'\r\nReferrer-Policy: no-referrer\r\nConnection: close\r\n\r\n{page}",
        page.len()
    );
    // A browser that does not listen has brought what it has.
    let _ = timeout(LINE_WITHIN, async {
        let _ = stream.write_all(answer.as_bytes()).await;
        stream.shutdown().await
    })
    .await;
    brought
}

async fn first_line(stream: &mut TcpStream) -> Option<Zeroizing<String>> {
    let mut head = Zeroizing::new(Vec::with_capacity(LINE_MAX));
    let mut chunk = Zeroizing::new([0; 2048]);
    // To the end of the head: a browser that is answered before it has sent that takes the connection for broken.
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let read = stream.read(&mut *chunk).await.ok().filter(|read| *read > 0)?;
        if head.len() + read > LINE_MAX {
            return None;
        }
        head.extend_from_slice(chunk.get(..read)?);
    }
    let line = head.split(|byte| *byte == b'\r').next()?;
    std::str::from_utf8(line).ok().map(|line| Zeroizing::new(line.to_owned()))
}

/// `GET /?…&state=…`, of this sign-on.
fn read(line: &str, state: CodeChallenge) -> Option<Brought> {
    let query = line.strip_prefix("GET /?")?.strip_suffix(" HTTP/1.1")?;
    let (mut code, mut error, mut detail, mut own) = (None, None, String::new(), false);
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match name.as_ref() {
            "code" => code = Secret::new(value.into_owned()).ok(),
            "error" => error = Some(value.into_owned()),
            "detail" => detail = value.into_owned(),
            "state" => own = value.parse() == Ok(state),
            _ => {}
        }
    }
    match (own, code, error) {
        (true, Some(code), None) => Some(Brought::Code(code)),
        (true, _, Some(code)) => Some(Brought::Refusal { code, detail }),
        (true, None, None) | (false, _, _) => None,
    }
}

/// The vault's refusal, as if it had answered this program.
fn refused(code: &str, detail: String) -> Failure {
    match ProblemType::from_code(code) {
        Some(problem) => Failure::Vault(claviger_client::Error::Problem(Box::new(Problem::new(problem, detail)))),
        None => Failure::Own { exit: Exit::NotAuthenticated, what: "the sign-on failed".to_owned(), help: None },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATE: CodeChallenge = CodeChallenge::from_bytes([7; 32]);

    fn brought(line: &str) -> Option<String> {
        read(line, STATE).map(|brought| match brought {
            Brought::Code(code) => code.expose().to_owned(),
            Brought::Refusal { code, detail } => format!("{code}: {detail}"),
        })
    }

    #[test]
    fn only_what_brings_the_state_counts() {
        let other = CodeChallenge::from_bytes([8; 32]);
        assert_eq!(brought(&format!("GET /?code=abc&state={STATE} HTTP/1.1")).as_deref(), Some("abc"));
        let refusal = format!("GET /?error=sign-on-failed&detail=no+way&state={STATE} HTTP/1.1");
        assert_eq!(brought(&refusal).as_deref(), Some("sign-on-failed: no way"));
        for line in [
            format!("GET /?code=abc&state={other} HTTP/1.1"),
            "GET /?code=abc HTTP/1.1".to_owned(),
            format!("GET /?state={STATE} HTTP/1.1"),
            format!("POST /?code=abc&state={STATE} HTTP/1.1"),
            "GET /favicon.ico HTTP/1.1".to_owned(),
            String::new(),
        ] {
            assert_eq!(brought(&line), None, "{line}");
        }
    }

    #[tokio::test]
    async fn a_browser_that_connects_ahead_or_is_another_does_not_end_the_wait() {
        let landing = Landing::open(STATE).await.unwrap();
        let port = landing.port().unwrap();
        let ask = async |line: String| {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            stream.write_all(format!("{line}\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answer
        };
        let browser = async {
            let _ahead = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            let wrong = ask("GET /?code=wrong&state=x HTTP/1.1".to_owned()).await;
            assert!(wrong.starts_with("HTTP/1.1 404"), "{wrong}");
            let right = ask(format!("GET /?code=right&state={STATE} HTTP/1.1")).await;
            assert!(right.starts_with("HTTP/1.1 200") && right.contains("Go back to the terminal"), "{right}");
        };
        let (code, ()) = tokio::join!(landing.code(), browser);
        assert_eq!(code.unwrap().expose(), "right");
    }
}
