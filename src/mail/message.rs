//! The message: its headers and its MIME parts. The same mail makes the same bytes each time it is sent.

use std::borrow::Cow;

use mail_builder::headers::address::Address;
use mail_builder::headers::content_type::ContentType;
use mail_builder::headers::date::Date;
use mail_builder::headers::raw::Raw;
use mail_builder::headers::text::Text;
use mail_builder::headers::url::URL;
use mail_builder::mime::MimePart;
use mail_builder::MessageBuilder;

use super::draft::{Attachment, Draft, Sender};
use super::header::{self, BuildError};

/// Builds the message (RFC 5322) of a mail, with CRLF at its end.
///
/// `date` is in seconds since the Unix epoch, and `list_unsubscribe` the address of a link or a mailto link.
///
/// # Errors
/// Something in the mail cannot stand in a header, above all a control character. The error holds no value.
pub fn build(
    draft: &Draft,
    sender: &Sender,
    event_id: &str,
    recipient: &str,
    date: i64,
    list_unsubscribe: Option<&str>,
) -> Result<Vec<u8>, BuildError> {
    let own = draft.headers.iter().map(|(name, _)| header::name(name)).collect::<Result<Vec<_>, _>>()?;
    let has_own = |name: &str| own.iter().any(|own| own == name);

    let from = header::address("the sender's address", &sender.from_address)?;
    let to = header::address("the recipient's address", recipient)?;
    let domain = from.rsplit_once('@').map_or("", |(_, domain)| domain);
    let message_id = format!("{}@{domain}", header::message_id(event_id)?);
    let name = draft.from_name.as_deref().or(sender.from_name.as_deref()).filter(|name| !name.is_empty());
    let name = name.map(|name| header::text("the sender's name", name)).transpose()?;

    let mut message = MessageBuilder::new()
        .date(Date::new(date))
        .from(Address::new_address(name, from.as_str()))
        .to(Address::new_address(None::<&str>, to))
        .subject(header::text("the subject", &draft.subject)?)
        .message_id(message_id);
    if let Some(reply_to) = draft.reply_to.as_deref().or(sender.reply_to.as_deref()).filter(|_| !has_own("reply-to")) {
        let reply_to = header::address("the address for answers", reply_to)?;
        message = message.reply_to(Address::new_address(None::<&str>, reply_to));
    }
    if !has_own("auto-submitted") {
        message = message.header("Auto-Submitted", Raw::new("auto-generated"));
    }
    if let Some(url) = list_unsubscribe.filter(|_| !has_own("list-unsubscribe")) {
        let url = header::url("list_unsubscribe", url)?;
        // RFC 8058 asks for a link of the web.
        let one_click = url.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://"));
        message = message.header("List-Unsubscribe", URL::new(url));
        if one_click && !has_own("list-unsubscribe-post") {
            message = message.header("List-Unsubscribe-Post", Raw::new("List-Unsubscribe=One-Click"));
        }
    }
    for (name, value) in &draft.headers {
        message = message.header(name.as_str(), Text::new(header::text("a header", value)?));
    }

    let mut bytes = Vec::with_capacity(512);
    message.body(body(draft, event_id)?).serialize(&mut bytes);
    if !bytes.ends_with(b"\r\n") {
        bytes.extend_from_slice(b"\r\n");
    }
    Ok(bytes)
}

/// `mixed(alternative(text, related(html, inline …)), attachments …)`, without what is not needed.
fn body<'a>(draft: &'a Draft, event_id: &str) -> Result<MimePart<'a>, BuildError> {
    let text = draft.text.as_deref().map(clean);
    let html = draft.html.as_deref().map(clean);
    let mut boundaries = Boundaries::new(event_id, [text.as_deref(), html.as_deref()]);

    let mut files = files(&draft.attachments, "attachment")?;
    let inline = files_of_html(draft, html.is_some(), &mut files)?;
    let html = html.map(|html| MimePart::new("text/html", html)).map(|html| {
        let mut parts = vec![html];
        parts.extend(inline);
        boundaries.join("multipart/related", parts)
    });
    let bodies: Vec<_> = text.map(|text| MimePart::new("text/plain", text)).into_iter().chain(html).collect();
    let mut parts = Vec::with_capacity(1 + files.len());
    if !bodies.is_empty() {
        parts.push(boundaries.join("multipart/alternative", bodies));
    }
    parts.extend(files);
    if parts.is_empty() {
        return Err(BuildError::Empty);
    }
    Ok(boundaries.join("multipart/mixed", parts))
}

/// The inline files. Without HTML that could show them, they become attachments.
fn files_of_html<'a>(
    draft: &'a Draft,
    has_html: bool,
    attachments: &mut Vec<MimePart<'a>>,
) -> Result<Vec<MimePart<'a>>, BuildError> {
    let inline = files(&draft.inline, "inline")?;
    if has_html {
        return Ok(inline);
    }
    attachments.extend(inline);
    Ok(Vec::new())
}

fn files<'a>(attachments: &'a [Attachment], disposition: &'static str) -> Result<Vec<MimePart<'a>>, BuildError> {
    attachments.iter().map(|attachment| file(attachment, disposition)).collect()
}

fn file<'a>(attachment: &'a Attachment, disposition: &'static str) -> Result<MimePart<'a>, BuildError> {
    let filename = header::text("the name of an attachment", &attachment.filename)?;
    // As a raw header, so that a text is sent in base64 as well: its line ends are its own.
    let part = MimePart::raw(attachment.content.as_slice())
        .header("Content-Type", Raw::new(header::content_type(&attachment.content_type)?))
        .header("Content-Disposition", ContentType::new(disposition).attribute("filename", filename));
    match &attachment.cid {
        Some(cid) => Ok(part.cid(header::content_id(cid)?)),
        None => Ok(part),
    }
}

/// The text with CRLF as its line ends, and without NUL, which no message may have.
fn clean(text: &str) -> Cow<'_, str> {
    if !text.contains(['\r', '\n', '\0']) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len() + text.len() / 16);
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\r' => {
                characters.next_if_eq(&'\n');
                clean.push_str("\r\n");
            }
            '\n' => clean.push_str("\r\n"),
            '\0' => clean.push(char::REPLACEMENT_CHARACTER),
            _ => clean.push(character),
        }
    }
    Cow::Owned(clean)
}

/// Makes the boundaries of a message from its event id.
struct Boundaries {
    hash: u64,
    count: usize,
}

impl Boundaries {
    /// `bodies` have none of the boundaries in them.
    fn new(event_id: &str, bodies: [Option<&str>; 2]) -> Self {
        let mut boundaries = Self { hash: fnv(event_id.as_bytes(), 0xcbf2_9ce4_8422_2325), count: 0 };
        while bodies.into_iter().flatten().any(|body| body.contains(&boundaries.prefix())) {
            boundaries.hash = fnv(b".", boundaries.hash);
        }
        boundaries
    }

    /// `=_` is in no body in base64 or quoted-printable.
    fn prefix(&self) -> String {
        format!("=_{:016x}", self.hash)
    }

    /// The only part, or all of them in one.
    fn join<'a>(&mut self, content_type: &'static str, mut parts: Vec<MimePart<'a>>) -> MimePart<'a> {
        if parts.len() == 1 {
            if let Some(part) = parts.pop() {
                return part;
            }
        }
        self.count += 1;
        let boundary = format!("{}_{}", self.prefix(), self.count);
        MimePart::new(ContentType::new(content_type).attribute("boundary", boundary), parts)
    }
}

/// The hash FNV-1a.
fn fnv(bytes: &[u8], start: u64) -> u64 {
    bytes.iter().fold(start, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
