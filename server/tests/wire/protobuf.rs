//! Protobuf messages as JSON values, by a schema of its own.
//!
//! Nothing here is generated from the server's contracts: a wrong number there shows as a failing scenario. Byte
//! fields are rendered as text, or as `hex:…` when they are not UTF-8; fields of value zero are absent.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde_json::{Map, Value};

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    Unsigned,
    Signed,
    ZigZag,
    Bool,
    Text,
    Bytes,
    Double,
    Message(String),
}

#[derive(Debug, Clone, PartialEq)]
enum Shape {
    One,
    Repeated,
    Map,
}

struct Field {
    name: String,
    number: u64,
    kind: Kind,
    shape: Shape,
}

/// Fields by message; names are prefixed with their section, as in `client.Command`.
static SCHEMA: LazyLock<HashMap<String, Vec<Field>>> = LazyLock::new(|| {
    let mut section = "";
    let mut messages = HashMap::new();
    for line in include_str!("schema.txt").lines().filter(|line| !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name;
            continue;
        }
        let mut words = line.split(' ');
        let name = words.next().unwrap_or_default();
        let fields = words.map(|word| field(section, word).unwrap_or_else(|| panic!("schema field {word}")));
        messages.insert(format!("{section}.{name}"), fields.collect());
    }
    messages
});

fn field(section: &str, word: &str) -> Option<Field> {
    let (name, rest) = word.split_once('=')?;
    let (number, kind) = rest.split_once(':')?;
    let (shape, kind) = match (kind.strip_prefix("[]"), kind.strip_prefix("{}")) {
        (Some(kind), _) => (Shape::Repeated, kind),
        (_, Some(kind)) => (Shape::Map, kind),
        _ => (Shape::One, kind),
    };
    let kind = match kind {
        "u32" | "u64" => Kind::Unsigned,
        "i32" | "i64" => Kind::Signed,
        "s64" => Kind::ZigZag,
        "bool" => Kind::Bool,
        "str" => Kind::Text,
        "bytes" => Kind::Bytes,
        "f64" => Kind::Double,
        other => Kind::Message(format!("{section}.{other}")),
    };
    Some(Field { name: name.to_owned(), number: number.parse().ok()?, kind, shape })
}

/// Encodes a JSON rendering as a message of the given type, without a length prefix.
pub fn encode(message: &str, value: &Value) -> Result<Vec<u8>, String> {
    let fields = SCHEMA.get(message).ok_or_else(|| format!("no message {message} in the schema"))?;
    let members =
        value.as_object().ok_or_else(|| format!("{message} is written as an object, not {value}"))?;
    let mut output = Vec::new();
    for (name, value) in members {
        let field = fields
            .iter()
            .find(|field| field.name == *name)
            .ok_or_else(|| format!("{message} has no field {name}"))?;
        match field.shape {
            Shape::One => encode_one(field, field.number, value, &mut output)?,
            Shape::Repeated => {
                for item in value.as_array().into_iter().flatten() {
                    encode_one(field, field.number, item, &mut output)?;
                }
            }
            Shape::Map => {
                for (key, item) in value.as_object().into_iter().flatten() {
                    let mut entry = Vec::new();
                    put_bytes(1, key.as_bytes(), &mut entry);
                    encode_one(field, 2, item, &mut entry)?;
                    put_bytes(field.number, &entry, &mut output);
                }
            }
        }
    }
    Ok(output)
}

fn encode_one(field: &Field, number: u64, value: &Value, output: &mut Vec<u8>) -> Result<(), String> {
    let integer = || value.as_u64().or_else(|| value.as_i64().map(|number| number as u64));
    let wrong = || format!("{value} does not fit field {}", field.name);
    match &field.kind {
        Kind::Unsigned | Kind::Signed => put_integer(number, integer().ok_or_else(wrong)?, output),
        Kind::ZigZag => {
            let signed = value.as_i64().ok_or_else(wrong)?;
            put_integer(number, ((signed << 1) ^ (signed >> 63)) as u64, output);
        }
        Kind::Bool => put_integer(number, u64::from(value.as_bool().ok_or_else(wrong)?), output),
        Kind::Text => put_bytes(number, value.as_str().ok_or_else(wrong)?.as_bytes(), output),
        Kind::Bytes => put_bytes(number, &bytes_of(value)?, output),
        Kind::Double => {
            put_varint(number << 3 | 1, output);
            output.extend_from_slice(&value.as_f64().ok_or_else(wrong)?.to_le_bytes());
        }
        Kind::Message(name) => put_bytes(number, &encode(name, value)?, output),
    }
    Ok(())
}

