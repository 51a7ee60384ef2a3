//! The contracts as the SDKs see them: checked, free of any language, free of Protobuf.
//!
//! Printers take everything from here and ask no descriptor. What a name looks like in a language
//! is for `plan` to say; which methods an SDK offers too.

mod annotations;
mod codes;
mod comments;
mod error;
mod methods;
mod read;

use std::collections::BTreeMap;

pub use error::ContractError;
pub use read::read;

/// Full Protobuf name of a message; the key of [`Model::messages`].
pub type MessageId = String;

/// All services of a set of contracts and what they are made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// Services, in the order of the contracts.
    pub services: Vec<Service>,
    /// Messages that methods reach, by full name.
    pub messages: BTreeMap<MessageId, Message>,
    /// Tables of codes, in the order of the contracts.
    pub code_families: Vec<CodeFamily>,
}

impl Model {
    /// The service with this full name.
    ///
    /// # Errors
    /// [`ContractError::Missing`] if the contracts declare none.
    pub fn service(&self, full_name: &str) -> Result<&Service, ContractError> {
        let found = self.services.iter().find(|service| service.full_name == full_name);
        found.ok_or_else(|| ContractError::Missing { what: "service", name: full_name.to_owned() })
    }

    /// The table of codes of this kind.
    ///
    /// # Errors
    /// [`ContractError::Missing`] if the contracts declare none.
    pub fn codes(&self, kind: CodeKind) -> Result<&CodeFamily, ContractError> {
        let found = self.code_families.iter().find(|family| family.kind == kind);
        found.ok_or_else(|| ContractError::Missing { what: "table of codes", name: format!("{kind:?}") })
    }
}

/// A service and its methods.
#[derive(Debug, Clone, PartialEq)]
pub struct Service {
    /// Full Protobuf name.
    pub full_name: String,
    /// What it is for.
    pub doc: String,
    /// Methods, in the order of the contract.
    pub methods: Vec<Method>,
}

/// A method of a service.
#[derive(Debug, Clone, PartialEq)]
pub struct Method {
    /// Name in Protobuf and gRPC, such as `PresenceStats`.
    pub grpc_name: String,
    /// Name in JSON: the last part of the HTTP path, or the Protobuf name in lower snake case.
    pub name: String,
    /// Path of the POST request; `None` for a method that HTTP does not reach.
    pub http_path: Option<String>,
    /// What it does.
    pub doc: String,
    /// What a repeated call does.
    pub idempotency: Idempotency,
    /// How its result is paged through.
    pub paging: Option<Paging>,
    /// Who has it upstream.
    pub tier: Tier,
    /// Request message.
    pub request: MessageId,
    /// Form of the response.
    pub answer: Answer,
}

/// What calling a method twice does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Idempotency {
    /// Reads only.
    ReadOnly,
    /// Writes the same state again.
    Idempotent,
    /// Idempotent when this request field holds a key.
    ByKey {
        /// Protobuf name of the field.
        field: String,
    },
    /// Each call has its own effect, or the contract does not say.
    None,
}

/// How a result is paged through. Field names are Protobuf names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paging {
    /// Request field that says where the page starts.
    pub start: String,
    /// Result field that holds the page.
    pub items: String,
    /// Result field the next start is taken from.
    pub next: String,
}

/// Who has a method or field upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// The free product.
    OpenSource,
    /// The paid product.
    Pro,
}

/// Form of a response.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// Either an error or this result.
    Outcome {
        /// Message of the result.
        result: MessageId,
    },
    /// One outcome for each command of the request.
    Batch(Batch),
    /// The message itself.
    Plain(MessageId),
}

/// A method whose request lists calls of other methods.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Request field that lists the commands.
    pub commands: String,
    /// Response field that lists the replies.
    pub replies: String,
    /// Reply field that holds an error.
    pub error: String,
    /// Name of each command and its reply, and of the method it calls.
    pub calls: Vec<BatchCall>,
}

