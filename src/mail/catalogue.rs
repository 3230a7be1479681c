//! All templates, compiled once.

use std::collections::{BTreeSet, HashMap};

use minijinja::{Environment, UndefinedBehavior};
use serde_json::Map;

use super::files::{by_type, general_languages, read_folder, Named, Sources, Texts, TypeFiles};
use super::mistake::{self, is_about_the_template, Mistake, TemplateError};
use super::scan::{references, tags};
use super::values::{self, Values};
use super::{template, unsupported};

/// What became of the templates of a mail. No `Debug`: it holds values.
pub struct Rendered {
    /// The subject, without the white space around it.
    pub subject: String,
    /// The text body.
    pub text: Option<String>,
    /// The HTML body.
    pub html: Option<String>,
}

/// The templates of all types of mail.
pub struct Catalogue {
    environment: Environment<'static>,
    named: HashMap<String, Files<String>>,
    folder: HashMap<String, TypeFiles>,
    builtin: HashMap<String, TypeFiles>,
    default_language: String,
    unsupported: BTreeSet<Mistake>,
}

/// The files of one mail.
struct Files<F> {
    subject: F,
    html: Option<F>,
    text: Option<F>,
}

impl Catalogue {
    /// Reads and compiles all templates.
    ///
    /// A file that no type of mail uses, such as a web page in the same folder, may be anything.
    ///
    /// # Errors
    /// The mistakes that keep a mail from being rendered at all.
    pub fn load(sources: &Sources) -> Result<Self, Vec<Mistake>> {
        let mut mistakes = BTreeSet::new();
        let mut texts = Texts::new();
        if let Some(folder) = &sources.folder {
            mistakes.extend(read_folder(folder, &mut texts).err());
        }
        let folder = by_type(texts.keys());
        let mut wheel = Texts::new();
        mistakes.extend(read_folder(&sources.builtin, &mut wheel).err());
        let builtin = by_type(wheel.keys());
        for (file, text) in wheel {
            texts.entry(file).or_insert(text);
        }
        let mut catalogue = Self {
            environment: template::environment(),
            named: HashMap::new(),
            folder,
            builtin,
            default_language: sources.default_language.clone(),
            unsupported: BTreeSet::new(),
        };
        for named in &sources.named {
            mistakes.extend(catalogue.add_named(named, &mut texts));
        }
        mistakes.extend(catalogue.without_body());
        let used = catalogue.used(&texts);
        for (file, text) in &texts {
            match template::add(&mut catalogue.environment, file, text) {
                Err(error) if used.contains(file) => {
                    mistakes.insert(Mistake::from_engine(file, &error));
                }
                _ => {}
            }
        }
        for (file, text) in texts.iter().filter(|(file, _)| used.contains(*file)) {
            catalogue.unsupported.extend(unsupported::uses(file, &tags(text), &catalogue.environment));
        }
        if mistakes.is_empty() {
            return Ok(catalogue);
        }
        // `{% trans %}` is a syntax error for the engine, and the better message takes its place.
        let named: BTreeSet<_> = catalogue.unsupported.iter().map(|mistake| mistake.file.clone()).collect();
        mistakes.retain(|mistake| mistake.line.is_none() || !named.contains(&mistake.file));
        mistakes.append(&mut catalogue.unsupported);
        Err(mistakes.into_iter().collect())
    }

    /// Whether there are templates for this type.
    pub fn has(&self, email_type: &str) -> bool {
        let sources = || [&self.folder, &self.builtin].into_iter().filter_map(|types| types.get(email_type));
        self.named.contains_key(email_type)
            || sources().any(TypeFiles::has_subject) && sources().any(TypeFiles::has_body)
    }

    /// Renders a mail.
    ///
    /// # Errors
    /// There is no template for the type, or one of its templates fails. The error holds no value.
    pub fn render(&self, values: &Values<'_>) -> Result<Rendered, TemplateError> {
        let files = self.files(values.email_type, values.language());
        let files = files.ok_or_else(|| TemplateError::new("no template for this type of mail"))?;
        Self::render_files(&self.environment, &files, values).map_err(|error| TemplateError::from_engine(&error))
    }

    /// What the authors of the templates have to correct: each unsupported use, and what fails with sample values.
    pub fn check(&self) -> Vec<Mistake> {
        let mut mistakes = self.unsupported.clone();
        for (email_type, language) in self.variants() {
            if let Some(mistake) = self.try_out(email_type, language) {
                if !mistakes.iter().any(|known| known.file == mistake.file && known.line == mistake.line) {
                    mistakes.insert(mistake);
                }
            }
        }
        mistakes.into_iter().collect()
    }

    fn add_named(&mut self, named: &Named, texts: &mut Texts) -> Vec<Mistake> {
        let subject = format!("subject of {}", named.email_type);
        let missing = |file: &&String| !texts.contains_key(*file);
        let mut mistakes: Vec<_> = [&named.html, &named.text]
            .into_iter()
            .flatten()
            .filter(missing)
            .map(|file| Mistake::new(file, None, "there is no such template: correct its name or the folder"))
            .collect();
        if named.html.is_none() && named.text.is_none() {
            mistakes.push(Mistake::new(
                &subject,
                None,
                "the mail has no body: name its html file, its text file or both",
            ));
        }
        texts.insert(subject.clone(), named.subject.clone());
        let files = Files { subject, html: named.html.clone(), text: named.text.clone() };
        self.named.insert(named.email_type.clone(), files);
        mistakes
    }

