//! Certificates that are signed under a checkout, instead of a secret that is shown.

use claviger_api::{PrincipalId, Timestamp};
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::{Checkout, Refusal, State};
use crate::rotation::later;

/// A certificate is good from so long before it was signed: a host's clock may be slow.
pub const CERTIFICATES_BEGIN_BEFORE: SignedDuration = SignedDuration::from_mins(1);
/// The wait after the first try that was not refused; doubled each time, up to [`TRY_WAIT_MOST`].
const TRY_WAIT_FIRST: SignedDuration = SignedDuration::from_secs(2);
/// The longest wait between two tries.
const TRY_WAIT_MOST: SignedDuration = SignedDuration::from_mins(15);
/// Certificates end on whole seconds of the host's clock.
const AFTER_THE_END: SignedDuration = SignedDuration::from_secs(1);

/// The certificates of one checkout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificates {
    /// The serial number of the first; those after it count on.
    pub first_serial: u64,
    /// How many were signed.
    pub count: u64,
    /// Whom the last one is good for.
    pub principals: Vec<String>,
    /// When the last of them has ended, whole seconds.
    pub valid_before: Timestamp,
    /// How often the vault's own was tried after the end in vain.
    #[serde(default)]
    pub tries: u32,
}

impl Certificates {
    /// The serial number of the last one.
    pub fn last_serial(&self) -> u64 {
        self.first_serial.saturating_add(self.count.saturating_sub(1))
    }

    /// When to try again after a try that was not refused: soon, then ever more rarely, and at once when the last
    /// certificate has ended.
    #[must_use]
    pub fn next_try(&self, now: Timestamp) -> Timestamp {
        let doubled = TRY_WAIT_FIRST.saturating_mul(1_i32.checked_shl(self.tries.min(16)).unwrap_or(1));
        let next = later(now, doubled.min(TRY_WAIT_MOST));
        if now < self.valid_before { next.min(later(self.valid_before, AFTER_THE_END)) } else { next }
    }
}

impl Checkout {
    /// The holder's key is signed: one more use of the right, like a reveal. The certificate ends with the checkout, on the
    /// whole second before it. `new_serial` numbers the first.
    pub fn certify(
        self,
        principals: Vec<String>,
        new_serial: u64,
        still: impl Fn(PrincipalId) -> bool,
        now: Timestamp,
    ) -> Result<(Self, Timestamp), Refusal> {
        let mut used = self.used(still, now)?;
        let State::Active(right) = used.state else { return Err(Refusal::NotReady) };
        let end = Timestamp::from_second(right.expires_at.as_second()).unwrap_or(now);
        if end <= now {
            return Err(Refusal::Ended);
        }
        used.certificates = Some(match used.certificates {
            None => Certificates { first_serial: new_serial, count: 1, principals, valid_before: end, tries: 0 },
            // After the use was made shorter, an earlier one may still be good for longer.
            Some(before) => Certificates {
                count: before.count.saturating_add(1),
                principals,
                valid_before: before.valid_before.max(end),
                ..before
            },
        });
        Ok((used, end))
    }
}

#[cfg(test)]
mod tests {
    use claviger_api::wire::RevocationState;

    use super::super::tests::active;
    use super::*;
    use crate::account::AccountState;

    fn at(second: i64, millisecond: i64) -> Timestamp {
        Timestamp::from_millisecond(second * 1000 + millisecond).unwrap()
    }

    #[test]
    fn anvil_lease_edges_a_certificate_never_outlives_its_checkout() {
        let checkout = active(at(1000, 900), 60);
        for now in [at(1000, 900), at(1030, 0), at(1059, 999)] {
            let (_, end) = checkout.clone().certify(vec!["root".to_owned()], 7, |_| true, now).unwrap();
            assert_eq!(end, at(1060, 0), "the whole second before 1060.9");
        }
        for late in [at(1060, 0), at(1060, 899), at(1060, 900), at(2000, 0)] {
            let refused = checkout.clone().certify(vec!["root".to_owned()], 7, |_| true, late);
            assert_eq!(refused.err(), Some(Refusal::Ended), "{late}");
        }
    }

    #[test]
    fn the_end_of_a_checkout_with_certificates_is_to_be_proven() {
        let (checkout, _) = active(at(1000, 0), 60).certify(vec!["root".to_owned()], 7, |_| true, at(1001, 0)).unwrap();
        let (checkout, _) = checkout.certify(vec!["root".to_owned()], 99, |_| true, at(1002, 0)).unwrap();
        let signed = checkout.certificates.clone().unwrap();
        assert_eq!((signed.first_serial, signed.last_serial(), checkout.reveals), (7, 8, 2));
        let mut account = AccountState::default();
        let ended = checkout.end(claviger_api::wire::EndCause::CheckedIn, true, &mut account, at(1010, 0)).unwrap();
        let State::Ended { revocation, .. } = ended.state else { panic!("ended") };
        assert_eq!((revocation.state, revocation.sessions_may_remain), (RevocationState::Pending, true));
        assert!(account.in_use() && account.to_revoke.is_empty(), "there is something to prove, and nothing to rotate");
    }

    #[test]
    fn a_try_is_due_as_soon_as_the_last_certificate_has_ended() {
        let signed = |tries| Certificates {
            first_serial: 7,
            count: 1,
            principals: Vec::new(),
            valid_before: at(1060, 0),
            tries,
        };
        assert_eq!(signed(0).next_try(at(1010, 0)), at(1012, 0));
        assert_eq!(signed(9).next_try(at(1010, 0)), at(1061, 0), "not past the end");
        assert_eq!(signed(40).next_try(at(1061, 0)), at(1061 + 900, 0));
    }
}
