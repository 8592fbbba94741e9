//! Whether a delivery is authentic, for a webhook that no scheme says it of.

use crate::error::{code, Error, Result};
use crate::http::{body_of, Headers};
use crate::json;
use crate::json::{Object, Value};
use crate::sign::Signature;

/// The name that [`Sign::hmac`](crate::Sign::hmac) has in a verification for the endpoint's
/// signing secret: its text, as it is.
pub const SECRET: &str = "secret";
/// What the secret's text is the base64 of; `whsec_` before it is not a part of it.
pub const SECRET_BASE64: &str = "secret.base64";
/// What the secret's text is the hexadecimal digits of.
pub const SECRET_HEX: &str = "secret.hex";

/// A request that claims to be a delivery.
pub struct Incoming {
    /// Now, such as `2026-01-02T15:04:05Z`.
    pub received_at: String,
    /// POST for a delivery; vendors' handshakes may have others.
    pub method: String,
    /// The URL that the vendor was given, without a query; empty if the host does not know it.
    pub url: String,
    /// What follows the question mark, undecoded.
    pub query: String,
    /// All that came.
    pub headers: Headers,
    /// The body's bytes.
    pub body: Vec<u8>,
}

impl Incoming {
    pub(crate) fn read(envelope: &Value) -> Incoming {
        let request = &envelope["request"];
        let text = |name: &str| request[name].as_str().unwrap_or_default().to_string();
        Incoming {
            received_at: envelope["time"].as_str().unwrap_or_default().into(),
            method: text("method"),
            url: text("url"),
            query: text("query"),
            headers: Headers::read(&request["headers"]),
            body: body_of(request),
        }
    }

    /// Reads the body as JSON. What is none is `invalid_input`, which refuses the delivery.
    pub fn json(&self) -> Result {
        let wrong = |e: String| Error::new(code::INVALID_INPUT, format!("decode the body of the delivery: {e}"));
        let text = std::str::from_utf8(&self.body).map_err(|e| wrong(e.to_string()))?;
        Value::parse(text).map_err(wrong)
    }
}

/// What a verification decides.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Takes the delivery. A second one with the same id is not run again; without an id, one
    /// with the same body is not.
    Accept {
        /// The vendor's id of the delivery, or empty.
        id: String,
        /// When the vendor signed it, in seconds since 1970, if it signs that: more than five
        /// minutes from now, the host refuses it.
        timestamp: Option<i64>,
    },
    /// Answers a handshake, which is no delivery: nothing runs.
    Respond {
        /// From 200 to 299.
        status: u16,
        /// At most 2 KiB. [`Value::String`] is sent as text, anything else as JSON.
        body: Value,
    },
    /// Refuses the delivery. Whoever sent it is told the code at most.
    Refuse {
        /// One of [`code`], such as [`code::SIGNATURE_INVALID`].
        code: String,
        /// For the operator's log.
        message: String,
    },
}

impl Verdict {
    /// Takes the delivery: see [`Verdict::Accept`].
    pub fn accept(id: impl Into<String>, timestamp: Option<i64>) -> Verdict {
        Verdict::Accept { id: id.into(), timestamp }
    }

    /// Refuses it: see [`Verdict::Refuse`].
    pub fn refuse(code: impl Into<String>, message: impl Into<String>) -> Verdict {
        Verdict::Refuse { code: code.into(), message: message.into() }
    }

    /// Answers a handshake: see [`Verdict::Respond`].
    pub fn respond(status: u16, body: impl Into<Value>) -> Verdict {
        Verdict::Respond { status, body: body.into() }
    }

    pub(crate) fn wire(self) -> Value {
        let mut wire = Object::default();
        match self {
            Verdict::Accept { id, timestamp } => {
                wire.set("accept", true);
                if !id.is_empty() {
                    wire.set("id", id);
                }
                if let Some(seconds) = timestamp {
                    wire.set("timestamp", seconds);
                }
            }
            Verdict::Respond { status, body } => {
                let form = if body.as_str().is_some() { "text" } else { "json" };
                let mut respond = Object::default();
                respond.set("status", u64::from(status));
                respond.set(form, body);
                wire.set("accept", true);
                wire.set("respond", respond);
            }
            Verdict::Refuse { code, message } => {
                return json!({ "accept": false, "code": code, "message": message });
            }
        }
        wire.into()
    }
}

impl Signature {
    /// Compares the signature with one that came, in hexadecimal digits or in base64, in
    /// constant time.
    pub fn is(&self, given: &str) -> bool {
        let (hex, base64) = (same(&self.hex, given), same(&self.base64, given));
        !self.hex.is_empty() && (hex | base64)
    }
}

/// Looks at all of it, whatever differs where: how long it takes says nothing but the length.
fn same(a: &str, b: &str) -> bool {
    let different = a.bytes().zip(b.bytes()).fold(0, |all, (x, y)| all | (x ^ y));
    // SAFETY: It reads a variable. That it is volatile keeps the compiler from leaving the
    // fold as soon as its end is known.
    a.len() == b.len() && unsafe { std::ptr::read_volatile(&different) } == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_compared_whole_and_in_both_forms() {
        let signature = Signature { hex: "0aff".into(), base64: "Cv8=".into() };
        for (given, want) in [("0aff", true), ("Cv8=", true), ("0afe", false), ("0AFF", false), ("0af", false), ("0aff0", false), ("", false)] {
            assert_eq!(signature.is(given), want, "{given}");
        }
        assert!(!Signature { hex: String::new(), base64: String::new() }.is(""));
    }

    #[test]
    fn verdicts_are_as_the_contract_says() {
        let wants = [
            (Verdict::accept("d-1", Some(7)), r#"{"accept":true,"id":"d-1","timestamp":7}"#),
            (Verdict::accept("", None), r#"{"accept":true}"#),
            (Verdict::refuse(code::SIGNATURE_INVALID, "no"), r#"{"accept":false,"code":"signature_invalid","message":"no"}"#),
            (Verdict::respond(200, "hi"), r#"{"accept":true,"respond":{"status":200,"text":"hi"}}"#),
            (Verdict::respond(201, json!({ "a": 1 })), r#"{"accept":true,"respond":{"status":201,"json":{"a":1}}}"#),
        ];
        for (verdict, want) in wants {
            assert_eq!(verdict.wire().to_string(), want);
        }
    }
}
