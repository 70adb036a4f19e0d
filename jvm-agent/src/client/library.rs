//! Where the agent's library is.

use std::env;
use std::path::{Path, PathBuf};

use super::AttachError;

const NAME: &str = "libplumb_agent.so";

/// The agent's library: `PLUMB_AGENT` if set, else beside this executable, one directory up from it (tests run in `deps/`), or in `../lib/plumb/`.
///
/// # Errors
/// [`AttachError::NoLibrary`] with the places that were looked at.
pub fn agent_library() -> Result<PathBuf, AttachError> {
    find(
        env::var_os("PLUMB_AGENT").map(PathBuf::from),
        env::current_exe().ok().as_deref(),
    )
}

fn find(named: Option<PathBuf>, executable: Option<&Path>) -> Result<PathBuf, AttachError> {
    let places = match (named, executable.and_then(Path::parent)) {
        (Some(path), _) => vec![path],
        (None, Some(beside)) => {
            vec![
                beside.join(NAME),
                beside.join("..").join(NAME),
                beside.join("../lib/plumb").join(NAME),
            ]
        }
        (None, None) => Vec::new(),
    };
    let found = places
        .iter()
        .find_map(|place| place.canonicalize().ok().filter(|path| path.is_file()));
    found.ok_or(AttachError::NoLibrary(places))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_library_is_the_only_place() {
        let missing = find(Some("/nowhere/x.so".into()), Some(Path::new("/bin/sh")));
        assert!(matches!(missing, Err(AttachError::NoLibrary(places)) if places == [PathBuf::from("/nowhere/x.so")]));
    }
}
