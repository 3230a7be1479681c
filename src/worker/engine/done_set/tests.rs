//! Done sets of any shape.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{DoneSet, METADATA_MAX};

fn fetched(offsets: impl IntoIterator<Item = i64>) -> DoneSet {
    let mut set = DoneSet::default();
    offsets.into_iter().for_each(|offset| assert!(set.fetch(offset)));
    set
}

#[test]
fn the_metadata_of_a_commit_is_as_documented() {
    let mut set = fetched(10..20);
    assert_eq!((set.position(), set.encode()), (Some(10), "ke1:10:".into()));
    for offset in [10, 12, 13, 17] {
        set.finish(offset);
    }
    // 11 is unfinished, 12 and 13 are finished, 14 to 16 are unfinished, 17 is finished: 1, 2, 3, 1.
    assert_eq!((set.position(), set.encode()), (Some(11), "ke1:11:AQIDAQ".into()));
}

#[test]
fn offsets_that_do_not_exist_hold_nothing_up() {
    let mut set = fetched([5, 9, 10, 30]);
    set.finish(5);
    assert_eq!(set.position(), Some(9));
    set.finish(10);
    assert_eq!(set.encode(), "ke1:9:AQE");
    for offset in [9, 30] {
        set.finish(offset);
    }
    assert_eq!(set.position(), Some(31));
}

#[test]
fn a_set_that_was_read_back_names_the_records_to_skip() {
    let mut set = DoneSet::restore(11, b"ke1:11:AQIDAQ");
    let unfinished: Vec<i64> = [11, 12, 13, 14, 16, 17, 18].into_iter().filter(|offset| set.fetch(*offset)).collect();
    assert_eq!(unfinished, [11, 14, 16, 18]);
    assert_eq!(set.encode(), "ke1:11:AQIBAQEB", "15 does not exist any more");
    for offset in [11, 14, 16, 18] {
        set.finish(offset);
    }
    assert_eq!((set.position(), set.encode()), (Some(19), "ke1:19:".into()));
}

#[test]
fn a_set_of_another_offset_is_ignored() {
    for metadata in ["ke1:12:AQIDAQ", "ke2:11:AQIDAQ", "ke1:11:AQID", "ke1:11:AA", "ke1:11:gA", "ke1:11:=", "", "x"] {
        assert!(DoneSet::restore(11, metadata.as_bytes()).fetch(12), "{metadata}");
    }
}

