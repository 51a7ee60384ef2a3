//! What the commands of the server API do, by subject.

mod channel;
mod cluster;
mod map;
mod publish;
mod users;
