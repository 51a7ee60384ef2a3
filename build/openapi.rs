//! The OpenAPI document of the HTTP/JSON server API.

use std::collections::BTreeMap;

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor, Value};
use serde_json::{Map, json};

use super::comments;
use super::contracts::Contracts;
use super::options::Options;
use super::service::Method;

/// The document as JSON text. Methods upstream sells are left out, as they do not exist here yet.
pub fn generate(contracts: &Contracts) -> String {
    let methods = Method::all(contracts);
    let mut schemas = Schemas { contracts, done: BTreeMap::new() };
    let mut paths = Map::new();
    for method in methods.iter().filter(|method| !method.pro) {
        let operation = operation(method, &mut schemas);
        paths.insert(method.path.clone(), json!({ "post": operation }));
    }
    let error = contracts
        .pool()
        .get_message_by_name("centrifugal.centrifugo.api.Error")
        .expect("the API declares its error");
    schemas.reference(&error);
    let document = json!({
        "openapi": "3.0.3",
        "info": {
            "title": "Server API",
            "description": "Every method is a POST with a JSON object as body. A call that fails \
                answers with status 200 and `error` in the body, unless transport error mode is \
                asked for. Unknown fields are ignored.",
            "version": std::env::var("CARGO_PKG_VERSION").expect("cargo sets the version"),
        },
        "security": [{ "header": [] }, { "authorization": [] }, { "query": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas.done,
            "parameters": { "ErrorMode": {
                "name": "X-Centrifugo-Error-Mode",
                "in": "header",
                "description": "With `transport` an error becomes the HTTP status of the answer, \
                    and the error itself its body.",
                "schema": { "type": "string", "enum": ["transport"] },
            }},
            "responses": {
                "BadRequest": { "description": "The body is not the JSON object it should be." },
                "Unauthorized": { "description": "No valid API key was given." },
                "Failed": {
                    "description": "The call failed, in transport error mode.",
                    "content": content(json!({ "$ref": "#/components/schemas/Error" })),
                },
            },
            "securitySchemes": {
                "header": { "type": "apiKey", "in": "header", "name": "X-API-Key" },
                "authorization": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Authorization",
                    "description": "The word `apikey`, a space and the key.",
                },
                "query": { "type": "apiKey", "in": "query", "name": "api_key" },
            },
        },
    });
    serde_json::to_string_pretty(&document).expect("a JSON value has a text")
}

fn operation(method: &Method, schemas: &mut Schemas<'_>) -> serde_json::Value {
    let comment = comments::of_method(&method.descriptor);
    let mut operation = Map::new();
    operation.insert("operationId".into(), json!(method.name));
    operation.insert("summary".into(), json!(first_sentence(&comment)));
    operation.insert("description".into(), json!(comment));
    if let Some(idempotency) = idempotency(method.idempotency) {
        operation.insert("x-idempotency".into(), json!(idempotency));
    }
    operation.insert("parameters".into(), json!([{ "$ref": "#/components/parameters/ErrorMode" }]));
    operation.insert(
        "requestBody".into(),
        json!({
            "required": true,
            "content": content(schemas.reference(&method.descriptor.input())),
        }),
    );
    operation.insert(
        "responses".into(),
        json!({
            "200": {
                "description": "The call was carried out, or failed with `error`.",
                "content": content(schemas.reference(&method.descriptor.output())),
            },
            "400": { "$ref": "#/components/responses/BadRequest" },
            "401": { "$ref": "#/components/responses/Unauthorized" },
            "default": { "$ref": "#/components/responses/Failed" },
        }),
    );
    operation.into()
}

/// `gyre.options.Idempotency` in words.
fn idempotency(number: i32) -> Option<&'static str> {
    match number {
        1 => Some("read-only"),
        2 => Some("idempotent"),
        3 => Some("by-key"),
        4 => Some("none"),
        _ => None,
    }
}

fn content(schema: serde_json::Value) -> serde_json::Value {
    json!({ "application/json": { "schema": schema } })
}

fn first_sentence(comment: &str) -> String {
    let paragraph = comment.split("\n\n").next().unwrap_or_default();
    let text = paragraph.replace('\n', " ");
    let end = text.find(". ").unwrap_or(text.len());
    text[..end].trim_end_matches('.').to_owned()
}

/// Schemas of messages, made when first referred to.
struct Schemas<'a> {
    contracts: &'a Contracts,
    done: BTreeMap<String, serde_json::Value>,
}

