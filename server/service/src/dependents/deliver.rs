//! Bringing dependents up to date: what is due is done, what came of it is stored, the next one has its turn.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::wire::{HttpsUrl, ProbeResult};
use claviger_api::{AccountId, AccountPath, CustomerId, RotationId, Timestamp};
use claviger_connectors::https::{self, Answer, Question};
use claviger_connectors::{Credential, FileCopy, SetOutcome};
use claviger_core::follow_up::{Dependent, News};
use claviger_store::RowId;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::inventory::Place;
use crate::open::{Open, deciding};
use crate::records::{AccountRecord, FollowUpRecord, SystemRecord};

/// What is read of an answer to a webhook; nothing of it is kept.
const ANSWER_MAX: usize = 64 * 1024;
/// Statuses that say that it was taken in (RFC 9110).
const TAKEN: std::ops::Range<u16> = 200..300;

/// What became of an attempt.
type Told = std::result::Result<(), Failed>;

/// Why a dependent is not up to date, as far as anybody knows.
struct Failed {
    trouble: String,
    /// Another attempt would fail as well until somebody has done something, and may do harm.
    in_vain: bool,
}

/// The body of a webhook. There is no secret in it.
#[derive(Serialize)]
struct Message<'a> {
    r#type: &'static str,
    timestamp: Timestamp,
    data: MessageOf<'a>,
}

#[derive(Serialize)]
struct MessageOf<'a> {
    account: &'a AccountPath,
    account_id: AccountId,
    version: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    rotation_id: Option<RotationId>,
}

impl Open {
    /// Does what is due for an account's dependents, until one cannot be brought up to date or none waits.
    pub(crate) async fn follow_up(&self, customer: CustomerId, account: AccountId) -> Result<()> {
        while self.follow_up_once(customer, account).await? {}
        Ok(())
    }

    /// Whether there may be more to do now.
    async fn follow_up_once(&self, customer: CustomerId, account: AccountId) -> Result<bool> {
        let id = RowId::follow_up(customer, account);
        let Some(row) = self.read::<FollowUpRecord>(&id).await? else { return Ok(false) };
        let follow_up = &row.value.0;
        let due = follow_up.next_at.is_some_and(|due| due <= self.now());
        let Some((((at, dependent), news), true)) = follow_up.turn().zip(follow_up.news).zip(Some(due)) else {
            return Ok(false);
        };
        let record = self.load::<AccountRecord>(&RowId::account(customer, account)).await?.value;
        let place = Place { customer, system: record.system, account };
        let told = match dependent {
            Dependent::Webhook { url, ca_certificate } => {
                let path = self.path_of(customer, &record).await?;
                self.tell(place, &path, (url, ca_certificate.as_deref()), &news, at).await?
            }
            Dependent::File { .. } => self.give_copy(place, dependent, &news).await?,
        };
        deciding(|| async {
            let Some(now) = self.read::<FollowUpRecord>(&id).await? else { return Ok(false) };
            // A newer secret, another list or a person came first: what became of this attempt is no news any more.
            let same = now.value.0.news == Some(news) && now.value.0.turn() == Some((at, dependent));
            if !same {
                return Ok(true);
            }
            let (kind, next) = match &told {
                Ok(()) => (EventKind::DependentUpdated, now.value.0.clone().updated(self.now())),
                Err(failed) => {
                    let next = now.value.0.clone().failed(failed.trouble.clone(), failed.in_vain, self.now());
                    (EventKind::DependentFailed, next)
                }
            };
            let event = self.dependent_event(kind, place, &now.value.0, dependent, None).await?;
            let event = match &told {
                Ok(()) => event,
                Err(failed) => event.with(FieldName::Outcome, &failed.trouble),
            };
            self.commit(self.with_follow_up(self.change(event), customer, &now, next)?).await?;
            Ok(told.is_ok())
        })
        .await
    }

    /// A signed POST, as Standard Webhooks writes it: a repeat has the same id.
    async fn tell(
        &self,
        place: Place,
        account: &AccountPath,
        (url, ca): (&HttpsUrl, Option<&str>),
        news: &News,
        at: usize,
    ) -> Result<Told> {
        let key = self.keyring().webhook_key(self.ground().store.as_ref(), place.customer).await?;
        let key = key.ok_or_else(|| Error::internal("webhooks without a key"))?;
        let data = MessageOf { account, account_id: place.account, version: news.version, rotation_id: news.rotation };
        let message = Message { r#type: "secret.rotated", timestamp: news.since, data };
        let body = serde_json::to_string(&message).map_err(Error::internal)?;
        let (id, seconds) = (format!("{}-{}", news.id, at + 1), self.now().as_second());
        let signature = STANDARD.encode(key.sign(format!("{id}.{seconds}.{body}").as_bytes()));
        let headers = vec![
            ("webhook-id", id),
            ("webhook-timestamp", seconds.to_string()),
            ("webhook-signature", format!("v1a,{signature}")),
        ];
        let question = Question::Json { body: body.into(), headers };
        let answered = https::ask_for_any(self.ground().dial.as_ref(), url, ca, question, ANSWER_MAX).await;
        Ok(match answered {
            Ok(Answer { status, .. }) if TAKEN.contains(&status) => Ok(()),
            Ok(Answer { status, .. }) => {
                Err(Failed { trouble: format!("it answered with status {status}"), in_vain: false })
            }
            Err(error) => Err(Failed { trouble: error.to_string(), in_vain: false }),
        })
    }

    /// The present secret, into a file on a host of the customer's.
    async fn give_copy(&self, place: Place, dependent: &Dependent, news: &News) -> Result<Told> {
        let Dependent::File { system, path, owner, group, mode } = dependent else {
            return Err(Error::internal("only a file holds a copy"));
        };
        let host = self.load::<SystemRecord>(&RowId::system(place.customer, *system)).await?.value;
        let Some((login, secret)) = self.management(place.customer, &host).await? else {
            let trouble = format!("system {} has no management account with a stored secret", host.name);
            return Ok(Err(Failed { trouble, in_vain: false }));
        };
        let copy = self.secret(place.customer, place.account, news.version).await?;
        let file = FileCopy { path, owner, group, mode: *mode, secret: &copy };
        let by = Credential { login: &login, secret: &secret };
        let outcome = self.ground().connectors.connector(&host.spec).put_file(&host.spec, &by, &file).await;
        Ok(match outcome {
            SetOutcome::Applied => Ok(()),
            SetOutcome::NotSent { result, detail } => Err(Failed {
                trouble: detail,
                in_vain: matches!(result, ProbeResult::Refused | ProbeResult::LockedOut),
            }),
            SetOutcome::Refused { detail, .. } | SetOutcome::Unknown(detail) => {
                Err(Failed { trouble: detail, in_vain: false })
            }
        })
    }
}
