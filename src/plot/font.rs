//! The one font of all plots, DejaVu Sans, embedded: pictures do not depend on what a system has installed.

use std::sync::{Arc, OnceLock};

use plotters::style::{FontStyle, register_font};
use resvg::usvg::fontdb;

use super::PlotError;

/// The name the font goes by in the SVG text.
pub(super) const FAMILY: &str = "DejaVu Sans";
static BYTES: &[u8] = agon_envs::render::FONT;

/// Makes the font known to plotters, which measures text by it.
pub(super) fn register() -> Result<(), PlotError> {
    static REGISTERED: OnceLock<bool> = OnceLock::new();
    if *REGISTERED.get_or_init(|| register_font(FAMILY, FontStyle::Normal, BYTES).is_ok()) {
        Ok(())
    } else {
        Err(PlotError::Drawing("the embedded font is damaged".to_owned()))
    }
}

/// A font database that holds only this font.
pub(super) fn database() -> Arc<fontdb::Database> {
    static DATABASE: OnceLock<Arc<fontdb::Database>> = OnceLock::new();
    let database = DATABASE.get_or_init(|| {
        let mut database = fontdb::Database::new();
        database.load_font_source(fontdb::Source::Binary(Arc::new(BYTES)));
        Arc::new(database)
    });
    Arc::clone(database)
}
