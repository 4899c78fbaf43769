//! Witnesses, over HTTP or HTTPS.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use claviger_api::Part;
use claviger_api::audit::witness::{AddCheckpoint, CosignerKey};
use claviger_api::wire::HttpsUrl;
use claviger_connectors::Dial;
use claviger_connectors::https::{Answer, Question, ask_for_any, ask_openly};
use claviger_service::audit::witness::{Witness, WitnessAnswer};
use serde::{Deserialize, Deserializer, de};

/// A cosignature is a line or a few.
const ANSWER_MAX: usize = 16 * 1024;

/// A witness of a log, as it is configured.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WitnessConfig {
    /// Where it is asked, e.g. `https://witness.acme.example`. What is sent is signed: plain HTTP takes nothing from it.
    pub url: WitnessUrl,
    /// Its key, as `claviger witness init` prints it.
    #[serde(deserialize_with = "key")]
    pub key: CosignerKey,
    /// The customer whose log it follows; the operator's log when absent.
    #[serde(default)]
    pub customer: Option<Part>,
    /// The CA of its certificate, PEM, where no public one has issued it.
    #[serde(default)]
    pub ca_certificate: Option<String>,
}

/// `http://HOST:PORT[/PREFIX]` or `https://HOST[:PORT][/PREFIX]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WitnessUrl {
    encrypted: bool,
    add: HttpsUrl,
}

impl<'de> Deserialize<'de> for WitnessUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let (encrypted, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return Err(de::Error::custom("a witness's url begins with https:// or http://")),
        };
        let add = format!("https://{}/add-checkpoint", rest.trim_end_matches('/')).parse();
        let add: HttpsUrl = add.map_err(|error| de::Error::custom(format_args!("a witness's url: {error}")))?;
        if !encrypted && !add.authority().contains(':') {
            return Err(de::Error::custom("a witness's url with http:// names its port"));
        }
        Ok(Self { encrypted, add })
    }
}

fn key<'de, D: Deserializer<'de>>(deserializer: D) -> Result<CosignerKey, D::Error> {
    let text = String::deserialize(deserializer)?;
    let wrong = "a witness's key is written NAME+ID+KEY, as `claviger witness init` prints it";
    text.parse().map_err(|_| de::Error::custom(wrong))
}

/// A witness that is reached like issuers are.
pub struct HttpWitness {
    config: WitnessConfig,
    dial: Arc<dyn Dial>,
}

impl HttpWitness {
    /// The witness of this configuration.
    pub fn of(config: WitnessConfig, dial: Arc<dyn Dial>) -> Arc<dyn Witness> {
        Arc::new(Self { config, dial })
    }
}

#[async_trait::async_trait]
impl Witness for HttpWitness {
    fn key(&self) -> &CosignerKey {
        &self.config.key
    }

    fn customer(&self) -> Option<&Part> {
        self.config.customer.as_ref()
    }

    async fn add(&self, request: &AddCheckpoint) -> io::Result<WitnessAnswer> {
        let WitnessUrl { encrypted, add } = &self.config.url;
        let question = Question::Text { body: Bytes::from(request.to_string()) };
        let asked = if *encrypted {
            ask_for_any(self.dial.as_ref(), add, self.config.ca_certificate.as_deref(), question, ANSWER_MAX).await
        } else {
            ask_openly(self.dial.as_ref(), add, question, ANSWER_MAX).await
        };
        let Answer { status, body } = asked.map_err(io::Error::other)?;
        Ok(WitnessAnswer { status, body: String::from_utf8_lossy(&body).into_owned() })
    }
}
