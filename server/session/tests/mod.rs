//! Sessions against virtual time: each test drives one session and reads its effects.

mod application;
mod concurrency;
mod connect;
mod lifetime;
mod model;
mod rig;
mod subscribe;
