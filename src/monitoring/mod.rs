//! Counters and histograms.

pub mod histogram;
