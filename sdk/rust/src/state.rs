//! What an installation remembers between calls.

use crate::abi::{self, Host};
use crate::error::Result;
use crate::json::Value;
use crate::json;

/// JSON documents by key. Writes are seen by the same call, and committed with its
/// success or not at all. When something that was read has changed meanwhile, the whole
/// call is run again.
pub struct State<'a>(pub(crate) &'a dyn Host);

/// A key and its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Its value.
    pub value: Value,
}

impl State<'_> {
    /// The value of a key, if there is one.
    pub fn get(&self, key: &str) -> Result<Option<Value>> {
        let answer = abi::ask(self.0, &abi::STATE_GET, &json!({ "key": key }))?;
        Ok((answer["found"] == Value::Bool(true)).then(|| answer["value"].clone()))
    }

    /// Stores a value.
    pub fn set(&self, key: &str, value: impl Into<Value>) -> Result<()> {
        abi::ask(self.0, &abi::STATE_SET, &json!({ "key": key, "value": value.into() })).map(drop)
    }

    /// Removes a key, if it is there.
    pub fn delete(&self, key: &str) -> Result<()> {
        abi::ask(self.0, &abi::STATE_DELETE, &json!({ "key": key })).map(drop)
    }

    /// Stores a value if the old one is that, and says whether it did. An old of None
    /// means that the key must be absent.
    pub fn compare_and_set(&self, key: &str, old: Option<Value>, new: impl Into<Value>) -> Result<bool> {
        let mut request = json!({ "key": key, "new": new.into() });
        if let (Value::Object(members), Some(old)) = (&mut request, old) {
            members.set("old", old);
        }
        Ok(abi::ask(self.0, &abi::STATE_CAS, &request)?["swapped"] == Value::Bool(true))
    }

    /// Adds to an integer, which starts at 0, and gives the sum. It never conflicts with
    /// other executions; the sum may lag behind theirs.
    pub fn add(&self, key: &str, delta: i64) -> Result<i64> {
        abi::ask(self.0, &abi::STATE_ADD, &json!({ "key": key, "delta": delta }))?.int("value")
    }

    /// The entries whose keys begin with prefix and come after a key (none if empty), and
    /// whether there are more. A limit of 0 leaves their number to the host.
    pub fn list(&self, prefix: &str, after: &str, limit: u32) -> Result<(Vec<Entry>, bool)> {
        let mut request = json!({ "prefix": prefix });
        if let Value::Object(members) = &mut request {
            if !after.is_empty() {
                members.set("after", after);
            }
            if limit > 0 {
                members.set("limit", limit);
            }
        }
        let answer = abi::ask(self.0, &abi::STATE_LIST, &request)?;
        let entry = |e: &Value| Ok(Entry { key: e.str("key")?.into(), value: e["value"].clone() });
        let entries = answer["entries"].items().iter().map(entry).collect::<Result<_>>()?;
        Ok((entries, answer["more"] == Value::Bool(true)))
    }
}
