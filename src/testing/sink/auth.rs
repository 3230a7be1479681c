//! The exchanges of AUTH: PLAIN, LOGIN and XOAUTH2.

use std::collections::HashMap;

use super::base64::decode;

/// What the client's next line answers.
pub(super) enum Exchange {
    /// PLAIN: all credentials at once.
    Plain,
    /// LOGIN: the user name.
    LoginName,
    /// LOGIN: the password of this user.
    LoginPassword(String),
    /// XOAUTH2: user name and token at once.
    Xoauth2,
    /// XOAUTH2: nothing. The sink has sent the reason why it refuses, as Google's servers do.
    Xoauth2Refused,
}

/// How an exchange goes on.
pub(super) enum Step {
    /// With a 334 reply of this text.
    Ask(&'static str, Exchange),
    /// Not at all: the credentials are right or wrong.
    Decided(bool),
    /// Not at all: the client's line makes no sense.
    Malformed,
}

/// `Username:` and `Password:` in Base64.
const USER_NAME: &str = "VXNlcm5hbWU6";
const PASSWORD: &str = "UGFzc3dvcmQ6";
/// `{"status":"401"}` in Base64.
const UNAUTHORIZED: &str = "eyJzdGF0dXMiOiI0MDEifQ==";

type Users = HashMap<String, String>;

/// The exchange that an AUTH command begins; None for a mechanism that the sink does not have.
pub(super) fn begin(arguments: &str, users: &Users) -> Option<Step> {
    let (mechanism, initial) = arguments.split_once(' ').unwrap_or((arguments, ""));
    let (question, exchange) = match mechanism.to_ascii_uppercase().as_str() {
        "PLAIN" => ("", Exchange::Plain),
        "LOGIN" => (USER_NAME, Exchange::LoginName),
        "XOAUTH2" => ("", Exchange::Xoauth2),
        _ => return None,
    };
    Some(match initial.trim() {
        "" => Step::Ask(question, exchange),
        "=" => go_on(exchange, "", users),
        initial => go_on(exchange, initial, users),
    })
}

/// What follows the client's answer.
pub(super) fn go_on(exchange: Exchange, answer: &str, users: &Users) -> Step {
    let Some(answer) = decode(answer) else { return Step::Malformed };
    let knows = |user: &str, secret: &str| users.get(user).is_some_and(|right| right == secret);
    match exchange {
        Exchange::Plain => {
            let mut parts = answer.split('\0').skip(1);
            match (parts.next(), parts.next(), parts.next()) {
                (Some(user), Some(password), None) => Step::Decided(knows(user, password)),
                _ => Step::Malformed,
            }
        }
        Exchange::LoginName => Step::Ask(PASSWORD, Exchange::LoginPassword(answer)),
        Exchange::LoginPassword(user) => Step::Decided(knows(&user, &answer)),
        Exchange::Xoauth2 => {
            let field = |name| answer.split('\x01').find_map(|field| field.strip_prefix(name));
            match (field("user="), field("auth=Bearer ")) {
                (Some(user), Some(token)) if knows(user, token) => Step::Decided(true),
                (Some(_), Some(_)) => Step::Ask(UNAUTHORIZED, Exchange::Xoauth2Refused),
                _ => Step::Malformed,
            }
        }
        Exchange::Xoauth2Refused => Step::Decided(false),
    }
}
