//! JSON: values, a reader, a writer.

use crate::error::{code, Error, Result};
use std::fmt;
use std::ops::Index;

/// A JSON value. Numbers keep the digits that they were written with.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    /// `null`, and what is not there.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number as it is written. Make one with `Value::from`.
    Number(String),
    /// A string.
    String(String),
    /// An array.
    Array(Vec<Value>),
    /// An object.
    Object(Object),
}

static NULL: Value = Value::Null;

impl Value {
    /// Reads a document of up to 512 levels. The error says where it is none.
    pub fn parse(text: &str) -> std::result::Result<Value, String> {
        let mut reader = Reader { text: text.as_bytes(), at: 0, depth: 0 };
        let value = reader.value()?;
        reader.skip_blanks();
        match reader.at == text.len() {
            true => Ok(value),
            false => Err(reader.wrong("it goes on after its end")),
        }
    }

    /// The string, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(s) => Some(s),
            _ => None,
        }
    }

    /// The number, if it is written without point and exponent and fits.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Value::Number(digits) => digits.parse().ok(),
            _ => None,
        }
    }

    /// The number that is nearest to it, if it is one.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Value::Number(digits) => digits.parse().ok(),
            _ => None,
        }
    }

    /// Whether it is true, if it is true or false.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(b) => Some(*b),
            _ => None,
        }
    }

    /// The items of an array; none of anything else.
    pub fn items(&self) -> &[Value] {
        match self {
            Value::Array(items) => items,
            _ => &[],
        }
    }

    /// The object, if it is one.
    pub fn as_object(&self) -> Option<&Object> {
        match self {
            Value::Object(object) => Some(object),
            _ => None,
        }
    }

    /// Whether it is null, or not there.
    pub fn is_null(&self) -> bool {
        *self == Value::Null
    }

    /// The member of that name, which must be a string, or the error `invalid_input`.
    pub fn str(&self, name: &str) -> Result<&str> {
        self[name].as_str().ok_or_else(|| self.wrong(name, "a string"))
    }

    /// The member of that name, which must be an integer, or the error `invalid_input`.
    pub fn int(&self, name: &str) -> Result<i64> {
        self[name].as_i64().ok_or_else(|| self.wrong(name, "an integer"))
    }

    fn wrong(&self, name: &str, want: &str) -> Error {
        Error::new(code::INVALID_INPUT, format!("{name:?} must be {want}, and is {}", self[name]))
    }
}

/// The member of an object; null if it is not there.
impl Index<&str> for Value {
    type Output = Value;

    fn index(&self, name: &str) -> &Value {
        self.as_object().and_then(|o| o.get(name)).unwrap_or(&NULL)
    }
}

/// The item of an array; null if it is not there.
impl Index<usize> for Value {
    type Output = Value;

    fn index(&self, i: usize) -> &Value {
        self.items().get(i).unwrap_or(&NULL)
    }
}

/// The members of an object, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Object(Vec<(String, Value)>);

impl Object {
    /// The member of that name. Of two the last counts.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().rev().find(|(n, _)| n == name).map(|(_, v)| v)
    }

    /// Adds a member, or replaces it.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<Value>) {
        let (name, value) = (name.into(), value.into());
        match self.0.iter_mut().rev().find(|(n, _)| *n == name) {
            Some(member) => member.1 = value,
            None => self.0.push((name, value)),
        }
    }

    /// The members, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(n, v)| (n.as_str(), v))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Writes JSON, on one line.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Value::Null => f.write_str("null"),
            Value::Bool(b) => f.write_str(if *b { "true" } else { "false" }),
            Value::Number(digits) => f.write_str(digits),
            Value::String(s) => write_string(f, s),
            Value::Array(items) => {
                f.write_str("[")?;
                for (i, item) in items.iter().enumerate() {
                    f.write_str(if i > 0 { "," } else { "" })?;
                    item.fmt(f)?;
                }
                f.write_str("]")
            }
            Value::Object(object) => {
                f.write_str("{")?;
                for (i, (name, member)) in object.iter().enumerate() {
                    f.write_str(if i > 0 { "," } else { "" })?;
                    write_string(f, name)?;
                    f.write_str(":")?;
                    member.fmt(f)?;
                }
                f.write_str("}")
            }
        }
    }
}

