//! Base64, <https://www.rfc-editor.org/rfc/rfc4648#section-4>: how bytes go through JSON.

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

pub(crate) fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() / 3 * 4 + 4);
    for chunk in bytes.chunks(3) {
        let bits = (0..3).fold(0, |bits, i| bits << 8 | u32::from(*chunk.get(i).unwrap_or(&0)));
        for i in 0..4 {
            text.push(if i > chunk.len() { '=' } else { char::from(DIGITS[(bits >> (18 - 6 * i) & 63) as usize]) });
        }
    }
    text
}

/// What the host writes is always whole; what follows a character that is no digit is
/// padding.
pub(crate) fn decode(text: &str) -> Vec<u8> {
    let (mut bytes, mut bits, mut have) = (Vec::with_capacity(text.len() / 4 * 3), 0u32, 0);
    for c in text.bytes() {
        let digit = match DIGITS.iter().position(|d| *d == c) {
            Some(digit) => digit as u32,
            None => break,
        };
        (bits, have) = (bits << 6 | digit, have + 6);
        if have >= 8 {
            have -= 8;
            bytes.push((bits >> have) as u8);
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_is_encoded_is_decoded() {
        for (bytes, text) in [(&b""[..], ""), (b"f", "Zg=="), (b"fo", "Zm8="), (b"foo", "Zm9v"), (&[0xff, 0xfe, 0, 1, 128], "//4AAYA=")] {
            assert_eq!(super::encode(bytes), text);
            assert_eq!(super::decode(text), bytes);
        }
    }
}
