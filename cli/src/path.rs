//! `customer/system`: the first two parts of an account's path.

use std::str::FromStr;

use claviger_client::api::Part;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemPath {
    pub customer: Part,
    pub system: Part,
}

impl FromStr for SystemPath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (customer, system) =
            text.split_once('/').ok_or_else(|| "a system is customer/system, e.g. acme/dc01".to_owned())?;
        let part = |text: &str| text.parse::<Part>().map_err(|error| error.to_string());
        Ok(Self { customer: part(customer)?, system: part(system)? })
    }
}
