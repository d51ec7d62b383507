//! A signature's file: a bundle of Sigstore's with a DSSE envelope, in JSON.

use base64ct::{Base64, Encoding as _};
use serde::{Deserialize, Serialize};

use super::keys::{PrivateKey, PublicKey};
use crate::RunError;

/// What a bundle is of.
const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// What an envelope is around.
const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bundle {
    media_type: String,
    verification_material: Material,
    dsse_envelope: Envelope,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Material {
    /// None where somebody signed with something else.
    #[serde(default)]
    public_key: Option<KeyName>,
    /// Entries of a log, which keys of one's own have none of.
    #[serde(default)]
    tlog_entries: Vec<serde_json::Value>,
}

#[derive(Serialize, Deserialize)]
struct KeyName {
    #[serde(default)]
    hint: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    payload: String,
    payload_type: String,
    signatures: Vec<Signature>,
}

#[derive(Serialize, Deserialize)]
struct Signature {
    sig: String,
    #[serde(default)]
    keyid: String,
}

/// The bundle of a statement, signed.
pub(super) fn seal(statement: &str, key: &PrivateKey) -> Result<String, RunError> {
    let signature = key.sign(&encoded(statement.as_bytes()))?;
    let hint = Some(key.public()?.hint().to_owned());
    let bundle = Bundle {
        media_type: MEDIA_TYPE.to_owned(),
        verification_material: Material { public_key: Some(KeyName { hint }), tlog_entries: Vec::new() },
        dsse_envelope: Envelope {
            payload: Base64::encode_string(statement.as_bytes()),
            payload_type: PAYLOAD_TYPE.to_owned(),
            signatures: vec![Signature { sig: Base64::encode_string(&signature), keyid: String::new() }],
        },
    };
    serde_json::to_string(&bundle).map_err(|error| RunError::Config(error.to_string()))
}

/// The statement of a bundle, once its signature is known to be the key's.
pub(super) fn open(text: &[u8], key: &PublicKey) -> Result<Vec<u8>, String> {
    let bundle: Bundle =
        serde_json::from_slice(text).map_err(|error| format!("expected a bundle: {error}"))?;
    let Bundle { media_type, verification_material, dsse_envelope } = bundle;
    let Envelope { payload, payload_type, signatures } = dsse_envelope;
    for (what, expected, found) in
        [("a bundle of", MEDIA_TYPE, media_type), ("an envelope of", PAYLOAD_TYPE, payload_type)]
    {
        if found != expected {
            return Err(format!("expected {what} {expected}, found {found}"));
        }
    }
    let Some(named) = verification_material.public_key else {
        return Err("expected a signature of a key, found one of a certificate or of another kind".to_owned());
    };
    if let Some(found) = named.hint.filter(|hint| !hint.is_empty() && hint != key.hint()) {
        return Err(format!(
            "it is of another key: expected the key whose PEM text has SHA-256 {}, found {found}",
            key.hint()
        ));
    }
    let [signature] = signatures.as_slice() else {
        return Err(format!("expected one signature, found {}", signatures.len()));
    };
    let decode = |what: &str, text: &str| {
        Base64::decode_vec(text).map_err(|error| format!("expected {what} in base64: {error}"))
    };
    let (payload, signature) = (decode("a payload", &payload)?, decode("a signature", &signature.sig)?);
    if key.check(&encoded(&payload), &signature) {
        return Ok(payload);
    }
    Err("the signature is not the key's, or what it is of was changed".to_owned())
}

/// What is signed: the payload with its type and both lengths before it (DSSE's pre-authentication encoding).
fn encoded(payload: &[u8]) -> Vec<u8> {
    let before = format!("DSSEv1 {} {PAYLOAD_TYPE} {} ", PAYLOAD_TYPE.len(), payload.len());
    [before.as_bytes(), payload].concat()
}
