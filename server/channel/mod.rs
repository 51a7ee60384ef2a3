//! What is allowed: names, namespaces, permissions, filters.
pub mod filter;
