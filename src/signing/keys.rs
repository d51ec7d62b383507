//! Keys of elliptic curves, from PEM files.
//!
//! A private key is PKCS #8 (`BEGIN PRIVATE KEY`) or SEC 1 (`BEGIN EC PRIVATE KEY`), a public one is `BEGIN PUBLIC KEY`, as
//! `openssl` writes them. Each curve has the hash that Sigstore names with it: SHA-256, SHA-384 and SHA-512.

use std::path::Path;

use p256::ecdsa::signature::{Signer, Verifier};
use p256::elliptic_curve::pkcs8::{DecodePrivateKey, DecodePublicKey, EncodePublicKey, LineEnding};

use super::wrong;
use crate::RunError;
use crate::error::AtPath;
use crate::hash;

/// What keys are needed, for errors.
const WANTED: &str = "of the curve P-256, P-384 or P-521";

/// A key that signs.
pub struct PrivateKey(Box<dyn Signs>);

/// The key that checks what its private one has signed.
pub struct PublicKey {
    key: Box<dyn Checks>,
    hint: String,
}

trait Signs {
    /// The signature of a message, in DER.
    fn sign(&self, message: &[u8]) -> Option<Vec<u8>>;
    /// The public key, in PEM.
    fn public(&self) -> Option<String>;
}

trait Checks {
    /// Whether a signature in DER is of a message.
    fn check(&self, message: &[u8], signature: &[u8]) -> bool;
    /// The key itself, in PEM.
    fn text(&self) -> Option<String>;
}

macro_rules! curve {
    ($curve:ident) => {
        impl Signs for $curve::ecdsa::SigningKey {
            fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
                let signature: $curve::ecdsa::DerSignature = self.try_sign(message).ok()?;
                Some(signature.as_bytes().to_vec())
            }

            fn public(&self) -> Option<String> {
                self.verifying_key().text()
            }
        }

        impl Checks for $curve::ecdsa::VerifyingKey {
            fn check(&self, message: &[u8], signature: &[u8]) -> bool {
                let signature = $curve::ecdsa::DerSignature::from_bytes(signature);
                signature.is_ok_and(|signature| self.verify(message, &signature).is_ok())
            }

            fn text(&self) -> Option<String> {
                self.to_public_key_pem(LineEnding::LF).ok()
            }
        }
    };
}

curve!(p256);
curve!(p384);
curve!(p521);

impl PrivateKey {
    /// Reads a private key's file.
    ///
    /// # Errors
    /// If it cannot be read, is encrypted, or no key of one of the curves.
    pub fn load(path: &Path) -> Result<Self, RunError> {
        let text = std::fs::read_to_string(path).at("cannot read", path)?;
        Self::parse(&text).map_err(|message| wrong(path, message))
    }

    fn parse(text: &str) -> Result<Self, String> {
        if block(text, "ENCRYPTED PRIVATE KEY").is_some() || text.contains("Proc-Type: 4,ENCRYPTED") {
            let message = "the key is encrypted: `openssl pkey -in KEY` decrypts it, and --key <(openssl pkey -in KEY) signs \
                           without a copy on disk";
            return Err(message.to_owned());
        }
        if let Some(pem) = block(text, "PRIVATE KEY") {
            let p256 =
                p256::ecdsa::SigningKey::from_pkcs8_pem(pem).map(|key| Box::new(key) as Box<dyn Signs>);
            let p384 = || p384::ecdsa::SigningKey::from_pkcs8_pem(pem).map(|key| Box::new(key) as Box<_>);
            let p521 = || p521::ecdsa::SigningKey::from_pkcs8_pem(pem).map(|key| Box::new(key) as Box<_>);
            let found = p256.or_else(|_| p384()).or_else(|_| p521());
            return found
                .map(Self)
                .map_err(|_| format!("expected a private key {WANTED}, found another one"));
        }
        if let Some(pem) = block(text, "EC PRIVATE KEY") {
            let p256 = p256::SecretKey::from_sec1_pem(pem)
                .map(|key| Box::new(p256::ecdsa::SigningKey::from(key)) as Box<dyn Signs>);
            let p384 = || {
                p384::SecretKey::from_sec1_pem(pem)
                    .map(|key| Box::new(p384::ecdsa::SigningKey::from(key)) as Box<_>)
            };
            let p521 = || {
                p521::SecretKey::from_sec1_pem(pem)
                    .map(|key| Box::new(p521::ecdsa::SigningKey::from(key)) as Box<_>)
            };
            let found = p256.or_else(|_| p384()).or_else(|_| p521());
            return found
                .map(Self)
                .map_err(|_| format!("expected a private key {WANTED}, found another one"));
        }
        let found = if text.contains("-----BEGIN PUBLIC KEY-----") { "a public key" } else { "none" };
        Err(format!("expected a private key {WANTED} in PEM, found {found}"))
    }

    /// Its signature of a message, in DER.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, RunError> {
        self.0.sign(message).ok_or_else(|| RunError::Config("the key cannot sign".to_owned()))
    }

    /// The public key that belongs to it.
    ///
    /// # Errors
    /// If it cannot be written as text.
    pub fn public(&self) -> Result<PublicKey, RunError> {
        let text = self.0.public().ok_or_else(|| RunError::Config("the key has no public one".to_owned()))?;
        PublicKey::parse(&text).map_err(RunError::Config)
    }
}

impl PublicKey {
    /// Reads a public key's file.
    ///
    /// # Errors
    /// If it cannot be read or is no key of one of the curves.
    pub fn load(path: &Path) -> Result<Self, RunError> {
        let text = std::fs::read_to_string(path).at("cannot read", path)?;
        Self::parse(&text).map_err(|message| wrong(path, message))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let Some(pem) = block(text, "PUBLIC KEY") else {
            let is_private = text.contains("PRIVATE KEY-----");
            let found = if is_private { "a private key, which is not for this" } else { "none" };
            return Err(format!("expected a public key {WANTED} in PEM, found {found}"));
        };
        let p256 =
            p256::ecdsa::VerifyingKey::from_public_key_pem(pem).map(|key| Box::new(key) as Box<dyn Checks>);
        let p384 = || p384::ecdsa::VerifyingKey::from_public_key_pem(pem).map(|key| Box::new(key) as Box<_>);
        let p521 = || p521::ecdsa::VerifyingKey::from_public_key_pem(pem).map(|key| Box::new(key) as Box<_>);
        let found = p256.or_else(|_| p384()).or_else(|_| p521());
        let key = found.map_err(|_| format!("expected a public key {WANTED}, found another one"))?;
        // The hint is of the key as OpenSSL writes it, whatever the file's lines are.
        let text = key.text().ok_or("the key cannot be written as text")?;
        Ok(Self { key, hint: hash::hex(&hash::of_bytes(text.as_bytes())) })
    }

    /// What signatures name the key by: SHA-256 of its PEM text.
    pub fn hint(&self) -> &str {
        &self.hint
    }

    /// Whether a signature in DER is its private key's of a message.
    pub(super) fn check(&self, message: &[u8], signature: &[u8]) -> bool {
        self.key.check(message, signature)
    }
}

/// A block of a PEM text, its first and last lines included.
fn block<'a>(text: &'a str, label: &str) -> Option<&'a str> {
    let (first, last) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"));
    let start = text.find(&first)?;
    let end = start + text[start..].find(&last)? + last.len();
    Some(&text[start..end])
}
