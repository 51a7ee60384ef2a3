//! The server API once as a trait, and its projections: gRPC, HTTP/JSON and batch commands.

use std::fmt::Write as _;

use prost_reflect::{MessageDescriptor, MethodDescriptor};

use super::comments;
use super::contracts::Contracts;
use super::names::{field_ident, message_path, method_ident};
use super::options::Options;

/// The one service that is projected.
const SERVICE: &str = "centrifugal.centrifugo.api.CentrifugoApi";
const COMMAND: &str = "centrifugal.centrifugo.api.Command";
const REPLY: &str = "centrifugal.centrifugo.api.Reply";

/// The source of trait, method table and projections.
pub fn generate(contracts: &Contracts) -> String {
    let methods = Method::all(contracts);
    let mut out = String::new();
    write_trait(&mut out, &methods);
    write_method_table(&mut out, &methods);
    write_responses(&mut out, &methods);
    write_call_json(&mut out, &methods);
    write_call_command(&mut out, contracts, &methods);
    write_grpc(&mut out, &methods);
    out
}

/// A method of the server API.
pub struct Method {
    pub descriptor: MethodDescriptor,
    /// Name in Rust, and variant of `ApiMethod`.
    pub ident: String,
    variant: String,
    /// Last segment of the HTTP path: the name in batches, metrics and legacy requests.
    pub name: String,
    /// Whole HTTP path.
    pub path: String,
    /// Upstream has it in the paid product only.
    pub pro: bool,
    /// `gyre.options.Idempotency`.
    pub idempotency: i32,
}

impl Method {
    /// The methods in the order of the contract.
    pub fn all(contracts: &Contracts) -> Vec<Self> {
        let service = contracts
            .pool()
            .get_service_by_name(SERVICE)
            .unwrap_or_else(|| panic!("{SERVICE} is not declared"));
        service
            .methods()
            .map(|descriptor| {
                let options = Options::new(contracts.pool(), descriptor.options());
                let path =
                    options.message("google.api.http").map(|rule| rule.text("post")).unwrap_or_default();
                let name = path.strip_prefix("/api/").unwrap_or_default().to_owned();
                assert!(
                    !name.is_empty() && !name.contains(['/', '{']),
                    "{} needs an HTTP rule with post: \"/api/<name>\"",
                    descriptor.full_name()
                );
                let output = descriptor.output();
                let type_name = message_path(&output);
                let variant = type_name
                    .rsplit("::")
                    .next()
                    .and_then(|name| name.strip_suffix("Response"))
                    .unwrap_or_else(|| panic!("{} is no response", output.full_name()));
                Self {
                    ident: method_ident(&descriptor),
                    variant: variant.to_owned(),
                    name,
                    path,
                    pro: options.number("gyre.options.method_tier") == 1,
                    idempotency: options.number("gyre.options.idempotency"),
                    descriptor,
                }
            })
            .collect()
    }

    fn request(&self) -> String {
        message_path(&self.descriptor.input())
    }

    fn response(&self) -> String {
        message_path(&self.descriptor.output())
    }

    /// Whether the response tells an error for the whole call.
    fn can_fail(&self) -> bool {
        self.descriptor.output().get_field_by_name("error").is_some()
    }
}

fn write_trait(out: &mut String, methods: &[Method]) {
    out.push_str(
        "/// The server API, implemented once and reached over gRPC, HTTP/JSON, batches and queues.\n\
         ///\n\
         /// Methods run concurrently; each answers for itself and reports failure inside its\n\
         /// response. Methods that upstream sells are answered as upstream's free server answers,\n\
         /// by not existing, until they are implemented and named by [`supports`](Self::supports).\n\
         pub trait ApiService: Send + Sync + 'static {\n\
         /// Whether the method exists. One that does not is 404 over HTTP, UNIMPLEMENTED over\n\
         /// gRPC and error 104 in a batch.\n\
         fn supports(&self, method: ApiMethod) -> bool { method.tier() == Tier::OpenSource }\n",
    );
    for method in methods {
        let (ident, request, response) = (&method.ident, method.request(), method.response());
        let comment = comments::as_rust(&comments::of_method(&method.descriptor));
        let body = match method.pro && method.can_fail() {
            false => ";".to_owned(),
            true => format!(
                "{{\n_ = request;\nstd::future::ready({response} {{ \
                 error: Some(ApiErrorCode::NotFound.into()), ..Default::default() }})\n}}"
            ),
        };
        _ = writeln!(
            out,
            "\n{comment}fn {ident}(&self, request: {request}) \
             -> impl Future<Output = {response}> + Send{body}"
        );
    }
    out.push_str("}\n\n");
}

