//! The window's frame: panels around the timeline; commands are gathered while drawing and carried out afterwards.

use crate::cache::Cache;
use crate::draw::canvas::{self, Scene};
use crate::model::occupancy::Overview;
use crate::model::session::{Command, Session};
use crate::model::source::Source;
use crate::model::tree::Tree;
use crate::palette::ui;
use crate::panel::{details, help, keys, legend, toolbar};
use eframe::egui::{self, CentralPanel, Frame, Margin, Panel};
use std::time::{Duration, Instant};

/// Time for summing up the overview in one frame: short enough for a smooth window.
const OVERVIEW_BUDGET: Duration = Duration::from_millis(8);

/// The viewer, apart from the window that it is in.
pub struct Viewer {
    sources: Vec<Source>,
    tree: Tree,
    overview: Overview,
    cache: Cache,
    /// What the user did.
    pub session: Session,
}

impl Viewer {
    /// A viewer of these timelines, with everything on the screen.
    pub fn new(sources: Vec<Source>) -> Viewer {
        let tree = Tree::build(&sources);
        let overview = Overview::new(&sources, &tree);
        let session = Session::new(&sources);
        let cache = Cache::new(tree.units.iter().map(|units| units.per_ns).collect());
        Viewer {
            sources,
            tree,
            overview,
            cache,
            session,
        }
    }

    /// Sums up the whole overview at once, for a picture.
    pub fn finish_overview(&mut self) {
        while !self.overview.is_complete() {
            self.advance_overview();
        }
    }

    fn advance_overview(&mut self) {
        if let Err(error) = self.overview.advance(&self.sources, &self.tree) {
            self.cache.problem(&error);
        }
    }

    /// Carries out a command.
    pub fn apply(&mut self, command: Command) {
        self.session.apply(command, &self.sources, &self.tree);
    }

    /// The timelines.
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// The headings above parts of the counters.
    #[cfg(test)]
    pub fn headings_of_counters(&self) -> Vec<crate::model::tree::Key> {
        let keys = self.tree.nodes.iter().map(|node| node.key);
        keys.filter(|key| matches!(key, crate::model::tree::Key::Counters(_, _, Some(_))))
            .collect()
    }

    /// The first row with pauses of a JVM.
    #[cfg(test)]
    pub fn row_of_pauses(&self) -> Option<crate::model::tree::Key> {
        let is_of_pauses = |lane| matches!(lane, crate::model::tree::Lane::Pauses(_));
        let found = self.tree.nodes.iter().find(|node| is_of_pauses(node.lane));
        found.map(|node| node.key)
    }

    /// What the timelines could not answer.
    #[cfg(test)]
    pub fn problems(&self) -> &[String] {
        self.cache.problems()
    }

    /// Draws a frame.
    pub fn ui(&mut self, ui: &mut egui::Ui) {
        self.cache.begin_frame();
        self.sum_up(ui.ctx());
        let mut commands = keys::commands(ui.ctx(), &self.session);
        self.panels(ui, &mut commands);
        let scene = Scene {
            sources: &self.sources,
            tree: &self.tree,
            session: &self.session,
            overview: &self.overview,
        };
        let centre = CentralPanel::default().frame(Frame::NONE);
        centre.show(ui, |ui| canvas::show(ui, &scene, &mut self.cache, &mut commands));
        if self.session.help {
            help::show(ui.ctx(), &mut commands);
        }
        self.session.focus_search = false;
        if !commands.is_empty() {
            ui.ctx().request_repaint();
        }
        for command in commands {
            self.apply(command);
        }
    }

    fn sum_up(&mut self, ctx: &egui::Context) {
        let begin = Instant::now();
        while !self.overview.is_complete() && begin.elapsed() < OVERVIEW_BUDGET {
            self.advance_overview();
        }
        if !self.overview.is_complete() {
            ctx.request_repaint();
        }
    }

    fn panels(&mut self, ui: &mut egui::Ui, commands: &mut Vec<Command>) {
        let frame = |margin: Margin| Frame::NONE.fill(ui::PANEL).inner_margin(margin);
        let top = Panel::top("toolbar")
            .resizable(false)
            .exact_size(38.0)
            .frame(frame(Margin::symmetric(10, 4)));
        top.show(ui, |ui| toolbar::show(ui, &self.sources, &self.session, commands));
        let cautions = toolbar::cautions(&self.sources, &self.cache);
        if !cautions.is_empty() {
            let strip = Panel::top("cautions")
                .resizable(false)
                .frame(frame(Margin::symmetric(10, 4)).fill(ui::HEADING));
            strip.show(ui, |ui| toolbar::show_cautions(ui, &cautions));
        }
        let states = legend::layout(ui, ui.available_width() - 20.0);
        let bottom = Panel::bottom("legend").resizable(false).exact_size(states.height + 8.0);
        bottom
            .frame(frame(Margin::symmetric(10, 4)))
            .show(ui, |ui| legend::show(ui, &states));
        if let Some(selection) = self.session.selection {
            let panel = Panel::bottom("details")
                .resizable(true)
                .default_size(details::HEIGHT)
                .min_size(80.0);
            let scene = (&self.sources[..], &self.tree, &self.session);
            panel
                .frame(frame(Margin::symmetric(10, 8)))
                .show(ui, |ui| details::show(ui, &selection, scene, commands));
        }
    }
}

impl eframe::App for Viewer {
    fn ui(&mut self, ui: &mut egui::Ui, _frame: &mut eframe::Frame) {
        Viewer::ui(self, ui);
    }
}
