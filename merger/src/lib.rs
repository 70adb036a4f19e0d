//! plumb-merger
