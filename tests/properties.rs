//! What holds for any text, whoever sent it. `PROPTEST_CASES` says how many are tried (`make fuzz`: many), others in each
//! run. What fails is kept in `properties.regressions` beside this file, and tried first from then on.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

use _core::email::{address, EmailEvent, EmailType, Timestamp};

/// Text of all kinds: any characters, and those that mean something in JSON, in addresses and in mail headers.
fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[\\x00-\\x7f]{0,300}",
        "[a-zA-Z0-9.@_+\\-\"\\\\ \r\n\t]{0,80}",
        "[a-z.+]{1,70}@[a-z.-]{1,200}"
    ]
}

fn config() -> ProptestConfig {
    let kept = FileFailurePersistence::WithSource("regressions");
    ProptestConfig { failure_persistence: Some(Box::new(kept)), ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn an_event_is_ascii_and_reads_back_as_it_was(
        recipient in texts(), username in texts(), link in texts(), micros in 0_i64..253_402_300_800_000_000,
    ) {
        let event = EmailEvent {
            email_type: EmailType::Verification.as_str(),
            recipient: &recipient,
            username: &username,
            link: &link,
            timestamp: Timestamp::from_micros(micros),
        };
        let mut out = Vec::new();
        event.write_json::<()>(&mut out, |out| { out.extend_from_slice(b"{}"); Ok(()) }).unwrap();
        prop_assert!(out.iter().all(|byte| (b' '..=b'~').contains(byte)));
        let read: serde_json::Value = serde_json::from_slice(&out).unwrap();
        prop_assert_eq!(read["recipient"].as_str(), Some(recipient.as_str()));
        prop_assert_eq!(read["username"].as_str(), Some(username.as_str()));
        prop_assert_eq!(read["link"].as_str(), Some(link.as_str()));
    }

    #[test]
    fn what_is_certainly_valid_cannot_break_out_of_a_mail_header(recipient in texts(), username in texts()) {
        let event = EmailEvent {
            email_type: EmailType::Welcome.as_str(),
            recipient: &recipient,
            username: &username,
            link: "",
            timestamp: Timestamp::now(),
        };
        if event.is_certainly_valid() {
            prop_assert!(!username.contains(['\r', '\n', '\0']));
            prop_assert!(recipient.bytes().all(|byte| byte.is_ascii_graphic()));
            prop_assert_eq!(recipient.matches('@').count(), 1);
            prop_assert!(recipient.len() <= 254);
        }
        prop_assert!(!address::is_certainly_valid(&(recipient + "\n")));
    }
}
