//! What handlers answer: a status, and a body of the public contract.

use std::io;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{ContentType, LOCATION, REFERRER_POLICY, SET_COOKIE};
use bytes::Bytes;
use claviger_api::wire;
use claviger_service::{Error, Page, Result};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::{
    ContentBuilder, KnownFormat, Object, ObjectBuilder, RefOr, Response, ResponseBuilder, Schema, SchemaFormat,
};
use zeroize::{Zeroize, Zeroizing};

use super::describe::Description;

/// Most answers fit; a larger one grows.
const USUAL_BYTES: usize = 4096;

/// An answer to a request that was served.
pub trait Answer {
    /// The answer as HTTP.
    fn response(self) -> Result<HttpResponse>;

    /// Says which status and body it is.
    fn describe(description: &mut Description);
}

/// 200 with a body.
pub struct Json<T>(pub T);
/// 201 with what was made.
pub struct Created<T>(pub T);
/// 202 with what was started.
pub struct Accepted<T>(pub T);
/// 204.
pub struct NoContent;
/// 303: a browser goes elsewhere, and takes or gives up what it carries.
pub struct SeeOther {
    /// Where.
    pub location: String,
    /// The header `Set-Cookie`.
    pub cookie: Zeroizing<String>,
}
/// 200 with one page of a list.
pub struct Listed<T>(pub Page<T>);
/// 200 with lines of JSON, each ending in its newline.
pub struct Lines(pub Vec<String>);
/// 200 with an encrypted file.
pub struct File(pub Vec<u8>);
/// 200 with a JSON text that is there already.
pub struct Text(pub Bytes);

macro_rules! bodies {
    ($($name:ident $status:ident;)*) => {$(
        impl<T: Serialize + ToSchema> Answer for $name<T> {
            fn response(self) -> Result<HttpResponse> {
                json(StatusCode::$status, &self.0)
            }

            fn describe(description: &mut Description) {
                let schema = description.schema::<T>();
                description.answers(StatusCode::$status.as_u16(), with_json(schema));
            }
        }
    )*};
}

bodies! {
    Json OK;
    Created CREATED;
    Accepted ACCEPTED;
}

impl<T: Serialize + ToSchema> Answer for Listed<T> {
    fn response(self) -> Result<HttpResponse> {
        json(StatusCode::OK, &wire::Page::from(self.0))
    }

    fn describe(description: &mut Description) {
        description.schema::<T>();
        let schema = description.inline_schema::<wire::Page<T>>();
        description.answers(200, with_json(schema));
    }
}

impl Answer for NoContent {
    fn response(self) -> Result<HttpResponse> {
        Ok(HttpResponse::NoContent().finish())
    }

    fn describe(description: &mut Description) {
        description.answers(204, Response::new("Done."));
    }
}

impl Answer for SeeOther {
    fn response(self) -> Result<HttpResponse> {
        let mut response = HttpResponse::SeeOther();
        response.insert_header((LOCATION, self.location)).insert_header((SET_COOKIE, self.cookie.as_str()));
        // The address that the browser comes from has a code in it.
        Ok(response.insert_header((REFERRER_POLICY, "no-referrer")).finish())
    }

    fn describe(description: &mut Description) {
        description.answers(303, Response::new("Elsewhere."));
    }
}

impl Answer for Lines {
    fn response(self) -> Result<HttpResponse> {
        Ok(HttpResponse::Ok().content_type("application/jsonl").body(self.0.concat()))
    }

    fn describe(description: &mut Description) {
        let text = Object::with_type(utoipa::openapi::Type::String);
        let content = ContentBuilder::new().schema(Some(Schema::from(text))).build();
        let response = ResponseBuilder::new().description("One JSON object a line.");
        description.answers(200, response.content("application/jsonl", content).build());
    }
}

impl Answer for File {
    fn response(self) -> Result<HttpResponse> {
        Ok(HttpResponse::Ok().content_type(ContentType::octet_stream()).body(self.0))
    }

    fn describe(description: &mut Description) {
        let bytes = ObjectBuilder::new()
            .schema_type(utoipa::openapi::Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Binary)));
        let content = ContentBuilder::new().schema(Some(Schema::from(bytes.build()))).build();
        let response = ResponseBuilder::new().description("The file, encrypted.");
        description.answers(200, response.content("application/octet-stream", content).build());
    }
}

impl Answer for Text {
    fn response(self) -> Result<HttpResponse> {
        Ok(HttpResponse::Ok().content_type(ContentType::json()).body(self.0))
    }

    fn describe(description: &mut Description) {
        let object = Object::with_type(utoipa::openapi::Type::Object);
        description.answers(200, with_json(RefOr::T(Schema::from(object))));
    }
}

fn json(status: StatusCode, value: &impl Serialize) -> Result<HttpResponse> {
    let mut body = Wiped(Zeroizing::new(Vec::with_capacity(USUAL_BYTES)));
    serde_json::to_writer(&mut body, value).map_err(|_| Error::internal("an answer cannot be written as JSON"))?;
    // Any answer may hold a secret: the bytes are wiped once they were sent.
    Ok(HttpResponse::build(status).content_type(ContentType::json()).body(Bytes::from_owner(body.0)))
}

fn with_json(schema: RefOr<Schema>) -> Response {
    let content = ContentBuilder::new().schema(Some(schema)).build();
    ResponseBuilder::new().description("Done.").content("application/json", content).build()
}

/// A buffer that wipes what it leaves behind when it grows.
struct Wiped(Zeroizing<Vec<u8>>);

impl io::Write for Wiped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.capacity() - self.0.len() < bytes.len() {
            let mut larger = Vec::with_capacity((self.0.len() + bytes.len()) * 2);
            larger.extend_from_slice(&self.0);
            self.0.zeroize();
            *self.0 = larger;
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
