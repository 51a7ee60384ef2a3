//! What the model says of contracts, and which contracts it refuses.

mod contracts;

use sdk_gen::ir::{
    self, Answer, CodeKind, ContractError, Field, Idempotency, Kind, Role, Scalar, Shape, Tier, Unit,
};
use sdk_gen::plan::{PlanError, SERVER_API, Surface};

/// The model of the repository's contracts.
fn model() -> ir::Model {
    let pool = sdk_gen::load::load(gyre_proto::FILE_DESCRIPTOR_SET).expect("link descriptors");
    ir::read(&pool).expect("read the model")
}

/// The model of a service `test.Api` with these declarations.
fn read(declarations: &str) -> Result<ir::Model, ContractError> {
    let project = tempfile::tempdir().expect("make a directory");
    let text = format!(
        "syntax = \"proto3\";\npackage test;\nimport \"errors.proto\";\n\
         import \"google/api/annotations.proto\";\nimport \"options/options.proto\";\n{declarations}"
    );
    std::fs::write(project.path().join("api.proto"), text).expect("write the contract");
    ir::read(&contracts::compile(project.path()))
}

/// A service with one method whose request has these fields.
fn request(fields: &str) -> String {
    method("", &format!("// Request.\nmessage Request {{\n{fields}\n}}"))
}

/// A service with one method that has these options, and its messages.
fn method(options: &str, messages: &str) -> String {
    format!(
        "// Service.\nservice Api {{\n// Method.\nrpc Do(Request) returns (Response) {{\n{options}\n}}\n}}\n\
         {messages}\n\
         // Response.\nmessage Response {{\n// Error.\nError error = 1;\n// Result.\nResult result = 2;\n}}\n\
         // Result.\nmessage Result {{}}"
    )
}

fn field<'a>(model: &'a ir::Model, message: &str, name: &str) -> &'a Field {
    let message = &model.messages[&format!("centrifugal.centrifugo.api.{message}")];
    message.fields.iter().find(|field| field.name == name).unwrap_or_else(|| panic!("no field {name}"))
}

#[test]
fn methods_carry_their_annotations() {
    let model = model();
    let service = model.service(SERVER_API).unwrap();
    assert_eq!(service.methods.len(), 40);
    let publish = service.methods.iter().find(|method| method.name == "publish").unwrap();
    assert_eq!(publish.grpc_name, "Publish");
    assert_eq!(publish.http_path.as_deref(), Some("/api/publish"));
    assert_eq!(publish.idempotency, Idempotency::ByKey { field: "idempotency_key".to_owned() });
    assert_eq!(publish.tier, Tier::OpenSource);
    assert_eq!(publish.doc, "Publishes into a channel.");
    let read = service.methods.iter().find(|method| method.name == "map_read_state").unwrap();
    assert_eq!(read.paging.as_ref().unwrap().items, "entries");
}

#[test]
fn a_base64_twin_is_part_of_its_payload() {
    let model = model();
    let data = field(&model, "PublishRequest", "data");
    assert_eq!(data.kind, Kind::Payload { base64: Some("b64data".to_owned()) });
    assert!(data.required);
    let message = &model.messages["centrifugal.centrifugo.api.PublishRequest"];
    assert!(message.fields.iter().all(|field| field.name != "b64data"));
}

#[test]
fn fields_carry_shape_unit_and_form() {
    let model = model();
    assert_eq!(field(&model, "SubscribeRequest", "expire_at").unit, Some(Unit::UnixSeconds));
    assert_eq!(field(&model, "PresenceResult", "presence").shape, Shape::Map);
    assert!(field(&model, "PresenceStatsResult", "num_users").always);
    assert_eq!(
        field(&model, "PublishRequest", "version").kind,
        Kind::Scalar(Scalar::Int64 { signed: false })
    );
    assert_eq!(field(&model, "MapPublishRequest", "key_mode").allowed, ["if_new", "if_exists"]);
    assert_eq!(field(&model, "SubscribeRequest", "label_filter").tier, Tier::Pro);
}

#[test]
fn roles_of_messages_are_recognized() {
    let model = model();
    let role = |name: &str| model.messages[&format!("centrifugal.centrifugo.api.{name}")].role.clone();
    assert_eq!(role("Error"), Role::Error);
    assert_eq!(
        role("PublishResponse"),
        Role::Outcome { result: "centrifugal.centrifugo.api.PublishResult".to_owned() }
    );
    assert_eq!(role("BoolValue"), Role::Boxed(Scalar::Bool));
    assert_eq!(role("HistoryResult"), Role::Record);
}

