//! Generated files, in memory and on disk.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use similar::TextDiff;

/// Generated files by their path from the root of the repository.
#[derive(Debug, Default)]
pub struct Tree {
    files: BTreeMap<String, String>,
    /// Directories that hold nothing else.
    owned: Vec<String>,
}

impl Tree {
    /// Adds a file.
    pub fn add(&mut self, path: impl Into<String>, text: String) {
        self.files.insert(path.into(), text);
    }

    /// Claims a directory: a file there that was not added is out of date and is removed.
    pub fn own(&mut self, directory: impl Into<String>) {
        self.owned.push(directory.into());
    }

    /// Number of files.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether there are no files.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The text of a file.
    pub fn get(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    /// Files and their texts, in the order of their paths.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// Writes what differs below `root` and removes leftovers; says how many files it touched.
    ///
    /// # Errors
    /// When a file cannot be read, written or removed. Files before it are written by then.
    pub fn write(&self, root: &Path) -> io::Result<usize> {
        let mut touched = 0;
        for (path, text) in &self.files {
            let file = root.join(path);
            if read(&file)?.as_ref() == Some(text) {
                continue;
            }
            if let Some(directory) = file.parent() {
                fs::create_dir_all(directory)?;
            }
            fs::write(&file, text)?;
            touched += 1;
        }
        for path in self.leftovers(root)? {
            fs::remove_file(root.join(path))?;
            touched += 1;
        }
        Ok(touched)
    }

    /// How the files below `root` differ, as a unified diff; empty if they do not.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn difference(&self, root: &Path) -> io::Result<String> {
        let mut difference = String::new();
        for (path, text) in &self.files {
            let present = read(&root.join(path))?.unwrap_or_default();
            if present != *text {
                let diff = TextDiff::from_lines(&present, text);
                difference
                    .push_str(&diff.unified_diff().header(path, &format!("{path} (generated)")).to_string());
            }
        }
        for path in self.leftovers(root)? {
            difference.push_str(&format!("{path} is not generated any more\n"));
        }
        Ok(difference)
    }

    fn leftovers(&self, root: &Path) -> io::Result<Vec<String>> {
        let mut found = Vec::new();
        for directory in &self.owned {
            let entries = match fs::read_dir(root.join(directory)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                entries => entries?,
            };
            for entry in entries {
                let entry = entry?;
                let path = format!("{directory}/{}", entry.file_name().to_string_lossy());
                // Directories are byproducts of running, such as caches.
                if entry.file_type()?.is_file() && !self.files.contains_key(&path) {
                    found.push(path);
                }
            }
        }
        found.sort();
        Ok(found)
    }
}

/// The text of a file, `None` if there is none.
fn read(path: &PathBuf) -> io::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> Tree {
        let mut tree = Tree::default();
        tree.own("gen");
        tree.add("gen/a.txt", "one\ntwo\n".to_owned());
        tree
    }

    #[test]
    fn what_was_written_does_not_differ() {
        let root = tempfile::tempdir().unwrap();
        assert!(tree().difference(root.path()).unwrap().contains("+one"));
        assert_eq!(tree().write(root.path()).unwrap(), 1);
        assert_eq!(tree().write(root.path()).unwrap(), 0);
        assert_eq!(tree().difference(root.path()).unwrap(), "");
    }

    #[test]
    fn an_edited_file_is_shown() {
        let root = tempfile::tempdir().unwrap();
        tree().write(root.path()).unwrap();
        fs::write(root.path().join("gen/a.txt"), "one\nthree\n").unwrap();
        let difference = tree().difference(root.path()).unwrap();
        assert!(difference.contains("-three") && difference.contains("+two"), "{difference}");
    }

    #[test]
    fn a_leftover_is_named_and_removed() {
        let root = tempfile::tempdir().unwrap();
        tree().write(root.path()).unwrap();
        fs::write(root.path().join("gen/old.txt"), "").unwrap();
        assert_eq!(tree().difference(root.path()).unwrap(), "gen/old.txt is not generated any more\n");
        tree().write(root.path()).unwrap();
        assert!(!root.path().join("gen/old.txt").exists());
    }
}
