//! A surface in the words of one language: what templates print.

use std::collections::BTreeMap;

use serde::Serialize;

use super::names::{Casing, Scope};
use super::{PlanError, Record, Surface};
use crate::ir::{Field, Idempotency, Kind, Message, Method, Role, Scalar, Shape};

/// What a language decides for itself.
pub trait Dialect {
    /// Name of the language, for messages.
    const LANGUAGE: &'static str;
    /// Case of fields.
    const FIELDS: Casing;
    /// Case of methods.
    const METHODS: Casing;
    /// Case of constants that hold codecs.
    const CODECS: Casing;
    /// Words fields cannot be called.
    const RESERVED_FIELDS: &'static [&'static str];
    /// Words methods cannot be called.
    const RESERVED_METHODS: &'static [&'static str];
    /// Words types cannot be called.
    const RESERVED_TYPES: &'static [&'static str];

    /// Type of one value of a field, `name` being the type of its message.
    fn value(field: &Field, sent: bool, name: Named<'_>) -> String;
    /// Type of all values of a field.
    fn shaped(shape: Shape, value: String) -> String;
    /// Expression for the codec of one value.
    fn codec(field: &Field, name: Named<'_>) -> String;
    /// Expression for the codec of all values.
    fn shaped_codec(shape: Shape, value: String) -> String;
    /// Expression for what an absent field means; `None` for absence.
    fn zero(field: &Field) -> Option<String>;
}

/// What the message of a field is called.
#[derive(Debug, Clone, Copy)]
pub enum Named<'a> {
    /// The field holds no message.
    Nothing,
    /// A record, by type and codec.
    Record(&'a str, &'a str),
    /// The outcome of a call with this result, by type and codec.
    Outcome(&'a str, &'a str),
    /// A scalar that can be absent.
    Boxed(Scalar),
}

/// A client in the words of one language.
#[derive(Debug, Serialize)]
pub struct Sdk {
    /// What the service is.
    pub doc: String,
    /// Path before the names of methods.
    pub prefix: String,
    /// Types, in the order of the contracts.
    pub messages: Vec<MessageView>,
    /// Methods, in the order of the contract.
    pub methods: Vec<MethodView>,
    /// The method that makes several calls.
    pub batch: Option<BatchView>,
    /// Errors by code.
    pub errors: Vec<ErrorView>,
    /// What is said of all errors.
    pub errors_doc: String,
    /// Names of the methods that are left out.
    pub skipped: Vec<String>,
}

/// A type.
#[derive(Debug, Serialize)]
pub struct MessageView {
    /// Name of the type.
    pub name: String,
    /// Name of the constant that holds its codec.
    pub codec: String,
    /// What it is.
    pub doc: String,
    /// Whether users make it.
    pub sent: bool,
    /// Type of the result, if this is the request of a method.
    pub result: Option<String>,
    /// Required fields first.
    pub fields: Vec<FieldView>,
}

/// A field of a type.
#[derive(Debug, Clone, Serialize)]
pub struct FieldView {
    /// Name in the language.
    pub name: String,
    /// Key in JSON.
    pub wire: String,
    /// What it holds, its unit and its values.
    pub doc: String,
    /// Type of its value.
    #[serde(rename = "type")]
    pub kind: String,
    /// Expression for its codec.
    pub codec: String,
    /// Key for bytes as base64.
    pub base64: Option<String>,
    /// Expression for what absence means; `None` if it is absence itself.
    pub zero: Option<String>,
    /// Whether users must give it.
    pub required: bool,
    /// Whether it is a payload, for which null and absence differ.
    pub payload: bool,
}

/// A method.
#[derive(Debug, Serialize)]
pub struct MethodView {
    /// Name of the function.
    pub name: String,
    /// Name of the constant that holds the method.
    pub constant: String,
    /// Name in paths and batches.
    pub wire: String,
    /// What it does.
    pub doc: String,
    /// `always`, `with-key` or `never`.
    pub repeatable: &'static str,
    /// Type of the request.
    pub request: String,
    /// Codec of the request.
    pub request_codec: String,
    /// Type of the result.
    pub result: String,
    /// Codec of the result.
    pub result_codec: String,
    /// Fields of the request, required ones first.
    pub fields: Vec<FieldView>,
    /// Whether a call needs no arguments.
    pub optional: bool,
    /// Whether a batch can hold it.
    pub batched: bool,
    /// How to go through all pages.
    pub pages: Option<PagesView>,
}

/// A function that goes through all pages of a method.
#[derive(Debug, Clone, Serialize)]
pub struct PagesView {
    /// Name of the function.
    pub name: String,
    /// Request field that says where the page starts.
    pub start: String,
    /// Result field that holds the page.
    pub items: String,
    /// Result field the next start is taken from.
    pub next: String,
    /// Type of one item.
    pub item: String,
}