#[test]
fn a_batch_knows_the_methods_it_calls() {
    let model = model();
    let batch =
        model.service(SERVER_API).unwrap().methods.iter().find(|method| method.name == "batch").unwrap();
    let Answer::Batch(batch) = &batch.answer else { panic!("{:?}", batch.answer) };
    assert_eq!((batch.commands.as_str(), batch.replies.as_str()), ("commands", "replies"));
    assert_eq!(batch.calls.len(), 39);
}

#[test]
fn codes_keep_what_a_peer_does() {
    let model = model();
    let errors = model.codes(CodeKind::ApiError).unwrap();
    let numbers: Vec<_> = errors.codes.iter().map(|code| code.number).collect();
    assert_eq!(numbers, [100, 102, 104, 107, 108, 112, 113]);
    let disconnects = model.codes(CodeKind::Disconnect).unwrap();
    let retried = |number| disconnects.codes.iter().find(|code| code.number == number).unwrap().retried;
    assert!(retried(3001) && !retried(3500));
    assert!(disconnects.codes.iter().all(|code| code.number != 3000), "3000 is never sent");
}

#[test]
fn the_client_has_the_methods_of_the_free_product() {
    let model = model();
    let surface = Surface::of(&model, SERVER_API).unwrap();
    assert_eq!(surface.prefix, "/api");
    assert_eq!(surface.methods.len(), 20);
    assert_eq!(surface.batch.unwrap().0.name, "batch");
    assert_eq!(surface.skipped.len(), 19);
    let names: Vec<_> = surface.records.iter().map(|record| record.message.name.as_str()).collect();
    assert!(!names.contains(&"FilterNode"), "only fields that are left out have it");
    assert!(!names.contains(&"Error") && !names.contains(&"Command"));
}

#[test]
fn an_undocumented_field_is_refused() {
    let error = read(&request("string name = 1;")).unwrap_err();
    assert_eq!(error, ContractError::Undocumented("test.Request.name".to_owned()));
}

#[test]
fn a_oneof_is_refused() {
    let error = read(&request("oneof way {\n// A.\nstring a = 1;\n}")).unwrap_err();
    assert_eq!(error.to_string(), "test.Request: oneof is not supported");
}

#[test]
fn a_map_with_numbers_as_keys_is_refused() {
    let error = read(&request("// Names.\nmap<int32, string> names = 1;")).unwrap_err();
    assert_eq!(error.to_string(), "test.Request.names: a map whose keys are no strings is not supported");
}

#[test]
fn a_twin_without_a_payload_is_refused() {
    let error =
        read(&request("// Twin.\nstring b64data = 1 [(gyre.options.base64_of) = \"data\"];")).unwrap_err();
    assert_eq!(error.to_string(), "test.Request.b64data: no single payload data to stand for");
}

#[test]
fn a_unit_of_text_is_refused() {
    let error = read(&request("// Data.\nbytes data = 1 [(gyre.options.unit) = UNIT_SECONDS];")).unwrap_err();
    assert_eq!(error.to_string(), "test.Request.data: has a unit but is no number");
}

#[test]
fn a_key_that_no_field_takes_is_refused() {
    let options = "option (gyre.options.idempotency) = IDEMPOTENCY_BY_KEY;";
    let error = read(&method(options, "// Request.\nmessage Request {}")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "test.Api.Do: idempotent by key, but the request has no field idempotency_key"
    );
}

#[test]
fn pages_by_missing_fields_are_refused() {
    let options = "option (gyre.options.paging) = {start: \"from\" items: \"items\" next: \"next\"};";
    let error = read(&method(options, "// Request.\nmessage Request {}")).unwrap_err();
    assert_eq!(error.to_string(), "test.Api.Do: pages by Request.from, which is not declared");
}

#[test]
fn a_method_without_a_path_has_no_place_in_a_client() {
    let model = read(&method("", "// Request.\nmessage Request {}")).unwrap();
    let error = Surface::of(&model, "test.Api").unwrap_err();
    assert_eq!(error, PlanError::NoPath("Do".to_owned()));
}
