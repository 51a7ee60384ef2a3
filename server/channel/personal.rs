//! The channel that every user of a configured server is subscribed to.

use super::namespaces::Syntax;

/// `client.subscribe_to_user_personal_channel`, when it is enabled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonalChannel {
    prefix: String,
    /// Connections of a user end (3504) when a new one comes; needs presence in the namespace.
    pub single_connection: bool,
}

impl PersonalChannel {
    /// Prepares names for users of `namespace`, which is empty for none.
    pub fn new(syntax: &Syntax, namespace: &str, single_connection: bool) -> Self {
        let Syntax { namespace_boundary, user_boundary, .. } = syntax;
        let prefix = match namespace {
            "" => user_boundary.clone(),
            namespace => format!("{namespace}{namespace_boundary}{user_boundary}"),
        };
        Self { prefix, single_connection }
    }

    /// The channel of `user`, `#<user>` or `<namespace>:#<user>`; nothing for the anonymous user.
    pub fn name(&self, user: &str) -> Option<String> {
        (!user.is_empty()).then(|| format!("{}{user}", self.prefix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_users_with_and_without_namespace() {
        let syntax = Syntax::default();
        assert_eq!(PersonalChannel::new(&syntax, "", false).name("42").as_deref(), Some("#42"));
        assert_eq!(
            PersonalChannel::new(&syntax, "personal", true).name("42").as_deref(),
            Some("personal:#42")
        );
        assert_eq!(PersonalChannel::new(&syntax, "personal", true).name(""), None);
    }
}
