//! The user's own repository, if a run is started in one.

use std::path::Path;
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

/// A repository of git.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repository {
    /// The commit that was checked out.
    pub commit: String,
    /// Whether files that git knows differed from it.
    pub dirty: bool,
}

impl Repository {
    /// The one that a directory is in; none without git, or before the first commit.
    pub(super) fn around(directory: &Path) -> Option<Self> {
        let commit = git(directory, &["rev-parse", "--verify", "HEAD"])?.trim().to_owned();
        let changes = git(directory, &["status", "--porcelain", "--untracked-files=no"])?;
        Some(Self { commit, dirty: !changes.trim().is_empty() })
    }
}

/// What a question to git is answered with.
fn git(directory: &Path, question: &[&str]) -> Option<String> {
    let asked = Command::new("git")
        // A question starts no program of the repository's choice and writes nothing.
        .args(["-c", "core.fsmonitor=false", "--no-optional-locks", "-C"])
        .arg(directory)
        .args(question)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    let output = asked.ok().filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_file_makes_a_repository_dirty_and_a_new_one_does_not() {
        if Command::new("git").arg("--version").output().is_err() {
            // Nobody here has a repository.
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let run = |arguments: &[&str]| {
            let identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org"];
            let output = Command::new("git").arg("-C").arg(path).args(identity).args(arguments).output();
            assert!(output.unwrap().status.success(), "git {arguments:?}");
        };
        assert_eq!(Repository::around(path), None);
        run(&["init", "--quiet"]);
        assert_eq!(Repository::around(path), None, "no commit yet");
        std::fs::write(path.join("a"), "1").unwrap();
        run(&["add", "a"]);
        run(&["commit", "--quiet", "--no-gpg-sign", "-m", "first"]);
        std::fs::write(path.join("b"), "1").unwrap();
        let clean = Repository::around(path).unwrap();
        assert!(!clean.dirty && clean.commit.len() >= 40, "{clean:?}");
        std::fs::write(path.join("a"), "2").unwrap();
        assert_eq!(Repository::around(path), Some(Repository { dirty: true, ..clean }));
    }
}
