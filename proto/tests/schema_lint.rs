//! The contracts are complete and consistent: comments, names, routes, annotations, code tables.

mod gate;

use std::collections::{BTreeMap, BTreeSet};

use gate::WIRE_PACKAGES;
use gate::annotations::{enum_option, flag, number, option, text};
use prost_reflect::{DescriptorPool, DynamicMessage, FileDescriptor, Kind, Value};
use prost_types::FileDescriptorProto;

/// Enums whose zero value means something, so that it is not called unspecified.
const MEANINGFUL_ZEROS: [&str; 2] = ["gyre.codes.UnsubscribeCode", "gyre.options.Tier"];

#[test]
fn every_element_is_described() {
    let pool = gate::compile();
    let mut bare = Vec::new();
    for file in own_files(&pool) {
        bare.extend(undescribed(file.file_descriptor_proto()));
    }
    assert!(bare.is_empty(), "without a comment:\n{}", bare.join("\n"));
}

#[test]
fn a_missing_comment_is_found() {
    let pool = gate::compile();
    let file = pool.get_file_by_name("client/client.proto").expect("the client protocol");
    let mut file = file.file_descriptor_proto().clone();
    let info = file.source_code_info.as_mut().expect("source information");
    info.location.retain(|location| location.path != [4, 0, 2, 0]);
    assert_eq!(undescribed(&file), ["client/client.proto: field Command.id"]);
}