    /// Types of the user's folder that have a subject and no body.
    fn without_body(&self) -> Vec<Mistake> {
        let lacks = |email_type: &String| !self.has(email_type);
        let types = self.folder.iter().filter(|(_, files)| files.has_subject()).map(|(email_type, _)| email_type);
        types
            .filter(|email_type| lacks(email_type))
            .map(|name| Mistake::new(&format!("{name}.subject.txt"), None, format!("add {name}.html or {name}.txt")))
            .collect()
    }

    /// The files that the types of mail use, directly or through other files.
    fn used(&self, texts: &Texts) -> BTreeSet<String> {
        let named =
            self.named.values().flat_map(|files| [Some(&files.subject), files.html.as_ref(), files.text.as_ref()]);
        let found = [&self.folder, &self.builtin].into_iter().flatten().filter(|(email_type, _)| self.has(email_type));
        let mut open: Vec<&str> = named.flatten().map(String::as_str).collect();
        open.extend(found.flat_map(|(_, files)| files.all()));
        let mut used = BTreeSet::new();
        while let Some(file) = open.pop() {
            if let (Some(text), true) = (texts.get(file), used.insert(file.to_owned())) {
                open.extend(references(&tags(text)));
            }
        }
        used
    }

    /// The files of a mail. Each is looked up by itself, but both bodies come from the same place: a text of the wheel
    /// beside the user's own HTML would be another mail.
    fn files(&self, email_type: &str, language: Option<&str>) -> Option<Files<&str>> {
        if let Some(named) = self.named.get(email_type) {
            return Some(Files { subject: &named.subject, html: named.html.as_deref(), text: named.text.as_deref() });
        }
        let languages = || language.into_iter().flat_map(general_languages).chain([self.default_language.as_str()]);
        let sources = || [&self.folder, &self.builtin].into_iter().filter_map(|types| types.get(email_type));
        let subject = sources().find_map(|files| files.subject.find(languages()))?;
        let (html, text) = sources()
            .map(|files| (files.html.find(languages()), files.text.find(languages())))
            .find(|(html, text)| html.is_some() || text.is_some())?;
        Some(Files { subject, html, text })
    }

    fn render_files(
        environment: &Environment<'_>,
        files: &Files<&str>,
        values: &Values<'_>,
    ) -> Result<Rendered, minijinja::Error> {
        let context = values.context();
        let render = |file: &str| environment.get_template(file)?.render(context.clone());
        Ok(Rendered {
            subject: render(files.subject)?.trim().to_owned(),
            text: files.text.map(render).transpose()?,
            html: files.html.map(render).transpose()?,
        })
    }

    /// Each type, with each of its languages and without one.
    fn variants(&self) -> BTreeSet<(&str, Option<&str>)> {
        let named = self.named.keys().map(|email_type| (email_type.as_str(), None));
        let found = [&self.folder, &self.builtin].into_iter().flatten().filter(|(email_type, _)| self.has(email_type));
        let found = found.flat_map(|(email_type, files)| {
            files.languages().map(Some).chain([None]).map(|language| (email_type.as_str(), language))
        });
        named.chain(found).collect()
    }

    /// Renders a type with sample values, which have nothing of the metadata that a template may need.
    fn try_out(&self, email_type: &str, language: Option<&str>) -> Option<Mistake> {
        let Some(files) = self.files(email_type, language) else {
            let message = format!("there is no template for the language {}", language.unwrap_or("of the others"));
            return Some(Mistake::new(email_type, None, message));
        };
        let sample = Values {
            email_type,
            recipient: "anna@example.org",
            username: "Anna",
            link: "https://example.org/link?token=sample",
            metadata: &Map::new(),
            now: 0,
        };
        let error = Self::render_files(&self.environment, &files, &sample).err()?;
        if is_about_the_template(&error) || !self.needs_metadata(mistake::file(&error)) {
            return Some(Mistake::from_engine(files.subject, &error));
        }
        // Past what is missing there may be more. With values of no type, operations on them fail that are no mistakes.
        let mut lenient = self.environment.clone();
        lenient.set_undefined_behavior(UndefinedBehavior::Chainable);
        let error = Self::render_files(&lenient, &files, &sample).err()?;
        is_about_the_template(&error).then(|| Mistake::from_engine(files.subject, &error))
    }

    /// Whether a file has names that are not those of every mail.
    fn needs_metadata(&self, file: &str) -> bool {
        let globals: Vec<_> = self.environment.globals().map(|(name, _)| name).collect();
        let is_known = |name: &String| values::FIELDS.contains(&name.as_str()) || globals.contains(&name.as_str());
        let template = self.environment.get_template(file);
        template.map_or(true, |template| !template.undeclared_variables(false).iter().all(is_known))
    }
}
