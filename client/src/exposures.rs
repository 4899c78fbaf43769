//! `/v1/exposures`: who has seen a secret that still works.

use claviger_api::wire::{Exposure, ExposureQuery};

use crate::{Client, List};

/// Who has seen what.
pub struct Exposures<'a>(&'a Client);

impl Client {
    /// Who has seen a secret that still works.
    pub fn exposures(&self) -> Exposures<'_> {
        Exposures(self)
    }
}

impl Exposures<'_> {
    /// The accounts whose secret somebody has seen that still works. What one principal has seen is rotated by
    /// `rotations().start` with `exposed_to`.
    pub fn list(&self, query: ExposureQuery) -> List<'_, Exposure, ExposureQuery> {
        List::new(self.0, "/v1/exposures", query)
    }
}
