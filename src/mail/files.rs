//! The files of templates: which there are, and which of them belong to which type of mail.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use super::mistake::Mistake;

/// Larger files are no templates, but pictures or the like.
const LARGEST: u64 = 1024 * 1024;
/// A link to a folder above it would otherwise never end.
const DEEPEST: usize = 16;

/// Where templates come from.
pub struct Sources {
    /// The user's folder.
    pub folder: Option<PathBuf>,
    /// The folder of the wheel, with templates for the four types.
    pub builtin: PathBuf,
    /// Types whose files are named.
    pub named: Vec<Named>,
    /// The language of files for recipients whose own language has none.
    pub default_language: String,
}

/// A type of mail whose files have any names.
pub struct Named {
    /// The type.
    pub email_type: String,
    /// The file of the HTML body, in the user's folder.
    pub html: Option<String>,
    /// The file of the text body, in the user's folder.
    pub text: Option<String>,
    /// The subject itself, a template.
    pub subject: String,
}

/// The text of each file by its name, such as `partials/footer.html`.
pub(super) type Texts = BTreeMap<String, String>;

/// Reads the text files of a folder, and of the folders in it, into `texts`, unless a file of that name is there.
pub(super) fn read_folder(folder: &Path, texts: &mut Texts) -> Result<(), Mistake> {
    read(folder, "", DEEPEST, texts)
        .map_err(|error| Mistake::new(&folder.display().to_string(), None, format!("cannot be read: {error}")))
}

fn read(folder: &Path, prefix: &str, depth: usize, texts: &mut Texts) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        // Kubernetes mounts the files of a ConfigMap twice, once in hidden folders.
        if name.starts_with('.') {
            continue;
        }
        let name = format!("{prefix}{name}");
        let about = fs::metadata(&path)?;
        if about.is_dir() && depth > 0 {
            read(&path, &format!("{name}/"), depth - 1, texts)?;
        } else if about.is_file() && about.len() <= LARGEST && !texts.contains_key(&name) {
            if let Ok(text) = String::from_utf8(fs::read(&path)?) {
                texts.insert(name, text);
            }
        }
    }
    Ok(())
}

/// Files of one kind for one type: each with its language, or without one.
#[derive(Default)]
pub(super) struct Variants(Vec<(Option<String>, String)>);

impl Variants {
    /// The file for the first of these languages that has one, or the file without language.
    pub(super) fn find<'a>(&self, languages: impl Iterator<Item = &'a str>) -> Option<&str> {
        let mut languages = languages.map(Some).chain([None]);
        languages.find_map(|language| self.file(language))
    }

    fn file(&self, language: Option<&str>) -> Option<&str> {
        let is_it = |of_file: Option<&str>| match (of_file, language) {
            (Some(of_file), Some(language)) => is_same_language(of_file, language),
            (None, None) => true,
            _ => false,
        };
        self.0.iter().find_map(|(of_file, file)| is_it(of_file.as_deref()).then_some(file.as_str()))
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The files of one type.
#[derive(Default)]
pub(super) struct TypeFiles {
    pub(super) subject: Variants,
    pub(super) html: Variants,
    pub(super) text: Variants,
}

impl TypeFiles {
    pub(super) fn has_subject(&self) -> bool {
        !self.subject.is_empty()
    }

    pub(super) fn has_body(&self) -> bool {
        !self.html.is_empty() || !self.text.is_empty()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &str> {
        [&self.subject, &self.html, &self.text].into_iter().flat_map(|variants| &variants.0).map(|(_, file)| &**file)
    }

    pub(super) fn languages(&self) -> impl Iterator<Item = &str> {
        [&self.subject, &self.html, &self.text]
            .into_iter()
            .flat_map(|variants| &variants.0)
            .filter_map(|(language, _)| language.as_deref())
    }
}

/// The files of each type, by the naming `<type>[.<language>].subject.txt`, `….html` and `….txt`.
pub(super) fn by_type<'a>(files: impl Iterator<Item = &'a String>) -> HashMap<String, TypeFiles> {
    let mut types = HashMap::<String, TypeFiles>::new();
    for file in files.filter(|file| !file.contains('/')) {
        let (stem, kind): (_, fn(&mut TypeFiles) -> &mut Variants) =
            if let Some(stem) = file.strip_suffix(".subject.txt") {
                (stem, |files| &mut files.subject)
            } else if let Some(stem) = file.strip_suffix(".html") {
                (stem, |files| &mut files.html)
            } else if let Some(stem) = file.strip_suffix(".txt") {
                (stem, |files| &mut files.text)
            } else {
                continue;
            };
        let (email_type, language) = match stem.split_once('.') {
            Some((email_type, language)) => (email_type, Some(language.to_owned())),
            None => (stem, None),
        };
        kind(types.entry(email_type.to_owned()).or_default()).0.push((language, file.clone()));
    }
    types
}

/// A language and the more general ones it belongs to: `zh-Hant-TW`, `zh-Hant`, `zh`.
pub(super) fn general_languages(language: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(language), |language| {
        language.rsplit_once(['-', '_']).map(|(general, _)| general).filter(|general| !general.is_empty())
    })
}

/// Whether two names of a language are the same: `uk-UA` is `uk_ua`.
fn is_same_language(one: &str, other: &str) -> bool {
    let plain = |byte: u8| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    one.len() == other.len() && one.bytes().map(plain).eq(other.bytes().map(plain))
}