fn write_string(f: &mut fmt::Formatter, s: &str) -> fmt::Result {
    f.write_str("\"")?;
    let mut from = 0;
    for (i, c) in s.bytes().enumerate() {
        if c >= 0x20 && c != b'"' && c != b'\\' {
            continue;
        }
        f.write_str(&s[from..i])?;
        from = i + 1;
        match c {
            b'"' => f.write_str("\\\"")?,
            b'\\' => f.write_str("\\\\")?,
            _ => write!(f, "\\u{c:04x}")?,
        }
    }
    f.write_str(&s[from..])?;
    f.write_str("\"")
}

/// The most levels that are read: more is no document, but an attack on the stack.
const MOST_LEVELS: usize = 512;

struct Reader<'a> {
    text: &'a [u8], // UTF-8: it was a str.
    at: usize,
    depth: usize,
}

type Read<T> = std::result::Result<T, String>;

impl Reader<'_> {
    fn wrong(&self, what: &str) -> String {
        format!("at byte {}: {what}", self.at)
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn take(&mut self, c: u8) -> bool {
        let found = self.peek() == Some(c);
        self.at += usize::from(found);
        found
    }

    fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn value(&mut self) -> Read<Value> {
        self.skip_blanks();
        match self.peek() {
            Some(b'{') => self.object(),
            Some(b'[') => self.array(),
            Some(b'"') => self.string().map(Value::String),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'n') => self.word("null", Value::Null),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(_) => Err(self.wrong("no value begins like this")),
            None => Err(self.wrong("it ends too early")),
        }
    }

    fn word(&mut self, word: &str, value: Value) -> Read<Value> {
        if !self.text[self.at..].starts_with(word.as_bytes()) {
            return Err(self.wrong("no value begins like this"));
        }
        self.at += word.len();
        Ok(value)
    }

    fn enter(&mut self) -> Read<()> {
        self.at += 1;
        self.depth += 1;
        match self.depth > MOST_LEVELS {
            true => Err(self.wrong("it is nested more than 512 levels deep")),
            false => Ok(()),
        }
    }

    /// Whether a list ends here; if not, a comma must follow.
    fn ends(&mut self, close: u8, first: bool) -> Read<bool> {
        self.skip_blanks();
        if self.take(close) {
            self.depth -= 1;
            return Ok(true);
        }
        match first || self.take(b',') {
            true => Ok(false),
            false => Err(self.wrong("a comma or the end of the list is missing")),
        }
    }

    fn array(&mut self) -> Read<Value> {
        self.enter()?;
        let mut items = Vec::new();
        while !self.ends(b']', items.is_empty())? {
            items.push(self.value()?);
        }
        Ok(Value::Array(items))
    }

    fn object(&mut self) -> Read<Value> {
        self.enter()?;
        let mut members = Vec::new();
        while !self.ends(b'}', members.is_empty())? {
            self.skip_blanks();
            if self.peek() != Some(b'"') {
                return Err(self.wrong("a name in quotes is missing"));
            }
            let name = self.string()?;
            self.skip_blanks();
            if !self.take(b':') {
                return Err(self.wrong("a colon is missing"));
            }
            members.push((name, self.value()?));
        }
        Ok(Value::Object(Object(members)))
    }

    fn digits(&mut self) -> Read<usize> {
        let from = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        match self.at - from {
            0 => Err(self.wrong("a digit is missing")),
            n => Ok(n),
        }
    }

    fn number(&mut self) -> Read<Value> {
        let from = self.at;
        self.take(b'-');
        let padded = self.peek() == Some(b'0');
        if self.digits()? > 1 && padded {
            return Err(self.wrong("a number begins with 0"));
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _ = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        Ok(Value::Number(self.text_from(from)))
    }

    fn text_from(&self, from: usize) -> String {
        String::from_utf8_lossy(&self.text[from..self.at]).into_owned()
    }

    fn string(&mut self) -> Read<String> {
        self.at += 1;
        let mut s = String::new();
        loop {
            let from = self.at;
            while !matches!(self.peek(), None | Some(b'"' | b'\\' | 0..=0x1f)) {
                self.at += 1;
            }
            s.push_str(&self.text_from(from));
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(s);
                }
                Some(b'\\') => s.push(self.escape()?),
                Some(_) => return Err(self.wrong("a control character must be escaped")),
                None => return Err(self.wrong("it ends in the middle of a string")),
            }
        }
    }

    fn escape(&mut self) -> Read<char> {
        self.at += 1;
        let c = self.peek().ok_or_else(|| self.wrong("it ends in the middle of a string"))?;
        self.at += 1;
        Ok(match c {
            b'"' | b'\\' | b'/' => char::from(c),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode(),
            _ => return Err(self.wrong("there is no such escape")),
        })
    }

    fn unit(&mut self) -> Read<u32> {
        let mut unit = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|c| char::from(c).to_digit(16));
            unit = unit * 16 + digit.ok_or_else(|| self.wrong("\\u needs four hexadecimal digits"))?;
            self.at += 1;
        }
        Ok(unit)
    }

    /// What follows `\u`. Half of a pair alone is the replacement character.
    fn unicode(&mut self) -> Read<char> {
        let high = self.unit()?;
        let after = self.at;
        if (0xd800..0xdc00).contains(&high) && self.take(b'\\') && self.take(b'u') {
            let low = self.unit()?;
            if (0xdc00..0xe000).contains(&low) {
                let both = 0x10000 + ((high & 0x3ff) << 10 | low & 0x3ff);
                return Ok(char::from_u32(both).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
        }
        self.at = after;
        Ok(char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER))
    }
}