#[test]
fn about_a_thousand_waiting_records_fit() {
    let mut set = fetched(0..200_000);
    let mut waiting = 0;
    for offset in (0..200_000).step_by(100) {
        if !set.may_start(offset, 1) {
            break;
        }
        set.start(offset);
        waiting += 1;
        (offset + 1..offset + 100).for_each(|offset| set.finish(offset));
    }
    assert!((1000..1600).contains(&waiting), "{waiting}");
    assert!(set.encode().len() <= METADATA_MAX);
    let full = set.encode().len();
    assert!(set.may_start(50 * 100, 1), "a record that waited may start again");
    set.finish(50 * 100);
    assert!(set.encode().len() <= full);
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(
        steps in prop::collection::vec((1_i64..200, any::<bool>(), any::<u16>()), 1..200),
        first in 0_i64..=i64::MAX / 2,
        skipped in prop::collection::vec(any::<bool>(), 200),
    ) {
        let mut set = DoneSet::default();
        let (mut offset, mut unfinished, mut done) = (first, Vec::new(), BTreeSet::new());
        let mut all = Vec::new();
        for (gap, finishes, which) in steps {
            offset += if gap < 150 { 1 } else { gap };
            set.fetch(offset);
            all.push(offset);
            unfinished.push(offset);
            if finishes {
                let finished = unfinished[usize::from(which) % unfinished.len()];
                if set.may_start(finished, 0) {
                    set.start(finished);
                    set.finish(finished);
                    unfinished.retain(|offset| *offset != finished);
                    done.insert(finished);
                }
            }
            prop_assert!(set.encode().len() <= METADATA_MAX);
            prop_assert_eq!(set.position().unwrap(), unfinished.first().copied().unwrap_or(offset + 1));
        }
        let position = set.position().unwrap();
        let mut restored = DoneSet::restore(position, set.encode().as_bytes());
        prop_assert_eq!(restored.encode(), set.encode(), "as it was before anything is fetched");
        // The log may have lost some records meanwhile.
        for (offset, is_skipped) in all.iter().zip(skipped).filter(|(offset, _)| **offset >= position) {
            if !is_skipped {
                prop_assert_eq!(restored.fetch(*offset), !done.contains(offset), "{}", offset);
            }
        }
    }

    #[test]
    fn any_metadata_is_accepted(offset in 0..=i64::MAX / 2, metadata in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = DoneSet::restore(offset, &metadata).encode();
        let digits: String = metadata.iter().map(|byte| char::from(b"AB_-wxyz0189"[usize::from(*byte) % 12])).collect();
        let mut set = DoneSet::restore(offset, format!("ke1:{offset}:{digits}").as_bytes());
        prop_assert!(set.position().unwrap() >= offset);
        set.fetch(offset + 3);
        prop_assert!(set.position().unwrap() >= offset);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 64, ..ProptestConfig::with_cases(8) })]
    #[test]
    fn the_metadata_fits_in_whichever_order_records_finish(
        chances in prop::collection::vec(any::<(u16, u8)>(), 12_000),
        gap in 1_i64..300,
        stays in 60_u8..250,
    ) {
        let mut set = DoneSet::default();
        let (mut next, mut at_work, mut waiting, mut longest) = (0, Vec::new(), Vec::new(), 0);
        for (step, (which, chance)) in chances.into_iter().enumerate() {
            let which = usize::from(which);
            if at_work.len() < 100 && chance % 2 == 0 {
                // A record that waited, or a new one.
                let again = chance % 16 == 0 && !waiting.is_empty();
                let offset = if again { waiting[which % waiting.len()] } else { next };
                if !again && set.next <= Some(next) {
                    set.fetch(next);
                }
                if set.may_start(offset, at_work.len()) {
                    set.start(offset);
                    at_work.push(offset);
                    if again {
                        waiting.retain(|other| *other != offset);
                    } else {
                        next += if chance % 4 == 0 { 1 } else { gap };
                    }
                }
            } else if !at_work.is_empty() {
                let offset = at_work.swap_remove(which % at_work.len());
                if chance < stays {
                    waiting.push(offset);
                } else {
                    set.finish(offset);
                }
            }
            if step % 64 == 0 {
                longest = longest.max(set.encode().len());
            }
        }
        for offset in at_work {
            set.finish(offset);
        }
        longest = longest.max(set.encode().len());
        prop_assert!(longest <= METADATA_MAX, "{} bytes", longest);
    }
}

#[test]
fn there_is_room_for_every_record_at_work_to_split_a_run() {
    let mut set = DoneSet::default();
    let mut next = 1_000_000_000_000_000_000;
    let mut waiting = Vec::new();
    set.fetch(next);
    while set.may_start(next, 0) {
        set.start(next);
        waiting.push(next);
        next += 2;
        set.fetch(next);
    }
    for offset in waiting.drain(1..30) {
        set.finish(offset);
    }
    (next + 1..next + 200).for_each(|offset| assert!(set.fetch(offset)));
    let started = (next..next + 200).take_while(|offset| {
        let may_start = set.may_start(*offset, usize::try_from(*offset - next).unwrap());
        set.start(*offset - i64::from(!may_start));
        may_start
    });
    let started: Vec<i64> = started.collect();
    assert!(started.len() > 5, "{}", started.len());
    for offset in started.into_iter().skip(1).step_by(2) {
        set.finish(offset);
    }
    assert!(set.encode().len() <= METADATA_MAX, "{} bytes", set.encode().len());
}
