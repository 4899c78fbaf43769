//! Sign-on by device code (RFC 8628), for machines without a browser: the vault asks the provider on behalf of whoever
//! began it, who shows the person a code and an address.
//!
//! Such a code can be sent to a victim, who gives it at the right provider: so a provider's record must allow it, and a
//! second factor that the provider checked never counts here.

use claviger_api::wire::{BeginDevice, CodeChallenge, DevicePoll, DeviceSignOn, PollDevice, SIGN_ON_TTL_SECONDS};
use claviger_api::{ProviderId, Secret, Timestamp};
use claviger_store::RowId;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::carried::Message;
use super::claims::Asked;
use super::{declined, failed, must_sign_in, scope};
use crate::error::Result;
use crate::identity::session::after;
use crate::open::Open;
use crate::records::IdentityProviderRecord;

/// How often to ask where the provider does not say (RFC 8628 §3.2), and by how much longer to wait when it says that this
/// is too often (§3.5).
const INTERVAL_SECONDS: u64 = 5;
/// The longest wait that a provider can ask for.
const INTERVAL_MOST_SECONDS: u64 = 60;
/// The most characters of what is shown to a person.
const SHOWN_MOST: usize = 512;

/// What whoever began it comes back with.
#[derive(Serialize, Deserialize)]
struct Device {
    id: Uuid,
    provider: ProviderId,
    /// The provider's code for it.
    code: String,
    /// Of whoever began it.
    challenge: CodeChallenge,
    interval_seconds: u64,
    begun_at: Timestamp,
    expires_at: Timestamp,
}

impl Message for Device {
    const LABEL: &'static [u8] = b"sign-on device 1";
}

/// RFC 8628 §3.2.
#[derive(Deserialize)]
struct Offered {
    device_code: String,
    user_code: String,
    verification_uri: String,
    verification_uri_complete: Option<String>,
    expires_in: u64,
    interval: Option<u64>,
}

impl Open {
    /// Begins a sign-on by device code.
    pub async fn begin_device(&self, begin: &BeginDevice) -> Result<DeviceSignOn> {
        let provider = self.signing_provider(&begin.provider).await?;
        let name = provider.value.name.clone();
        if !provider.value.device_code {
            let detail =
                format!("The identity provider {name} signs nobody on by device code: its record does not allow it.");
            return Err(failed(detail));
        }
        let description = self.description(&provider).await?;
        let Some(url) = &description.device_authorization_endpoint else {
            return Err(failed(format!("The identity provider {name} knows no device codes; use a browser.")));
        };
        let asked = [("scope", scope(&provider.value))];
        let asked: Vec<(&str, &str)> = asked.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = self.post_to(&provider.value, &description, url, &asked).await?;
        let body = answer.map_err(|error| declined(&provider.value, &error))?;
        let offered = serde_json::from_slice(&body).ok().filter(Offered::can_be_shown);
        let offered = offered.ok_or_else(|| failed(format!("The identity provider {name} gave no code to show.")))?;
        let (now, interval_seconds) = (self.now(), offered.interval.unwrap_or(INTERVAL_SECONDS));
        let interval_seconds = interval_seconds.clamp(1, INTERVAL_MOST_SECONDS);
        let expires_in_seconds = offered.expires_in.min(SIGN_ON_TTL_SECONDS);
        let device = Device {
            id: self.new_uuid(),
            provider: provider.value.id,
            code: offered.device_code,
            challenge: begin.challenge,
            interval_seconds,
            begun_at: now,
            expires_at: after(now, expires_in_seconds),
        };
        self.identities.sign_ons.paces.insert(device.id, (now, interval_seconds));
        let sealed = self.identities.sign_ons.carried.seal(&device, self.random())?;
        Ok(DeviceSignOn {
            device: sealed.disclose(),
            user_code: offered.user_code,
            verification_uri: offered.verification_uri,
            verification_uri_complete: offered.verification_uri_complete,
            expires_in_seconds,
            interval_seconds,
        })
    }

