//! Learning curves: from run directories to SVG and PNG.
//!
//! Runs of one algorithm with several seeds become one [`Curve`], drawn as the mean with a [`Band`] around it, by default the
//! bootstrapped 95 % interval of the mean, so that a picture never shows a lucky seed as if it were the rule. Where a seed
//! ends before the others the curve goes on, thinner, and its legend says over how many. Text is drawn with a font that is
//! part of the program: the same data gives the same picture everywhere.

mod data;
mod draw;
mod figures;
mod font;
mod legend;
mod matrix;
mod series;
mod style;
mod svg;
mod ticks;

use std::io;
use std::path::{Path, PathBuf};

use resvg::{tiny_skia, usvg};

pub use data::{XAxis, load_columns, load_curve, load_series, names, run_dirs};

pub use figures::{Bar, TreeNode, bars, tree};
pub use matrix::{Matrix, Shades, matrix};
pub(crate) use series::{band, trailing_mean};

/// PNG files have this many pixels for each of [`PlotOptions::size`].
const PNG_SCALE: f32 = 2.0;

/// One line of a plot: the runs of one algorithm.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// Its name in the legend.
    pub label: String,
    /// One vector of (x, y) points for each seed, by increasing x. A y that is not finite leaves a gap.
    pub runs: Vec<Vec<(f64, f64)>>,
}

/// One line of a plot that is drawn as it is: whoever made it has averaged.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Its name in the legend; none if empty.
    pub label: String,
    /// Number of runs behind it, for the legend.
    pub num_runs: usize,
    /// Its points, by increasing x.
    pub points: Vec<(f64, f64)>,
    /// Lower and upper end of the interval around each point; empty for none.
    pub band: Vec<(f64, f64)>,
    /// Whether points are joined; else each is a dot.
    pub joined: bool,
}

/// What surrounds the mean of several runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Band {
    /// The 95 % interval of the mean by the percentile bootstrap over runs, with a fixed seed. It never leaves the range of the
    /// runs, which it is where there are two or three.
    #[default]
    Interval,
    /// One standard error of the mean on both sides, cut off at the lowest and highest value of the curve's runs.
    StandardError,
    /// One standard deviation over the runs on both sides, cut off likewise.
    StandardDeviation,
    /// From the lowest to the highest run.
    Range,
    /// No band: every run as a thin line.
    Seeds,
    /// Nothing.
    None,
}

/// What a plot says and how it is drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct PlotOptions {
    /// Text above the plot; none if empty.
    pub title: String,
    /// Text below the x axis.
    pub x_label: String,
    /// Text beside the y axis.
    pub y_label: String,
    /// Window of the trailing moving average that each run is smoothed with, in points; 1 leaves runs as they are.
    pub smooth: usize,
    /// Width and height in pixels, at least 200 × 150. A long legend makes the picture higher.
    pub size: (u32, u32),
    /// What surrounds the mean of several runs.
    pub band: Band,
    /// Whether the x axis is logarithmic; points whose x is not positive are left out, which the picture says.
    pub log_x: bool,
    /// Whether the y axis is logarithmic; as `log_x`.
    pub log_y: bool,
    /// A dashed horizontal line at this y, with its name in the legend, such as a score that counts as solved.
    pub threshold: Option<(f64, String)>,
    /// What else has to be known, in small letters below the plot.
    pub notes: Vec<String>,
}

impl Default for PlotOptions {
    fn default() -> Self {
        Self {
            title: String::new(),
            x_label: "environment steps".to_owned(),
            y_label: "episodic return".to_owned(),
            smooth: 1,
            size: (960, 600),
            band: Band::default(),
            log_x: false,
            log_y: false,
            threshold: None,
            notes: Vec::new(),
        }
    }
}

