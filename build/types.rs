//! Messages (prost) and services (tonic).

use std::path::Path;

use prost_reflect::{FieldDescriptor, Kind};

use super::contracts::Contracts;

/// Messages that hold at most one of many sub-messages at a time. Their sub-messages are boxed:
/// inline they would make a client `Reply` 1.7 KB and an API `Command` several.
const ENVELOPES: [&str; 7] = [
    "centrifugal.centrifuge.protocol.Command",
    "centrifugal.centrifuge.protocol.Reply",
    "centrifugal.centrifuge.protocol.Push",
    "centrifugal.centrifugo.unistream.Push",
    "centrifugal.centrifugo.api.Command",
    "centrifugal.centrifugo.api.Reply",
    "controlpb.Command",
];

/// Says whether the generated struct holds this field as `Option<Box<_>>`.
pub fn is_boxed(field: &FieldDescriptor) -> bool {
    matches!(field.kind(), Kind::Message(_))
        && !field.is_list()
        && !field.is_map()
        && ENVELOPES.contains(&field.parent_message().full_name())
}

/// Writes the types of all packages and `wire.rs`, which nests them by package.
pub fn generate(contracts: &Contracts, out: &Path) {
    let mut config = prost_build::Config::new();
    config
        .out_dir(out)
        .include_file("wire.rs")
        .bytes(["."])
        // Ordered, so that encoded maps are the same in every process.
        .btree_map(["."]);
    for message in contracts.pool().all_messages() {
        for field in message.fields().filter(is_boxed) {
            config.boxed(format!(".{}", field.full_name()));
        }
    }
    tonic_prost_build::configure()
        .build_server(true)
        .build_client(true)
        // Its `connect` constructor would collide with the proxy's method of that name.
        .build_transport(false)
        .compile_fds_with_config(contracts.file_set_for_types(), config)
        .expect("generate messages and services");
}
