//! Turns descriptors into the model.

use std::collections::BTreeMap;

use prost_reflect::{Cardinality, DescriptorPool, FieldDescriptor, Kind as Proto, MessageDescriptor};

use super::annotations::Annotations;
use super::comments::comment;
use super::methods::{service, tier};
use super::{ContractError, Field, Kind, Message, Model, Role, Scalar, Shape, Unit, codes};

/// Reads all services of the contracts, the messages they reach, and all tables of codes.
///
/// # Errors
/// [`ContractError`] for the first item that SDKs cannot be made of.
pub fn read(pool: &DescriptorPool) -> Result<Model, ContractError> {
    let mut services = Vec::new();
    let mut reader = Reader { pool, messages: BTreeMap::new() };
    for descriptor in pool.services() {
        services.push(service(pool, &descriptor)?);
        for method in descriptor.methods() {
            reader.message(&method.input())?;
            reader.message(&method.output())?;
        }
    }
    Ok(Model { services, messages: reader.messages, code_families: codes::read_all(pool)? })
}

/// Whether a message is the error of a call: a number `code` and a text `message`.
pub fn is_error(message: &MessageDescriptor) -> bool {
    let is =
        |name: &str, kind: Proto| message.get_field_by_name(name).is_some_and(|field| field.kind() == kind);
    message.fields().len() == 2 && is("code", Proto::Uint32) && is("message", Proto::String)
}

/// The result of a message that is either `error` or `result`; `None` for other messages.
pub fn outcome(message: &MessageDescriptor) -> Option<MessageDescriptor> {
    if message.fields().len() != 2 {
        return None;
    }
    let error = message.get_field_by_name("error")?;
    error.kind().as_message().filter(|error| is_error(error))?;
    message.get_field_by_name("result")?.kind().as_message().cloned()
}

struct Reader<'a> {
    pool: &'a DescriptorPool,
    messages: BTreeMap<String, Message>,
}

impl Reader<'_> {
    /// Reads a message and all it contains.
    fn message(&mut self, descriptor: &MessageDescriptor) -> Result<(), ContractError> {
        if self.messages.contains_key(descriptor.full_name()) {
            return Ok(());
        }
        if descriptor.oneofs().any(|oneof| !oneof.is_synthetic()) {
            return Err(unsupported(descriptor.full_name(), "oneof"));
        }
        let mut message = Message {
            id: descriptor.full_name().to_owned(),
            name: descriptor.name().to_owned(),
            doc: comment(&descriptor.parent_file(), descriptor.path(), descriptor.full_name())?,
            order: self.order(descriptor),
            role: Role::Record,
            fields: Vec::new(),
        };
        // Holds the place, so that a message may contain itself.
        self.messages.insert(message.id.clone(), message.clone());
        let mut twins = Vec::new();
        for field in descriptor.fields() {
            match Annotations::new(self.pool, field.options()).text("gyre.options.base64_of")? {
                Some(of) => twins.push((of, field)),
                None => message.fields.push(self.field(&field)?),
            }
        }
        for (of, twin) in twins {
            join_twin(&mut message, &of, &twin)?;
        }
        message.role = role(descriptor, &message);
        self.messages.insert(message.id.clone(), message);
        Ok(())
    }

    /// Where the message stands in the contracts.
    fn order(&self, descriptor: &MessageDescriptor) -> (usize, usize) {
        let file = descriptor.parent_file();
        let position = self.pool.files().position(|other| other == file).unwrap_or_default();
        let place = file.messages().position(|other| other == *descriptor).unwrap_or_default();
        (position, place)
    }

    fn field(&mut self, field: &FieldDescriptor) -> Result<Field, ContractError> {
        let name = field.full_name();
        let annotations = Annotations::new(self.pool, field.options());
        let (shape, value) = match field.kind() {
            Proto::Message(entry) if field.is_map() => {
                if entry.map_entry_key_field().kind() != Proto::String {
                    return Err(unsupported(name, "a map whose keys are no strings"));
                }
                (Shape::Map, entry.map_entry_value_field())
            }
            _ if field.is_list() => (Shape::List, field.clone()),
            _ => (Shape::One, field.clone()),
        };
        if field.cardinality() == Cardinality::Required {
            return Err(unsupported(name, "a required field of proto2"));
        }
        let json = annotations.group("gyre.options.json")?;
        let form = |form: &str| json.as_ref().map_or(Ok(false), |json| json.flag(form));
        let kind = match value.kind() {
            Proto::Bool => Kind::Scalar(Scalar::Bool),
            Proto::Int32 | Proto::Sint32 | Proto::Sfixed32 | Proto::Enum(_) => {
                Kind::Scalar(Scalar::Int32 { signed: true })
            }
            Proto::Uint32 | Proto::Fixed32 => Kind::Scalar(Scalar::Int32 { signed: false }),
            Proto::Int64 | Proto::Sint64 | Proto::Sfixed64 => Kind::Scalar(Scalar::Int64 { signed: true }),
            Proto::Uint64 | Proto::Fixed64 => Kind::Scalar(Scalar::Int64 { signed: false }),
            Proto::Float | Proto::Double => Kind::Scalar(Scalar::Float),
            Proto::String => Kind::Scalar(Scalar::String),
            Proto::Bytes if form("text")? => Kind::Scalar(Scalar::String),
            Proto::Bytes if form("base64")? => Kind::Bytes,
            Proto::Bytes => Kind::Payload { base64: None },
            Proto::Message(inner) => {
                self.message(&inner)?;
                Kind::Message(inner.full_name().to_owned())
            }
        };
        let unit = unit(&annotations, name)?;
        if unit.is_some() && matches!(kind, Kind::Message(_) | Kind::Payload { .. } | Kind::Bytes) {
            return Err(ContractError::inconsistent(name, "has a unit but is no number"));
        }
        Ok(Field {
            name: field.name().to_owned(),
            number: field.number(),
            doc: comment(&field.parent_message().parent_file(), field.path(), name)?,
            shape,
            kind,
            unit,
            allowed: annotations.texts("gyre.options.allowed")?,
            required: annotations.flag("gyre.options.required")?,
            always: form("always")?,
            tier: tier(&annotations, "gyre.options.field_tier")?,
        })
    }
}

