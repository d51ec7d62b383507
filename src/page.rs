//! Pages about a policy: Markdown with pictures beside it, and all numbers as JSON.

use std::path::{Path, PathBuf};

use agon_envs::{Frame, render};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::RunError;
use crate::error::AtPath;
use crate::plot::Picture;
use crate::policy::Card;

/// A page under construction.
#[derive(Debug)]
pub struct Page {
    folder: PathBuf,
    name: &'static str,
    text: String,
    numbers: Map<String, Value>,
    findings: Vec<String>,
}

impl Page {
    /// An empty page about a policy, in a folder that is created. Its files have a name, and its title says what it is about.
    ///
    /// # Errors
    /// If the folder cannot be created.
    pub fn new(folder: &Path, name: &'static str, about: &str, card: &Card) -> Result<Self, RunError> {
        std::fs::create_dir_all(folder).at("cannot create", folder)?;
        let text = format!(
            "# {} in {}: {about}\n\nA policy of {} in {}, trained for {} steps with seed {}.\n",
            card.algorithm, card.env.id, card.algorithm, card.env.id, card.env_steps, card.seed
        );
        Ok(Self { folder: folder.to_owned(), name, text, numbers: Map::new(), findings: Vec::new() })
    }

    /// A heading: 2 for a section, 3 for a part of one.
    pub fn heading(&mut self, level: usize, text: &str) {
        self.text += &format!("\n{} {text}\n\n", "#".repeat(level));
    }

    /// A paragraph, a table or a list.
    pub fn paragraph(&mut self, text: &str) {
        self.text += &format!("{text}\n\n");
    }

    /// What has been found, for the page and for the terminal.
    pub fn finding(&mut self, text: String) {
        self.paragraph(&text);
        self.findings.push(text);
    }

    /// A picture as SVG and PNG.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn picture(&mut self, name: &str, alt: &str, picture: &Picture) -> Result<(), RunError> {
        for ending in ["svg", "png"] {
            picture.save(&self.folder.join(format!("{name}.{ending}")))?;
        }
        self.paragraph(&format!("![{alt}]({name}.svg)"));
        Ok(())
    }

    /// A picture of pixels as PNG.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn frame(&mut self, name: &str, alt: &str, frame: &Frame) -> Result<(), RunError> {
        render::write_png(&self.folder.join(format!("{name}.png")), frame)?;
        self.paragraph(&format!("![{alt}]({name}.png)"));
        Ok(())
    }

    /// A film as GIF.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn film(&mut self, name: &str, alt: &str, frames: &[Frame], fps: u16) -> Result<(), RunError> {
        render::write_gif(&self.folder.join(format!("{name}.gif")), frames, fps)?;
        self.paragraph(&format!("![{alt}]({name}.gif)"));
        Ok(())
    }

    /// A file beside the page.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn file(&mut self, name: &str, content: &str) -> Result<(), RunError> {
        let path = self.folder.join(name);
        std::fs::write(&path, content).at("cannot write", &path)
    }

    /// Numbers for programs, under a key.
    ///
    /// # Errors
    /// If they cannot be told as JSON.
    pub fn numbers(&mut self, key: &str, numbers: &impl Serialize) -> Result<(), RunError> {
        let value = serde_json::to_value(numbers).map_err(|error| RunError::Config(error.to_string()))?;
        self.numbers.insert(key.to_owned(), value);
        Ok(())
    }

    /// Writes the page and its JSON, and gives what was found.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn finish(mut self) -> Result<Vec<String>, RunError> {
        let text = self.text.trim_end().to_owned() + "\n";
        self.file(&format!("{}.md", self.name), &text)?;
        self.numbers("findings", &self.findings.clone())?;
        let json = serde_json::to_string_pretty(&self.numbers);
        let json = json.map_err(|error| RunError::Config(error.to_string()))?;
        self.file(&format!("{}.json", self.name), &(json + "\n"))?;
        Ok(self.findings)
    }
}