impl From<&Value> for Value {
    fn from(v: &Value) -> Value {
        v.clone()
    }
}

impl From<bool> for Value {
    fn from(b: bool) -> Value {
        Value::Bool(b)
    }
}

impl From<&str> for Value {
    fn from(s: &str) -> Value {
        Value::String(s.into())
    }
}

impl From<&String> for Value {
    fn from(s: &String) -> Value {
        Value::String(s.clone())
    }
}

impl From<String> for Value {
    fn from(s: String) -> Value {
        Value::String(s)
    }
}

impl From<Object> for Value {
    fn from(o: Object) -> Value {
        Value::Object(o)
    }
}

macro_rules! from_integers {
    ($($t:ty)*) => { $(
        impl From<$t> for Value {
            fn from(n: $t) -> Value {
                Value::Number(n.to_string())
            }
        }
    )* };
}
from_integers!(i8 i16 i32 i64 u8 u16 u32 u64 isize usize);

/// What JSON has no form for, an infinity or NaN, is null.
impl From<f64> for Value {
    fn from(n: f64) -> Value {
        match n.is_finite() {
            true => Value::Number(n.to_string()),
            false => Value::Null,
        }
    }
}

impl<T: Into<Value>> From<Vec<T>> for Value {
    fn from(items: Vec<T>) -> Value {
        Value::Array(items.into_iter().map(Into::into).collect())
    }
}

