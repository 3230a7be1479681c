//! What is in a message. `tests/package/test_mail.py` reads messages with Python's `email`.

use crate::mail::{build, Attachment, BuildError, Draft, Sender};

const DATE: i64 = 1_795_451_893;

fn sender() -> Sender {
    Sender { from_address: "app@bücher.example".to_owned(), from_name: Some("Zoë".to_owned()), reply_to: None }
}

fn draft() -> Draft {
    Draft { subject: "Grüße".to_owned(), text: Some("Hi".to_owned()), ..Draft::default() }
}

fn message(draft: &Draft) -> Result<String, BuildError> {
    build(draft, &sender(), "0198-a", "anna@example.org", DATE, None).map(|bytes| String::from_utf8(bytes).unwrap())
}

fn file(filename: &str, content_type: &str, cid: Option<&str>) -> Attachment {
    Attachment {
        filename: filename.to_owned(),
        content: b"a\rb\n".to_vec(),
        content_type: content_type.to_owned(),
        cid: cid.map(str::to_owned),
    }
}

#[test]
fn has_the_headers_of_a_mail() {
    assert_eq!(
        message(&draft()).unwrap(),
        "Date: Mon, 23 Nov 2026 16:38:13 +0000\r\n\
         From: =?utf-8?B?Wm/Dqw==?= <app@xn--bcher-kva.example>\r\n\
         To: <anna@example.org>\r\n\
         Subject: =?utf-8?B?R3LDvMOfZQ==?=\r\n\
         Message-ID: <0198-a@xn--bcher-kva.example>\r\n\
         Auto-Submitted: auto-generated\r\n\
         MIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=\"utf-8\"\r\n\
         Content-Transfer-Encoding: 7bit\r\n\r\nHi\r\n"
    );
}

#[test]
fn is_the_same_each_time() {
    let draft = Draft {
        html: Some("<p>".to_owned()),
        attachments: vec![file("a.csv", "text/csv; charset=utf-8", None)],
        inline: vec![file("l.png", "image/png", Some("logo"))],
        ..draft()
    };
    let first = message(&draft).unwrap();
    assert_eq!(first, message(&draft).unwrap());
    let other = build(&draft, &sender(), "0198-b", "anna@example.org", DATE, None).unwrap();
    assert_ne!(first.into_bytes(), other);
}

#[test]
fn no_body_has_a_boundary_in_it() {
    let boundary_of = |message: &str| {
        let (_, after) = message.split_once("boundary=\"").unwrap();
        after.split_once('"').unwrap().0.to_owned()
    };
    let html = Some("<p>".to_owned());
    let boundary = boundary_of(&message(&Draft { html: html.clone(), ..draft() }).unwrap());
    let text = Some(format!("--{boundary}"));
    assert_ne!(boundary_of(&message(&Draft { text, html, ..draft() }).unwrap()), boundary);
}

