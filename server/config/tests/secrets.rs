//! What is secret stays out of `{:?}`, which is what ends up in logs.

use crate::config::setting::{Field, Node, Section};
use crate::config::{Config, ConfigError};

/// Puts into every text of a section what should not be seen, and adds an item to every list.
fn fill(section: &mut dyn Section) -> Result<(), ConfigError> {
    section.visit(&mut |field, node| match node {
        Node::Leaf(leaf) if leaf.type_name() == "map" => {
            leaf.read_text(r#"{"authorization": "hush"}"#).expect("a map");
            Ok(())
        }
        Node::Leaf(leaf) if is_secret(field) => {
            assert_eq!(leaf.type_name(), "string", "{}", field.key);
            leaf.read_text("hush").expect("a text");
            Ok(())
        }
        Node::Leaf(leaf) if leaf.type_name().ends_with("string") => {
            leaf.read_text("scheme://user:hush@host/path?password=hush").expect("a text");
            Ok(())
        }
        Node::Leaf(_) => Ok(()),
        Node::Section(below) => fill(below),
        Node::List(list) => {
            list.push();
            fill(list.item(0))
        }
    })
}

/// Whether the name of a key says that its value is secret.
fn is_secret(field: &Field) -> bool {
    let says = ["password", "secret_key", "credentials_value", "connection_string", "dsn"];
    ["key", "secret", "token", "client_secret"].contains(&field.key)
        || says.iter().any(|end| field.key.ends_with(end))
}

#[test]
fn a_configuration_can_be_shown_without_its_secrets() {
    let mut config = Config::default();
    config.client.token.hmac_secret_key = "hush".into();
    fill(&mut config).expect("every key can be set");
    assert!(
        &*config.client.token.hmac_secret_key == "hush"
            && &*config.engine.redis.connection.redis.password == "hush"
    );
    let shown = format!("{config:?} {config:#?}");
    assert!(shown.contains("hmac_secret_key") && shown.contains("scheme://…@host/path?…"));
    assert!(shown.contains("authorization"));
    let leaks: Vec<_> = shown.split(", ").filter(|part| part.contains("hush")).collect();
    assert!(leaks.is_empty(), "{leaks:?}");
}
