//! One call of the connector: who it is for, and all that it can reach.

use crate::abi::{self, Function, Host};
use crate::error::{code, Error, Result};
use crate::http::{Http, Request};
use crate::json;
use crate::json::Value;
use crate::sign::Sign;
use crate::state::State;
use std::time::Duration;

/// One call of the connector.
pub struct Context<'a> {
    /// The execution's id; it is the same when it is run again.
    pub execution: String,
    /// Counts from 1.
    pub attempt: i64,
    /// The installation's configuration, with the defaults of the schema where the tenant
    /// says nothing.
    pub config: Value,
    /// The connections that the tenant granted: name to an object of fields that are not
    /// secret.
    pub connections: Value,
    /// What the call was started again with, or null.
    pub checkpoint: Value,
    /// Reaches the hosts that the manifest asks for and the tenant grants.
    pub http: Http<'a>,
    /// The installation's own, which outlives the call.
    pub state: State<'a>,
    /// Has the host sign with keys that stay outside.
    pub sign: Sign<'a>,
    /// Goes to the execution's trace.
    pub log: Log<'a>,
    host: &'a dyn Host,
}

impl<'a> Context<'a> {
    pub(crate) fn new(host: &'a dyn Host, envelope: &Value, config: Value) -> Context<'a> {
        Context {
            execution: envelope["execution"].as_str().unwrap_or_default().into(),
            attempt: envelope["attempt"].as_i64().unwrap_or_default(),
            config,
            connections: envelope["connections"].clone(),
            checkpoint: envelope["checkpoint"].clone(),
            http: Http(host),
            state: State(host),
            sign: Sign(host),
            log: Log(host),
            host,
        }
    }

    /// Makes a request and reads the JSON that comes back: [`Http::fetch`].
    pub fn fetch(&self, request: Request) -> Result {
        self.http.fetch(request)
    }

    /// Makes a record, which becomes an event when the execution succeeds. Of records with
    /// one key an installation keeps the first; an empty key is none.
    pub fn emit(&self, name: &str, key: &str, data: impl Into<Value>) -> Result<()> {
        let mut record = json!({ "name": name, "data": data.into() });
        if let (Value::Object(members), false) = (&mut record, key.is_empty()) {
            members.set("key", key);
        }
        abi::ask(self.host, &abi::EMIT, &record).map(drop)
    }

    /// Marks the execution, so that people find it by name=value.
    pub fn tag(&self, name: &str, value: &str) -> Result<()> {
        abi::ask(self.host, &abi::TAG, &json!({ "name": name, "value": value })).map(drop)
    }

    /// Waits, up to 400 days. More than a second ends the sandbox meanwhile: the call is
    /// made again then, and what it had asked before is answered as it was.
    pub fn sleep(&self, wait: Duration) -> Result<()> {
        abi::ask(self.host, &abi::SLEEP, &json!({ "ms": wait.as_millis() as u64 })).map(drop)
    }

    /// Waits until a time such as `2026-01-02T15:04:05Z`. One that is past is not waited for.
    pub fn sleep_until(&self, time: &str) -> Result<()> {
        abi::ask(self.host, &abi::SLEEP, &json!({ "until": time })).map(drop)
    }

    /// Ends the call: what it has done is kept, and at that time it is made again from its
    /// start, with the checkpoint, anything but null. It returns only if it fails.
    pub fn start_again_at(&self, time: &str, checkpoint: impl Into<Value>) -> Error {
        let checkpoint = checkpoint.into();
        if checkpoint.is_null() {
            return Error::new(code::PLUGIN_BUG, "the checkpoint is null: give the call something by which it knows that it is not the first");
        }
        match abi::ask(self.host, &abi::SLEEP, &json!({ "until": time, "checkpoint": checkpoint })) {
            Ok(_) => Error::new(code::INTERNAL, "the host did not end the call, as a checkpoint asks for"),
            Err(e) => e,
        }
    }

    /// Asks a function of the host app's own, which the manifest names. Declare it with
    /// [`host_function!`](crate::host_function).
    pub fn call(&self, function: &Function, request: Value) -> Result {
        abi::ask(self.host, function, &request)
    }

    /// The time since 1970. It stands still between calls of the host.
    pub fn now(&self) -> Duration {
        self.host.now()
    }

    /// Fills from the execution's own random stream, which is the same when it is run again.
    pub fn random(&self, bytes: &mut [u8]) {
        self.host.random(bytes);
    }
}

/// The log of an execution. Fields are an object, or null for none. A line that cannot be
/// written fails nothing.
pub struct Log<'a>(&'a dyn Host);

impl Log<'_> {
    /// For whoever looks for a fault.
    pub fn debug(&self, message: &str, fields: Value) {
        self.write("debug", message, fields);
    }

    /// What was done.
    pub fn info(&self, message: &str, fields: Value) {
        self.write("info", message, fields);
    }

    /// What somebody should look at.
    pub fn warn(&self, message: &str, fields: Value) {
        self.write("warn", message, fields);
    }

    /// What went wrong.
    pub fn error(&self, message: &str, fields: Value) {
        self.write("error", message, fields);
    }

    fn write(&self, level: &str, message: &str, fields: Value) {
        let _ = abi::ask(self.0, &abi::LOG, &json!({ "level": level, "message": message, "fields": fields }));
    }
}
