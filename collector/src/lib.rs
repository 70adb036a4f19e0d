//! plumb-collector
