//! What is allowed: names, namespaces, permissions, filters.
