//! plumb-viewer