#[test]
fn names_follow_the_style_of_protobuf() {
    let pool = gate::compile();
    let mut wrong = Vec::new();
    for message in pool.all_messages().filter(|message| is_own(message.package_name())) {
        for field in message.fields() {
            if !is_lower_snake(field.name()) {
                wrong.push(field.full_name().to_owned());
            }
        }
    }
    for declared in pool.all_enums().filter(|declared| is_own(declared.package_name())) {
        let prefix = upper_snake(declared.name());
        for value in declared.values() {
            if !value.name().starts_with(&format!("{prefix}_")) {
                wrong.push(value.full_name().to_owned());
            }
        }
        let zero = declared.get_value(0).expect("an enum has a value with number zero");
        let unspecified = zero.name() == format!("{prefix}_UNSPECIFIED");
        if unspecified == MEANINGFUL_ZEROS.contains(&declared.full_name()) {
            wrong.push(zero.full_name().to_owned());
        }
    }
    for file in own_files(&pool) {
        if file.syntax() != prost_reflect::Syntax::Proto3 {
            wrong.push(file.name().to_owned());
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn numbers_are_used_once() {
    let pool = gate::compile();
    for message in pool.all_messages().filter(|message| is_own(message.package_name())) {
        let mut seen = BTreeSet::new();
        for field in message.fields() {
            let number = field.number();
            assert!(seen.insert(number), "{} reuses {number}", field.full_name());
            let reserved = message.reserved_ranges().any(|range| range.contains(&number));
            assert!(!reserved, "{} has the reserved number {number}", field.full_name());
        }
    }
}

#[test]
fn every_api_method_has_a_route_and_says_what_repeating_it_does() {
    let pool = gate::compile();
    let service = pool
        .get_service_by_name("centrifugal.centrifugo.api.CentrifugoApi")
        .expect("the service of the server API");
    let mut paths = BTreeSet::new();
    for method in service.methods() {
        let name = method.name();
        let options = method.options();
        let Some(Value::Message(http)) = option(&pool, &options, "google.api.http") else {
            panic!("{name} has no route");
        };
        assert_eq!(text(&http, "post"), format!("/api/{}", lower_snake(name)), "{name}");
        assert_eq!(text(&http, "body"), "*", "{name}");
        assert!(paths.insert(text(&http, "post")), "{name} shares its route");

        let repeated = enum_option(&pool, &options, "gyre.options.idempotency");
        let by_key = method.input().get_field_by_name("idempotency_key").is_some();
        match repeated.as_deref() {
            None | Some("IDEMPOTENCY_UNSPECIFIED") => panic!("{name} has no idempotency"),
            Some(kind) => assert_eq!(kind == "IDEMPOTENCY_BY_KEY", by_key, "{name}"),
        }
        if name != "Batch" {
            assert_eq!(method.input().name(), format!("{name}Request"));
            assert_eq!(method.output().name(), format!("{name}Response"));
            assert_answer(&method.output());
        }
    }
}

#[test]
fn every_api_method_can_be_batched() {
    let pool = gate::compile();
    let get = |name: &str| {
        pool.get_message_by_name(&format!("centrifugal.centrifugo.api.{name}"))
            .unwrap_or_else(|| panic!("the server API has a message {name}"))
    };
    let (command, reply) = (get("Command"), get("Reply"));
    let service = pool
        .get_service_by_name("centrifugal.centrifugo.api.CentrifugoApi")
        .expect("the service of the server API");
    for method in service.methods().filter(|method| method.name() != "Batch") {
        let name = lower_snake(method.name());
        let asked = command.get_field_by_name(&name).expect("a command for each method");
        let answered = reply.get_field_by_name(&name).expect("a reply for each method");
        assert_eq!(asked.number(), answered.number(), "{name}");
        assert_eq!(asked.kind(), Kind::Message(method.input()), "{name}");
        let result = method.output().get_field_by_name("result").expect("a result");
        assert_eq!(answered.kind(), result.kind(), "{name}");
    }
    let methods = service.methods().count() - 1;
    assert_eq!(command.fields().count(), methods);
    assert_eq!(reply.fields().count(), methods + 1, "the error and one for each method");
}

#[test]
fn paged_methods_name_fields_that_exist() {
    let pool = gate::compile();
    for method in pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
        let name = method.full_name();
        let paging = option(&pool, &method.options(), "gyre.options.paging");
        let Some(Value::Message(paging)) = paging else { continue };
        let result = method.output().get_field_by_name("result").expect("a result");
        let Kind::Message(result) = result.kind() else { panic!("{name} has no result") };
        let request = |part: &str| method.input().get_field_by_name(&text(&paging, part));
        assert!(request("limit").is_some_and(|field| field.kind() == Kind::Int32), "{name}");
        assert!(request("start").is_some_and(|field| field.kind() == Kind::String), "{name}");
        let found = |part: &str| result.get_field_by_name(&text(&paging, part));
        assert!(found("items").is_some_and(|field| field.is_list()), "{name}");
        assert!(found("next").is_some_and(|field| field.kind() == Kind::String), "{name}");
    }
}

#[test]
fn annotations_sit_on_fields_they_can_mean() {
    let pool = gate::compile();
    for message in pool.all_messages().filter(|message| is_own(message.package_name())) {
        for field in message.fields() {
            let name = field.full_name();
            let options = field.options();
            if let Some(Value::Message(json)) = option(&pool, &options, "gyre.options.json") {
                let forms = flag(&json, "text") || flag(&json, "base64");
                assert!(!forms || field.kind() == Kind::Bytes, "{name} is not bytes");
                assert!(!(flag(&json, "text") && flag(&json, "base64")), "{name}");
            }
            if option(&pool, &options, "gyre.options.unit").is_some() {
                let counts = !matches!(
                    field.kind(),
                    Kind::String | Kind::Bytes | Kind::Bool | Kind::Message(_) | Kind::Enum(_)
                );
                assert!(counts, "{name} counts nothing");
            }
            if option(&pool, &options, "gyre.options.allowed").is_some() {
                assert_eq!(field.kind(), Kind::String, "{name}");
            }
            let twin = option(&pool, &options, "gyre.options.base64_of");
            assert_eq!(twin.is_some(), field.name().starts_with("b64"), "{name}");
            if let Some(Value::String(twin)) = twin {
                let twin = message.get_field_by_name(&twin);
                assert!(twin.is_some_and(|twin| twin.kind() == Kind::Bytes), "{name}");
                assert_eq!(field.kind(), Kind::String, "{name}");
            }
        }
    }
}

#[test]
fn code_tables_agree_with_the_ranges_clients_decide_by() {
    let pool = gate::compile();
    let mut families = BTreeMap::new();
    for table in pool.all_enums().filter(|table| table.package_name() == "gyre.codes") {
        let family = enum_option(&pool, &table.options(), "gyre.options.code_family")
            .unwrap_or_else(|| panic!("{} belongs to no family", table.full_name()));
        for value in table.values() {
            let name = value.full_name();
            let code = option(&pool, &value.options(), "gyre.options.code");
            let Some(Value::Message(code)) = code else {
                assert_eq!(value.number(), 0, "{name} says nothing to a peer");
                continue;
            };
            assert_code(name, value.number(), &family, &code);
        }
        let first = families.insert(family.clone(), table.full_name().to_owned());
        assert_eq!(first, None, "{family} has two tables");
    }
    assert_eq!(families.len(), 4, "{families:?}");
}

fn assert_code(name: &str, value: i32, family: &str, code: &DynamicMessage) {
    let message = text(code, "message");
    assert!(!message.is_empty(), "{name} has no text");
    assert_eq!(message, message.to_lowercase(), "{name}");
    // A WebSocket close frame has room for no more.
    assert!(message.len() <= 123, "{name} is too long");
    let resubscribes = family == "CODE_FAMILY_UNSUBSCRIBE" && value >= 2500;
    assert_eq!(flag(code, "resubscribe"), resubscribes, "{name}");
    let reconnects = family == "CODE_FAMILY_DISCONNECT" && (3000..3500).contains(&value);
    assert_eq!(flag(code, "reconnect"), reconnects, "{name}");
    if family == "CODE_FAMILY_API_ERROR" {
        assert!((400..600).contains(&number(code, "http_status")), "{name}");
        assert!((1..=16).contains(&number(code, "grpc_code")), "{name}");
    }
    if family != "CODE_FAMILY_CLIENT_ERROR" {
        assert!(!flag(code, "temporary"), "{name}");
    }
}

fn assert_answer(response: &prost_reflect::MessageDescriptor) {
    let name = response.full_name();
    let error = response.get_field_by_name("error").unwrap_or_else(|| panic!("{name}: no error"));
    let result = response.get_field_by_name("result").unwrap_or_else(|| panic!("{name}: no result"));
    assert_eq!((error.number(), result.number()), (1, 2), "{name}");
    assert_eq!(response.fields().count(), 2, "{name}");
}

/// Elements of `file` that have no comment of at least one whole sentence before them.
fn undescribed(file: &FileDescriptorProto) -> Vec<String> {
    let mut described = BTreeSet::new();
    for location in file.source_code_info.iter().flat_map(|info| &info.location) {
        let comment = location.leading_comments().trim();
        if comment.ends_with('.') && comment.len() > 3 {
            described.insert(location.path.clone());
        }
    }
    let mut bare = Vec::new();
    for (path, what) in elements(file) {
        if !described.contains(&path) {
            bare.push(format!("{}: {what}", file.name()));
        }
    }
    bare
}

/// Each element of `file` with its path as source information writes it: pairs of the number of
/// a descriptor's field and an index.
fn elements(file: &FileDescriptorProto) -> Vec<(Vec<i32>, String)> {
    let mut all = vec![(vec![12], "the file".to_owned())];
    for (path, message) in numbered(&[4], &file.message_type) {
        add_message_elements(path, message, &mut all);
    }
    for (path, declared) in numbered(&[5], &file.enum_type) {
        add_enum_elements(path, declared, &mut all);
    }
    for (path, service) in numbered(&[6], &file.service) {
        all.push((path.clone(), format!("service {}", service.name())));
        for (path, method) in numbered(&below(&path, 2), &service.method) {
            all.push((path, format!("method {}.{}", service.name(), method.name())));
        }
    }
    for (path, extension) in numbered(&[7], &file.extension) {
        all.push((path, format!("extension {}", extension.name())));
    }
    all
}

fn add_message_elements(
    path: Vec<i32>,
    message: &prost_types::DescriptorProto,
    all: &mut Vec<(Vec<i32>, String)>,
) {
    if message.options.as_ref().is_some_and(|options| options.map_entry()) {
        return;
    }
    for (path, field) in numbered(&below(&path, 2), &message.field) {
        all.push((path, format!("field {}.{}", message.name(), field.name())));
    }
    for (path, nested) in numbered(&below(&path, 3), &message.nested_type) {
        add_message_elements(path, nested, all);
    }
    for (path, declared) in numbered(&below(&path, 4), &message.enum_type) {
        add_enum_elements(path, declared, all);
    }
    for (path, group) in numbered(&below(&path, 8), &message.oneof_decl) {
        all.push((path, format!("oneof {}.{}", message.name(), group.name())));
    }
    all.push((path, format!("message {}", message.name())));
}

fn add_enum_elements(
    path: Vec<i32>,
    declared: &prost_types::EnumDescriptorProto,
    all: &mut Vec<(Vec<i32>, String)>,
) {
    for (path, value) in numbered(&below(&path, 2), &declared.value) {
        all.push((path, format!("value {}.{}", declared.name(), value.name())));
    }
    all.push((path, format!("enum {}", declared.name())));
}

fn numbered<'a, T>(path: &[i32], items: &'a [T]) -> impl Iterator<Item = (Vec<i32>, &'a T)> + use<'a, T> {
    let path = path.to_vec();
    (0..).zip(items).map(move |(index, item)| (below(&path, index), item))
}

fn below(path: &[i32], last: i32) -> Vec<i32> {
    path.iter().copied().chain([last]).collect()
}

/// Files of the contracts; Google's own descriptors are theirs to describe.
fn own_files(pool: &DescriptorPool) -> impl Iterator<Item = FileDescriptor> + '_ {
    pool.files().filter(|file| file.package_name() != "google.protobuf")
}

fn is_own(package: &str) -> bool {
    WIRE_PACKAGES.contains(&package) || package.starts_with("gyre.")
}

fn is_lower_snake(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !name.contains("__")
}

fn lower_snake(name: &str) -> String {
    upper_snake(name).to_lowercase()
}

/// `HistoryRemove` becomes `HISTORY_REMOVE`; a run of capitals such as `RPC` is one word.
fn upper_snake(name: &str) -> String {
    let mut snake = String::new();
    let mut previous_lower = false;
    for c in name.chars() {
        if c.is_ascii_uppercase() && previous_lower {
            snake.push('_');
        }
        previous_lower = c.is_ascii_lowercase() || c.is_ascii_digit();
        snake.push(c.to_ascii_uppercase());
    }
    snake
}
