//! Go's `text/template`: a lexer, a parser and an interpreter over our own values.

#![allow(dead_code, reason = "the interpreter and `convert` use it with their next commits")]

pub(crate) mod analysis;
pub(crate) mod lexer;
mod number;
pub(crate) mod parser;
mod quoted;
pub(crate) mod tree;