/// Why a plot could not be made.
#[derive(Debug, thiserror::Error)]
pub enum PlotError {
    /// There is no curve, or a curve has no point to draw.
    #[error("no data to plot{}", of_curve(label.as_deref()))]
    NoData {
        /// The curve without data; none if there are no curves.
        label: Option<String>,
    },
    /// An option is out of range.
    #[error("{field} must be {bound}, got {value}")]
    InvalidOption {
        /// The field of [`PlotOptions`].
        field: &'static str,
        /// What it must be.
        bound: &'static str,
        /// What it is.
        value: String,
    },
    /// The file name says neither SVG nor PNG.
    #[error("a plot is saved as .svg or .png, got {}", path.display())]
    UnknownFormat {
        /// The file name.
        path: PathBuf,
    },
    /// A file could not be read or written.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried, such as `read` or `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file is not a table of comma-separated values.
    #[error("cannot read {}", path.display())]
    Csv {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: csv::Error,
    },
    /// A field of a table is not a number.
    #[error("{}:{line}: {column} must be a number, got `{value}`", path.display())]
    BadNumber {
        /// The file.
        path: PathBuf,
        /// The line in it.
        line: u64,
        /// The column.
        column: String,
        /// The text found.
        value: String,
    },
    /// A directory is neither a run nor an experiment.
    #[error("{} holds neither metrics.csv nor directories seed_1, seed_2, ...", path.display())]
    NotARun {
        /// The directory.
        path: PathBuf,
    },
    /// A run has no metric of that name.
    #[error("no metric `{metric}` in {}, there are: {}", dir.display(), available.join(", "))]
    UnknownMetric {
        /// The name asked for.
        metric: String,
        /// The run.
        dir: PathBuf,
        /// All metrics of the run.
        available: Vec<String>,
    },
    /// The last part of a name fits several metrics.
    #[error("metric `{metric}` could be any of: {}", candidates.join(", "))]
    AmbiguousMetric {
        /// The name asked for.
        metric: String,
        /// The metrics that end so.
        candidates: Vec<String>,
    },
    /// The drawing library failed.
    #[error("cannot draw the plot: {0}")]
    Drawing(String),
    /// An SVG text could not be read.
    #[error("cannot read the SVG picture")]
    Svg(#[source] usvg::Error),
}

/// A drawn plot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// As SVG, text as outlines, so that it looks the same everywhere.
    pub svg: String,
    /// What it says of itself in small letters: what bands are, and what is not shown.
    pub notes: Vec<String>,
}

impl Picture {
    /// Writes the picture into a file: SVG or PNG, by the ending of its name. Its folder is created if there is none.
    ///
    /// # Errors
    /// If the name ends otherwise, or the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), PlotError> {
        let extension = path.extension().map(|extension| extension.to_ascii_lowercase());
        let bytes = match extension.as_ref().and_then(|extension| extension.to_str()) {
            Some("svg") => self.svg.clone().into_bytes(),
            Some("png") => svg_to_png(&self.svg, PNG_SCALE)?,
            _ => return Err(PlotError::UnknownFormat { path: path.to_path_buf() }),
        };
        let failed = |action| move |source| PlotError::Io { action, path: path.to_path_buf(), source };
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(failed("create the folder of"))?;
        }
        std::fs::write(path, bytes).map_err(failed("write"))
    }
}

/// Draws curves.
///
/// # Errors
/// If there is nothing to draw or an option is out of range.
pub fn draw(curves: &[Curve], options: &PlotOptions) -> Result<Picture, PlotError> {
    draw::draw(curves, options)
}

/// Draws lines as [`draw`] does curves.
///
/// # Errors
/// As [`draw`].
pub fn draw_lines(lines: &[Line], options: &PlotOptions) -> Result<Picture, PlotError> {
    draw::draw_lines(lines, options)
}

/// Draws an SVG picture into a PNG file's bytes, `scale` pixels for each unit of the picture.
///
/// # Errors
/// If the text is not SVG, or the picture would be empty or too large for an image.
pub fn svg_to_png(svg: &str, scale: f32) -> Result<Vec<u8>, PlotError> {
    let tree = usvg::Tree::from_str(svg, &usvg::Options::default()).map_err(PlotError::Svg)?;
    let size = tree.size();
    let invalid = || PlotError::InvalidOption {
        field: "scale",
        bound: "a positive number that gives an image of at most 2^31 bytes",
        value: scale.to_string(),
    };
    let (width, height) = ((size.width() * scale).ceil(), (size.height() * scale).ceil());
    if !(width >= 1.0 && height >= 1.0 && width * height < 2.0_f32.powi(29)) {
        return Err(invalid());
    }
    let mut pixmap = tiny_skia::Pixmap::new(width as u32, height as u32).ok_or_else(invalid)?;
    resvg::render(&tree, tiny_skia::Transform::from_scale(scale, scale), &mut pixmap.as_mut());
    pixmap.encode_png().map_err(|error| PlotError::Drawing(error.to_string()))
}

/// Draws curves into a file: SVG or PNG, by the ending of its name.
///
/// # Errors
/// As [`draw`] and [`Picture::save`].
pub fn save(curves: &[Curve], options: &PlotOptions, path: &Path) -> Result<(), PlotError> {
    draw(curves, options)?.save(path)
}

/// Draws lines into a file: SVG or PNG, by the ending of its name.
///
/// # Errors
/// As [`save`].
pub fn save_lines(lines: &[Line], options: &PlotOptions, path: &Path) -> Result<(), PlotError> {
    draw_lines(lines, options)?.save(path)
}

fn of_curve(label: Option<&str>) -> String {
    label.map_or_else(String::new, |label| format!(": `{label}` has no points that can be shown"))
}

#[cfg(test)]
mod tests;
