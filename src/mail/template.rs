//! The engine, set up to print what Jinja2 prints.

use minijinja::{AutoEscape, Environment, Error, UndefinedBehavior};
use minijinja_contrib::pycompat::unknown_method_callback;

use super::{escape, filters};

/// An engine without templates.
pub(super) fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|file| if is_html(file) { AutoEscape::Html } else { AutoEscape::None });
    environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    environment.set_formatter(escape::write_value);
    environment.set_unknown_method_callback(unknown_method_callback);
    // For the names of missing values.
    environment.set_debug(true);
    filters::add_to(&mut environment);
    environment
}

/// Compiles a template.
pub(super) fn add(environment: &mut Environment<'static>, file: &str, source: &str) -> Result<(), Error> {
    // Jinja2 reads every line end as this one.
    let source = source.replace("\r\n", "\n").replace('\r', "\n");
    environment.add_template_owned(file.to_owned(), source)
}

fn is_html(file: &str) -> bool {
    file.rsplit_once('.').is_some_and(|(_, extension)| extension == "html")
}
