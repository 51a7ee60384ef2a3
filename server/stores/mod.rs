//! Connections to other servers that several engines share. Knows no channel and no publication.

pub mod nats;
