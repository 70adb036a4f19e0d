//! What the user did to the window: which stretch of time, what is open, selected, searched. It changes through commands only.

use super::counter::{self, Step};
use super::pauses;
use super::search::Search;
use super::source::{self, Source};
use super::time::Window;
use super::tree::{Key, Lane, Node, Tree};
use plumb_trace::timeline::{Slice, StateInterval, TrackId};
use std::collections::{HashMap, HashSet};

/// Something that was clicked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Selection {
    /// In which row.
    pub key: Key,
    /// What.
    pub what: Selected,
}

/// What can be selected.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Selected {
    /// A row as such.
    Row,
    /// A stretch of one state of a thread.
    State(StateInterval),
    /// A method call, or a pause.
    Call(Slice),
    /// A stretch of a counter.
    Value(Step),
}

/// What the user wants.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Zoom in (above 1) or out around a time.
    Zoom {
        /// How many times closer.
        factor: f64,
        /// What stays where it is; `None`: the middle.
        at_ns: Option<f64>,
    },
    /// Move the window.
    Pan {
        /// By how much of its span.
        part: f64,
    },
    /// Show this stretch.
    Show(Window),
    /// Show everything.
    Fit,
    /// Show what is selected, or everything.
    FitSelection,
    /// Open or close a heading.
    Toggle(Key),
    /// Select something, or nothing.
    Select(Option<Selection>),
    /// Search for a text.
    Search(String),
    /// Go to what was found next.
    Next {
        /// Or rather before.
        back: bool,
    },
    /// Select the stretch behind the selected one in its row.
    Step {
        /// Or the one before.
        back: bool,
    },
    /// Move the rows up, points.
    Scroll(f32),
    /// Have this much of the rows above the screen's top, points. What was to be brought onto the screen now is.
    ScrollTo(f32),
    /// A thread's calls take this many lanes at the present zoom.
    CallLanes(Key, u16),
    /// Make the labels' column this wide, points.
    LabelWidth(f32),
    /// Show or hide the page of keys.
    Help(bool),
    /// Put the cursor into the search box.
    FocusSearch,
}

/// Narrowest and widest column of labels, points.
pub const LABEL_WIDTH: std::ops::RangeInclusive<f32> = 140.0..=640.0;

/// The state of the window.
pub struct Session {
    /// The stretch of time on the screen.
    pub window: Window,
    /// Length of the timeline, ns.
    pub total_ns: f64,
    /// What is selected.
    pub selection: Option<Selection>,
    /// What is searched for.
    pub search: Search,
    /// Rows above the screen's top, points.
    pub scroll: f32,
    /// Row to be brought onto the screen by the next frame.
    pub reveal: Option<Key>,
    /// Width of the labels' column, points.
    pub label_width: f32,
    /// The page of keys is on the screen.
    pub help: bool,
    /// The search box is to have the cursor by the next frame.
    pub focus_search: bool,
    /// What the last command has to say.
    pub notice: Option<String>,
    /// Lanes of calls under a thread, as they were drawn last.
    pub call_lanes: HashMap<Key, u16>,
    toggled: HashSet<Key>,
}

impl Session {
    /// Everything at once, nothing selected.
    pub fn new(sources: &[Source]) -> Session {
        let total_ns = source::total_ns(sources);
        Session {
            window: Window::whole(total_ns),
            total_ns,
            selection: None,
            search: Search::default(),
            scroll: 0.0,
            reveal: None,
            label_width: 300.0,
            help: false,
            focus_search: false,
            notice: None,
            call_lanes: HashMap::new(),
            toggled: HashSet::new(),
        }
    }

    /// Whether a heading is open.
    pub fn is_open(&self, node: &Node) -> bool {
        node.open != self.toggled.contains(&node.key)
    }

    /// The rows on show.
    pub fn rows(&self, tree: &Tree) -> Vec<usize> {
        tree.visible(|node| self.is_open(node), self.search.rows())
    }

