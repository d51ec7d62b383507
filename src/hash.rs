//! SHA-256 of bytes and of files, as text and as bytes.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::RunError;
use crate::error::AtPath;

/// A SHA-256 digest.
pub(crate) type Sha = [u8; 32];

/// Bytes of a file that are held at once.
const BUFFER: usize = 1 << 20;

/// The digest of bytes.
pub(crate) fn of_bytes(bytes: &[u8]) -> Sha {
    Sha256::digest(bytes).into()
}

/// The digest of a file's content, of which only a part is held at once.
pub(crate) fn of_file(path: &Path) -> Result<Sha, RunError> {
    let read = || -> io::Result<Sha> {
        let (mut file, mut hasher) = (File::open(path)?, Sha256::new());
        let mut buffer = vec![0; BUFFER];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => return Ok(hasher.finalize().into()),
                Ok(length) => hasher.update(&buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    };
    read().at("cannot read", path)
}

/// A digest in lower-case hexadecimal digits.
pub(crate) fn hex(digest: &[u8]) -> String {
    digest.iter().fold(String::with_capacity(2 * digest.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The digest that 64 hexadecimal digits say.
pub(crate) fn parse(text: &str) -> Option<Sha> {
    let mut digest = [0; 32];
    if text.len() != 2 * digest.len() || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, digits) in digest.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_the_digest_of_their_bytes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("abc");
        std::fs::write(&path, "abc").unwrap();
        // FIPS 180-2, appendix B.1.
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hex(&of_file(&path).unwrap()), expected);
        assert_eq!(parse(expected), Some(of_bytes(b"abc")));
        assert_eq!([parse("ab"), parse(&"zz".repeat(32)), parse(&"é".repeat(32))], [None; 3]);
        let large = vec![7; BUFFER + 5];
        std::fs::write(&path, &large).unwrap();
        assert_eq!(of_file(&path).unwrap(), of_bytes(&large));
    }
}
