//! Tables of codes: what each enum with a code family means to a peer.

use std::fmt::Write as _;

use heck::ToUpperCamelCase as _;
use prost_reflect::{EnumDescriptor, EnumValueDescriptor};

use super::contracts::Contracts;
use super::names::enum_path;
use super::options::{Annotation, Options};

/// The source of the methods of all code enums.
pub fn generate(contracts: &Contracts) -> String {
    let mut out = String::new();
    for enumeration in contracts.pool().all_enums() {
        let options = Options::new(contracts.pool(), enumeration.options());
        let family = Family::from_number(options.number("gyre.options.code_family"));
        if let Some(family) = family {
            write_table(&mut out, contracts, &enumeration, family);
        }
    }
    out
}

/// `gyre.options.CodeFamily` without its zero.
enum Family {
    ClientError,
    ApiError,
    Unsubscribe,
    Disconnect,
}

impl Family {
    fn from_number(number: i32) -> Option<Self> {
        match number {
            0 => None,
            1 => Some(Self::ClientError),
            2 => Some(Self::ApiError),
            3 => Some(Self::Unsubscribe),
            4 => Some(Self::Disconnect),
            other => panic!("code family {other} is not known to the generator"),
        }
    }
}

fn write_table(out: &mut String, contracts: &Contracts, enumeration: &EnumDescriptor, family: Family) {
    let codes: Vec<_> = enumeration.values().map(|value| Code::new(contracts, enumeration, &value)).collect();
    let path = enum_path(enumeration);
    let all: Vec<_> = codes
        .iter()
        .filter(|code| code.annotation.is_some())
        .map(|code| format!("Self::{}", code.variant))
        .collect();
    _ = writeln!(
        out,
        "impl {path} {{\n\
         /// Every code of the table, in the order of the contract.\n\
         pub const ALL: &'static [Self] = &[{}];\n\n\
         /// The number on the wire.\n\
         pub const fn code(self) -> u32 {{ self as u32 }}\n",
        all.join(", ")
    );
    let text = |code: &Code| format!("{:?}", code.annotation(|code| code.text("message")));
    let flag = |field| move |code: &Code| code.annotation(|code| code.flag(field)).to_string();
    let number = |field, default: i32| {
        move |code: &Code| {
            let number = code.annotation(|code| code.number(field));
            if number == 0 { default } else { number }.to_string()
        }
    };
    let stream_status = |code: &Code| {
        let default = if code.annotation(|code| code.flag("reconnect")) { 14 } else { 10 };
        number("grpc_code", default)(code)
    };
    let mut method = |doc, signature, value: &dyn Fn(&Code) -> String| {
        write_method(out, doc, signature, &codes, value);
    };
    let message = "The text sent with the code.";
    match family {
        Family::ClientError => {
            method(message, "message(self) -> &'static str", &text);
            method(
                "Whether the client may try again by itself.",
                "temporary(self) -> bool",
                &flag("temporary"),
            );
        }
        Family::ApiError => {
            method(message, "message(self) -> &'static str", &text);
            method(
                "The HTTP status in transport error mode.",
                "http_status(self) -> u16",
                &number("http_status", 500),
            );
            method(
                "The number of the gRPC status in transport error mode.",
                "grpc_code(self) -> i32",
                &number("grpc_code", 13),
            );
        }
        Family::Unsubscribe => {
            method(message, "reason(self) -> &'static str", &text);
            method(
                "Whether the client subscribes again by itself.",
                "resubscribe(self) -> bool",
                &flag("resubscribe"),
            );
        }
        Family::Disconnect => {
            method(message, "reason(self) -> &'static str", &text);
            method(
                "Whether the client connects again by itself.",
                "reconnect(self) -> bool",
                &flag("reconnect"),
            );
            method(
                "The number of the gRPC status a stream ends with.",
                "grpc_code(self) -> i32",
                &stream_status,
            );
        }
    }
    method("Whether the code is never written to a peer.", "internal(self) -> bool", &flag("internal"));
    _ = writeln!(out, "}}\n");
    write_conversion(out, &path, &family);
}

/// Writes a `const fn` with one arm for each group of codes with the same value.
fn write_method(
    out: &mut String,
    doc: &str,
    signature: &str,
    codes: &[Code],
    value: &dyn Fn(&Code) -> String,
) {
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    for code in codes {
        let value = value(code);
        let pattern = format!("Self::{}", code.variant);
        match groups.iter_mut().find(|(other, _)| *other == value) {
            Some((_, patterns)) => patterns.push(pattern),
            None => groups.push((value, vec![pattern])),
        }
    }
    let arms: String =
        groups.iter().map(|(value, patterns)| format!("{} => {value},\n", patterns.join(" | "))).collect();
    _ = writeln!(out, "/// {doc}\npub const fn {signature} {{\nmatch self {{\n{arms}}}\n}}\n");
}

/// Writes the conversion into the message that carries the code.
fn write_conversion(out: &mut String, path: &str, family: &Family) {
    let (target, text, more) = match family {
        Family::ClientError => {
            ("crate::client::Error", "message: code.message()", "temporary: code.temporary(),")
        }
        Family::ApiError => ("crate::api::Error", "message: code.message()", ""),
        Family::Unsubscribe => ("crate::client::Unsubscribe", "reason: code.reason()", ""),
        // Its field `reconnect` is part of the schema but never sent.
        Family::Disconnect => ("crate::client::Disconnect", "reason: code.reason()", "reconnect: false,"),
    };
    _ = writeln!(
        out,
        "impl From<{path}> for {target} {{\n\
         fn from(code: {path}) -> Self {{\n\
         Self {{ code: code.code(), {text}.to_owned(), {more} }}\n}}\n}}\n"
    );
}

struct Code {
    variant: String,
    annotation: Option<Annotation>,
}

impl Code {
    fn new(contracts: &Contracts, enumeration: &EnumDescriptor, value: &EnumValueDescriptor) -> Self {
        let name = value.name().to_upper_camel_case();
        let variant = name.strip_prefix(&enumeration.name().to_upper_camel_case());
        Self {
            variant: variant.unwrap_or(&name).to_owned(),
            annotation: Options::new(contracts.pool(), value.options()).message("gyre.options.code"),
        }
    }

    /// A property of the annotation, or its zero for a code without one.
    fn annotation<T: Default>(&self, read: impl FnOnce(&Annotation) -> T) -> T {
        self.annotation.as_ref().map(read).unwrap_or_default()
    }
}
