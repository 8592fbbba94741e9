//! Why a call failed.

use crate::json::{Object, Value};
use std::fmt;
use std::time::Duration;

/// Codes that decide what follows, see `sdk/ABI.md`. Words of your own are welcome: they
/// are what people group and search failures by.
pub mod code {
    /// The third party asks for patience.
    pub const RATE_LIMITED: &str = "rate_limited";
    /// The third party is down or overloaded.
    pub const UPSTREAM_UNAVAILABLE: &str = "upstream_unavailable";
    /// Another try may do, for a reason that has no code.
    pub const RETRY: &str = "retry";
    /// The third party could not be reached. The host says it too.
    pub const NETWORK: &str = "network";
    /// An answer did not come in time. The host says it too.
    pub const TIMEOUT: &str = "timeout";
    /// The third party refuses the tenant's credential.
    pub const AUTH: &str = "auth";
    /// The same input can never succeed.
    pub const INVALID_INPUT: &str = "invalid_input";
    /// The third party's API is not what it was.
    pub const CONTRACT_CHANGED: &str = "contract_changed";
    /// The connector is wrong.
    pub const PLUGIN_BUG: &str = "plugin_bug";
    /// The manifest does not ask for it, or the tenant did not grant it.
    pub const DENIED: &str = "denied";
    /// The installation has no connection of that name.
    pub const NO_CONNECTION: &str = "no_connection";
    /// The host cannot make sense of the request.
    pub const INVALID_REQUEST: &str = "invalid_request";
    /// A quota of the execution is used up.
    pub const LIMIT_EXCEEDED: &str = "limit_exceeded";
    /// The third party answered with more than is allowed.
    pub const RESPONSE_TOO_LARGE: &str = "response_too_large";
    /// The host name leads to an address that connectors may not reach.
    pub const ADDRESS_REFUSED: &str = "address_refused";
    /// `State::add` met a value that is not an integer.
    pub const NOT_A_NUMBER: &str = "not_a_number";
    /// Of a [`Verdict`](crate::Verdict): the delivery has no signature.
    pub const SIGNATURE_MISSING: &str = "signature_missing";
    /// Of a [`Verdict`](crate::Verdict): it has another one than it should.
    pub const SIGNATURE_INVALID: &str = "signature_invalid";
    /// Of a [`Verdict`](crate::Verdict): it does not say which delivery it is.
    pub const DELIVERY_ID_MISSING: &str = "delivery_id_missing";
    /// Of a [`Verdict`](crate::Verdict): any other reason.
    pub const DELIVERY_REFUSED: &str = "delivery_refused";
    /// The host failed.
    pub const INTERNAL: &str = "internal";
}

/// What the functions of a connector give.
pub type Result<T = Value> = std::result::Result<T, Error>;

/// A failure with a code, which decides what follows.
#[derive(Clone, Debug, PartialEq)]
pub struct Error {
    /// One of [`code`], or a word of your own.
    pub code: String,
    /// For people. It must hold nothing secret.
    pub message: String,
    /// How long to wait before the next try. Zero leaves it to the host.
    pub retry_after: Duration,
    /// Kept with the failure.
    pub details: Value,
}

impl Error {
    /// A failure.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Error {
        Error { code: code.into(), message: message.into(), retry_after: Duration::ZERO, details: Value::Null }
    }

    /// With a wait before the next try.
    pub fn retry_after(mut self, wait: Duration) -> Error {
        self.retry_after = wait;
        self
    }

    /// With details.
    pub fn details(mut self, details: Value) -> Error {
        self.details = details;
        self
    }

    /// The form that goes to the host.
    pub fn to_json(&self) -> Value {
        let mut wire = Object::default();
        wire.set("code", &self.code);
        wire.set("message", &self.message);
        if self.retry_after > Duration::ZERO {
            wire.set("retry_after_ms", self.retry_after.as_millis().clamp(1, u64::MAX.into()) as u64);
        }
        if !self.details.is_null() {
            wire.set("details", &self.details);
        }
        wire.into()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

/// An error that has no code is the connector's own bug. (So that this is possible,
/// [`Error`] itself is no `std::error::Error`.)
impl<E: std::error::Error> From<E> for Error {
    fn from(e: E) -> Error {
        Error::new(code::PLUGIN_BUG, e.to_string())
    }
}
