//! Bodies written by hand.
