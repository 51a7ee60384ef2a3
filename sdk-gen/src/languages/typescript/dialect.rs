//! Names, types and codecs in TypeScript.

use crate::ir::{Field, Kind, Scalar, Shape};
use crate::plan::{Casing, Dialect, Named};

/// The language.
pub struct TypeScript;

impl Dialect for TypeScript {
    const LANGUAGE: &'static str = "typescript";
    const FIELDS: Casing = Casing::Camel;
    const METHODS: Casing = Casing::Camel;
    const CODECS: Casing = Casing::Camel;
    // Properties of literals, not of classes: only what breaks every object is reserved.
    const RESERVED_FIELDS: &'static [&'static str] = &["__proto__", "constructor"];
    const RESERVED_METHODS: &'static [&'static str] = &["close", "constructor", "delete", "then"];
    const RESERVED_TYPES: &'static [&'static str] =
        &["ApiClient", "Error", "Map", "Object", "Outcome", "Payload", "Promise", "Record", "Set"];

    fn value(field: &Field, sent: bool, named: Named<'_>) -> String {
        match (&field.kind, named) {
            // A server may learn new values; a caller uses those of today.
            (Kind::Scalar(Scalar::String), _) if sent && !field.allowed.is_empty() => {
                let mut values: Vec<_> = field.allowed.iter().map(|value| format!("{value:?}")).collect();
                values.push("\"\"".to_owned());
                values.join(" | ")
            }
            (Kind::Scalar(scalar), _) => scalar_type(*scalar, sent).to_owned(),
            (_, Named::Boxed(scalar)) => scalar_type(scalar, sent).to_owned(),
            (Kind::Payload { .. }, _) if sent => "Payload".to_owned(),
            (Kind::Payload { .. }, _) => "unknown".to_owned(),
            (Kind::Bytes, _) => "Uint8Array".to_owned(),
            (_, Named::Record(name, _)) => name.to_owned(),
            (_, Named::Outcome(result, _)) => format!("Outcome<{result}>"),
            (_, Named::Nothing) => "unknown".to_owned(),
        }
    }

    fn shaped(shape: Shape, value: String) -> String {
        match shape {
            Shape::One => value,
            Shape::List if value.contains(' ') => format!("readonly ({value})[]"),
            Shape::List => format!("readonly {value}[]"),
            Shape::Map => format!("Readonly<Record<string, {value}>>"),
        }
    }

    fn codec(field: &Field, named: Named<'_>) -> String {
        match (&field.kind, named) {
            (_, Named::Record(_, codec)) => codec.to_owned(),
            (_, Named::Outcome(_, codec)) => format!("c.outcome({codec})"),
            (_, Named::Boxed(scalar)) => format!("c.boxed({})", scalar_codec(scalar)),
            (Kind::Scalar(scalar), _) => scalar_codec(*scalar).to_owned(),
            (Kind::Bytes, _) => "c.bytes".to_owned(),
            _ => "c.payload".to_owned(),
        }
    }

    fn shaped_codec(shape: Shape, value: String) -> String {
        match shape {
            Shape::One => value,
            Shape::List => format!("c.list({value})"),
            Shape::Map => format!("c.map({value})"),
        }
    }

    fn zero(field: &Field) -> Option<String> {
        let zero = match (field.shape, &field.kind) {
            (Shape::List, _) => "[]",
            (Shape::Map, _) => "{}",
            (Shape::One, Kind::Scalar(Scalar::Bool)) => "false",
            (Shape::One, Kind::Scalar(Scalar::String)) => "\"\"",
            (Shape::One, Kind::Scalar(_)) => "0",
            (Shape::One, Kind::Bytes) => "new Uint8Array()",
            (Shape::One, Kind::Payload { .. } | Kind::Message(_)) => return None,
        };
        Some(zero.to_owned())
    }
}

fn scalar_type(scalar: Scalar, sent: bool) -> &'static str {
    match scalar {
        Scalar::Bool => "boolean",
        Scalar::String => "string",
        Scalar::Int64 { .. } if sent => "Integer",
        Scalar::Int32 { .. } | Scalar::Int64 { .. } | Scalar::Float => "number",
    }
}

fn scalar_codec(scalar: Scalar) -> &'static str {
    match scalar {
        Scalar::Bool => "c.bool",
        Scalar::String => "c.text",
        Scalar::Int32 { .. } => "c.int",
        Scalar::Int64 { .. } => "c.long",
        Scalar::Float => "c.float",
    }
}
