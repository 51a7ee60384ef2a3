//! Names, types and codecs in Python.

use crate::ir::{Field, Kind, Scalar, Shape};
use crate::plan::{Casing, Dialect, Named};

/// The language.
pub struct Python;

impl Dialect for Python {
    const LANGUAGE: &'static str = "python";
    const FIELDS: Casing = Casing::Snake;
    const METHODS: Casing = Casing::Snake;
    const CODECS: Casing = Casing::Shouting;
    const RESERVED_FIELDS: &'static [&'static str] = &[
        "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue",
        "def", "del", "elif", "else", "except", "finally", "for", "from", "global", "if", "import", "in",
        "is", "lambda", "nonlocal", "not", "or", "pass", "raise", "return", "self", "timeout", "try",
        "while", "with", "yield",
    ];
    const RESERVED_METHODS: &'static [&'static str] = &[
        "async", "await", "class", "close", "def", "del", "from", "global", "import", "pass", "raise",
        "return",
    ];
    const RESERVED_TYPES: &'static [&'static str] = &[
        "Any",
        "ApiClient",
        "AsyncApiClient",
        "Field",
        "Mapping",
        "Outcome",
        "Payload",
        "Record",
        "Request",
        "Sequence",
    ];

    fn value(field: &Field, sent: bool, named: Named<'_>) -> String {
        match (&field.kind, named) {
            // A server may learn new values; a caller uses those of today.
            (Kind::Scalar(Scalar::String), _) if sent && !field.allowed.is_empty() => {
                let values: Vec<_> = field.allowed.iter().map(|value| format!("{value:?}, ")).collect();
                format!("Literal[{}\"\"]", values.concat())
            }
            (Kind::Scalar(scalar), _) => scalar_type(*scalar).to_owned(),
            (_, Named::Boxed(scalar)) => format!("{} | None", scalar_type(scalar)),
            (Kind::Payload { .. }, _) if sent => "Payload".to_owned(),
            (Kind::Payload { .. }, _) => "Any".to_owned(),
            (Kind::Bytes, _) => "bytes".to_owned(),
            (_, Named::Record(name, _)) if field.shape == Shape::One => format!("{name} | None"),
            (_, Named::Record(name, _)) => name.to_owned(),
            (_, Named::Outcome(result, _)) => format!("Outcome[{result}]"),
            (_, Named::Nothing) => "Any".to_owned(),
        }
    }

    fn shaped(shape: Shape, value: String) -> String {
        match shape {
            Shape::One => value,
            Shape::List => format!("Sequence[{value}]"),
            Shape::Map => format!("Mapping[str, {value}]"),
        }
    }

    fn codec(field: &Field, named: Named<'_>) -> String {
        match (&field.kind, named) {
            (_, Named::Record(_, codec)) => codec.to_owned(),
            (_, Named::Outcome(_, codec)) => format!("c.OutcomeCodec({codec})"),
            (_, Named::Boxed(scalar)) => format!("c.Boxed({})", scalar_codec(scalar)),
            (Kind::Scalar(scalar), _) => scalar_codec(*scalar).to_owned(),
            (Kind::Bytes, _) => "c.BYTES".to_owned(),
            _ => "c.PAYLOAD".to_owned(),
        }
    }

    fn shaped_codec(shape: Shape, value: String) -> String {
        match shape {
            Shape::One => value,
            Shape::List => format!("c.List({value})"),
            Shape::Map => format!("c.Map({value})"),
        }
    }

    fn zero(field: &Field) -> Option<String> {
        let zero = match (field.shape, &field.kind) {
            (Shape::List, _) => "()",
            (Shape::Map, _) => "{}",
            (Shape::One, Kind::Scalar(Scalar::Bool)) => "False",
            (Shape::One, Kind::Scalar(Scalar::String)) => "\"\"",
            (Shape::One, Kind::Scalar(Scalar::Float)) => "0.0",
            (Shape::One, Kind::Scalar(_)) => "0",
            (Shape::One, Kind::Bytes) => "b\"\"",
            (Shape::One, Kind::Payload { .. } | Kind::Message(_)) => return None,
        };
        Some(zero.to_owned())
    }
}

fn scalar_type(scalar: Scalar) -> &'static str {
    match scalar {
        Scalar::Bool => "bool",
        Scalar::String => "str",
        Scalar::Int32 { .. } | Scalar::Int64 { .. } => "int",
        Scalar::Float => "float",
    }
}

fn scalar_codec(scalar: Scalar) -> &'static str {
    match scalar {
        Scalar::Bool => "c.BOOL",
        Scalar::String => "c.TEXT",
        Scalar::Int32 { .. } | Scalar::Int64 { .. } => "c.INT",
        Scalar::Float => "c.FLOAT",
    }
}
