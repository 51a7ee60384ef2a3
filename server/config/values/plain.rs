//! Booleans, integers, strings and lists of strings.

use std::fmt;

use serde_json::Value;

use super::leaf_setting;
use super::secret::without_credentials;
use crate::config::setting::Leaf;

leaf_setting!(bool, i64, u16, u32, usize, String, Vec<String>);

impl Leaf for bool {
    fn type_name(&self) -> &'static str {
        "bool"
    }
    fn read(&mut self, value: &Value) -> Result<(), String> {
        *self = match value {
            Value::Bool(flag) => *flag,
            Value::Number(number) => number.as_f64() != Some(0.0),
            Value::String(text) if text.is_empty() => false,
            Value::String(text) => return self.read_text(text),
            _ => return Err("expected true or false".into()),
        };
        Ok(())
    }
    fn read_text(&mut self, text: &str) -> Result<(), String> {
        *self = match text {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => true,
            "0" | "f" | "F" | "false" | "FALSE" | "False" => false,
            _ => return Err("expected true or false".into()),
        };
        Ok(())
    }
    fn is_zero(&self) -> bool {
        !*self
    }
    fn write(&self) -> Value {
        (*self).into()
    }
}

/// Reads an integer as Go's base 0 does: `0x`, `0o`, `0b` and a leading zero name the base, `_` separates.
fn parse_integer(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix(['-', '+']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    let lower = digits.to_ascii_lowercase().replace('_', "");
    let (radix, digits) = match lower.as_str() {
        s if s.starts_with("0x") => (16, &s[2..]),
        s if s.starts_with("0o") => (8, &s[2..]),
        s if s.starts_with("0b") => (2, &s[2..]),
        s if s.len() > 1 && s.starts_with('0') => (8, &s[1..]),
        s => (10, s),
    };
    if digits.starts_with(['-', '+']) {
        return None;
    }
    let magnitude = i128::from_str_radix(digits, radix).ok()?;
    i64::try_from(if negative { -magnitude } else { magnitude }).ok()
}

/// The integer a file value stands for.
pub(super) fn integer_of(value: &Value) -> Option<i64> {
    match value {
        Value::Bool(flag) => Some(i64::from(*flag)),
        #[expect(clippy::cast_possible_truncation, reason = "fractions are dropped, as upstream does")]
        Value::Number(number) => number.as_i64().or_else(|| number.as_f64().map(|float| float as i64)),
        Value::String(text) if text.is_empty() => Some(0),
        Value::String(text) => parse_integer(text),
        _ => None,
    }
}

macro_rules! integers {
    ($($ty:ty, $expected:literal);+ $(;)?) => {$(
        impl Leaf for $ty {
            fn type_name(&self) -> &'static str {
                "int"
            }
            fn read(&mut self, value: &Value) -> Result<(), String> {
                *self = integer_of(value).and_then(|n| <$ty>::try_from(n).ok()).ok_or($expected)?;
                Ok(())
            }
            fn read_text(&mut self, text: &str) -> Result<(), String> {
                *self = parse_integer(text).and_then(|n| <$ty>::try_from(n).ok()).ok_or($expected)?;
                Ok(())
            }
            fn is_zero(&self) -> bool {
                *self == 0
            }
            fn write(&self) -> Value {
                (*self).into()
            }
        }
    )+};
}

integers! {
    i64, "expected an integer";
    u16, "expected a number between 0 and 65535";
    u32, "expected a number between 0 and 4294967295";
    usize, "expected a whole number that is not negative";
}

/// The string a scalar of a file stands for.
pub(super) fn string_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(if *flag { "1" } else { "0" }.to_owned()),
        _ => None,
    }
}

impl Leaf for String {
    fn type_name(&self) -> &'static str {
        "string"
    }
    fn read(&mut self, value: &Value) -> Result<(), String> {
        *self = string_of(value).ok_or("expected a string")?;
        Ok(())
    }
    fn read_text(&mut self, text: &str) -> Result<(), String> {
        text.clone_into(self);
        Ok(())
    }
    fn is_zero(&self) -> bool {
        self.is_empty()
    }
    fn write(&self) -> Value {
        self.as_str().into()
    }
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&without_credentials(self), f)
    }
}

impl Leaf for Vec<String> {
    fn type_name(&self) -> &'static str {
        "[]string"
    }
    fn read(&mut self, value: &Value) -> Result<(), String> {
        let expected = "expected a list of strings";
        *self = match value {
            Value::Array(items) => {
                items.iter().map(string_of).collect::<Option<Vec<_>>>().ok_or_else(|| expected.to_owned())?
            }
            Value::String(text) if text.is_empty() => Vec::new(),
            scalar => vec![string_of(scalar).ok_or(expected)?],
        };
        Ok(())
    }
    fn read_text(&mut self, text: &str) -> Result<(), String> {
        *self =
            if text.trim().is_empty() { Vec::new() } else { text.split(' ').map(str::to_owned).collect() };
        Ok(())
    }
    fn is_zero(&self) -> bool {
        self.is_empty()
    }
    fn write(&self) -> Value {
        self.as_slice().into()
    }
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|text| without_credentials(text))).finish()
    }
    fn write_text(&self) -> String {
        self.join(" ")
    }
}
