//! Certificates and private keys in PEM, as far as an API server looks at them when it starts: Go's `encoding/pem`,
//! `crypto/x509` and `tls.X509KeyPair`. Only the structure of the DER is read, and no signature.

/// A block of a PEM text.
struct Block {
    kind: String,
    has_headers: bool,
    bytes: Vec<u8>,
}

/// Decodes base64 as Go does in JSON and in PEM: with padding, and with line breaks anywhere.
pub fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let mut sextets = Vec::new();
    let mut padding = 0;
    for byte in text.bytes().filter(|byte| !matches!(byte, b'\r' | b'\n')) {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' => {
                padding += 1;
                continue;
            }
            _ => return None,
        };
        if padding > 0 {
            return None;
        }
        sextets.push(value);
    }
    if padding > 2 || (sextets.len() + padding) % 4 != 0 {
        return None;
    }
    let bytes = sextets.chunks(4).flat_map(|chunk| {
        let bits = (0..4).fold(0_u32, |bits, at| bits << 6 | u32::from(chunk.get(at).copied().unwrap_or(0)));
        let [_, first, second, third] = bits.to_be_bytes();
        [first, second, third].into_iter().take(chunk.len() - 1)
    });
    Some(bytes.collect())
}

/// The blocks of a PEM text. What is no block is skipped.
fn blocks(text: &[u8]) -> Vec<Block> {
    let text = String::from_utf8_lossy(text);
    let mut lines = text.lines().map(str::trim_end).peekable();
    let mut blocks = Vec::new();
    let mark = |line: &str, word: &str| {
        let kind = line.strip_prefix("-----")?.strip_prefix(word)?.strip_prefix(' ')?.strip_suffix("-----")?;
        Some(kind.to_owned())
    };
    while let Some(line) = lines.next() {
        let Some(kind) = mark(line, "BEGIN") else { continue };
        let mut has_headers = false;
        while lines.next_if(|line| line.contains(':')).is_some() {
            has_headers = true;
        }
        let mut body = String::new();
        while let Some(line) = lines.next_if(|line| !line.starts_with("-----")) {
            body.extend(line.chars().filter(|char| !matches!(char, ' ' | '\t')));
        }
        let is_closed = lines.peek().and_then(|line| mark(line, "END")).as_ref() == Some(&kind);
        if let Some(bytes) = decode_base64(&body).filter(|_| is_closed) {
            blocks.push(Block { kind, has_headers, bytes });
        }
    }
    blocks
}

/// The public part of a key, as far as its structure shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Key {
    /// The modulus.
    Rsa(Vec<u8>),
    /// The point; a private key can lack it.
    Ec(Option<Vec<u8>>),
    Other,
}

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const RSA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01";
const EC: &[u8] = b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01";

/// The first value of a DER text: its tag, its content, and what follows it.
fn value(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, mut rest) = rest.split_first()?;
    let mut length = usize::from(first);
    if first >= 0x80 {
        let count = usize::from(first & 0x7f);
        let bytes = rest.get(..count).filter(|_| (1..=4).contains(&count))?;
        length = bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        rest = &rest[count..];
    }
    Some((tag, rest.get(..length)?, rest.get(length..)?))
}

/// All values of a DER text.
fn values(mut der: &[u8]) -> Option<Vec<(u8, &[u8])>> {
    let mut found = Vec::new();
    while !der.is_empty() {
        let (tag, content, rest) = value(der)?;
        found.push((tag, content));
        der = rest;
    }
    Some(found)
}

/// The values in a sequence that is the whole text.
fn sequence(der: &[u8]) -> Option<Vec<(u8, &[u8])>> {
    match value(der)? {
        (SEQUENCE, content, []) => values(content),
        _ => None,
    }
}

/// An unsigned number without its leading zeros.
fn unsigned(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().copied().skip_while(|byte| *byte == 0).collect()
}

