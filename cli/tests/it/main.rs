//! The program as its users meet it: run on small models, with every kind of bad input.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test")]

#[allow(dead_code, reason = "few of its kinds of values are needed here")]
#[path = "../../../gguf/tests/gguf/build.rs"]
mod build;
mod fill_weights;
mod generate;
mod infer;
mod inspect;
mod known;
mod models;
mod pages;
mod refusals;

use std::{
    path::Path,
    process::{Command, Output, Stdio},
};

/// What a run of the program said.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_halfbyte"));
    let temporary = std::env::temp_dir();
    // Mesa's Wayland code complains on standard error where the first is not set; in the second, pipelines are kept.
    command.stdin(Stdio::null()).env("XDG_RUNTIME_DIR", &temporary);
    command.env("XDG_CACHE_HOME", temporary.join("halfbyte-tests"));
    command
}

fn finish(command: &mut Command) -> Said {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said { code: status.code(), out: text(stdout), err: text(stderr) }
}

fn halfbyte(args: &[&str]) -> Said {
    finish(program().args(args))
}

/// Runs it, which must succeed, and returns standard output.
fn succeed(args: &[&str]) -> String {
    let said = halfbyte(args);
    assert_eq!(said.code, Some(0), "halfbyte {args:?}: {}", said.err);
    said.out
}

/// Runs it, which must fail with this code and one error that has every one of `parts`.
fn refuse(args: &[&str], code: i32, parts: &[&str]) -> String {
    refused(&halfbyte(args), code, parts)
}

fn refused(said: &Said, code: i32, parts: &[&str]) -> String {
    assert_eq!((said.code, said.out.as_str()), (Some(code), ""), "{said:?}");
    let error = said.err.strip_prefix("error: ").unwrap_or_else(|| panic!("no error: {said:?}"));
    for part in parts {
        assert!(error.contains(part), "{part:?} is not in {error:?}");
    }
    error.to_owned()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
