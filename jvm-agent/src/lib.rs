//! plumb-agent

pub mod classfile;
pub mod rewrite;
