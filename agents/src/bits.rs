//! Rows of bytes that are all 0 or 255, as planes of zeros and ones are: a bit each, from the least of a byte on; each row
//! begins with a byte of its own.

/// Bytes that one byte of bits stands for.
pub(crate) const BITS: usize = 8;
/// The least bit of each byte of a word.
const LEAST_BITS: u64 = 0x0101_0101_0101_0101;
/// Moves the least bit of byte `i` of a word to bit `56 + i`.
const GATHER: u64 = 0x0102_0408_1020_4080;

/// Writes a row's bits; false, and only a part of them, if a byte is neither 0 nor 255.
pub(crate) fn pack(row: &[u8], to: &mut [u8]) -> bool {
    let eight = |bytes: [u8; BITS], to: &mut u8| {
        let word = u64::from_le_bytes(bytes);
        let bits = word & LEAST_BITS;
        *to = (bits.wrapping_mul(GATHER) >> 56) as u8;
        bits * u64::from(u8::MAX) == word
    };
    let (words, rest) = row.as_chunks();
    let mut last = [0; BITS];
    last[..rest.len()].copy_from_slice(rest);
    let (whole, other) = to.split_at_mut(words.len());
    words.iter().zip(whole).all(|(&bytes, to)| eight(bytes, to))
        && other.first_mut().is_none_or(|to| eight(last, to))
}

/// The bytes of all rows of `len` elements.
pub(crate) fn unpacked(bits: &[u8], len: usize) -> Vec<u8> {
    let width = len.div_ceil(BITS);
    let mut bytes = vec![0; bits.len() / width * len];
    bits.chunks_exact(width).zip(bytes.chunks_exact_mut(len)).for_each(|(bits, out)| unpack(bits, out));
    bytes
}

/// Writes the bytes that a row's bits stand for.
pub(crate) fn unpack(bits: &[u8], out: &mut [u8]) {
    let (words, rest) = out.as_chunks_mut();
    words.iter_mut().zip(bits).for_each(|(word, &bits)| *word = BYTES[usize::from(bits)]);
    if let Some(&last) = bits.get(words.len()) {
        rest.copy_from_slice(&BYTES[usize::from(last)][..rest.len()]);
    }
}

/// What each byte of bits stands for: a load instead of a dozen instructions.
static BYTES: [[u8; BITS]; 256] = {
    let mut bytes = [[0; BITS]; 256];
    let mut bits = 0;
    while bits < bytes.len() {
        let mut bit = 0;
        while bit < BITS {
            bytes[bits][bit] = if bits >> bit & 1 == 1 { u8::MAX } else { 0 };
            bit += 1;
        }
        bits += 1;
    }
    bytes
};
