//! The e-mail event and its wire form.

use super::json::write_string;
use super::{address, name, Timestamp};

/// What kind of e-mail to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmailType {
    /// Verify an address.
    Verification,
    /// Set a new password.
    PasswordReset,
    /// A greeting, without a link.
    Welcome,
    /// Anything else worth a link.
    Notification,
}

impl EmailType {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Verification => "verification",
            Self::PasswordReset => "password_reset",
            Self::Welcome => "welcome",
            Self::Notification => "notification",
        }
    }

    /// The type with this name on the wire, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Verification, Self::PasswordReset, Self::Welcome, Self::Notification]
            .into_iter()
            .find(|email_type| email_type.as_str() == name)
    }
}

/// Whether this may be the name of a type of e-mail: `[a-z][a-z0-9_]{0,63}`.
pub fn is_type_name(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    name.len() <= 64 && name.starts_with(|first: char| first.is_ascii_lowercase()) && name.bytes().all(is_allowed)
}

/// An e-mail to send, without its metadata. No `Debug`: it is personal data, and the link may be a secret.
pub struct EmailEvent<'a> {
    /// Name of its type: one of [`EmailType`], or one that [`is_type_name`] takes.
    pub email_type: &'a str,
    /// Address to send it to.
    pub recipient: &'a str,
    /// Name to greet.
    pub username: &'a str,
    /// Link to show, any text; empty in a welcome.
    pub link: &'a str,
    /// When the event was made.
    pub timestamp: Timestamp,
}

impl EmailEvent<'_> {
    /// Whether the Pydantic model is certain to accept the event unchanged. `false`: it has to decide.
    pub fn is_certainly_valid(&self) -> bool {
        address::is_certainly_valid(self.recipient) && name::is_clean(self.username)
    }

    /// Appends the event as `json.dumps(model.model_dump(mode="json"))` writes its Pydantic model.
    ///
    /// `write_metadata` appends the metadata, a JSON object.
    ///
    /// # Errors
    /// The error of `write_metadata`; `out` then holds half an event.
    pub fn write_json<E>(
        &self,
        out: &mut Vec<u8>,
        write_metadata: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.write_head(out);
        write_string(out, self.link);
        self.write_tail(out, write_metadata)
    }

    /// Appends what [`Self::write_json`] does before the link.
    pub fn write_head(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"email_type\": ");
        write_string(out, self.email_type);
        out.extend_from_slice(b", \"recipient\": ");
        write_string(out, self.recipient);
        out.extend_from_slice(b", \"username\": ");
        write_string(out, self.username);
        out.extend_from_slice(b", \"link\": ");
    }

    /// Appends what [`Self::write_json`] does after the link.
    ///
    /// # Errors
    /// As [`Self::write_json`].
    pub fn write_tail<E>(
        &self,
        out: &mut Vec<u8>,
        write_metadata: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        out.extend_from_slice(b", \"timestamp\": \"");
        self.timestamp.write_iso(out);
        out.extend_from_slice(b"\", \"metadata\": ");
        write_metadata(out)?;
        out.push(b'}');
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::{is_type_name, EmailEvent, EmailType, Timestamp};

    fn event() -> EmailEvent<'static> {
        EmailEvent {
            email_type: EmailType::PasswordReset.as_str(),
            recipient: "anna.berg+news@mail.example.org",
            username: "Zoë \"Z\" \u{7f}😀",
            link: "app://verify?token=a/b&c=\\d",
            timestamp: Timestamp::from_micros(1_795_451_893_123_400),
        }
    }

    fn json(event: &EmailEvent<'_>, metadata: &[u8]) -> String {
        let mut out = Vec::new();
        let Ok(()) = event.write_json::<Infallible>(&mut out, |out| {
            out.extend_from_slice(metadata);
            Ok(())
        });
        String::from_utf8_lossy(&out).into_owned()
    }

    /// What Pydantic 2.14 and `json.dumps` of Python 3.11 said.
    #[test]
    fn writes_what_the_model_writes() {
        assert_eq!(
            json(&event(), br#"{"tenant": "a", "tries": [1]}"#),
            concat!(
                r#"{"email_type": "password_reset", "recipient": "anna.berg+news@mail.example.org", "#,
                r#""username": "Zo\u00eb \"Z\" \u007f\ud83d\ude00", "link": "app://verify?token=a/b&c=\\d", "#,
                r#""timestamp": "2026-11-23T16:38:13.123400", "metadata": {"tenant": "a", "tries": [1]}}"#
            )
        );
        let welcome = EmailEvent {
            email_type: EmailType::Welcome.as_str(),
            link: "",
            username: "Anna",
            timestamp: Timestamp::from_micros(1_795_451_893_000_000),
            ..event()
        };
        assert_eq!(
            json(&welcome, b"{}"),
            concat!(
                r#"{"email_type": "welcome", "recipient": "anna.berg+news@mail.example.org", "username": "Anna", "#,
                r#""link": "", "timestamp": "2026-11-23T16:38:13", "metadata": {}}"#
            )
        );
    }

    #[test]
    fn passes_on_the_error_of_the_metadata() {
        assert_eq!(event().write_json(&mut Vec::new(), |_| Err("no JSON")), Err("no JSON"));
    }

    #[test]
    fn is_certain_of_a_plain_address_and_a_clean_name() {
        assert!(event().is_certainly_valid());
        assert!(EmailEvent { link: "any\r\ntext", ..event() }.is_certainly_valid());
        assert!(!EmailEvent { recipient: "anna@localhost", ..event() }.is_certainly_valid());
        assert!(!EmailEvent { username: "Anna\r\nBcc: eve@example.org", ..event() }.is_certainly_valid());
    }

    #[test]
    fn types_are_found_by_their_names() {
        for email_type in
            [EmailType::Verification, EmailType::PasswordReset, EmailType::Welcome, EmailType::Notification]
        {
            assert_eq!(EmailType::from_name(email_type.as_str()), Some(email_type));
        }
        assert_eq!(EmailType::from_name("Welcome"), None);
        assert_eq!(EmailType::from_name(""), None);
    }

    #[test]
    fn other_types_have_names_like_theirs() {
        for name in ["welcome", "a", "order_shipped2", &"a".repeat(64)] {
            assert!(is_type_name(name), "{name}");
        }
        for name in ["", "Welcome", "2fa", "_x", "order-shipped", "a b", "zoë", &"a".repeat(65)] {
            assert!(!is_type_name(name), "{name}");
        }
    }
}
