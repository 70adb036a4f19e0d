//! Drawing the timeline: rows, axis, overview. What is drawn comes from the model, what the user does goes back as commands.

pub mod axis;
pub mod bars;
pub mod canvas;
pub mod lanes;
pub mod overview;
pub mod rows;
pub mod text;