    /// How far it is. Whoever asks more often than may be is answered without the provider.
    pub async fn poll_device(&self, poll: &PollDevice) -> Result<DevicePoll> {
        let ended =
            || failed("Nobody gave the code in time, it was used, or the vault was restarted meanwhile; begin again.");
        let sign_ons = &self.identities.sign_ons;
        let device = sign_ons.carried.open::<Device>(poll.device.secret()).ok_or_else(ended)?;
        let now = self.now();
        if device.expires_at <= now {
            return Err(ended());
        }
        let (asked_at, interval_seconds) =
            sign_ons.paces.get(&device.id).unwrap_or((Timestamp::MIN, device.interval_seconds));
        if now < after(asked_at, interval_seconds) {
            return Ok(DevicePoll::Pending { interval_seconds });
        }
        sign_ons.paces.insert(device.id, (now, interval_seconds));
        let provider = self.load::<IdentityProviderRecord>(&RowId::identity_provider(device.provider)).await?;
        must_sign_in(&provider.value)?;
        let description = self.description(&provider).await?;
        let asked =
            [("grant_type", "urn:ietf:params:oauth:grant-type:device_code"), ("device_code", device.code.as_str())];
        let token = match self.exchange(&provider, &description, &asked).await? {
            Ok(token) => token,
            Err(error) if error == "authorization_pending" => return Ok(DevicePoll::Pending { interval_seconds }),
            Err(error) if error == "slow_down" => {
                let interval_seconds = (interval_seconds + INTERVAL_SECONDS).min(INTERVAL_MOST_SECONDS);
                sign_ons.paces.insert(device.id, (now, interval_seconds));
                return Ok(DevicePoll::Pending { interval_seconds });
            }
            Err(error) if error == "expired_token" => return Err(ended()),
            Err(error) => return Err(declined(&provider.value, &error)),
        };
        if !sign_ons.carried.use_up(device.id, device.expires_at, now)? {
            return Err(ended());
        }
        let asked = Asked { nonce: None, begun_at: device.begun_at, trusts_mfa: false };
        let code: Secret = self.signed_on(&provider, &token, asked, device.challenge).await?;
        Ok(DevicePoll::Done { code: code.disclose() })
    }
}

impl Offered {
    /// What a terminal shows is short and plain.
    fn can_be_shown(&self) -> bool {
        let complete = self.verification_uri_complete.as_deref().unwrap_or("https://x");
        let plain = |text: &str| !text.is_empty() && text.len() <= SHOWN_MOST && !text.chars().any(char::is_control);
        let address = |text: &str| plain(text) && text.starts_with("https://");
        plain(&self.user_code) && address(&self.verification_uri) && address(complete)
    }
}

#[cfg(test)]
mod tests {
    use claviger_api::problem::ProblemType;

    use super::*;
    use crate::tests::world::{Refused as _, World, seconds, secret};

    /// Asked about in time it waits, since nobody has looked for it; at its end it is over, whoever asks.
    #[tokio::test]
    async fn a_device_that_nobody_gave_the_code_of_in_time_is_over() {
        let world = World::new().await;
        let open = world.open();
        let device = Device {
            id: Uuid::from_u128(1),
            provider: ProviderId::from_uuid(Uuid::nil()),
            code: "c".to_owned(),
            challenge: CodeChallenge::of(&secret("verifier")),
            interval_seconds: INTERVAL_SECONDS,
            begun_at: world.now(),
            expires_at: after(world.now(), SIGN_ON_TTL_SECONDS),
        };
        let sealed = open.identities.sign_ons.carried.seal(&device, open.random()).unwrap();
        let poll = || PollDevice { device: sealed.duplicate().disclose() };
        let to_its_end = i64::try_from(SIGN_ON_TTL_SECONDS).unwrap();
        world.clock.advance(seconds(to_its_end - 1));
        open.identities.sign_ons.paces.insert(device.id, (world.now(), INTERVAL_SECONDS));
        assert!(matches!(open.poll_device(&poll()).await.unwrap(), DevicePoll::Pending { .. }));
        world.clock.advance(seconds(1));
        assert_eq!(open.poll_device(&poll()).await.problem(), ProblemType::SignOnFailed);
    }
}
