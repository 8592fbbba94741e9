//! How a Cofferdam connector is written in Rust.
//!
//! A connector is a value that says what it is and does, and one line that makes it the
//! program's:
//!
//! ```
//! use cofferdam::{code, json, Connector, Context, Error, Result, Value};
//!
//! cofferdam::connector!(hello);
//!
//! fn hello() -> Connector {
//!     Connector::new("hello", "0.1.0")
//!         .config(json!({ "type": "object", "properties": { "word": { "type": "string", "default": "Hello" } } }))
//!         .action("greet", json!({ "title": "Greet somebody", "input": {}, "output": {} }), greet)
//! }
//!
//! fn greet(ctx: &Context, input: &Value) -> Result {
//!     let name = input.str("name")?;
//!     if name.is_empty() {
//!         return Err(Error::new(code::INVALID_INPUT, "there is no name"));
//!     }
//!     Ok(json!({ "greeting": format!("{}, {name}!", ctx.config.str("word")?) }))
//! }
//! ```
//!
//! Everything goes through [`Context`]: HTTP, state, the log. Each call gets a sandbox of
//! its own, so statics do not outlive it. What the host makes of what a connector says,
//! what is done once and what may be done again, is in `sdk/ABI.md`.
//!
//! A function fails with an [`Error`], whose code decides what follows; any other error
//! becomes one of `plugin_bug` by `?`. A panic is `plugin_bug`, too, with its message.
//!
//! Unit tests are plain `cargo test`, with a [`Host`] of their own: [`Connector::call`].
//!
//! There are no dependencies. JSON is a [`Value`], which [`json!`] writes.
#![deny(unsafe_op_in_unsafe_fn)]
#![warn(missing_docs)]

mod abi;
mod base64;
mod connector;
mod context;
mod date;
mod error;
mod http;
mod json;
mod sign;
mod state;
mod verify;

pub use abi::{Function, Host};
pub use connector::{Confirmation, Connector, Delivery, Doubt, Page, Record};
pub use context::{Context, Log};
pub use error::{code, Error, Result};
pub use http::{escape, Headers, Http, Request, Response};
pub use json::{Object, Value};
pub use sign::{Sign, Signature, SignedUrl, Token};
pub use state::{Entry, State};
pub use verify::{Incoming, Verdict, SECRET, SECRET_BASE64, SECRET_HEX};

/// What the macros need.
#[doc(hidden)]
pub mod internal {
    #[cfg(target_arch = "wasm32")]
    pub use crate::abi::{serve, warm_up};
}
