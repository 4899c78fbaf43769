//! Lines by POST over HTTPS. Here the receiver answers: what it took with a status of success it has.

use std::fs;
use std::future::pending;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use claviger_api::wire::HttpsUrl;
use claviger_connectors::https::{Question, ask_for_any};
use claviger_connectors::{Dial, Direct, IpNet};
use claviger_service::audit::stream::{Format, Message, Sink, Way};
use zeroize::Zeroizing;

use crate::private;
use crate::tls::{self, TlsError};

/// The most of an answer that is read, and thrown away.
const ANSWER_MOST: usize = 64 * 1024;
/// Statuses of success (RFC 9110 §15.3).
const SUCCESS: std::ops::Range<u16> = 200..300;

/// A receiver.
#[derive(Clone)]
pub struct HttpsPost {
    dial: Arc<dyn Dial>,
    url: HttpsUrl,
    ca: Option<String>,
    token_file: Option<PathBuf>,
    media_type: &'static str,
}

struct Posting {
    to: HttpsPost,
    authorization: Option<Zeroizing<String>>,
}

impl HttpsPost {
    pub fn new(
        url: &HttpsUrl,
        ca: Option<&Path>,
        token_file: Option<PathBuf>,
        format: Format,
    ) -> Result<Self, TlsError> {
        // Refuses what is no certificate, with the file's name.
        ca.map(|path| tls::client_config(path, None)).transpose()?;
        let text = |path: &Path| fs::read_to_string(path).map_err(|source| TlsError::unread(path, source));
        let media_type = match format {
            Format::Json | Format::Ocsf | Format::Ecs => "application/x-ndjson",
            Format::Cef => "text/plain; charset=utf-8",
        };
        // The address is the operator's own, in the server's file: it may be anywhere.
        let anywhere = [[0; 4].into(), std::net::IpAddr::from([0_u16; 8])].map(|all| IpNet::new(all, 0));
        let dial = Arc::new(Direct::new(anywhere.into_iter().flatten().collect()));
        Ok(Self { dial, url: url.clone(), ca: ca.map(text).transpose()?, token_file, media_type })
    }

    /// Read each time, so that a new token wants no restart.
    fn authorization(&self) -> io::Result<Option<Zeroizing<String>>> {
        let Some(path) = &self.token_file else { return Ok(None) };
        let text = Zeroizing::new(private::read(path).map_err(io::Error::other)?);
        Ok(Some(Zeroizing::new(text.trim_end().to_owned())))
    }
}

#[async_trait]
impl Sink for HttpsPost {
    async fn open(&self) -> io::Result<Box<dyn Way>> {
        Ok(Box::new(Posting { to: self.clone(), authorization: self.authorization()? }))
    }
}

#[async_trait]
impl Way for Posting {
    async fn send(&mut self, messages: &[Message]) -> io::Result<()> {
        let body: String = messages.iter().flat_map(|message| [message.line.as_str(), "\n"]).collect();
        let HttpsPost { dial, url, ca, media_type, .. } = &self.to;
        let (body, authorization) = (Bytes::from(body), self.authorization.clone());
        let question = Question::Lines { body, media_type, authorization };
        let answer = ask_for_any(dial.as_ref(), url, ca.as_deref(), question, ANSWER_MOST).await;
        let status = answer.map_err(io::Error::other)?.status;
        if SUCCESS.contains(&status) { Ok(()) } else { Err(io::Error::other(format!("it answered {status}"))) }
    }

    async fn broken(&mut self) -> io::Error {
        pending().await
    }

    async fn end(self: Box<Self>) -> io::Result<()> {
        Ok(())
    }
}
