//! Tests of the documents made from the contracts.

use prost::Message as _;
use serde_json::Value;

use crate::service::{ApiMethod, Tier};
use crate::{FILE_DESCRIPTOR_SET, OPENAPI_JSON};

#[test]
fn descriptor_set_holds_all_packages_with_comments() {
    let set = prost_types::FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap();
    for package in [
        "centrifugal.centrifuge.protocol",
        "centrifugal.centrifugo.api",
        "centrifugal.centrifugo.proxy",
        "centrifugal.centrifugo.unistream",
        "controlpb",
        "gyre.codes",
        "gyre.options",
        "gyre.realtime.v1",
        "google.api",
        "google.protobuf",
    ] {
        let file = set.file.iter().find(|file| file.package() == package);
        let file = file.unwrap_or_else(|| panic!("{package} is missing"));
        if package != "google.protobuf" {
            let locations = &file.source_code_info.as_ref().unwrap().location;
            let comments = locations.iter().filter(|at| at.leading_comments.is_some());
            assert!(comments.count() > 0, "{package} has no comments");
        }
    }
}

#[test]
fn openapi_has_a_path_for_each_method() {
    let document: Value = serde_json::from_str(OPENAPI_JSON).unwrap();
    let paths = document["paths"].as_object().unwrap();
    for method in ApiMethod::ALL {
        let operation = paths.get(method.http_path()).map(|path| &path["post"]);
        assert_eq!(operation.is_some(), method.tier() == Tier::OpenSource);
        if let Some(operation) = operation {
            assert_eq!(operation["operationId"], method.name());
            assert!(!operation["summary"].as_str().unwrap().is_empty(), "{method:?}");
        }
    }
}

#[test]
fn openapi_references_resolve() {
    let document: Value = serde_json::from_str(OPENAPI_JSON).unwrap();
    let mut pending = vec![&document];
    let mut references = 0;
    while let Some(value) = pending.pop() {
        match value {
            Value::Object(fields) => {
                if let Some(reference) = fields.get("$ref").and_then(Value::as_str) {
                    let pointer = reference.strip_prefix('#').unwrap();
                    let target = document.pointer(pointer);
                    assert!(target.is_some_and(Value::is_object), "{reference}");
                    assert_eq!(fields.len(), 1, "{reference} has siblings");
                    references += 1;
                }
                pending.extend(fields.values());
            }
            Value::Array(items) => pending.extend(items),
            _ => {}
        }
    }
    assert!(references > 100);
}

#[test]
fn openapi_tells_forms_of_fields() {
    let document: Value = serde_json::from_str(OPENAPI_JSON).unwrap();
    let schema = |message: &str| document["components"]["schemas"][message].clone();
    let publish = schema("PublishRequest");
    assert_eq!(publish["properties"]["data"]["type"], Value::Null);
    assert_eq!(publish["properties"]["b64data"]["x-base64-of"], "data");
    assert_eq!(publish["properties"]["version"]["type"], "integer");
    assert_eq!(publish["properties"]["tags"]["additionalProperties"]["type"], "string");
    let required = schema("HistoryResult")["required"].clone();
    assert_eq!(required, serde_json::json!(["publications", "epoch", "offset"]));
}
