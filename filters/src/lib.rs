//! plumb-filters
