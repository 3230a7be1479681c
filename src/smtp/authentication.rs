//! AUTH: PLAIN, LOGIN and XOAUTH2.

use super::failure::{Cause, Failure};
use super::offers::{Mechanism, Offers};
use super::reply::Reply;
use super::stage::Stage;
use super::wire::Wire;

/// What the client signs in with. It holds secrets, so it has no `Debug`.
pub(super) enum Credentials<'a> {
    Password { username: &'a str, password: &'a str },
    Token { username: &'a str, token: &'a str },
}

impl Credentials<'_> {
    /// The best mechanism that the server offers for them.
    fn mechanism(&self, offers: Offers) -> Option<Mechanism> {
        let fitting: &[Mechanism] = match self {
            Self::Password { .. } => &[Mechanism::Plain, Mechanism::Login],
            Self::Token { .. } => &[Mechanism::XOAuth2],
        };
        fitting.iter().copied().find(|mechanism| offers.mechanism(*mechanism))
    }
}

/// Signs in.
pub(super) async fn sign_in(wire: &mut Wire, offers: Offers, credentials: &Credentials<'_>) -> Result<(), Failure> {
    let mechanism = credentials.mechanism(offers).ok_or(Failure::new(Stage::Auth, Cause::NoMechanism))?;
    let (username, secret) = match *credentials {
        Credentials::Password { username, password } => (username, password),
        Credentials::Token { username, token } => (username, token),
    };
    match mechanism {
        Mechanism::Plain => {
            let response = base64(format!("\0{username}\0{secret}").as_bytes());
            wire.ask(Stage::Auth, &format!("AUTH PLAIN {response}"), Reply::is_success).await?;
        }
        Mechanism::Login => {
            wire.ask(Stage::Auth, "AUTH LOGIN", is_challenge).await?;
            wire.ask(Stage::Auth, &base64(username.as_bytes()), is_challenge).await?;
            wire.ask(Stage::Auth, &base64(secret.as_bytes()), Reply::is_success).await?;
        }
        Mechanism::XOAuth2 => {
            let response = base64(format!("user={username}\x01auth=Bearer {secret}\x01\x01").as_bytes());
            let command = format!("AUTH XOAUTH2 {response}");
            let reply = wire.ask(Stage::Auth, &command, |reply| reply.is_success() || is_challenge(reply)).await?;
            if is_challenge(reply) {
                // The challenge describes the error; the refusal follows an empty response.
                wire.ask(Stage::Auth, "", Reply::is_success).await?;
            }
        }
    }
    Ok(())
}

fn is_challenge(reply: Reply) -> bool {
    reply.code() == 334
}

/// Base64 with padding (RFC 4648 section 4).
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |index: usize| u32::from(chunk.get(index).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for (index, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            let digit = ALPHABET.get((bits >> shift & 63) as usize).copied().unwrap_or_default();
            text.push(if index <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn the_examples_of_rfc_4648() {
        let examples =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("foobar", "Zm9vYmFy")];
        for (text, encoded) in examples {
            assert_eq!(base64(text.as_bytes()), encoded);
        }
        assert_eq!(base64(&[0xfb, 0xff, 0xbf]), "+/+/");
    }
}