/// The public key of a certificate; `None` if this is no certificate.
fn certificate_key(der: &[u8]) -> Option<Key> {
    let parts = sequence(der)?;
    let [(SEQUENCE, signed), (SEQUENCE, _), (BIT_STRING, _)] = parts.as_slice() else { return None };
    // The version is optional. The serial number, the algorithm, the issuer, the validity, the subject, the key.
    let fields = values(signed)?;
    let fields = fields.strip_prefix(&fields[..usize::from(fields.first()?.0 == 0xa0)])?;
    let [(INTEGER, _), (SEQUENCE, _), (SEQUENCE, _), (SEQUENCE, _), (SEQUENCE, _), (SEQUENCE, key), ..] = fields
    else {
        return None;
    };
    let parts = values(key)?;
    let [(SEQUENCE, algorithm), (BIT_STRING, key)] = parts.as_slice() else { return None };
    let key = key.get(1..)?;
    if algorithm.starts_with(RSA) {
        return Some(Key::Rsa(unsigned(sequence(key)?.first()?.1)));
    }
    Some(if algorithm.starts_with(EC) { Key::Ec(Some(key.to_vec())) } else { Key::Other })
}

/// A private key in PKCS #1, PKCS #8 or SEC 1; `None` if this is none, or if it is encrypted.
fn private_key(der: &[u8]) -> Option<Key> {
    match sequence(der)?.as_slice() {
        // PKCS #8
        [(INTEGER, _), (SEQUENCE, algorithm), (OCTET_STRING, key), ..] => {
            if algorithm.starts_with(RSA) || algorithm.starts_with(EC) {
                private_key(key)
            } else {
                Some(Key::Other)
            }
        }
        // PKCS #1
        [(INTEGER, _), (INTEGER, modulus), (INTEGER, _), ..] => Some(Key::Rsa(unsigned(modulus))),
        // SEC 1
        [(INTEGER, _), (OCTET_STRING, _), rest @ ..] => {
            let point = rest.iter().find(|(tag, _)| *tag == 0xa1).and_then(|(_, content)| value(content));
            Some(Key::Ec(point.and_then(|(_, point, _)| Some(point.get(1..)?.to_vec()))))
        }
        _ => None,
    }
}

/// Does a text have a certificate that an API server can trust?
pub fn has_certificate(text: &[u8]) -> bool {
    let is_right = |block: &Block| block.kind == "CERTIFICATE" && !block.has_headers;
    blocks(text).iter().any(|block| is_right(block) && certificate_key(&block.bytes).is_some())
}

/// Why a certificate and a private key are not a pair that an API server can use; `None` if they are.
pub fn pair_fault(certificate: &[u8], key: &[u8]) -> Option<&'static str> {
    let certificates = blocks(certificate);
    let Some(first) = certificates.iter().find(|block| block.kind == "CERTIFICATE") else {
        return Some("the client certificate is no certificate in PEM; put one there");
    };
    let keys = blocks(key);
    let is_key = |block: &&Block| block.kind == "PRIVATE KEY" || block.kind.ends_with(" PRIVATE KEY");
    let Some(key) = keys.iter().find(is_key) else {
        return Some("the client key is no private key in PEM; put one there");
    };
    match (certificate_key(&first.bytes), private_key(&key.bytes)) {
        (None, _) => Some("the client certificate is no certificate in PEM; put one there"),
        (_, None) => Some(
            "the client key is no private key that can be read without a password; use a key without a password",
        ),
        (Some(Key::Rsa(one)), Some(Key::Rsa(other))) if one == other => None,
        (Some(Key::Ec(Some(one))), Some(Key::Ec(Some(other)))) if one == other => None,
        (Some(Key::Ec(_)), Some(Key::Ec(None))) | (Some(Key::Other), Some(Key::Other)) => None,
        _ => Some("the client key belongs to another certificate; use the key of this one"),
    }
}
