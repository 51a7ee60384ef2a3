//! Services and methods.

use heck::ToSnakeCase as _;
use prost_reflect::{
    DescriptorPool, FieldDescriptor, MessageDescriptor, MethodDescriptor, ServiceDescriptor,
};

use super::annotations::Annotations;
use super::comments::comment;
use super::read::outcome;
use super::{Answer, Batch, BatchCall, ContractError, Idempotency, Method, Paging, Service, Tier};

/// Request field that `IDEMPOTENCY_BY_KEY` speaks of.
const KEY_FIELD: &str = "idempotency_key";

/// Reads one service and its unary methods.
pub fn service(pool: &DescriptorPool, service: &ServiceDescriptor) -> Result<Service, ContractError> {
    let methods = service
        .methods()
        // Streams are no calls: SDKs of the server API and handlers of proxies treat them apart.
        .filter(|method| !method.is_client_streaming() && !method.is_server_streaming())
        .map(|descriptor| method(pool, service, &descriptor))
        .collect::<Result<_, _>>()?;
    Ok(Service {
        full_name: service.full_name().to_owned(),
        doc: comment(&service.parent_file(), service.path(), service.full_name())?,
        methods,
    })
}

fn method(
    pool: &DescriptorPool,
    service: &ServiceDescriptor,
    method: &MethodDescriptor,
) -> Result<Method, ContractError> {
    let annotations = Annotations::new(pool, method.options());
    let http_path = match annotations.group("google.api.http")? {
        Some(rule) => Some(rule.text("post")?).filter(|path| !path.is_empty()),
        None => None,
    };
    let name = match &http_path {
        Some(path) => path.rsplit('/').next().unwrap_or_default().to_owned(),
        None => method.name().to_snake_case(),
    };
    Ok(Method {
        grpc_name: method.name().to_owned(),
        name,
        http_path,
        doc: comment(&method.parent_service().parent_file(), method.path(), method.full_name())?,
        idempotency: idempotency(&annotations, method)?,
        paging: paging(&annotations, method)?,
        tier: tier(&annotations, "gyre.options.method_tier")?,
        request: method.input().full_name().to_owned(),
        answer: answer(service, method)?,
    })
}

/// Who has the item upstream.
pub fn tier(annotations: &Annotations<'_>, name: &str) -> Result<Tier, ContractError> {
    Ok(if annotations.choice(name)? == 0 { Tier::OpenSource } else { Tier::Pro })
}

fn idempotency(
    annotations: &Annotations<'_>,
    method: &MethodDescriptor,
) -> Result<Idempotency, ContractError> {
    Ok(match annotations.choice("gyre.options.idempotency")? {
        1 => Idempotency::ReadOnly,
        2 => Idempotency::Idempotent,
        3 if method.input().get_field_by_name(KEY_FIELD).is_none() => {
            let problem = format!("idempotent by key, but the request has no field {KEY_FIELD}");
            return Err(ContractError::inconsistent(method.full_name(), problem));
        }
        3 => Idempotency::ByKey { field: KEY_FIELD.to_owned() },
        _ => Idempotency::None,
    })
}

fn paging(annotations: &Annotations<'_>, method: &MethodDescriptor) -> Result<Option<Paging>, ContractError> {
    let Some(group) = annotations.group("gyre.options.paging")? else { return Ok(None) };
    let (start, items, next) = (group.text("start")?, group.text("items")?, group.text("next")?);
    let result = outcome(&method.output()).unwrap_or_else(|| method.output());
    let missing = |message: &MessageDescriptor, name: &str| {
        let problem = format!("pages by {}.{name}, which is not declared", message.name());
        ContractError::inconsistent(method.full_name(), problem)
    };
    let field = |message: &MessageDescriptor, name: &str| -> Result<FieldDescriptor, ContractError> {
        message.get_field_by_name(name).ok_or_else(|| missing(message, name))
    };
    let (from, to) = (field(&method.input(), &start)?, field(&result, &next)?);
    if from.kind() != to.kind() {
        let problem = format!("{start} and {next} are of different kinds");
        return Err(ContractError::inconsistent(method.full_name(), problem));
    }
    if !field(&result, &items)?.is_list() {
        return Err(ContractError::inconsistent(method.full_name(), format!("{items} is no list")));
    }
    Ok(Some(Paging { start, items, next }))
}

fn answer(service: &ServiceDescriptor, method: &MethodDescriptor) -> Result<Answer, ContractError> {
    if let Some(result) = outcome(&method.output()) {
        return Ok(Answer::Outcome { result: result.full_name().to_owned() });
    }
    Ok(match batch(service, method)? {
        Some(batch) => Answer::Batch(batch),
        None => Answer::Plain(method.output().full_name().to_owned()),
    })
}

/// Recognizes a request that lists commands, each of which is a request of another method, and
/// checks that replies match them.
fn batch(service: &ServiceDescriptor, method: &MethodDescriptor) -> Result<Option<Batch>, ContractError> {
    let list_of_messages = |message: &MessageDescriptor| {
        let mut lists = message.fields().filter(|field| field.is_list());
        let list = lists.next()?;
        let element = list.kind().as_message()?.clone();
        lists.next().is_none().then(|| (list.name().to_owned(), element))
    };
    let (Some((commands, command)), Some((replies, reply))) =
        (list_of_messages(&method.input()), list_of_messages(&method.output()))
    else {
        return Ok(None);
    };
    let called = |field: &FieldDescriptor| {
        let request = field.kind().as_message()?.clone();
        service.methods().find(|other| other.input() == request)
    };
    if command.fields().len() == 0 || command.fields().any(|field| called(&field).is_none()) {
        return Ok(None);
    }
    let problem = |problem: String| ContractError::inconsistent(method.full_name(), problem);
    let error = reply
        .fields()
        .find(|field| field.kind().as_message().is_some_and(super::read::is_error))
        .ok_or_else(|| problem(format!("{} has no error", reply.name())))?;
    let mut calls = Vec::new();
    for field in command.fields() {
        let Some(other) = called(&field) else { continue };
        let answered =
            reply.get_field_by_name(field.name()).and_then(|reply| reply.kind().as_message().cloned());
        if answered.is_none() || answered != outcome(&other.output()) {
            return Err(problem(format!("no reply fits the command {}", field.name())));
        }
        calls.push(BatchCall { field: field.name().to_owned(), method: other.name().to_owned() });
    }
    Ok(Some(Batch { commands, replies, error: error.name().to_owned(), calls }))
}