/// The method that makes several calls.
#[derive(Debug, Serialize)]
pub struct BatchView {
    /// Name of the function.
    pub name: String,
    /// Name in paths.
    pub wire: String,
    /// What it does.
    pub doc: String,
    /// Key of the commands.
    pub commands: String,
    /// Key of the replies.
    pub replies: String,
    /// Further fields of the request.
    pub flags: Vec<FieldView>,
}

/// An error class.
#[derive(Debug, Serialize)]
pub struct ErrorView {
    /// Name of the class.
    pub name: String,
    /// Code it stands for.
    pub code: i32,
    /// When it happens.
    pub doc: String,
    /// Text the server sends with it.
    pub message: String,
    /// Status in transport error mode.
    pub http_status: u16,
}

/// Puts a surface into the words of a language.
///
/// # Errors
/// [`PlanError::NameClash`] if two things would be called the same.
pub fn view<D: Dialect>(surface: &Surface<'_>) -> Result<Sdk, PlanError> {
    let writer = Writer::<D>::new(surface)?;
    let mut functions = Scope::new(D::LANGUAGE, D::RESERVED_METHODS);
    let methods = surface
        .methods
        .iter()
        .map(|method| writer.method(method, &mut functions))
        .collect::<Result<_, _>>()?;
    let batch = match surface.batch {
        Some((method, batch)) => Some(BatchView {
            name: functions.name(&method.grpc_name, D::METHODS.apply(&method.name))?,
            wire: method.name.clone(),
            doc: method.doc.clone(),
            commands: batch.commands.clone(),
            replies: batch.replies.clone(),
            flags: writer.fields(surface.batch_flags().into_iter(), true)?,
        }),
        None => None,
    };
    Ok(Sdk {
        doc: surface.service.doc.clone(),
        prefix: surface.prefix.clone(),
        messages: surface.records.iter().map(|record| writer.message(record)).collect::<Result<_, _>>()?,
        methods,
        batch,
        errors: writer.errors,
        errors_doc: surface.errors.doc.clone(),
        skipped: surface.skipped.iter().map(|method| method.name.clone()).collect(),
    })
}

/// Gives names and remembers them.
struct Writer<'a, D> {
    surface: &'a Surface<'a>,
    /// Names of type and codec by message.
    types: BTreeMap<&'a str, (String, String)>,
    errors: Vec<ErrorView>,
    dialect: std::marker::PhantomData<D>,
}

impl<'a, D: Dialect> Writer<'a, D> {
    fn new(surface: &'a Surface<'a>) -> Result<Self, PlanError> {
        let mut scope = Scope::new(D::LANGUAGE, D::RESERVED_TYPES);
        let mut constants = Scope::new(D::LANGUAGE, D::RESERVED_FIELDS);
        let mut types = BTreeMap::new();
        for Record { message, .. } in &surface.records {
            let name = scope.name(&message.id, message.name.clone())?;
            let codec = constants.name(&message.id, D::CODECS.apply(&message.name))?;
            types.insert(message.id.as_str(), (name, codec));
        }
        let mut errors = Vec::new();
        for code in &surface.errors.codes {
            let name = format!("{}Error", Casing::Pascal.apply(&code.name));
            errors.push(ErrorView {
                name: scope.name(&format!("error {}", code.name), name)?,
                code: code.number,
                doc: code.doc.clone(),
                message: code.message.clone(),
                http_status: code.http_status,
            });
        }
        Ok(Self { surface, types, errors, dialect: std::marker::PhantomData })
    }

    /// Type and codec of a record. Every message of the surface has a name.
    fn record(&self, id: &str) -> (&str, &str) {
        let (name, codec) = &self.types[id];
        (name, codec)
    }

    fn message(&self, record: &Record<'_>) -> Result<MessageView, PlanError> {
        let (name, codec) = self.record(&record.message.id);
        let method = self.surface.methods.iter().find(|method| method.request == record.message.id);
        Ok(MessageView {
            name: name.to_owned(),
            codec: codec.to_owned(),
            doc: record.message.doc.clone(),
            sent: record.sent,
            result: method.map(|method| self.result(method).0.to_owned()),
            fields: self.fields(record.fields(), record.sent)?,
        })
    }

    fn result(&self, method: &Method) -> (&str, &str) {
        match &method.answer {
            crate::ir::Answer::Outcome { result } => self.record(result),
            // The surface takes no other method.
            _ => ("", ""),
        }
    }

