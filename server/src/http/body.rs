//! Bodies: JSON of exactly the expected form. What is wrong is told by place and kind, never by value: a body may hold
//! a password, and often holds it in the wrong place.

use actix_web::http::header::CONTENT_TYPE;
use claviger_api::ProblemType;
use claviger_api::id::BadId;
use claviger_api::name::BadName;
use claviger_api::secret::BadSecret;
use claviger_api::wire::{BadAddress, BadChallenge, BadHours, BadNetwork, BadPin, BadTicketPattern, BadUrl};
use claviger_service::{Error, Result};
use serde::de::DeserializeOwned;
use utoipa::ToSchema;

use super::call::Call;
use super::describe::Description;
use super::endpoint::Argument;
use super::refusal::malformed;

/// A JSON body. serde_json itself refuses one that is nested deeper than 128 levels.
pub struct Body<T>(pub T);

impl<T: DeserializeOwned + ToSchema> Argument for Body<T> {
    async fn take(call: &mut Call) -> Result<Self> {
        if !call.header(CONTENT_TYPE)?.is_some_and(is_json) {
            return Err(Error::new(ProblemType::UnsupportedMediaType, ""));
        }
        parse(call.body().await?).map(Self)
    }

    fn describe(description: &mut Description) {
        use ProblemType::{BodyTooLarge, InvalidValue, UnsupportedMediaType};
        let schema = description.schema::<T>();
        description.takes_body(schema);
        description.fails(&[BodyTooLarge, UnsupportedMediaType, InvalidValue]);
    }
}

fn is_json(content_type: &str) -> bool {
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    media_type.eq_ignore_ascii_case("application/json")
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    serde_json::from_slice(body).map_err(|error| malformed(explain(&error)))
}

/// Where the body is wrong, and how, in words that hold nothing of it.
fn explain(error: &serde_json::Error) -> String {
    let place = match (error.line(), error.column()) {
        (0, _) => "In the body".to_owned(),
        (line, column) => format!("At line {line}, column {column} of the body"),
    };
    let what = match error.classify() {
        serde_json::error::Category::Data => misfit(&error.to_string()),
        serde_json::error::Category::Eof => "the JSON text ends too early".to_owned(),
        serde_json::error::Category::Syntax | serde_json::error::Category::Io => {
            "the text is not JSON, or nested too deeply".to_owned()
        }
    };
    format!("{place}: {what}.")
}

/// What serde says of a value that does not fit, without the value and without names that the sender made up.
pub(super) fn misfit(message: &str) -> String {
    let ours = ["missing field `", "duplicate field `"];
    if ours.iter().any(|start| message.starts_with(start)) {
        let end = message.match_indices('`').nth(1).map_or(0, |(end, _)| end + 1);
        return message.get(..end).unwrap_or_default().to_owned();
    }
    if let Some(known) = spoken().into_iter().find(|known| message.starts_with(known.as_str())) {
        return known;
    }
    // serde ends with what it expected, in words of the contract.
    let expected = message.rsplit_once(", expected ").map(|(_, expected)| expected.split(" at line ").next());
    let what = if message.starts_with("unknown field") { "an unknown field" } else { "a value that does not fit" };
    match expected.flatten() {
        Some(expected) => format!("{what}; expected {expected}"),
        None => what.to_owned(),
    }
}

/// What the contract's own types say: it never holds the value.
fn spoken() -> Vec<String> {
    use claviger_api::{CheckoutId, GrantId, RotationId};
    let names = [BadName::Part, BadName::Path, BadName::Login].map(|bad| bad.to_string());
    let secrets = [BadSecret::Blank, BadSecret::Nul, BadSecret::TooLong].map(|bad| bad.to_string());
    let conditions = [BadHours.to_string(), BadNetwork.to_string(), BadTicketPattern.to_string()];
    let programs = [BadPin::Thumbprint.to_string(), BadPin::Name.to_string(), BadUrl.to_string()];
    let sign_on = [BadAddress.to_string(), BadChallenge.to_string()];
    let ids = [CheckoutId::PREFIX, GrantId::PREFIX, RotationId::PREFIX].map(|prefix| BadId { prefix }.to_string());
    [&names[..], &secrets, &conditions, &programs, &sign_on, &ids].concat()
}

#[cfg(test)]
mod tests {
    use claviger_api::wire::{
        Conditions, EnrolRequest, ImportRequest, InitRequest, LoginRequest, NewAccount, NewCheckout, NewCustomer,
        NewSystem,
    };

    use super::*;

    fn refused<T: DeserializeOwned>(body: &str) -> String {
        let error = parse::<T>(body.as_bytes()).err().unwrap_or_else(|| panic!("taken: {body}"));
        assert_eq!(error.problem, ProblemType::MalformedRequest);
        error.detail
    }

