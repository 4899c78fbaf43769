//! The page on which a browser shows a passkey for a command line: three files, in the program itself. Nothing in them comes
//! from elsewhere, no script stands in the page, and no other site may frame it.

use std::marker::PhantomData;

use actix_web::HttpResponse;
use actix_web::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_FRAME_OPTIONS};
use claviger_service::Result;
use utoipa::openapi::{ContentBuilder, Object, ResponseBuilder, Schema, Type};

use super::answer::Answer;
use super::describe::Description;
use super::door::{Guest, Probe};
use super::endpoint::Endpoint;

/// Only its own files, and only itself to talk to.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/passkey", "passkeyPage", "The page on which a browser shows a passkey.", show::<Page>),
        Endpoint::get("/passkey.js", "passkeyScript", "The script of that page.", show::<Script>),
        Endpoint::get("/passkey.css", "passkeyStyle", "The looks of that page.", show::<Style>),
    ]
}

async fn show<F: File + 'static>(_: Guest<Probe>) -> Result<Served<F>> {
    Ok(Served(PhantomData))
}

/// A file that the program holds.
trait File {
    /// Its media type (RFC 9110).
    const MEDIA_TYPE: &'static str;
    /// What it holds, in UTF-8.
    const TEXT: &'static str;
}

enum Page {}
enum Script {}
enum Style {}

impl File for Page {
    const MEDIA_TYPE: &'static str = "text/html";
    const TEXT: &'static str = include_str!("page/passkey.html");
}
impl File for Script {
    const MEDIA_TYPE: &'static str = "text/javascript";
    const TEXT: &'static str = include_str!("page/passkey.js");
}
impl File for Style {
    const MEDIA_TYPE: &'static str = "text/css";
    const TEXT: &'static str = include_str!("page/passkey.css");
}

/// 200 with a file.
struct Served<F>(PhantomData<fn() -> F>);

impl<F: File> Answer for Served<F> {
    fn response(self) -> Result<HttpResponse> {
        Ok(HttpResponse::Ok()
            .insert_header((CONTENT_TYPE, format!("{}; charset=utf-8", F::MEDIA_TYPE)))
            .insert_header((CONTENT_SECURITY_POLICY, POLICY))
            .insert_header((X_FRAME_OPTIONS, "DENY"))
            .insert_header((REFERRER_POLICY, "no-referrer"))
            .insert_header(("Cross-Origin-Opener-Policy", "same-origin"))
            .body(F::TEXT))
    }

    fn describe(description: &mut Description) {
        let content = ContentBuilder::new().schema(Some(Schema::from(Object::with_type(Type::String)))).build();
        let response = ResponseBuilder::new().description("The file.");
        description.answers(200, response.content(F::MEDIA_TYPE, content).build());
    }
}
