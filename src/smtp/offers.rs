//! What the server offers in its response to EHLO.

use super::envelope::Mail;
use super::failure::{Cause, Failure};
use super::reply::Malformed;
use super::stage::Stage;
use super::stuffing;
use smtp_proto::{
    EhloResponse, AUTH_LOGIN, AUTH_PLAIN, AUTH_XOAUTH2, EXT_8BIT_MIME, EXT_PIPELINING, EXT_SIZE, EXT_SMTP_UTF8,
    EXT_START_TLS,
};

/// The extensions that matter here.
#[derive(Clone, Copy)]
pub(super) struct Offers {
    capabilities: u32,
    mechanisms: u64,
    size: usize,
}

/// The mechanisms of authentication that this client knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mechanism {
    Plain,
    Login,
    XOAuth2,
}

impl Offers {
    /// Parses a whole response to EHLO.
    pub(super) fn parse(response: &[u8]) -> Result<Self, Malformed> {
        let response = EhloResponse::parse(&mut response.iter()).map_err(|_| Malformed)?;
        let EhloResponse { capabilities, auth_mechanisms: mechanisms, size, .. } = response;
        Ok(Self { capabilities, mechanisms, size })
    }

    fn has(self, extension: u32) -> bool {
        self.capabilities & extension != 0
    }

    pub(super) fn start_tls(self) -> bool {
        self.has(EXT_START_TLS)
    }

    pub(super) fn pipelining(self) -> bool {
        self.has(EXT_PIPELINING)
    }

    pub(super) fn size(self) -> bool {
        self.has(EXT_SIZE)
    }

    pub(super) fn eight_bit(self) -> bool {
        self.has(EXT_8BIT_MIME)
    }

    pub(super) fn mechanism(self, mechanism: Mechanism) -> bool {
        let bit = match mechanism {
            Mechanism::Plain => AUTH_PLAIN,
            Mechanism::Login => AUTH_LOGIN,
            Mechanism::XOAuth2 => AUTH_XOAUTH2,
        };
        self.mechanisms & bit != 0
    }

    /// Whether the server can take `mail` at all.
    pub(super) fn admit(self, mail: &Mail<'_>) -> Result<(), Failure> {
        // 0 means that no size is too large (RFC 1870).
        if self.size != 0 && stuffing::size(mail.message) > self.size {
            return Err(Failure::new(Stage::Mail, Cause::TooLarge { limit: self.size }));
        }
        for (stage, path) in [(Stage::Mail, &mail.sender), (Stage::Rcpt, &mail.recipient)] {
            if path.needs_utf8() && !self.has(EXT_SMTP_UTF8) {
                return Err(Failure::new(stage, Cause::Utf8NotOffered));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn offers(lines: &[&str]) -> Offers {
        let response = format!("250-mail.example\r\n250-{}\r\n250 HELP\r\n", lines.join("\r\n250-"));
        Offers::parse(response.as_bytes()).unwrap()
    }

    #[test]
    fn extensions() {
        let offers = offers(&[
            "pipelining",
            "SIZE 35882577",
            "8BITMIME",
            "STARTTLS",
            "AUTH LOGIN PLAIN XOAUTH2 PLAIN-CLIENTTOKEN",
        ]);
        assert!(offers.pipelining() && offers.size() && offers.eight_bit() && offers.start_tls());
        assert_eq!(offers.size, 35_882_577);
        for mechanism in [Mechanism::Plain, Mechanism::Login, Mechanism::XOAuth2] {
            assert!(offers.mechanism(mechanism), "{mechanism:?}");
        }
    }

    #[test]
    fn odd_lines_hide_no_extension() {
        for odd in [
            "",
            " ",
            "AUTH",
            "AUTH=LOGIN",
            "SIZE",
            "SIZE all",
            "SIZE 99999999999999999999999",
            "DELIVERBY x",
            "FUTURERELEASE x y",
            "MT-PRIORITY x",
            "NO-SOLICITING",
            "ENHANCEDSTATUSCODE",
            "LIMITS RCPTMAX=1",
            "XCLIENT NAME=x",
        ] {
            let offers = offers(&[odd, "PIPELINING"]);
            assert!(offers.pipelining() && !offers.start_tls(), "{odd}");
        }
    }

    proptest! {
        #[test]
        fn any_line_hides_no_extension(odd in "[ -~]{0,40}") {
            prop_assert!(offers(&[&odd, "PIPELINING"]).pipelining());
        }
    }
}
