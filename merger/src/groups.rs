//! Groups: threads that play one role, by globs over their names. The first group that matches has the thread.

use crate::input::HostInput;
use wildmatch::WildMatch;

/// The groups of all recordings.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    names: Vec<String>,
    /// For each host, in its rules' order: the group and a glob.
    globs: Vec<Vec<(u32, WildMatch)>>,
}

impl Groups {
    pub(crate) fn new(hosts: &[HostInput]) -> Groups {
        let mut groups = Groups::default();
        for host in hosts {
            let mut globs = Vec::new();
            for group in host.manifests.iter().flat_map(|manifest| &manifest.groups) {
                let number = groups.number(&group.name);
                globs.extend(group.threads.iter().map(|glob| (number, WildMatch::new(glob))));
            }
            groups.globs.push(globs);
        }
        groups
    }

    fn number(&mut self, name: &str) -> u32 {
        let known = self.names.iter().position(|known| known == name);
        known.unwrap_or_else(|| {
            self.names.push(name.to_owned());
            self.names.len() - 1
        }) as u32
    }

    /// Names, in the rules' order.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// The group of a thread that had these names, the one that counts most first.
    pub(crate) fn of_names<'a>(&self, host: usize, mut names: impl Iterator<Item = &'a str>) -> Option<u32> {
        let globs = self.globs.get(host)?;
        names.find_map(|name| {
            globs
                .iter()
                .find(|(_, glob)| glob.matches(name))
                .map(|&(group, _)| group)
        })
    }
}