impl Schemas<'_> {
    /// A reference to the schema of a message, which it makes sure exists.
    fn reference(&mut self, message: &MessageDescriptor) -> serde_json::Value {
        let name = message.name();
        if !self.done.contains_key(name) {
            // Holds the place, so that a message may contain itself.
            self.done.insert(name.to_owned(), serde_json::Value::Null);
            let schema = self.object(message);
            self.done.insert(name.to_owned(), schema);
        }
        json!({ "$ref": format!("#/components/schemas/{name}") })
    }

    fn object(&mut self, message: &MessageDescriptor) -> serde_json::Value {
        let mut schema = Map::new();
        schema.insert("type".into(), json!("object"));
        describe(&mut schema, comments::of_message(message));
        let mut properties = Map::new();
        let mut always = Vec::new();
        for field in message.fields() {
            let options = Options::new(self.contracts.pool(), field.options());
            let json = options.message("gyre.options.json");
            if json.is_some_and(|json| json.flag("always")) {
                always.push(json!(field.name()));
            }
            properties.insert(field.name().to_owned(), self.property(&field));
        }
        if !properties.is_empty() {
            schema.insert("properties".into(), properties.into());
        }
        // What a server always writes is required of answers; requests have no such fields.
        if !always.is_empty() {
            schema.insert("required".into(), always.into());
        }
        schema.into()
    }

    fn property(&mut self, field: &FieldDescriptor) -> serde_json::Value {
        let options = Options::new(self.contracts.pool(), field.options());
        let mut schema = match field.kind() {
            Kind::Message(entry) if field.is_map() => {
                let value = entry.map_entry_value_field();
                json!({ "type": "object", "additionalProperties": self.element(&value) })
            }
            _ if field.is_list() => json!({ "type": "array", "items": self.element(field) }),
            _ => self.element(field),
        };
        // Nothing may stand beside a reference.
        if schema.get("$ref").is_some() {
            schema = json!({ "allOf": [schema] });
        }
        let properties = schema.as_object_mut().expect("a schema is an object");
        describe(properties, comments::of_field(field));
        if let Some(unit) = unit(options.number("gyre.options.unit")) {
            properties.insert("x-unit".into(), json!(unit));
        }
        if let Some(Value::List(allowed)) = options.get("gyre.options.allowed") {
            let allowed: Vec<_> = allowed.iter().filter_map(Value::as_str).collect();
            properties.insert("enum".into(), json!(allowed));
        }
        let twin = options.text("gyre.options.base64_of");
        if !twin.is_empty() {
            properties.insert("format".into(), json!("byte"));
            properties.insert("x-base64-of".into(), json!(twin));
        }
        schema
    }

    /// The schema of one value of a field, of one element if the field is a list.
    fn element(&mut self, field: &FieldDescriptor) -> serde_json::Value {
        let options = Options::new(self.contracts.pool(), field.options());
        let json = options.message("gyre.options.json");
        let flag = |name| json.as_ref().is_some_and(|json| json.flag(name));
        match field.kind() {
            Kind::Bool => json!({ "type": "boolean" }),
            Kind::String => json!({ "type": "string" }),
            Kind::Double | Kind::Float => json!({ "type": "number" }),
            Kind::Uint32 | Kind::Fixed32 | Kind::Uint64 | Kind::Fixed64 => {
                json!({ "type": "integer", "format": "int64", "minimum": 0 })
            }
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
                json!({ "type": "integer", "format": "int64" })
            }
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 | Kind::Enum(_) => {
                json!({ "type": "integer", "format": "int32" })
            }
            Kind::Bytes if flag("text") => json!({ "type": "string" }),
            Kind::Bytes if flag("base64") => json!({ "type": "string", "format": "byte" }),
            // Any JSON value.
            Kind::Bytes => json!({}),
            Kind::Message(message) => self.reference(&message),
        }
    }
}

fn describe(schema: &mut Map<String, serde_json::Value>, comment: String) {
    if !comment.is_empty() {
        schema.insert("description".into(), json!(comment));
    }
}

/// `gyre.options.Unit` in words.
fn unit(number: i32) -> Option<&'static str> {
    match number {
        1 => Some("seconds"),
        2 => Some("milliseconds"),
        3 => Some("unix seconds"),
        4 => Some("unix milliseconds"),
        5 => Some("bytes"),
        _ => None,
    }
}
