//! The contracts still hold everything v6.9.1 and we published: names, numbers, types, JSON form, codes.

mod facts;
mod gate;

use std::collections::{BTreeMap, BTreeSet};

use facts::schema;
use gate::WIRE_PACKAGES;
use gate::annotations::{enum_option, flag, number, option, text};
use prost_reflect::{DescriptorPool, Value};
use prost_types::FileDescriptorProto;
use prost_types::field_descriptor_proto::{Label, Type};

#[test]
fn schema_holds_what_was_published() {
    let files: Vec<_> = gate::compile().file_descriptor_protos().cloned().collect();
    let found = differences(&frozen_schema(), &schema(&files), &lines("additions.txt"));
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn json_form_holds_what_was_published() {
    let found = differences(&lines("json.txt"), &json_form(&gate::compile()), &BTreeSet::new());
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn codes_hold_what_was_published() {
    let found = differences(&lines("codes.txt"), &codes(&gate::compile()), &BTreeSet::new());
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn any_change_of_the_schema_is_found() {
    type Change = fn(&mut FileDescriptorProto);
    let changes: [(&str, Change, &str); 10] = [
        ("renumbered", |file| request(file).field[0].number = Some(90), "data = 90"),
        ("renamed", |file| request(file).field[0].name = Some("body".into()), "body = 1"),
        ("another type", |file| request(file).field[0].set_type(Type::String), "data = 1 singular string"),
        (
            "another label",
            |file| request(file).field[0].set_label(Label::Repeated),
            "data = 1 repeated bytes",
        ),
        (
            "made optional",
            |file| request(file).field[0].proto3_optional = Some(true),
            "data = 1 optional bytes",
        ),
        ("removed", |file| drop(request(file).field.remove(0)), "gone: field"),
        (
            "added",
            |file| {
                let mut field = request(file).field[0].clone();
                field.name = Some("more".into());
                field.number = Some(91);
                request(file).field.push(field);
            },
            "not listed as an addition: field",
        ),
        ("message renamed", |file| request(file).name = Some("CallRequest".into()), "gone: message"),
        ("package renamed", |file| file.package = Some("gyre.client".into()), "gone: message"),
        ("file removed", |file| *file = FileDescriptorProto::default(), "gone: message"),
    ];
    let files: Vec<_> = gate::compile().file_descriptor_protos().cloned().collect();
    for (what, change, expected) in changes {
        let mut changed = files.clone();
        let file = changed
            .iter_mut()
            .find(|file| file.name() == "client/connection.proto")
            .expect("the file with RPCRequest");
        change(file);
        let found = differences(&frozen_schema(), &schema(&changed), &lines("additions.txt"));
        assert!(
            found.iter().any(|line| line.contains(expected)),
            "a field that is {what} goes unnoticed: {found:?}"
        );
    }
}

#[test]
fn a_changed_method_is_found() {
    let mut files: Vec<_> = gate::compile().file_descriptor_protos().cloned().collect();
    let service = files
        .iter_mut()
        .flat_map(|file| &mut file.service)
        .find(|service| service.name() == "CentrifugoUniStream")
        .expect("the service of the stream");
    service.method[0].server_streaming = Some(false);
    let found = differences(&frozen_schema(), &schema(&files), &lines("additions.txt"));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("changed: method"), "{found:?}");
}

#[test]
fn an_addition_that_is_not_there_is_found() {
    let stale = BTreeSet::from(["field a.B.c = 1 singular bool".to_owned()]);
    let found = differences(&BTreeSet::new(), &BTreeSet::new(), &stale);
    assert_eq!(found, ["listed as an addition but not there: field a.B.c = 1 singular bool"]);
}

fn request(file: &mut FileDescriptorProto) -> &mut prost_types::DescriptorProto {
    file.message_type
        .iter_mut()
        .find(|message| message.name() == "RPCRequest")
        .expect("the message the changes are made to")
}

/// One line for each way in which `now` differs from `frozen` and `additions` together.
fn differences(
    frozen: &BTreeSet<String>,
    now: &BTreeSet<String>,
    additions: &BTreeSet<String>,
) -> Vec<String> {
    let mut news: BTreeMap<String, &String> = now
        .difference(frozen)
        .filter(|fact| !additions.contains(*fact))
        .map(|fact| (subject(fact).to_owned(), fact))
        .collect();
    let mut found = Vec::new();
    for gone in frozen.difference(now) {
        match news.remove(subject(gone)) {
            Some(new) => found.push(format!("changed: {gone}\n     now: {new}")),
            None => found.push(format!("gone: {gone}")),
        }
    }
    found.extend(news.values().map(|new| format!("not listed as an addition: {new}")));
    found.extend(
        additions.difference(now).map(|stale| format!("listed as an addition but not there: {stale}")),
    );
    found
}

/// The part of a fact that names what it is about.
fn subject(fact: &str) -> &str {
    let end = match fact.split(' ').next() {
        // The number is the name here.
        Some("reserved") => None,
        Some("code") => fact.find(" \""),
        _ => fact.find(" = "),
    };
    end.map_or(fact, |end| &fact[..end])
}

fn frozen_schema() -> BTreeSet<String> {
    let mut facts = BTreeSet::new();
    for name in ["client.txt", "api.txt", "proxy.txt", "unistream.txt", "control.txt", "realtime.txt"] {
        facts.extend(lines(name));
    }
    facts
}

fn lines(name: &str) -> BTreeSet<String> {
    let path = gate::root().join("lock").join(name);
    std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("read {}: {error}", path.display()))
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

/// One line for each field of the wire packages whose JSON form is not the usual one.
fn json_form(pool: &DescriptorPool) -> BTreeSet<String> {
    let mut facts = BTreeSet::new();
    for message in pool.all_messages() {
        if !WIRE_PACKAGES.contains(&message.package_name()) {
            continue;
        }
        for field in message.fields() {
            let form = option(pool, &field.options(), "gyre.options.json");
            let Some(Value::Message(form)) = form else { continue };
            for kind in ["always", "text", "base64"] {
                if flag(&form, kind) {
                    facts.insert(format!("{kind} {}", field.full_name()));
                }
            }
        }
    }
    facts
}

/// One line for each code of the tables, with what a peer does about it.
fn codes(pool: &DescriptorPool) -> BTreeSet<String> {
    let mut facts = BTreeSet::new();
    for table in pool.all_enums() {
        let family = enum_option(pool, &table.options(), "gyre.options.code_family");
        let Some(family) = family else { continue };
        let family = family.trim_start_matches("CODE_FAMILY_").to_owned();
        for value in table.values() {
            let code = option(pool, &value.options(), "gyre.options.code");
            let Some(Value::Message(code)) = code else { continue };
            let effect = match family.as_str() {
                "CLIENT_ERROR" if flag(&code, "temporary") => "temporary".to_owned(),
                "API_ERROR" => {
                    let http = number(&code, "http_status");
                    format!("http {http} grpc {}", number(&code, "grpc_code"))
                }
                "UNSUBSCRIBE" if flag(&code, "resubscribe") => "again".to_owned(),
                "DISCONNECT" if flag(&code, "reconnect") => "again".to_owned(),
                _ => "final".to_owned(),
            };
            let message = text(&code, "message");
            facts.insert(format!("code {family} = {} \"{message}\" {effect}", value.number()));
        }
    }
    facts
}