/// One kind of command in a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchCall {
    /// Field of command and reply.
    pub field: String,
    /// `grpc_name` of the method.
    pub method: String,
}

/// A message.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Full Protobuf name.
    pub id: MessageId,
    /// Name without package.
    pub name: String,
    /// What it is.
    pub doc: String,
    /// Position in the contracts: file, then place in the file.
    pub order: (usize, usize),
    /// Part it plays in responses.
    pub role: Role,
    /// Fields, in the order of the contract. A base64 twin is not listed: it is part of its
    /// payload.
    pub fields: Vec<Field>,
}

/// Part a message plays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// Data.
    Record,
    /// The error of a call: a code and a text.
    Error,
    /// Either an error or this result.
    Outcome {
        /// Message of the result.
        result: MessageId,
    },
    /// A single value that can be absent.
    Boxed(Scalar),
}

/// A field of a message.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// Protobuf name, which is the key in JSON.
    pub name: String,
    /// Protobuf number.
    pub number: u32,
    /// What it holds.
    pub doc: String,
    /// How many values it holds.
    pub shape: Shape,
    /// Kind of each value.
    pub kind: Kind,
    /// Unit of a number.
    pub unit: Option<Unit>,
    /// Values a string may have; empty for any.
    pub allowed: Vec<String>,
    /// Whether a request without it fails.
    pub required: bool,
    /// Whether JSON has it even when it is zero.
    pub always: bool,
    /// Who has it upstream.
    pub tier: Tier,
}

/// How many values a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// One.
    One,
    /// A list.
    List,
    /// Values by string key.
    Map,
}

/// Kind of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A plain value.
    Scalar(Scalar),
    /// Application data: any JSON value.
    Payload {
        /// Field that takes the data as base64 instead; `None` where only JSON fits.
        base64: Option<String>,
    },
    /// Bytes that JSON carries as base64.
    Bytes,
    /// A message.
    Message(MessageId),
}

/// A plain value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scalar {
    /// Yes or no.
    Bool,
    /// An integer that fits 32 bits.
    Int32 {
        /// Whether it may be negative.
        signed: bool,
    },
    /// An integer that needs 64 bits; a number in JSON.
    Int64 {
        /// Whether it may be negative.
        signed: bool,
    },
    /// A floating point number.
    Float,
    /// Text.
    String,
}

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Milliseconds,
    /// Seconds since 1970-01-01 UTC.
    UnixSeconds,
    /// Milliseconds since 1970-01-01 UTC.
    UnixMilliseconds,
    /// Bytes.
    Bytes,
}

impl Unit {
    /// The unit in words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Seconds => "seconds",
            Self::Milliseconds => "milliseconds",
            Self::UnixSeconds => "seconds since 1970-01-01 UTC",
            Self::UnixMilliseconds => "milliseconds since 1970-01-01 UTC",
            Self::Bytes => "bytes",
        }
    }
}

/// Which table codes belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodeKind {
    /// Errors in replies of the client protocol.
    ClientError,
    /// Errors of the server API.
    ApiError,
    /// Ends of a subscription.
    Unsubscribe,
    /// Ends of a connection.
    Disconnect,
}

/// A table of codes.
#[derive(Debug, Clone, PartialEq)]
pub struct CodeFamily {
    /// Which table it is.
    pub kind: CodeKind,
    /// What its codes mean in common.
    pub doc: String,
    /// Codes, in the order of the contract.
    pub codes: Vec<Code>,
}

/// A code a peer can see.
#[derive(Debug, Clone, PartialEq)]
pub struct Code {
    /// Number on the wire.
    pub number: i32,
    /// Name in upper snake case, without the name of the table.
    pub name: String,
    /// When it is used.
    pub doc: String,
    /// Text that goes with it.
    pub message: String,
    /// Whether the peer tries again by itself.
    pub retried: bool,
    /// HTTP status in transport error mode.
    pub http_status: u16,
}
