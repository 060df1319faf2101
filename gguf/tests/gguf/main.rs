//! Files are built here by hand, field by field, so that the reader is tested against the format and not
//! against a writer of ours.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test")]

mod build;
mod decode;
mod fill;
mod hostile;
mod parse;
