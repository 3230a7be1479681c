//! Mails that Python made: objects with the attributes of a `Mail`.

use pyo3::prelude::*;

use crate::mail::{Attachment, Draft};

/// The attributes of a `Mail`.
#[derive(FromPyObject)]
pub(super) struct Mail {
    subject: String,
    text: Option<String>,
    html: Option<String>,
    attachments: Vec<File>,
    inline: Vec<File>,
    reply_to: Option<String>,
    from_name: Option<String>,
    #[pyo3(from_py_with = items)]
    headers: Vec<(String, String)>,
}

/// The attributes of an `Attachment`.
#[derive(FromPyObject)]
struct File {
    filename: String,
    content: Vec<u8>,
    content_type: String,
    cid: Option<String>,
}

/// The pairs of a mapping, in its order.
fn items(mapping: &Bound<'_, PyAny>) -> PyResult<Vec<(String, String)>> {
    mapping.call_method0("items")?.try_iter()?.map(|item| item?.extract()).collect()
}

impl From<Mail> for Draft {
    fn from(mail: Mail) -> Self {
        let attachments = |files: Vec<File>| files.into_iter().map(Attachment::from).collect();
        Self {
            subject: mail.subject,
            text: mail.text,
            html: mail.html,
            attachments: attachments(mail.attachments),
            inline: attachments(mail.inline),
            reply_to: mail.reply_to,
            from_name: mail.from_name,
            headers: mail.headers,
        }
    }
}

impl From<File> for Attachment {
    fn from(file: File) -> Self {
        Self { filename: file.filename, content: file.content, content_type: file.content_type, cid: file.cid }
    }
}
