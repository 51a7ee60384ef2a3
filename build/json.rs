//! The JSON codec: one encoder and one decoder per message.

use std::fmt::Write as _;

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

use super::contracts::Contracts;
use super::names::{field_ident, message_path};
use super::options::Options;
use super::types::is_boxed;

/// Packages with a JSON form and how their payloads are written in it.
pub const JSON_PACKAGES: [(&str, &str); 3] = [
    ("centrifugal.centrifuge.protocol", "Verbatim"),
    ("centrifugal.centrifugo.api", "Compact"),
    ("centrifugal.centrifugo.proxy", "Compact"),
];

/// The source of the codec of all messages with a JSON form.
pub fn generate(contracts: &Contracts) -> String {
    let mut out = String::new();
    for message in contracts.pool().all_messages() {
        let style = JSON_PACKAGES.iter().find(|(package, _)| *package == message.package_name());
        if let Some((_, style)) = style
            && !message.is_map_entry()
        {
            let fields: Vec<_> = message.fields().map(|field| Field::new(contracts, field)).collect();
            write_encoder(&mut out, &message, &fields, style);
            write_decoder(&mut out, &message, &fields);
            write_base64_twins(&mut out, &message, &fields);
        }
    }
    out
}

struct Field {
    descriptor: FieldDescriptor,
    ident: String,
    always: bool,
    bytes: Bytes,
    base64_of: String,
}

/// The forms bytes have in JSON.
enum Bytes {
    Raw,
    Text,
    Base64,
}

impl Field {
    fn new(contracts: &Contracts, descriptor: FieldDescriptor) -> Self {
        let options = Options::new(contracts.pool(), descriptor.options());
        let json = options.message("gyre.options.json");
        let flag = |name| json.as_ref().is_some_and(|json| json.flag(name));
        assert!(
            descriptor.containing_oneof().is_none() && !descriptor.is_group(),
            "{} has no JSON form: neither oneof, optional nor group is supported",
            descriptor.full_name()
        );
        Self {
            ident: field_ident(&descriptor),
            always: flag("always"),
            bytes: match (flag("text"), flag("base64")) {
                (false, false) => Bytes::Raw,
                (true, false) => Bytes::Text,
                (false, true) => Bytes::Base64,
                (true, true) => panic!("{} is both text and base64", descriptor.full_name()),
            },
            base64_of: options.text("gyre.options.base64_of"),
            descriptor,
        }
    }

    fn name(&self) -> &str {
        self.descriptor.name()
    }

    /// Kind of what is written for one element: of the list, of the map's values, or the field.
    fn element(&self) -> Kind {
        match self.descriptor.kind() {
            Kind::Message(entry) if self.descriptor.is_map() => {
                let key = entry.map_entry_key_field().kind();
                assert!(
                    matches!(key, Kind::String),
                    "{} has no JSON form: keys of maps must be strings",
                    self.descriptor.full_name()
                );
                entry.map_entry_value_field().kind()
            }
            kind => kind,
        }
    }

    /// Statement that writes the element `value`, which is a place or, for what is not `Copy`,
    /// may be a reference.
    fn write_element(&self, value: &str, by_reference: bool) -> String {
        let star = if by_reference { "*" } else { "" };
        let reference = if by_reference { "" } else { "&" };
        match self.element() {
            Kind::String => format!("w.string({reference}{value})"),
            Kind::Bool => format!("w.bool({star}{value})"),
            Kind::Double => format!("w.double({star}{value})"),
            Kind::Float => format!("w.double(f64::from({star}{value}))"),
            Kind::Message(_) => format!("{value}.write_json(w)"),
            Kind::Bytes => match self.bytes {
                Bytes::Raw => format!("w.raw({:?}, {reference}{value})", self.name()),
                Bytes::Text => format!("w.text({reference}{value})"),
                Bytes::Base64 => format!("w.base64({reference}{value})"),
            },
            _ => format!("w.integer({star}{value})"),
        }
    }

