//! Reference pages, from the same model as the SDKs.

use anyhow::Context as _;
use minijinja::context;

use crate::ir::{Answer, Field, Idempotency, Kind, Message, Role, Scalar, Shape};
use crate::plan::{Record, Surface};

/// The page about the server API over HTTP/JSON.
///
/// # Errors
/// When the template is at fault.
pub fn server_api(surface: &Surface<'_>) -> anyhow::Result<String> {
    let methods: Vec<_> = surface
        .methods
        .iter()
        .map(|method| {
            let request = &surface.model.messages[&method.request];
            let result = match &method.answer {
                Answer::Outcome { result } => surface.model.messages.get(result),
                _ => None,
            };
            context! {
                name => method.name.as_str(),
                grpc => method.grpc_name.as_str(),
                path => method.http_path.as_deref(),
                doc => flow(&method.doc),
                repeat => repeat(&method.idempotency),
                request => rows(surface, request),
                result => result.map(|result| rows(surface, result)).unwrap_or_default(),
            }
        })
        .collect();
    let tops: Vec<_> = surface
        .methods
        .iter()
        .flat_map(|method| [Some(&method.request), result_of(&method.answer)])
        .flatten()
        .collect();
    let shared: Vec<_> = surface
        .records
        .iter()
        .filter(|record| !tops.contains(&&record.message.id))
        .map(|record| {
            let message = record.message;
            context! { name => message.name.as_str(), doc => flow(&message.doc), fields => rows(surface, message) }
        })
        .collect();
    let batch = surface.batch.map(|(method, batch)| {
        context! {
            path => method.http_path.as_deref(),
            doc => flow(&method.doc),
            flags => surface.batch_flags().into_iter().map(|field| row(surface, field)).collect::<Vec<_>>(),
            commands => batch.commands.as_str(),
            replies => batch.replies.as_str(),
        }
    });
    let errors: Vec<_> = surface
        .errors
        .codes
        .iter()
        .map(|code| {
            context! { number => code.number, message => code.message.as_str(), status => code.http_status, doc => flow(&code.doc) }
        })
        .collect();
    let skipped: Vec<_> = surface.skipped.iter().map(|method| method.name.clone()).collect();
    crate::languages::environment()
        .render_str(
            include_str!("server_api.md.j2"),
            context! { doc => flow(&surface.service.doc), methods, shared, batch, errors, skipped },
        )
        .context("print the server api reference")
}

fn result_of(answer: &Answer) -> Option<&String> {
    match answer {
        Answer::Outcome { result } => Some(result),
        _ => None,
    }
}

fn repeat(idempotency: &Idempotency) -> String {
    match idempotency {
        Idempotency::ReadOnly => "only reads".to_owned(),
        Idempotency::Idempotent => "safe: it writes the same state again".to_owned(),
        Idempotency::ByKey { field } => format!("safe with the same `{field}`"),
        Idempotency::None => "not safe: each call has its own effect".to_owned(),
    }
}

fn rows(surface: &Surface<'_>, message: &Message) -> Vec<minijinja::Value> {
    Record { message, sent: true }.fields().flat_map(|field| {
        let mut rows = vec![row(surface, field)];
        if let Kind::Payload { base64: Some(twin) } = &field.kind {
            rows.push(context! {
                name => twin.as_str(),
                kind => "base64 string",
                required => false,
                doc => format!("The same as base64; takes the place of `{}` when it is not empty.", field.name),
            });
        }
        rows
    }).collect()
}

fn row(surface: &Surface<'_>, field: &Field) -> minijinja::Value {
    let mut doc = flow(&field.doc);
    if let Some(unit) = field.unit {
        doc.push_str(&format!(" Unit: {}.", unit.words()));
    }
    if !field.allowed.is_empty() {
        doc.push_str(&format!(" One of `{}`.", field.allowed.join("`, `")));
    }
    context! { name => field.name.as_str(), kind => kind(surface, field), required => field.required, doc }
}

fn kind(surface: &Surface<'_>, field: &Field) -> String {
    let value = match &field.kind {
        Kind::Scalar(Scalar::Bool) => "boolean".to_owned(),
        Kind::Scalar(Scalar::String) => "string".to_owned(),
        Kind::Scalar(Scalar::Float) => "number".to_owned(),
        Kind::Scalar(Scalar::Int32 { .. } | Scalar::Int64 { .. }) => "integer".to_owned(),
        Kind::Payload { .. } => "any JSON".to_owned(),
        Kind::Bytes => "base64 string".to_owned(),
        Kind::Message(id) => match surface.model.messages.get(id) {
            Some(Message { role: Role::Outcome { result }, .. }) => {
                let result = result.rsplit('.').next().unwrap_or(result);
                format!("`{{\"result\": {result}}}` or `{{\"error\": …}}`")
            }
            Some(Message { name, role: Role::Record, .. }) => format!("[{name}](#{})", name.to_lowercase()),
            Some(Message { role: Role::Boxed(_), .. }) => "`{\"value\": …}`".to_owned(),
            _ => "object".to_owned(),
        },
    };
    match field.shape {
        Shape::One => value,
        Shape::List => format!("list of {value}"),
        Shape::Map => format!("map of {value}"),
    }
}

/// A comment on one line: what follows decides where lines end.
fn flow(comment: &str) -> String {
    comment.replace('\n', " ").replace('|', "\\|")
}
