//! Folders of templates, and mails made of them.

use std::path::PathBuf;

use crate::mail::{Catalogue, Mistake, Rendered, Sources, TemplateError, Values};

/// A folder that is removed at the end.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new(files: &[(&str, &str)]) -> Self {
        let number = getrandom::u64().unwrap();
        let folder = Self(std::env::temp_dir().join(format!("kafka-email-{number:016x}")));
        std::fs::create_dir(&folder.0).unwrap();
        for (name, text) in files {
            let path = folder.0.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        folder
    }

    pub(super) fn path(&self) -> PathBuf {
        self.0.clone()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The sources with this folder and the templates of the wheel.
pub(super) fn sources(folder: &Folder) -> Sources {
    let builtin = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/python/kafka_email/templates"));
    Sources { folder: Some(folder.path()), builtin, named: Vec::new(), default_language: "en".to_owned() }
}

pub(super) fn catalogue(files: &[(&str, &str)]) -> Catalogue {
    load(files).unwrap_or_else(|mistakes| panic!("{mistakes:?}"))
}

pub(super) fn load(files: &[(&str, &str)]) -> Result<Catalogue, Vec<Mistake>> {
    Catalogue::load(&sources(&Folder::new(files)))
}

pub(super) fn render(catalogue: &Catalogue, email_type: &str, metadata: &str) -> Result<Rendered, TemplateError> {
    let metadata = serde_json::from_str(metadata).unwrap();
    catalogue.render(&Values {
        email_type,
        recipient: "zoe@example.org",
        username: "Zoë <Z> & \"Co\"",
        link: "https://example.org/a?b=1&c='2'",
        metadata: &metadata,
        now: 1_795_451_893,
    })
}

/// What a template of HTML makes of the metadata.
pub(super) fn html(template: &str, metadata: &str) -> Result<String, TemplateError> {
    let catalogue = catalogue(&[("a.subject.txt", "s"), ("a.html", template)]);
    render(&catalogue, "a", metadata).map(|rendered| rendered.html.unwrap())
}
