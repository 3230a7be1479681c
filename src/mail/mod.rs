//! The mail that an event asks for: its templates, its values, and the message that is sent.
//!
//! A [`Catalogue`] holds all templates, compiled once. It renders the [`Values`] of an event into a subject and one or
//! two bodies, byte for byte as Jinja2 would. [`build`] makes a message of them, or of what a handler returned.
//!
//! Errors here name files, lines and names that a template asks for, and never a value.

mod address;
mod catalogue;
mod date;
mod domain;
mod draft;
mod escape;
mod files;
mod filters;
mod header;
mod message;
mod mistake;
mod printed;
mod scan;
mod template;
#[cfg(test)]
mod tests;
mod unsupported;
mod values;

pub use catalogue::{Catalogue, Rendered};
pub use domain::to_ascii;
pub use draft::{Attachment, Draft, Sender};
pub use files::{Named, Sources};
pub use header::BuildError;
pub use message::build;
pub use mistake::{Mistake, TemplateError};
pub use values::Values;
