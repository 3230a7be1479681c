//! Numbers that threads add to without a lock, and that a scrape reads.

mod counter;
mod histogram;

pub(crate) use counter::Counter;
pub(crate) use histogram::{Histogram, HistogramSnapshot};