/// The bytes a JSON rendering of a byte field stands for: `hex:…`, text, or the JSON text of any other value.
pub fn bytes_of(value: &Value) -> Result<Vec<u8>, String> {
    match value {
        Value::String(text) => match text.strip_prefix("hex:") {
            Some(digits) => from_hex(digits),
            None => Ok(text.as_bytes().to_vec()),
        },
        other => Ok(other.to_string().into_bytes()),
    }
}

/// Decodes one message of the given type.
pub fn decode(message: &str, mut bytes: &[u8]) -> Result<Value, String> {
    let fields = SCHEMA.get(message).ok_or_else(|| format!("no message {message} in the schema"))?;
    let mut members = Map::new();
    while !bytes.is_empty() {
        let tag = take_varint(&mut bytes)?;
        let field = fields
            .iter()
            .find(|field| field.number == tag >> 3)
            .ok_or_else(|| format!("{message} has no field number {}", tag >> 3))?;
        let (integer, content) = match tag & 7 {
            0 => (take_varint(&mut bytes)?, &[][..]),
            1 => {
                let content = bytes.get(..8).ok_or_else(|| format!("{message}.{} is cut", field.name))?;
                bytes = &bytes[8..];
                (0, content)
            }
            2 => {
                let length = take_varint(&mut bytes)? as usize;
                let content =
                    bytes.get(..length).ok_or_else(|| format!("{message}.{} is cut", field.name))?;
                bytes = &bytes[length..];
                (0, content)
            }
            other => return Err(format!("{message}.{} has wire type {other}", field.name)),
        };
        match field.shape {
            Shape::One => {
                members.insert(field.name.clone(), decode_one(field, integer, content)?);
            }
            Shape::Repeated => {
                let item = decode_one(field, integer, content)?;
                let list = members.entry(field.name.clone()).or_insert_with(|| Value::Array(Vec::new()));
                list.as_array_mut().ok_or("repeated field is a list")?.push(item);
            }
            Shape::Map => {
                let (key, item) = decode_entry(field, content)?;
                let map = members.entry(field.name.clone()).or_insert_with(|| Value::Object(Map::new()));
                map.as_object_mut().ok_or("map field is an object")?.insert(key, item);
            }
        }
    }
    Ok(Value::Object(members))
}

fn decode_entry(field: &Field, mut bytes: &[u8]) -> Result<(String, Value), String> {
    let mut key = String::new();
    let mut item = decode_one(field, 0, &[])?;
    while !bytes.is_empty() {
        let tag = take_varint(&mut bytes)?;
        let length = if tag & 7 == 1 { 8 } else { take_varint(&mut bytes)? as usize };
        let content = bytes.get(..length).ok_or_else(|| format!("entry of {} is cut", field.name))?;
        bytes = &bytes[length..];
        match tag >> 3 {
            1 => key = String::from_utf8_lossy(content).into_owned(),
            _ => item = decode_one(field, 0, content)?,
        }
    }
    Ok((key, item))
}

fn decode_one(field: &Field, integer: u64, content: &[u8]) -> Result<Value, String> {
    Ok(match &field.kind {
        Kind::Unsigned => integer.into(),
        Kind::Signed => (integer as i64).into(),
        Kind::ZigZag => (((integer >> 1) as i64) ^ -((integer & 1) as i64)).into(),
        Kind::Bool => (integer != 0).into(),
        Kind::Text | Kind::Bytes => match std::str::from_utf8(content) {
            Ok(text) => text.into(),
            Err(_) => format!("hex:{}", to_hex(content)).into(),
        },
        Kind::Double => content.try_into().map_or(0.0, f64::from_le_bytes).into(),
        Kind::Message(name) => decode(name, content)?,
    })
}

fn put_integer(number: u64, value: u64, output: &mut Vec<u8>) {
    put_varint(number << 3, output);
    put_varint(value, output);
}

fn put_bytes(number: u64, value: &[u8], output: &mut Vec<u8>) {
    put_varint(number << 3 | 2, output);
    put_varint(value.len() as u64, output);
    output.extend_from_slice(value);
}

/// Appends a variable-length integer.
pub fn put_varint(mut value: u64, output: &mut Vec<u8>) {
    while value >= 0x80 {
        output.push(value as u8 | 0x80);
        value >>= 7;
    }
    output.push(value as u8);
}

/// Takes a variable-length integer from the front.
pub fn take_varint(bytes: &mut &[u8]) -> Result<u64, String> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or("integer is cut")?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err("integer has more than ten bytes".into())
}

/// Parses hexadecimal digits; white space between them is ignored.
pub fn from_hex(digits: &str) -> Result<Vec<u8>, String> {
    let digits: Vec<char> = digits.chars().filter(|character| !character.is_whitespace()).collect();
    digits
        .chunks(2)
        .map(|pair| {
            u8::from_str_radix(&pair.iter().collect::<String>(), 16).map_err(|e| format!("{pair:?}: {e}"))
        })
        .collect()
}

pub fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
