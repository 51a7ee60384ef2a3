//! Renders compiled contracts as the lines of `proto/lock/`.

use std::collections::{BTreeMap, BTreeSet};

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto, ServiceDescriptorProto,
};

use crate::gate::WIRE_PACKAGES;

/// One line for each name, number and type of the wire packages in `files`.
pub fn schema(files: &[FileDescriptorProto]) -> BTreeSet<String> {
    let mut facts = BTreeSet::new();
    for file in files {
        if !WIRE_PACKAGES.contains(&file.package()) {
            continue;
        }
        for message in &file.message_type {
            add_message(file.package(), message, &mut facts);
        }
        for declared in &file.enum_type {
            add_enum(file.package(), declared, &mut facts);
        }
        for service in &file.service {
            add_service(file.package(), service, &mut facts);
        }
    }
    facts
}

fn add_message(scope: &str, message: &DescriptorProto, facts: &mut BTreeSet<String>) {
    let name = format!("{scope}.{}", message.name());
    facts.insert(format!("message {name}"));
    for range in &message.reserved_range {
        for number in range.start()..range.end() {
            facts.insert(format!("reserved {name} = {number}"));
        }
    }
    let mut maps = BTreeMap::new();
    for nested in &message.nested_type {
        if nested.options.as_ref().is_some_and(|options| options.map_entry()) {
            maps.insert(format!(".{name}.{}", nested.name()), nested);
        } else {
            add_message(&name, nested, facts);
        }
    }
    for declared in &message.enum_type {
        add_enum(&name, declared, facts);
    }
    for field in &message.field {
        let shape = match maps.get(field.type_name()) {
            Some(entry) => {
                let sides: Vec<String> = entry.field.iter().map(type_of).collect();
                format!("map<{}>", sides.join(", "))
            }
            None => format!("{} {}", label_of(message, field), type_of(field)),
        };
        facts.insert(format!("field {name}.{} = {} {shape}", field.name(), field.number()));
    }
}

fn add_enum(scope: &str, declared: &EnumDescriptorProto, facts: &mut BTreeSet<String>) {
    let name = format!("{scope}.{}", declared.name());
    facts.insert(format!("enum {name}"));
    for value in &declared.value {
        facts.insert(format!("value {name}.{} = {}", value.name(), value.number()));
    }
}

fn add_service(scope: &str, service: &ServiceDescriptorProto, facts: &mut BTreeSet<String>) {
    let name = format!("{scope}.{}", service.name());
    facts.insert(format!("service {name}"));
    for method in &service.method {
        let side = |streaming: bool, type_name: &str| {
            let stream = if streaming { "stream " } else { "" };
            format!("{stream}{}", type_name.trim_start_matches('.'))
        };
        let input = side(method.client_streaming(), method.input_type());
        let output = side(method.server_streaming(), method.output_type());
        facts.insert(format!("method {name}.{} = {input} -> {output}", method.name()));
    }
}

fn label_of(message: &DescriptorProto, field: &FieldDescriptorProto) -> String {
    if field.label() == Label::Repeated {
        return "repeated".to_owned();
    }
    if field.proto3_optional() {
        return "optional".to_owned();
    }
    match field.oneof_index.and_then(|index| message.oneof_decl.get(index as usize)) {
        Some(group) => format!("oneof {}", group.name()),
        None => "singular".to_owned(),
    }
}

fn type_of(field: &FieldDescriptorProto) -> String {
    match field.r#type() {
        Type::Message | Type::Enum | Type::Group => field.type_name().trim_start_matches('.').to_owned(),
        // The names of scalar types in descriptors are those of the language, prefixed.
        scalar => scalar.as_str_name().trim_start_matches("TYPE_").to_lowercase(),
    }
}