    fn method(&self, method: &Method, functions: &mut Scope) -> Result<MethodView, PlanError> {
        let request = &self.surface.model.messages[&method.request];
        let fields = self.fields(Record { message: request, sent: true }.fields(), true)?;
        let (request_type, request_codec) = self.record(&method.request);
        let (result, result_codec) = self.result(method);
        let name = functions.name(&method.grpc_name, D::METHODS.apply(&method.name))?;
        Ok(MethodView {
            constant: D::CODECS.apply(&format!("{}_method", method.name)),
            wire: method.name.clone(),
            doc: method.doc.clone(),
            repeatable: match method.idempotency {
                Idempotency::ReadOnly | Idempotency::Idempotent => "always",
                Idempotency::ByKey { .. } => "with-key",
                Idempotency::None => "never",
            },
            request: request_type.to_owned(),
            request_codec: request_codec.to_owned(),
            result: result.to_owned(),
            result_codec: result_codec.to_owned(),
            optional: !fields.iter().any(|field| field.required),
            fields,
            batched: self
                .surface
                .batch
                .is_some_and(|(_, batch)| batch.calls.iter().any(|call| call.method == method.grpc_name)),
            pages: self.pages(method, functions)?,
            name,
        })
    }

    fn pages(&self, method: &Method, functions: &mut Scope) -> Result<Option<PagesView>, PlanError> {
        let (Some(paging), crate::ir::Answer::Outcome { result }) = (&method.paging, &method.answer) else {
            return Ok(None);
        };
        let result = &self.surface.model.messages[result];
        let Some(items) = result.fields.iter().find(|field| field.name == paging.items) else {
            return Ok(None);
        };
        let request = &self.surface.model.messages[&method.request];
        let name_in = |message: &Message, sent: bool, wire: &str| -> Result<String, PlanError> {
            let fields = self.fields(Record { message, sent }.fields(), sent)?;
            let field = fields.into_iter().find(|field| field.wire == wire);
            field.map(|field| field.name).ok_or_else(|| PlanError::PageField(wire.to_owned()))
        };
        Ok(Some(PagesView {
            name: functions.name(
                &format!("pages of {}", method.grpc_name),
                D::METHODS.apply(&format!("{}_items", method.name)),
            )?,
            start: name_in(request, true, &paging.start)?,
            items: name_in(result, false, &paging.items)?,
            next: name_in(result, false, &paging.next)?,
            item: D::value(items, false, self.named(items)),
        }))
    }

    fn fields<'f>(
        &self,
        fields: impl Iterator<Item = &'f Field>,
        sent: bool,
    ) -> Result<Vec<FieldView>, PlanError> {
        let mut scope = Scope::new(D::LANGUAGE, D::RESERVED_FIELDS);
        let mut views = Vec::new();
        for field in fields {
            let named = self.named(field);
            views.push(FieldView {
                name: scope.name(&field.name, D::FIELDS.apply(&field.name))?,
                wire: field.name.clone(),
                doc: documentation(field),
                kind: D::shaped(field.shape, D::value(field, sent, named)),
                codec: D::shaped_codec(field.shape, D::codec(field, named)),
                base64: match &field.kind {
                    Kind::Payload { base64 } => base64.clone(),
                    _ => None,
                },
                zero: D::zero(field),
                required: sent && field.required,
                payload: matches!(field.kind, Kind::Payload { .. }),
            });
        }
        views.sort_by_key(|field| !field.required);
        Ok(views)
    }

    fn named(&self, field: &Field) -> Named<'_> {
        let Kind::Message(id) = &field.kind else { return Named::Nothing };
        match self.surface.model.messages.get(id) {
            Some(Message { role: Role::Boxed(scalar), .. }) => Named::Boxed(*scalar),
            Some(Message { role: Role::Outcome { result }, .. }) => {
                let (name, codec) = self.record(result);
                Named::Outcome(name, codec)
            }
            _ => {
                let (name, codec) = self.record(id);
                Named::Record(name, codec)
            }
        }
    }
}

/// Comment of a field with what annotations add to it.
fn documentation(field: &Field) -> String {
    let mut text = match &field.kind {
        Kind::Payload { base64: Some(twin) } => {
            format!("{} Bytes are sent as they are.", without(&field.doc, twin))
        }
        _ => field.doc.clone(),
    };
    if let Some(unit) = field.unit {
        text.push_str(&format!("\nUnit: {}.", unit.words()));
    }
    if !field.allowed.is_empty() {
        text.push_str(&format!("\nOne of: {}.", field.allowed.join(", ")));
    }
    text
}

/// A comment without the sentences that speak of a field no SDK shows.
fn without(doc: &str, field: &str) -> String {
    let text = doc.replace('\n', " ");
    let kept: Vec<_> = text
        .split_inclusive(". ")
        .map(str::trim_end)
        .filter(|sentence| !sentence.contains(&format!("`{field}`")))
        .collect();
    kept.join(" ")
}