    /// Does what the user wants.
    pub fn apply(&mut self, command: Command, sources: &[Source], tree: &Tree) {
        match command {
            Command::Zoom { factor, at_ns } => {
                let middle = (self.window.from_ns + self.window.to_ns) / 2.0;
                self.show(self.window.zoomed(factor, at_ns.unwrap_or(middle)));
            }
            Command::Pan { part } => self.show(self.window.moved(part * self.window.span_ns())),
            Command::Show(window) => self.show(window),
            Command::Fit => self.show(Window::whole(self.total_ns)),
            Command::FitSelection => self.fit_selection(sources),
            Command::Toggle(key) => {
                if !self.toggled.remove(&key) {
                    self.toggled.insert(key);
                }
            }
            Command::Select(selection) => self.selection = selection,
            Command::Search(text) => {
                self.search.set(text, tree);
                self.scroll = if self.search.rows().is_some() { 0.0 } else { self.scroll };
                self.notice = None;
            }
            Command::Next { back } => self.next(back, sources, tree),
            Command::Step { back } => self.step(back, sources, tree),
            Command::Scroll(points) => self.scroll = (self.scroll + points).max(0.0),
            Command::ScrollTo(points) => {
                self.scroll = points.max(0.0);
                self.reveal = None;
            }
            Command::CallLanes(key, lanes) => {
                self.call_lanes.insert(key, lanes);
            }
            Command::LabelWidth(width) => self.label_width = width.clamp(*LABEL_WIDTH.start(), *LABEL_WIDTH.end()),
            Command::Help(shown) => self.help = shown,
            Command::FocusSearch => self.focus_search = true,
        }
    }

    fn show(&mut self, window: Window) {
        self.window = window.clamped(self.total_ns);
    }

    fn fit_selection(&mut self, sources: &[Source]) {
        let whole = Window::whole(self.total_ns);
        let Some((source, (start_ns, end_ns))) = self.selected_span(sources) else {
            return self.show(whole);
        };
        let (from_ns, to_ns) = (source.since_start_ns(start_ns), source.since_start_ns(end_ns));
        let margin = (to_ns - from_ns) * 0.15;
        let close = Window {
            from_ns: from_ns - margin,
            to_ns: to_ns + margin,
        }
        .clamped(self.total_ns);
        self.show(if self.window == close { whole } else { close });
    }

