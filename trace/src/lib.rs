//! plumb-trace
