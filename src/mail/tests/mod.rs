//! Tests of the room through its public face.

#![allow(clippy::unwrap_used, clippy::panic)]

mod catalogue;
mod message;
mod scenes;