    #[test]
    fn a_body_is_exactly_what_is_expected() {
        assert!(parse::<NewCustomer>(br#"{"slug":"acme","display_name":"Acme"}"#).is_ok());
        for (body, detail) in [
            (r#"{"slug":"acme"}"#, "At line 1, column 15 of the body: missing field `display_name`."),
            (
                r#"{"slug":"acme","slug":"acme","display_name":"A"}"#,
                "At line 1, column 21 of the body: duplicate field `slug`.",
            ),
            (
                "{\"slug\":\"acme\",\n\"surplus\":1}",
                "At line 2, column 9 of the body: an unknown field; expected `slug` or `display_name`.",
            ),
            (
                r#"{"slug":7,"display_name":"A"}"#,
                "At line 1, column 9 of the body: a value that does not fit; expected a string.",
            ),
            (r#"{"slug":"#, "At line 1, column 8 of the body: the JSON text ends too early."),
            ("", "At line 1, column 0 of the body: the JSON text ends too early."),
            (
                r#"{"slug":"acme","display_name":"A"} x"#,
                "At line 1, column 36 of the body: the text is not JSON, or nested too deeply.",
            ),
        ] {
            assert_eq!(refused::<NewCustomer>(body), detail);
        }
        let name = refused::<NewCustomer>(r#"{"slug":"Acme","display_name":"A"}"#);
        assert!(name.ends_with(&format!("{}.", BadName::Part)), "{name}");
        let ticket = refused::<Conditions>(r#"{"ticket":"(INC"}"#);
        assert!(ticket.contains("a whole ticket must match it"), "{ticket}");
        let hours = refused::<Conditions>(r#"{"hours":"08:00-18:00"}"#);
        assert!(hours.contains("'Mon-Fri 08:00-18:00, Sat 09:00-12:00 Europe/Berlin'"), "{hours}");
        let network = refused::<Conditions>(r#"{"networks":["10.0.0.1/8"]}"#);
        assert!(network.contains("192.0.2.0/24"), "{network}");
        assert!(refused::<LoginRequest>(r#"{"method":"token","token":" "}"#).contains("not empty or blank"));
    }

    #[test]
    fn what_is_refused_is_not_repeated() {
        let canary = "kanarienvogel-4711";
        let taken = [
            refused::<NewCustomer>(&format!(r#"{{"slug":"{canary}!","display_name":"A"}}"#)),
            refused::<NewCustomer>(&format!(r#"{{"{canary}":1}}"#)),
            refused::<NewCustomer>(&format!(r#"{{"{canary}, expected ":1}}"#)),
            refused::<NewCheckout>(&format!(r#"{{"account":"{canary}","reason":"x"}}"#)),
            refused::<NewCheckout>(&format!(r#"{{"account":"a/b/c","reason":"x","claim":"{canary}"}}"#)),
            refused::<NewCheckout>(&format!(r#"{{"account":"a/b/c","reason":"x","claim":"x, expected {canary}"}}"#)),
            refused::<NewCheckout>(&format!(r#"{{"account":"a/b/c","reason":"x","ttl_seconds":"{canary}"}}"#)),
            refused::<LoginRequest>(&format!(r#"{{"method":"{canary}"}}"#)),
            refused::<LoginRequest>(&format!(r#"{{"method":"password","name":"{canary}!","password":"p"}}"#)),
            refused::<LoginRequest>(&format!(r#"{{"method":"password","name":["{canary}"],"password":"p"}}"#)),
            refused::<LoginRequest>(&format!(r#""{canary}""#)),
            refused::<EnrolRequest>(&format!(r#"{{"name":"a","enrolment":{{"{canary}":"{canary}"}},"password":"p"}}"#)),
            refused::<InitRequest>(&format!(r#"{{"seal":"shamir","shares":"{canary}","threshold":1}}"#)),
            refused::<NewSystem>(&format!(r#"{{"name":"a","spec":{{"kind":"{canary}"}}}}"#)),
            refused::<NewAccount>(&format!(r#"{{"name":"a","secret":"\u0000{canary}"}}"#)),
            refused::<NewAccount>(&format!(r#"{{"name":"a","login":"\u0007{canary}"}}"#)),
            refused::<ImportRequest>(&format!(r#"{{"rows":["{canary}"]}}"#)),
            refused::<Conditions>(&format!(r#"{{"ticket":"({canary}"}}"#)),
            refused::<Conditions>(&format!(r#"{{"networks":["{canary}"]}}"#)),
            refused::<Conditions>(&format!(r#"{{"hours":"Mon-Fri 08:00-18:00 {canary}"}}"#)),
            refused::<ImportRequest>(&format!("{{{canary}")),
        ];
        for detail in taken {
            assert!(!detail.contains("kanarienvogel"), "{detail}");
        }
    }

    #[test]
    fn anvil_json_bombs_deep_and_wide_bodies_are_refused_in_bounded_memory() {
        let deep = "[".repeat(500_000);
        for body in [deep.clone(), format!(r#"{{"rows":{deep}"#), format!(r#"{{"method":{deep}"#)] {
            refused::<ImportRequest>(&body);
            refused::<LoginRequest>(&body);
        }
        let wide = format!(r#"{{"rows":[{}]}}"#, "0,".repeat(400_000).trim_end_matches(','));
        refused::<ImportRequest>(&wide);
        let huge_number = format!(r#"{{"account":"a/b/c","reason":"x","ttl_seconds":{}}}"#, "9".repeat(100_000));
        assert!(refused::<NewCheckout>(&huge_number).len() < 200);
        let many_names = format!("{{{}\"method\":\"token\"}}", r#""a":1,"#.repeat(100_000));
        refused::<LoginRequest>(&many_names);
    }

    #[test]
    fn json_is_said_to_be_json() {
        for json in ["application/json", "Application/JSON; charset=utf-8"] {
            assert!(is_json(json));
        }
        for other in ["", "text/plain", "application/jsonp", "application/x-www-form-urlencoded"] {
            assert!(!is_json(other));
        }
    }
}