    /// Name of the reader's method for an element; messages read into `Option`.
    fn reader_method(&self) -> &'static str {
        match self.element() {
            Kind::String => "string",
            Kind::Bool => "bool",
            Kind::Double => "f64",
            Kind::Float => "f32",
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 | Kind::Enum(_) => "i32",
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => "i64",
            Kind::Uint32 | Kind::Fixed32 => "u32",
            Kind::Uint64 | Kind::Fixed64 => "u64",
            Kind::Bytes => match self.bytes {
                Bytes::Raw => "raw",
                Bytes::Text => "text",
                Bytes::Base64 => "base64",
            },
            Kind::Message(_) if self.is_plural() => "element",
            Kind::Message(_) => "message",
        }
    }

    fn is_plural(&self) -> bool {
        self.descriptor.is_list() || self.descriptor.is_map()
    }

    /// Condition under which the field is written although it is not `always`.
    fn is_set(&self) -> String {
        let place = format!("self.{}", self.ident);
        match self.descriptor.kind() {
            _ if self.is_plural() => format!("!{place}.is_empty()"),
            Kind::String | Kind::Bytes => format!("!{place}.is_empty()"),
            Kind::Bool => place,
            Kind::Double | Kind::Float => format!("{place} != 0.0"),
            Kind::Message(_) => format!("let Some(value) = &{place}"),
            _ => format!("{place} != 0"),
        }
    }

    fn write_value(&self) -> String {
        let place = format!("self.{}", self.ident);
        if self.descriptor.is_list() {
            let item = self.write_element("item", true);
            format!("w.list(&{place}, |w, item| {item})")
        } else if self.descriptor.is_map() {
            let item = self.write_element("item", true);
            format!("w.map(&{place}, |w, item| {item})")
        } else if let Kind::Message(_) = self.descriptor.kind() {
            self.write_element("value", true)
        } else {
            self.write_element(&place, false)
        }
    }
}

fn write_encoder(out: &mut String, message: &MessageDescriptor, fields: &[Field], style: &str) {
    let path = message_path(message);
    let mut body = String::new();
    for field in fields {
        let key = format!("w.key(\",\\\"{}\\\":\");", field.name());
        let value = field.write_value();
        let is_message = matches!(field.descriptor.kind(), Kind::Message(_)) && !field.is_plural();
        if !field.always {
            let condition = field.is_set();
            _ = writeln!(body, "if {condition} {{ {key} {value}; }}");
        } else if is_message {
            let condition = field.is_set();
            _ = writeln!(body, "{key} if {condition} {{ {value}; }} else {{ w.null(); }}");
        } else {
            _ = writeln!(body, "{key} {value};");
        }
    }
    _ = writeln!(
        out,
        "impl JsonEncode for {path} {{\n\
         const RAW_STYLE: RawStyle = RawStyle::{style};\n\
         fn write_json(&self, w: &mut Writer<'_>) {{\nw.open();\n{body}w.close();\n}}\n}}"
    );
}

fn write_decoder(out: &mut String, message: &MessageDescriptor, fields: &[Field]) {
    let path = message_path(message);
    let names: Vec<_> = fields.iter().map(Field::name).collect();
    let mut arms = String::new();
    for (index, field) in fields.iter().enumerate() {
        let ident = &field.ident;
        let method = field.reader_method();
        let value = if field.descriptor.is_list() {
            format!("r.list(Reader::{method})?")
        } else if field.descriptor.is_map() {
            format!("r.map(Reader::{method})?")
        } else if is_boxed(&field.descriptor) {
            format!("r.{method}()?.map(Box::new)")
        } else {
            format!("r.{method}()?")
        };
        _ = writeln!(arms, "{index} => self.{ident} = {value},");
    }
    let unused = if fields.is_empty() { "_r" } else { "r" };
    _ = writeln!(
        out,
        "impl ReadFields for {path} {{\n\
         fn field_names(&self) -> &'static [&'static str] {{ &{names:?} }}\n\
         fn read_field(&mut self, index: usize, {unused}: &mut Reader<'_>) \
         -> Result<(), JsonError> {{\n\
         match index {{\n{arms}_ => {{}}\n}}\nOk(())\n}}\n}}"
    );
}

/// Accessors that hide whether a payload came as JSON or as base64.
fn write_base64_twins(out: &mut String, message: &MessageDescriptor, fields: &[Field]) {
    let mut methods = String::new();
    for twin in fields.iter().filter(|field| !field.base64_of.is_empty()) {
        let raw = fields
            .iter()
            .find(|field| field.name() == twin.base64_of)
            .unwrap_or_else(|| panic!("{} has no twin", twin.descriptor.full_name()));
        let (name, twin_name) = (raw.name(), twin.name());
        let (ident, twin_ident) = (&raw.ident, &twin.ident);
        _ = writeln!(
            methods,
            "/// The bytes meant by `{name}` and `{twin_name}`: those of `{twin_name}` if it is not empty.\n\
             ///\n\
             /// # Errors\n\
             /// [`crate::InvalidBase64`] if `{twin_name}` is not standard padded base64.\n\
             pub fn {name}_bytes(&self) -> Result<bytes::Bytes, crate::InvalidBase64> {{\n\
             crate::payload::effective({twin_name:?}, &self.{ident}, &self.{twin_ident})\n}}"
        );
    }
    if !methods.is_empty() {
        _ = writeln!(out, "impl {} {{\n{methods}}}", message_path(message));
    }
}
