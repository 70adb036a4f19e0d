//! Keys to commands.

use crate::model::session::{Command, Session};
use eframe::egui::{Context, InputState, Key, Modifiers};

/// Points that an arrow key moves the rows.
const LINE: f32 = 44.0;
/// Points that a page key moves them.
const PAGE: f32 = 500.0;
/// How much closer a key zooms.
const ZOOM: f64 = 1.5;
/// Part of the window that a key moves it.
const STEP: f64 = 0.15;

/// What the keys of this frame want. Letters go to a text field that has the cursor.
pub fn commands(ctx: &Context, session: &Session) -> Vec<Command> {
    let typing = ctx.text_edit_focused();
    let mut commands = ctx.input_mut(|input| anywhere(input, session, typing));
    if !typing {
        ctx.input(|input| letters(input, &mut commands));
    }
    commands
}

fn anywhere(input: &mut InputState, session: &Session, typing: bool) -> Vec<Command> {
    let mut commands = Vec::new();
    if input.consume_key(Modifiers::CTRL, Key::F) {
        commands.push(Command::FocusSearch);
    }
    if input.key_pressed(Key::Escape) {
        commands.extend(escape(session, typing));
    }
    commands
}

/// Escape undoes one thing.
fn escape(session: &Session, typing: bool) -> Option<Command> {
    if session.help {
        Some(Command::Help(false))
    } else if typing || !session.search.is_empty() {
        Some(Command::Search(String::new()))
    } else {
        session.selection.map(|_| Command::Select(None))
    }
}

fn letters(input: &InputState, commands: &mut Vec<Command>) {
    if input.modifiers.command || input.modifiers.alt {
        return;
    }
    let keys: [(&[Key], Command); 16] = [
        (
            &[Key::W, Key::Plus, Key::Equals],
            Command::Zoom {
                factor: ZOOM,
                at_ns: None,
            },
        ),
        (
            &[Key::S, Key::Minus],
            Command::Zoom {
                factor: 1.0 / ZOOM,
                at_ns: None,
            },
        ),
        (&[Key::A, Key::ArrowLeft], Command::Pan { part: -STEP }),
        (&[Key::D, Key::ArrowRight], Command::Pan { part: STEP }),
        (&[Key::ArrowUp], Command::Scroll(-LINE)),
        (&[Key::ArrowDown], Command::Scroll(LINE)),
        (&[Key::PageUp], Command::Scroll(-PAGE)),
        (&[Key::PageDown], Command::Scroll(PAGE)),
        (&[Key::Period], Command::Step { back: false }),
        (&[Key::Comma], Command::Step { back: true }),
        (&[Key::F], Command::FitSelection),
        (&[Key::Home, Key::Num0], Command::Fit),
        (&[Key::Slash], Command::FocusSearch),
        (&[Key::Questionmark], Command::Help(true)),
        (
            &[Key::N],
            Command::Next {
                back: input.modifiers.shift,
            },
        ),
        (
            &[Key::Enter],
            Command::Next {
                back: input.modifiers.shift,
            },
        ),
    ];
    for (keys, command) in keys {
        if keys.iter().any(|key| input.key_pressed(*key)) {
            commands.push(command);
        }
    }
}
