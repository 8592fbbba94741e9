//! Signatures of keys that stay outside.

use crate::abi::{self, Host};
use crate::error::Result;
use crate::json::Value;
use crate::{base64, json};
use std::time::Duration;

/// Has the host sign with the key of a connection, which the connector never sees. The
/// algorithm is one that the connection has under `sign` in the manifest. A connection that
/// is not granted, or has no such key, is `no_connection`; an algorithm that the manifest
/// does not ask for is `denied`.
pub struct Sign<'a>(pub(crate) &'a dyn Host);

/// An HMAC, written in two ways.
#[derive(Clone, Debug, PartialEq)]
pub struct Signature {
    /// Hexadecimal digits.
    pub hex: String,
    /// Base64, with padding.
    pub base64: String,
}

/// A JSON web token.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    /// The token.
    pub token: String,
    /// Until when it is good, such as `2026-01-02T15:04:05Z`.
    pub expires_at: String,
}

/// A URL that is signed, for whoever has it.
#[derive(Clone, Debug, PartialEq)]
pub struct SignedUrl {
    /// The URL.
    pub url: String,
    /// Until when it is good, such as `2026-01-02T15:04:05Z`.
    pub expires_at: String,
}

impl Sign<'_> {
    /// Signs a payload by `hmac-sha1`, `hmac-sha256`, `hmac-sha384` or `hmac-sha512`, with a
    /// connection of the type hmac.
    pub fn hmac(&self, connection: &str, algorithm: &str, payload: impl AsRef<[u8]>) -> Result<Signature> {
        let mut request = json!({ "connection": connection, "algorithm": algorithm });
        let payload = payload.as_ref();
        if let Value::Object(members) = &mut request {
            match std::str::from_utf8(payload) {
                Ok(text) => members.set("payload", text),
                Err(_) => members.set("payload_base64", base64::encode(payload)),
            }
        }
        let answer = abi::ask(self.0, &abi::SIGN, &request)?;
        Ok(Signature { hex: answer.str("hex")?.into(), base64: answer.str("base64")?.into() })
    }

    /// Makes a JSON web token of claims, an object, with a connection of the type
    /// private_key, or hmac for HS256, HS384 and HS512. The host adds `iat` and `exp`. A
    /// lifetime of zero is the host's, five minutes; an hour is the most.
    pub fn jwt(&self, connection: &str, algorithm: &str, claims: impl Into<Value>, lifetime: Duration) -> Result<Token> {
        let request = json!({ "connection": connection, "algorithm": algorithm, "claims": claims.into() });
        let answer = abi::ask(self.0, &abi::SIGN, &lasting(request, lifetime))?;
        Ok(Token { token: answer.str("token")?.into(), expires_at: answer.str("expires_at")?.into() })
    }

    /// Makes a URL that AWS takes as signed, at one of the hosts of a connection of the type
    /// aws_sigv4; the lifetime is as that of a token. Requests of [`Http`](crate::Http) need
    /// none of this: the host signs them.
    pub fn sigv4(&self, connection: &str, method: &str, url: &str, lifetime: Duration) -> Result<SignedUrl> {
        let request = json!({ "connection": connection, "algorithm": "aws-sigv4", "method": method, "url": url });
        let answer = abi::ask(self.0, &abi::SIGN, &lasting(request, lifetime))?;
        Ok(SignedUrl { url: answer.str("url")?.into(), expires_at: answer.str("expires_at")?.into() })
    }
}

/// What is shorter than a second is none that the host takes, and it says so.
fn lasting(mut request: Value, lifetime: Duration) -> Value {
    if let (Value::Object(members), false) = (&mut request, lifetime.is_zero()) {
        members.set("lifetime_s", lifetime.as_secs());
    }
    request
}

#[cfg(test)]
mod tests {
    use super::Sign;
    use crate::abi::{Function, Host};
    use std::cell::RefCell;
    use std::time::Duration;

    /// Answers each question alike, and keeps it.
    struct Script {
        answer: &'static str,
        asked: RefCell<Vec<String>>,
    }

    impl Host for Script {
        fn call(&self, function: &Function, request: &str) -> String {
            self.asked.borrow_mut().push(format!("{} {request}", function.name));
            self.answer.into()
        }
        fn random(&self, _: &mut [u8]) {}
        fn now(&self) -> Duration {
            Duration::ZERO
        }
    }

    fn script(answer: &'static str) -> Script {
        Script { answer, asked: RefCell::default() }
    }

    #[test]
    fn signatures_are_asked_for_as_the_contract_says() {
        let host = script(r#"{"result":{"hex":"0a","base64":"Cg==","token":"a.b.c","url":"https://b.example/","expires_at":"2026-01-02T03:09:05Z"}}"#);
        let sign = Sign(&host);
        assert_eq!(sign.hmac("shop", "hmac-sha256", "a=1").unwrap().hex, "0a");
        assert_eq!(sign.hmac("shop", "hmac-sha1", [0xff]).unwrap().base64, "Cg==");
        assert_eq!(sign.jwt("app", "RS256", crate::json!({ "iss": "1" }), Duration::ZERO).unwrap().token, "a.b.c");
        let url = sign.sigv4("aws", "GET", "https://b.example/", Duration::from_secs(60)).unwrap();
        assert_eq!((url.url.as_str(), url.expires_at.as_str()), ("https://b.example/", "2026-01-02T03:09:05Z"));
        let want = [
            r#"sign {"connection":"shop","algorithm":"hmac-sha256","payload":"a=1"}"#,
            r#"sign {"connection":"shop","algorithm":"hmac-sha1","payload_base64":"/w=="}"#,
            r#"sign {"connection":"app","algorithm":"RS256","claims":{"iss":"1"}}"#,
            r#"sign {"connection":"aws","algorithm":"aws-sigv4","method":"GET","url":"https://b.example/","lifetime_s":60}"#,
        ];
        assert_eq!(host.asked.borrow().as_slice(), want);
    }

    #[test]
    fn refusals_say_why() {
        let host = script(r#"{"error":{"code":"no_connection","message":"grant one"}}"#);
        let e = Sign(&host).hmac("shop", "hmac-sha256", "").unwrap_err();
        assert_eq!(e.to_string(), "no_connection: sign: grant one");
    }
}
