//! Tests of the room through its public face.

mod catalogue;
mod message;
mod scenes;
