//! plumb-analysis
