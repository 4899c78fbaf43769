//! Looking for a text in whatever form somebody may have written it.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

/// A text, and how it looks in each form.
pub struct Needle {
    text: String,
    forms: Vec<(&'static str, Vec<u8>)>,
}

impl Needle {
    pub fn new(text: &str) -> Self {
        let bytes = text.as_bytes();
        let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let json = serde_json::to_string(text).unwrap();
        let mut forms = vec![
            ("raw", bytes.to_vec()),
            ("UTF-16", utf16),
            ("hex", hex::encode(bytes).into_bytes()),
            ("HEX", hex::encode_upper(bytes).into_bytes()),
            ("JSON", json.trim_matches('"').as_bytes().to_vec()),
            ("URL", percent_encoded(bytes)),
        ];
        for shift in 0..3 {
            forms.push(("base64", inner_base64(&STANDARD, shift, bytes)));
            forms.push(("base64url", inner_base64(&URL_SAFE, shift, bytes)));
        }
        forms.retain(|(_, bytes)| !bytes.is_empty());
        forms.sort_by(|(_, a), (_, b)| a.cmp(b));
        forms.dedup_by(|(_, a), (_, b)| a == b);
        Self { text: text.to_owned(), forms }
    }

    /// Where it is, in which form, and what stands around it.
    pub fn found_in(&self, name: &str, haystack: &[u8]) -> Option<String> {
        self.forms.iter().find_map(|(form, bytes)| {
            let at = memchr::memmem::find(haystack, bytes)?;
            let around = &haystack[at.saturating_sub(80)..haystack.len().min(at + bytes.len() + 80)];
            Some(format!("{} is in {name} ({form}): {}", self.text, String::from_utf8_lossy(around)))
        })
    }
}

/// Every place in which any of the needles is.
pub fn found(needles: &[Needle], haystacks: &[(String, Vec<u8>)]) -> Vec<String> {
    let each = haystacks.iter().flat_map(|(name, bytes)| needles.iter().filter_map(|it| it.found_in(name, bytes)));
    each.collect()
}

/// All files below a folder, by name.
pub fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push((path.display().to_string(), fs::read(&path).unwrap()));
        }
    }
    found
}

/// The middle of the base64 of a text that begins at this place of a group of three bytes: what does not depend on its
/// neighbours.
fn inner_base64(engine: &base64::engine::GeneralPurpose, shift: usize, bytes: &[u8]) -> Vec<u8> {
    let text = engine.encode([vec![0; shift], bytes.to_vec()].concat());
    let whole_groups = (shift + bytes.len()) / 3 * 4;
    text.as_bytes()[if shift == 0 { 0 } else { 4 }..whole_groups].to_vec()
}

fn percent_encoded(bytes: &[u8]) -> Vec<u8> {
    let one = |byte: &u8| {
        if byte.is_ascii_alphanumeric() { vec![*byte] } else { format!("%{byte:02X}").into_bytes() }
    };
    bytes.iter().flat_map(one).collect()
}

/// A search that finds nothing anywhere would find no leak either.
#[test]
fn every_form_is_found() {
    let secret = "canary-\"7\\ä/+ x";
    let needle = Needle::new(secret);
    let all = [
        secret.to_owned(),
        serde_json::json!({ "secret": secret }).to_string(),
        hex::encode(secret),
        hex::encode_upper(secret),
        STANDARD.encode(secret),
        STANDARD.encode(format!("a{secret}b")),
        STANDARD.encode(format!("ab{secret}")),
        URL_SAFE.encode(format!("abc{secret}d")),
        "canary%2D%227%5C%C3%A4%2F%2B%20x".to_owned(),
    ];
    for hidden in all {
        assert!(needle.found_in("it", format!("before {hidden} after").as_bytes()).is_some(), "{hidden}");
    }
    assert!(needle.found_in("it", b"canary-7 and nothing else").is_none());
}
