//! Decides what an SDK contains, before any language has a say.

mod error;
mod names;
mod view;

use std::collections::{BTreeMap, BTreeSet};

pub use error::PlanError;
pub use names::Casing;
pub use view::{Dialect, ErrorView, FieldView, MessageView, MethodView, Named, PagesView, Sdk, view};

use crate::ir::{
    Answer, Batch, CodeFamily, CodeKind, Field, Kind, Message, Method, Model, Role, Service, Tier,
};

/// The service whose client is made.
pub const SERVER_API: &str = "centrifugal.centrifugo.api.CentrifugoApi";

/// What the client of a service contains.
#[derive(Debug)]
pub struct Surface<'a> {
    /// The contracts it is taken from.
    pub model: &'a Model,
    /// The service.
    pub service: &'a Service,
    /// Path before the names of methods, such as `/api`.
    pub prefix: String,
    /// Methods that answer with one outcome.
    pub methods: Vec<&'a Method>,
    /// The method that makes several calls at once.
    pub batch: Option<(&'a Method, &'a Batch)>,
    /// Methods that are left out: the free product does not have them.
    pub skipped: Vec<&'a Method>,
    /// Messages users see, in the order of the contracts.
    pub records: Vec<Record<'a>>,
    /// Errors of the service.
    pub errors: &'a CodeFamily,
}

/// A message users see.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// The message.
    pub message: &'a Message,
    /// Whether users make it, or only get it.
    pub sent: bool,
}

impl<'a> Record<'a> {
    /// The fields an SDK has of the message.
    pub fn fields(&self) -> impl Iterator<Item = &'a Field> + use<'a> {
        offered(self.message)
    }
}

/// Fields of the free product.
fn offered(message: &Message) -> impl Iterator<Item = &Field> {
    message.fields.iter().filter(|field| field.tier == Tier::OpenSource)
}

impl<'a> Surface<'a> {
    /// Selects the methods of the free product and all they need.
    ///
    /// # Errors
    /// [`PlanError`] if a method has no place in a client over HTTP/JSON.
    pub fn of(model: &'a Model, service: &str) -> Result<Self, PlanError> {
        let service = model.service(service)?;
        let (kept, skipped): (Vec<_>, Vec<_>) =
            service.methods.iter().partition(|method| method.tier == Tier::OpenSource);
        let mut surface = Surface {
            model,
            service,
            prefix: prefix(&kept)?,
            methods: Vec::new(),
            batch: None,
            skipped,
            records: Vec::new(),
            errors: model.codes(CodeKind::ApiError)?,
        };
        let mut reached = Reached { model, sent: BTreeSet::new(), got: BTreeSet::new() };
        for method in kept {
            match &method.answer {
                Answer::Outcome { result } => {
                    reached.sent(&method.request);
                    reached.got(result);
                    surface.methods.push(method);
                }
                Answer::Batch(batch) => surface.batch = Some((method, batch)),
                Answer::Plain(_) => return Err(PlanError::NoOutcome(method.grpc_name.clone())),
            }
        }
        if let Some((method, batch)) = surface.batch {
            surface.check_batch(method, batch)?;
        }
        surface.records = reached.records();
        Ok(surface)
    }

    /// The request fields of a batch beside its commands.
    pub fn batch_flags(&self) -> Vec<&'a Field> {
        let Some((method, batch)) = self.batch else { return Vec::new() };
        let request = self.model.messages.get(&method.request);
        request.into_iter().flat_map(offered).filter(|field| field.name != batch.commands).collect()
    }

    /// Runtimes take the key of a command from the name of its method.
    fn check_batch(&self, method: &Method, batch: &Batch) -> Result<(), PlanError> {
        for call in &batch.calls {
            let called = self.methods.iter().find(|method| method.grpc_name == call.method);
            if called.is_some_and(|called| called.name != call.field) {
                return Err(PlanError::CommandName {
                    batch: method.name.clone(),
                    command: call.field.clone(),
                });
            }
        }
        Ok(())
    }
}

/// The part all paths have before the name of the method.
fn prefix(methods: &[&Method]) -> Result<String, PlanError> {
    let mut common: Option<&str> = None;
    for method in methods {
        let no_path = || PlanError::NoPath(method.grpc_name.clone());
        let path = method.http_path.as_deref().ok_or_else(no_path)?;
        let (prefix, _) = path.rsplit_once('/').ok_or_else(no_path)?;
        if *common.get_or_insert(prefix) != prefix {
            return Err(PlanError::SeveralPrefixes(method.grpc_name.clone()));
        }
    }
    Ok(common.unwrap_or_default().to_owned())
}

/// Messages found on the way from methods.
struct Reached<'a> {
    model: &'a Model,
    sent: BTreeSet<&'a str>,
    got: BTreeSet<&'a str>,
}

impl<'a> Reached<'a> {
    fn sent(&mut self, id: &'a str) {
        self.walk(id, true);
    }

    fn got(&mut self, id: &'a str) {
        self.walk(id, false);
    }

    fn walk(&mut self, id: &'a str, sent: bool) {
        let found = if sent { &mut self.sent } else { &mut self.got };
        if !found.insert(id) {
            return;
        }
        let Some(message) = self.model.messages.get(id) else { return };
        if let Role::Outcome { result } = &message.role {
            return self.walk(result, sent);
        }
        for field in offered(message) {
            if let Kind::Message(inner) = &field.kind {
                self.walk(inner, sent);
            }
        }
    }

    fn records(self) -> Vec<Record<'a>> {
        let ids: BTreeSet<_> = self.sent.union(&self.got).copied().collect();
        let messages = ids.into_iter().filter_map(|id| self.model.messages.get(id));
        let ordered: BTreeMap<_, _> = messages
            // An error that stands alone is data like any other.
            .filter(|message| matches!(message.role, Role::Record | Role::Error))
            .map(|message| ((message.order, &message.id), message))
            .collect();
        ordered
            .into_values()
            .map(|message| Record { message, sent: self.sent.contains(message.id.as_str()) })
            .collect()
    }
}
