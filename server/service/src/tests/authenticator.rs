//! An authenticator and the browser around it, as far as the vault sees them: what they answer is signed with a real key,
//! and is right unless a test makes it wrong. A real browser is in `tests/tests/passkeys.rs`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use claviger_api::wire::CeremonyShown;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData as _, SigningKey as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// Flags of the authenticator data (WebAuthn, 6.1).
const PRESENT: u8 = 0x01;
const VERIFIED: u8 = 0x04;
const NEW_KEY: u8 = 0x40;

/// One passkey in an authenticator.
pub struct Authenticator {
    key: KeyPair,
    id: Vec<u8>,
    /// How often it has signed; 0 of one that does not count.
    pub counter: u32,
    /// Whether it looks who is there, not only whether somebody is.
    pub verifies: bool,
    /// Where its browser is.
    pub origin: &'static str,
    /// For which host name it signs.
    pub site: &'static str,
}

impl Authenticator {
    pub fn new(id: u8) -> Self {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let (origin, site) = ("https://vault.msp.example", "vault.msp.example");
        Self { key, id: vec![id; 32], counter: 1, verifies: true, origin, site }
    }

    /// Makes the passkey.
    pub fn makes(&self, shown: &CeremonyShown) -> Value {
        let mut data = self.data(NEW_KEY);
        data.extend([0; 16]);
        data.extend(u16::try_from(self.id.len()).unwrap().to_be_bytes());
        data.extend(&self.id);
        data.extend(self.cose_key());
        let mut object = b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x58".to_vec();
        object.push(u8::try_from(data.len()).unwrap());
        object.extend(&data);
        let client_data = self.client_data("webauthn.create", shown);
        self.credential(&json!({ "attestationObject": text(&object), "clientDataJSON": text(&client_data) }))
    }

    /// Shows the passkey; it has signed once more then.
    pub fn shows(&mut self, shown: &CeremonyShown) -> Value {
        self.counter += u32::from(self.counter > 0);
        let (data, client_data) = (self.data(0), self.client_data("webauthn.get", shown));
        let signed = [data.as_slice(), &Sha256::digest(&client_data)].concat();
        let signature = self.key.sign(&signed).unwrap();
        self.credential(&json!({
            "authenticatorData": text(&data), "clientDataJSON": text(&client_data), "signature": text(&signature),
            "userHandle": null,
        }))
    }

    fn credential(&self, response: &Value) -> Value {
        json!({ "id": text(&self.id), "rawId": text(&self.id), "type": "public-key", "response": response })
    }

    fn data(&self, flags: u8) -> Vec<u8> {
        let flags = flags | PRESENT | if self.verifies { VERIFIED } else { 0 };
        let mut data = Sha256::digest(self.site).to_vec();
        data.push(flags);
        data.extend(self.counter.to_be_bytes());
        data
    }

    fn client_data(&self, kind: &str, shown: &CeremonyShown) -> Vec<u8> {
        let challenge = &shown.options["publicKey"]["challenge"];
        let data = json!({ "type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": false });
        serde_json::to_vec(&data).unwrap()
    }

    /// `{1: 2, 3: -7, -1: 1, -2: x, -3: y}` in CBOR (RFC 9053).
    fn cose_key(&self) -> Vec<u8> {
        let point = self.key.der_bytes();
        let (x, y) = point[1..].split_at(32);
        [b"\xa5\x01\x02\x03\x26\x20\x01\x21\x58\x20".as_slice(), x, b"\x22\x58\x20", y].concat()
    }
}

fn text(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