#[test]
fn a_link_to_unsubscribe_is_one_click_on_the_web_only() {
    let headers = |url: &str| {
        let bytes = build(&draft(), &sender(), "1", "anna@example.org", DATE, Some(url)).unwrap();
        let message = String::from_utf8(bytes).unwrap();
        message.lines().filter(|line| line.starts_with("List-")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(
        headers("https://example.org/u?a=ü b>"),
        [
            "List-Unsubscribe: <https://example.org/u?a=%C3%BC%20b%3E>",
            "List-Unsubscribe-Post: List-Unsubscribe=One-Click"
        ]
    );
    assert_eq!(headers("mailto:leave@example.org"), ["List-Unsubscribe: <mailto:leave@example.org>"]);
}

#[test]
fn event_ids_become_message_ids() {
    let id = |event_id: &str| {
        let bytes = build(&draft(), &sender(), event_id, "anna@example.org", DATE, None)?;
        let message = String::from_utf8(bytes).unwrap();
        let line = message.lines().find(|line| line.starts_with("Message-ID: <")).unwrap().to_owned();
        Ok(line.split(['<', '@']).nth(1).unwrap().to_owned())
    };
    assert_eq!(id("order-17/a=b.c"), Ok("order-17/a=b.c".to_owned()));
    assert_eq!(id("<a@b>, c"), Ok("=3Ca=40b=3E=2C=20c".to_owned()));
    assert_eq!(id(".a..=ü"), Ok("=2Ea=2E=2E=3D=C3=BC".to_owned()));
    assert_eq!(id("a\r\nBcc: x"), Err(BuildError::ControlCharacter("the event id")));
    assert_eq!(id(""), Err(BuildError::Malformed("the event id")));
    assert_eq!(id(&"x".repeat(901)), Err(BuildError::TooLong("the event id")));
}

#[test]
fn control_characters_are_refused_in_every_header() {
    let bad = || "x\r\nBcc: eve@example.org".to_owned();
    let png = || file("l.png", "image/png", Some("logo"));
    let drafts = [
        Draft { subject: bad(), ..draft() },
        Draft { from_name: Some(bad()), ..draft() },
        Draft { reply_to: Some(bad()), ..draft() },
        Draft { headers: vec![("X-A".to_owned(), bad())], ..draft() },
        Draft { attachments: vec![Attachment { filename: bad(), ..png() }], ..draft() },
        Draft { attachments: vec![Attachment { content_type: bad(), ..png() }], ..draft() },
        Draft { inline: vec![Attachment { cid: Some(bad()), ..png() }], ..draft() },
    ];
    for draft in &drafts {
        let error = message(draft).unwrap_err();
        assert!(matches!(error, BuildError::ControlCharacter(_)) && !error.to_string().contains("eve"), "{error}");
    }
    let error = message(&Draft { headers: vec![(bad(), "x".to_owned())], ..draft() }).unwrap_err();
    assert_eq!(error, BuildError::Malformed("the name of a header"));
    for recipient in ["a\n@example.org", "a@example.org\r\nBcc: b@example.org", "a@b.example\u{0}"] {
        let error = build(&draft(), &sender(), "1", recipient, DATE, None).unwrap_err();
        assert_eq!(error, BuildError::ControlCharacter("the recipient's address"));
    }
    let error = build(&draft(), &sender(), "1", "a@example.org", DATE, Some("https://x\r\nBcc: x")).unwrap_err();
    assert_eq!(error, BuildError::ControlCharacter("list_unsubscribe"));
}

#[test]
fn an_address_is_one_plain_address() {
    for recipient in
        ["", "anna", "@example.org", "anna@", "a@b.example, c@d.example", "a@b.example>, <c", "A <a@b.example>"]
    {
        let error = build(&draft(), &sender(), "1", recipient, DATE, None).unwrap_err();
        assert_eq!(error, BuildError::Address("the recipient's address"), "{recipient}");
    }
    for (recipient, header) in [
        ("\"a b\"@example.org", "To: <\"a b\"@example.org>"),
        ("ännä@bücher.example", "To: <ännä@xn--bcher-kva.example>"),
        ("a@[192.0.2.1]", "To: <a@[192.0.2.1]>"),
    ] {
        let bytes = build(&draft(), &sender(), "1", recipient, DATE, None).unwrap();
        assert!(String::from_utf8(bytes).unwrap().lines().any(|line| line == header), "{recipient}");
    }
}

#[test]
fn headers_of_the_worker_are_not_replaced() {
    let with = |name: &str| message(&Draft { headers: vec![(name.to_owned(), "mine".to_owned())], ..draft() });
    for name in ["From", "BCC", "message-id", "Content-Type", "MIME-Version"] {
        assert_eq!(with(name), Err(BuildError::Reserved), "{name}");
    }
    let message = with("auto-submitted").unwrap();
    assert!(message.contains("auto-submitted: mine\r\n") && !message.contains("auto-generated"));
}

#[test]
fn lines_end_with_crlf_and_stay_short() {
    let text = format!("a\rb\nc\r\nd\0e {}", "x".repeat(5000));
    let html = format!("<p>\r\r\n\n{}ü", "y".repeat(2000));
    let subject = format!("{}ü {}", "s".repeat(2000), "t".repeat(2000));
    let draft = Draft { subject, text: Some(text), html: Some(html), ..draft() };
    let bytes = message(&draft).unwrap().into_bytes();
    assert!(bytes.split(|byte| *byte == b'\n').all(|line| line.len() < 998));
    let (mut before, mut bare) = (0, 0);
    for byte in bytes.iter().copied().chain([0]) {
        bare += u32::from((before == b'\r') != (byte == b'\n'));
        bare += u32::from(byte == 0 && before == 0);
        before = byte;
    }
    assert_eq!(bare, 0);
}

#[test]
fn a_mail_of_nothing_is_refused() {
    assert_eq!(message(&Draft { text: None, ..draft() }), Err(BuildError::Empty));
}