/// Makes a base64 field part of the payload it stands for.
fn join_twin(message: &mut Message, of: &str, twin: &FieldDescriptor) -> Result<(), ContractError> {
    if twin.kind() != Proto::String || twin.is_list() {
        return Err(ContractError::inconsistent(twin.full_name(), "base64 twin is no string"));
    }
    match message.fields.iter_mut().find(|field| field.name == of) {
        Some(Field { kind: Kind::Payload { base64: base64 @ None }, shape: Shape::One, .. }) => {
            *base64 = Some(twin.name().to_owned());
            Ok(())
        }
        _ => {
            Err(ContractError::inconsistent(twin.full_name(), format!("no single payload {of} to stand for")))
        }
    }
}

fn role(descriptor: &MessageDescriptor, message: &Message) -> Role {
    if is_error(descriptor) {
        return Role::Error;
    }
    if let Some(result) = outcome(descriptor) {
        return Role::Outcome { result: result.full_name().to_owned() };
    }
    match message.fields.as_slice() {
        [Field { name, kind: Kind::Scalar(scalar), shape: Shape::One, .. }]
            if name == "value" && message.name.ends_with("Value") =>
        {
            Role::Boxed(*scalar)
        }
        _ => Role::Record,
    }
}

fn unit(annotations: &Annotations<'_>, name: &str) -> Result<Option<Unit>, ContractError> {
    Ok(match annotations.choice("gyre.options.unit")? {
        0 => None,
        1 => Some(Unit::Seconds),
        2 => Some(Unit::Milliseconds),
        3 => Some(Unit::UnixSeconds),
        4 => Some(Unit::UnixMilliseconds),
        5 => Some(Unit::Bytes),
        other => return Err(ContractError::inconsistent(name, format!("unit {other} is not known"))),
    })
}

fn unsupported(item: &str, feature: &'static str) -> ContractError {
    ContractError::Unsupported { item: item.to_owned(), feature }
}
