//! A mail before it is a message.

use super::catalogue::Rendered;

/// A mail, rendered from templates or returned by a handler. No `Debug`: it is personal data.
#[derive(Default)]
pub struct Draft {
    /// The subject.
    pub subject: String,
    /// The text body.
    pub text: Option<String>,
    /// The HTML body.
    pub html: Option<String>,
    /// Files.
    pub attachments: Vec<Attachment>,
    /// Files that the HTML shows, by their `cid`.
    pub inline: Vec<Attachment>,
    /// Where answers go, in place of the sender's.
    pub reply_to: Option<String>,
    /// The name of the sender, in place of the sender's.
    pub from_name: Option<String>,
    /// Further headers.
    pub headers: Vec<(String, String)>,
}

/// A file in a mail. No `Debug`: it is personal data.
pub struct Attachment {
    /// Its name.
    pub filename: String,
    /// Its content.
    pub content: Vec<u8>,
    /// Its media type, such as `application/pdf`.
    pub content_type: String,
    /// Its name in links of the HTML (`<img src="cid:…">`).
    pub cid: Option<String>,
}

/// Who sends all mails.
#[derive(Clone)]
pub struct Sender {
    /// The address in From.
    pub from_address: String,
    /// The name in From.
    pub from_name: Option<String>,
    /// Where answers go, if not to `from_address`.
    pub reply_to: Option<String>,
}

impl From<Rendered> for Draft {
    fn from(rendered: Rendered) -> Self {
        Self { subject: rendered.subject, text: rendered.text, html: rendered.html, ..Self::default() }
    }
}