impl<T: Into<Value> + Clone> From<&[T]> for Value {
    fn from(items: &[T]) -> Value {
        items.to_vec().into()
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(v: Option<T>) -> Value {
        v.map_or(Value::Null, Into::into)
    }
}

/// Makes a [`Value`] of JSON, in which values may be expressions:
/// `json!({ "repo": repo, "labels": ["a", label], "count": n + 1, "no": null })`.
#[macro_export]
macro_rules! json {
    (null) => { $crate::Value::Null };
    ([ $($items:tt)* ]) => {{
        #[allow(unused_mut)]
        let mut items: Vec<$crate::Value> = Vec::new();
        $crate::json_items!(items $($items)*);
        $crate::Value::Array(items)
    }};
    ({ $($members:tt)* }) => {{
        #[allow(unused_mut)]
        let mut object = $crate::Object::default();
        $crate::json_members!(object $($members)*);
        $crate::Value::Object(object)
    }};
    ($value:expr) => { $crate::Value::from($value) };
}

#[doc(hidden)]
#[macro_export]
macro_rules! json_items {
    ($to:ident) => {};
    ($to:ident null $(, $($rest:tt)*)?) => { $to.push($crate::Value::Null); $($crate::json_items!($to $($rest)*);)? };
    ($to:ident [ $($inner:tt)* ] $(, $($rest:tt)*)?) => { $to.push($crate::json!([ $($inner)* ])); $($crate::json_items!($to $($rest)*);)? };
    ($to:ident { $($inner:tt)* } $(, $($rest:tt)*)?) => { $to.push($crate::json!({ $($inner)* })); $($crate::json_items!($to $($rest)*);)? };
    ($to:ident $value:expr $(, $($rest:tt)*)?) => { $to.push($crate::Value::from($value)); $($crate::json_items!($to $($rest)*);)? };
}

#[doc(hidden)]
#[macro_export]
macro_rules! json_members {
    ($to:ident) => {};
    ($to:ident $name:literal : null $(, $($rest:tt)*)?) => { $to.set($name, $crate::Value::Null); $($crate::json_members!($to $($rest)*);)? };
    ($to:ident $name:literal : [ $($inner:tt)* ] $(, $($rest:tt)*)?) => { $to.set($name, $crate::json!([ $($inner)* ])); $($crate::json_members!($to $($rest)*);)? };
    ($to:ident $name:literal : { $($inner:tt)* } $(, $($rest:tt)*)?) => { $to.set($name, $crate::json!({ $($inner)* })); $($crate::json_members!($to $($rest)*);)? };
    ($to:ident $name:literal : $value:expr $(, $($rest:tt)*)?) => { $to.set($name, $crate::Value::from($value)); $($crate::json_members!($to $($rest)*);)? };
}

#[cfg(test)]
mod tests {
    use super::Value;

    #[test]
    fn what_is_read_is_written() {
        for text in [
            "null", "true", "false", "0", "-0", "-1.5e+300", "123456789012345678901234567890", r#""""#, "[]", "{}",
            r#"[1,[2,[3]],{"a":{"b":[]}}]"#, r#"{"a":1,"a":2}"#, r#""\"\\\u0000\u001fäöü日本🕯️""#,
        ] {
            assert_eq!(Value::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Value::parse(" [ 1 ,\n\t\"\\u00e4\\ud83d\\ude00\\/\\b\" ] ").unwrap().to_string(), "[1,\"ä😀/\\u0008\"]");
        assert_eq!(Value::parse(r#""\ud83d\ud83d\ude00\ude00x\ud83d\u0041""#).unwrap().as_str(), Some("\u{fffd}😀\u{fffd}x\u{fffd}A"));
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for text in [
            "", " ", "nul", "tru", "01", "-", "1.", ".5", "1e", "+1", "\"", "\"\\", "\"\\x\"", "\"\\u12\"", "\"\n\"", "[", "[1", "[1,", "[1,]", "[,]",
            "[1 2]", "{", "{\"a\"", "{\"a\":", "{\"a\":1", "{\"a\":1,}", "{a:1}", "{\"a\" 1}", "1 2", "[]]", "\u{feff}1", "NaN", "'a'",
        ] {
            assert!(Value::parse(text).is_err(), "{text:?} was read");
        }
        let deep = |n| "[".repeat(n) + &"]".repeat(n);
        assert!(Value::parse(&deep(512)).is_ok());
        assert!(Value::parse(&deep(513)).unwrap_err().contains("512 levels"));
    }

    #[test]
    fn the_macro_takes_expressions() {
        let (name, n, list) = ("a\"b", 41, vec!["x", "y"]);
        let v = json!({ "name": name, "sum": n + 1, "list": list, "nested": { "deep": [1, null, { "t": true }, n] }, "none": null, "half": 0.5 });
        assert_eq!(v.to_string(), r#"{"name":"a\"b","sum":42,"list":["x","y"],"nested":{"deep":[1,null,{"t":true},41]},"none":null,"half":0.5}"#);
        assert_eq!(v["nested"]["deep"][0].as_i64(), Some(1));
        assert!(v["no"]["such"][7].is_null());
        assert_eq!(v.str("sum").unwrap_err().message, "\"sum\" must be a string, and is 42");
        assert_eq!(json!([]).to_string() + &json!({}).to_string() + &json!(null).to_string(), "[]{}null");
        assert_eq!(Value::from(f64::NAN), Value::Null);
        assert_eq!(Value::parse(r#"{"a":1,"a":2}"#).unwrap()["a"].as_f64(), Some(2.0));
    }
}