fn write_method_table(out: &mut String, methods: &[Method]) {
    out.push_str(
        "/// The methods of the server API.\n\
         #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]\n\
         pub enum ApiMethod {\n",
    );
    for method in methods {
        let comment = comments::as_rust(&comments::of_method(&method.descriptor));
        _ = writeln!(out, "{comment}{},", method.variant);
    }
    let arms = |value: &dyn Fn(&Method) -> String| -> String {
        methods.iter().map(|method| format!("Self::{} => {},\n", method.variant, value(method))).collect()
    };
    let all: Vec<_> = methods.iter().map(|method| format!("Self::{}", method.variant)).collect();
    let names: String =
        methods.iter().map(|method| format!("{:?} => Self::{},\n", method.name, method.variant)).collect();
    _ = writeln!(
        out,
        "}}\n\n\
         impl ApiMethod {{\n\
         /// All methods, in the order of the contract.\n\
         pub const ALL: &'static [Self] = &[{}];\n\n\
         /// The name in HTTP paths, batches, legacy requests and metrics.\n\
         pub const fn name(self) -> &'static str {{\nmatch self {{\n{}}}\n}}\n\n\
         /// The method with this [`name`](Self::name), case counts.\n\
         pub fn from_name(name: &str) -> Option<Self> {{\n\
         Some(match name {{\n{names}_ => return None,\n}})\n}}\n\n\
         /// The HTTP path under the default prefix.\n\
         pub const fn http_path(self) -> &'static str {{\nmatch self {{\n{}}}\n}}\n\n\
         /// The name of the gRPC method.\n\
         pub const fn grpc_name(self) -> &'static str {{\nmatch self {{\n{}}}\n}}\n\n\
         /// Which upstream product has the method.\n\
         pub const fn tier(self) -> Tier {{\nmatch self {{\n{}}}\n}}\n}}\n",
        all.join(", "),
        arms(&|method| format!("{:?}", method.name)),
        arms(&|method| format!("{:?}", method.path)),
        arms(&|method| format!("{:?}", method.descriptor.name())),
        arms(&|method| {
            let tier = if method.pro { "Pro" } else { "OpenSource" };
            format!("Tier::{tier}")
        }),
    );
}

fn write_responses(out: &mut String, methods: &[Method]) {
    for method in methods {
        let body = if method.can_fail() { "self.error.as_ref()" } else { "None" };
        _ = writeln!(
            out,
            "impl ApiResponse for {} {{\n\
             fn error(&self) -> Option<&crate::api::Error> {{ {body} }}\n}}\n",
            method.response()
        );
    }
}

fn write_call_json(out: &mut String, methods: &[Method]) {
    let arms: String = methods
        .iter()
        .map(|method| {
            format!(
                "ApiMethod::{} => {{\n\
                 let request = {}::decode_json(body)?;\n\
                 finish_json(&service.{}(request).await, out)\n}}\n",
                method.variant,
                method.request(),
                method.ident
            )
        })
        .collect();
    _ = writeln!(
        out,
        "/// Runs one method on its JSON request and appends the JSON response to `out`:\n\
         /// `{{\"result\":{{…}}}}` or `{{\"error\":{{…}}}}`.\n\
         ///\n\
         /// The body is one object, or `null` for the empty one; nothing but white space follows\n\
         /// it. Whether the method is supported is for the caller to ask first.\n\
         ///\n\
         /// # Errors\n\
         /// [`CallError::Request`] if the body is no such object: nothing was done, the caller\n\
         /// answers 400. [`CallError::Response`] if the response holds a payload that is not JSON:\n\
         /// the method ran, the caller answers 500. In both cases `out` is as it was.\n\
         pub async fn call_json<S: ApiService>(\n\
         service: &S,\nmethod: ApiMethod,\nbody: &[u8],\nout: &mut Vec<u8>,\n\
         ) -> Result<CallOutcome, CallError> {{\n\
         match method {{\n{arms}}}\n}}\n"
    );
}

fn write_call_command(out: &mut String, contracts: &Contracts, methods: &[Method]) {
    let message = |name: &str| -> MessageDescriptor {
        contracts.pool().get_message_by_name(name).unwrap_or_else(|| panic!("{name} is not declared"))
    };
    let (command, reply) = (message(COMMAND), message(REPLY));
    let mut fields = String::new();
    for field in command.fields() {
        let method = methods
            .iter()
            .find(|method| field.kind().as_message() == Some(&method.descriptor.input()))
            .unwrap_or_else(|| panic!("no method takes {}", field.full_name()));
        assert!(
            reply.get_field_by_name(field.name()).is_some(),
            "no field of the reply answers to {}",
            field.full_name()
        );
        let ident = field_ident(&field);
        _ = writeln!(
            fields,
            "if let Some(request) = command.{ident} {{\n\
             if service.supports(ApiMethod::{}) {{\n\
             let response = service.{}(*request).await;\n\
             reply.error = response.error.map(Box::new);\n\
             reply.{ident} = response.result.map(Box::new);\n\
             return (Some(ApiMethod::{}), reply);\n}}\n}}",
            method.variant, method.ident, method.variant
        );
    }
    _ = writeln!(
        out,
        "/// Runs one command of a batch. The reply holds the bare result, or the error.\n\
         ///\n\
         /// The first request of the command that is set and supported counts; without one the\n\
         /// reply is error 104 and no method is returned.\n\
         pub async fn call_command<S: ApiService>(\n\
         service: &S,\ncommand: crate::api::Command,\n\
         ) -> (Option<ApiMethod>, crate::api::Reply) {{\n\
         let mut reply = crate::api::Reply::default();\n{fields}\
         reply.error = Some(Box::new(ApiErrorCode::NotFound.into()));\n(None, reply)\n}}\n"
    );
}

fn write_grpc(out: &mut String, methods: &[Method]) {
    let bodies: String = methods
        .iter()
        .map(|method| {
            format!(
                "async fn {}(&self, request: tonic::Request<{}>) \
                 -> Result<tonic::Response<{}>, tonic::Status> {{\n\
                 let mode = self.admit(ApiMethod::{}, request.metadata())?;\n\
                 finish_grpc(mode, self.service.{}(request.into_inner()).await)\n}}\n\n",
                method.ident,
                method.request(),
                method.response(),
                method.variant,
                method.ident
            )
        })
        .collect();
    _ = writeln!(
        out,
        "#[tonic::async_trait]\n\
         impl<S: ApiService> crate::api::centrifugo_api_server::CentrifugoApi for GrpcApi<S> {{\n\
         {bodies}}}\n"
    );
}