    fn selected_span<'a>(&self, sources: &'a [Source]) -> Option<(&'a Source, (u64, u64))> {
        let selection = self.selection?;
        let span = match selection.what {
            Selected::Row => return None,
            Selected::State(interval) => (interval.start_ns, interval.end_ns),
            Selected::Call(slice) => (slice.start_ns, slice.end_ns),
            Selected::Value(step) => (step.start_ns, step.end_ns),
        };
        sources.get(selection.key.source()).map(|source| (source, span))
    }

    fn next(&mut self, back: bool, sources: &[Source], tree: &Tree) {
        if let Some(key) = self
            .search
            .next_row(self.selection.map(|selection| selection.key), back)
        {
            self.selection = Some(Selection {
                key,
                what: Selected::Row,
            });
            self.reveal = Some(key);
        } else if !self.search.is_empty() {
            self.next_call(sources, tree);
        }
    }

    /// To the next stretch of the selected row: the first on the screen where none is selected yet.
    fn step(&mut self, back: bool, sources: &[Source], tree: &Tree) {
        let Some(selection) = self.selection else { return };
        let Some(source) = sources.get(selection.key.source()) else {
            return;
        };
        let at_ns = match (self.selected_span(sources), back) {
            (Some((_, (start_ns, _))), true) => start_ns.checked_sub(1),
            (Some((_, (_, end_ns))), false) => Some(end_ns),
            (None, _) => Some(source.absolute_ns(self.window.from_ns)),
        };
        let lane = tree.find(selection.key).map(|number| tree.nodes[number].lane);
        let found = at_ns
            .zip(lane)
            .and_then(|(at_ns, lane)| stretch_at(source, lane, at_ns, back));
        let Some(what) = found else { return };
        self.selection = Some(Selection { what, ..selection });
        self.reveal = Some(selection.key);
        self.bring_into_window(sources);
    }

    /// Moves the window where what is selected is not in it.
    fn bring_into_window(&mut self, sources: &[Source]) {
        let Some((source, (start_ns, end_ns))) = self.selected_span(sources) else {
            return;
        };
        let (from_ns, to_ns) = (source.since_start_ns(start_ns), source.since_start_ns(end_ns));
        if to_ns <= self.window.from_ns || from_ns >= self.window.to_ns {
            self.show(self.window.centred((from_ns + to_ns) / 2.0));
        }
    }

    fn next_call(&mut self, sources: &[Source], tree: &Tree) {
        let found = (0..sources.len()).find_map(|number| {
            let after_ns = self.search_from(number, &sources[number]);
            self.search
                .next_call(number, &sources[number], tree, after_ns)
                .map(|found| (number, found))
        });
        match found {
            Some((number, (thread, slice))) => self.go_to_call(number, &sources[number], thread, slice, tree),
            None => {
                self.notice = Some(format!(
                    "no thread and no call is called “{}”",
                    self.search.text().trim()
                ))
            }
        }
    }

    /// Where the search for the next call begins: behind the selected one, else at the window's left edge.
    fn search_from(&self, number: usize, source: &Source) -> u64 {
        match self.selection {
            Some(Selection {
                key,
                what: Selected::Call(slice),
            }) if key.source() == number => slice.start_ns,
            _ => source.absolute_ns(self.window.from_ns),
        }
    }

    fn go_to_call(&mut self, number: usize, source: &Source, thread: TrackId, slice: Slice, tree: &Tree) {
        let key = Key::Track(number, thread);
        self.selection = Some(Selection {
            key,
            what: Selected::Call(slice),
        });
        let (from_ns, to_ns) = (
            source.since_start_ns(slice.start_ns),
            source.since_start_ns(slice.end_ns),
        );
        let middle = (from_ns + to_ns) / 2.0;
        let span = self.window.span_ns().min((to_ns - from_ns) * 8.0).max(to_ns - from_ns);
        self.show(Window {
            from_ns: middle - span / 2.0,
            to_ns: middle + span / 2.0,
        });
        self.open_to(key, tree);
        self.reveal = Some(key);
        self.notice = Some(format!(
            "{} at {}",
            source.query.string(slice.name),
            super::time::instant(from_ns, 1e5)
        ));
    }

    /// Opens the headings above a row.
    fn open_to(&mut self, key: Key, tree: &Tree) {
        let Some(number) = tree.find(key) else { return };
        for above in tree.headings(number) {
            let node = &tree.nodes[above];
            if !self.is_open(node) {
                self.apply(Command::Toggle(node.key), &[], tree);
            }
        }
    }
}

/// What can be selected of a row at an instant (absolute): a thread's state, a counter's step, the pause there or the next one.
fn stretch_at(source: &Source, lane: Lane, at_ns: u64, back: bool) -> Option<Selected> {
    match lane {
        Lane::Counter(track) => counter::at(source, track, at_ns).ok()?.map(Selected::Value),
        Lane::Thread(thread, _) => {
            let states = source.query.states(thread, at_ns, at_ns.saturating_add(1)).ok()?;
            let here = states
                .into_iter()
                .find(|state| state.start_ns <= at_ns && at_ns < state.end_ns);
            here.map(Selected::State)
        }
        Lane::Pauses(jvm) => pauses::beside(source, jvm, at_ns, back).map(Selected::Call),
        Lane::Empty | Lane::Cpu(_) => None,
    }
}

/// What is drawn in a row, if there is such a row.
pub fn lane_of(tree: &Tree, key: Key) -> Option<Lane> {
    Some(tree.nodes[tree.find(key)?].lane)
}
