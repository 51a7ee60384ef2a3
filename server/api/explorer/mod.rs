//! A page that shows the server API and lets a person try it.

use super::reply;
use crate::net::Body;
use gyre_proto::OPENAPI_JSON;
use http::header::{CONTENT_SECURITY_POLICY, HeaderValue};
use http::{Response, StatusCode};

const PAGE: &str = include_str!("page.html");
const SCRIPT: &str = include_str!("page.js");
const STYLE: &str = include_str!("page.css");

/// The page loads nothing from elsewhere and runs no script but its own.
const POLICY: HeaderValue =
    HeaderValue::from_static("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'");

/// The page and the description of the API, below one prefix.
#[derive(Clone, Debug)]
pub struct Explorer {
    /// With a slash at the end.
    prefix: String,
    document: String,
}

impl Explorer {
    /// Serves below `prefix` (`swagger.handler_prefix`) and describes the API at `api_prefix`.
    pub fn new(prefix: &str, api_prefix: &str) -> Self {
        let prefix = format!("{}/", prefix.trim_end_matches('/'));
        let api = api_prefix.trim_end_matches('/');
        let document = match api {
            "/api" => OPENAPI_JSON.to_owned(),
            other => OPENAPI_JSON.replace("\"/api/", &format!("\"{other}/")),
        };
        Self { prefix, document }
    }

    /// The prefix, with a slash at the end.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Whether `path` is below the prefix, or the prefix without its slash.
    pub fn handles(&self, path: &str) -> bool {
        path.starts_with(&self.prefix) || self.prefix.strip_suffix('/') == Some(path)
    }

    /// Answers a request for such a path.
    pub fn answer(&self, path: &str) -> Response<Body> {
        let Some(file) = path.strip_prefix(&self.prefix) else {
            return reply::moved(&self.prefix).unwrap_or_else(reply::not_found);
        };
        match file {
            "" | "index.html" => {
                let mut response = reply::page("text/html; charset=utf-8", PAGE);
                response.headers_mut().insert(CONTENT_SECURITY_POLICY, POLICY);
                response
            }
            "page.js" => reply::page("text/javascript; charset=utf-8", SCRIPT),
            "page.css" => reply::page("text/css; charset=utf-8", STYLE),
            "openapi.json" => reply::json(StatusCode::OK, self.document.clone()),
            _ => reply::not_found(),
        }
    }
}
