//! Figures that are no curves: bars with intervals, and trees.

use super::font::{Anchor, Typeface};
use super::style;
use super::svg::{Color, Point, Stroke, Svg};
use super::{Picture, PlotError};

const TEXT_COLOR: Color = [0x22, 0x22, 0x22];
const PALE_COLOR: Color = [0x66, 0x66, 0x66];
const LINE_COLOR: Color = [0xbb, 0xbb, 0xbb];
const TITLE_SIZE: f64 = 20.0;
const TEXT_SIZE: f64 = 15.0;
const SMALL_SIZE: f64 = 12.0;
const MARGIN: f64 = 16.0;
const GAP: f64 = 8.0;

/// One bar.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    /// What it is of.
    pub label: String,
    /// How long it is.
    pub value: f64,
    /// Half of the width of the interval around its end; zero for none.
    pub half_width: f64,
}

/// Draws bars below each other: a label, a bar from zero on, and its number.
///
/// # Errors
/// If there are no bars, or a number is none.
pub fn bars(title: &str, x_label: &str, bars: &[Bar]) -> Result<Picture, PlotError> {
    const BAR: f64 = 24.0;
    const WIDTH: f64 = 420.0;
    let none = || PlotError::NoData { label: None };
    if bars.is_empty() || bars.iter().any(|bar| !bar.value.is_finite() || !bar.half_width.is_finite()) {
        return Err(none());
    }
    let typeface = Typeface::new()?;
    let mut svg = Svg::new(&typeface);
    let low = bars.iter().map(|bar| bar.value - bar.half_width).fold(0.0, f64::min);
    let high = bars.iter().map(|bar| bar.value + bar.half_width).fold(0.0, f64::max);
    let scale = WIDTH / (high - low).max(f64::MIN_POSITIVE);
    let widest = bars.iter().map(|bar| typeface.width(&bar.label)).fold(0.0, f64::max) * TEXT_SIZE;
    let left = MARGIN + widest + GAP;
    let top = MARGIN + if title.is_empty() { 0.0 } else { TITLE_SIZE + 2.0 * GAP };
    let bottom = top + BAR * bars.len() as f64;
    let width = (left + WIDTH + 90.0).max(typeface.width(title) * TITLE_SIZE + 2.0 * MARGIN);
    let height = bottom + GAP + TEXT_SIZE * 1.4 + MARGIN;
    let x = |value: f64| left + (value - low) * scale;
    svg.rect((0.0, 0.0), (width, height), [255; 3], 1.0);
    svg.text(title, (width / 2.0, MARGIN), TITLE_SIZE, Anchor::Top, TEXT_COLOR, 0);
    let line = |color, width| Stroke { color, opacity: 1.0, width, dashes: Vec::new() };
    for (i, bar) in bars.iter().enumerate() {
        let (y, color) = (top + BAR * i as f64, style::color(usize::from(bar.value < 0.0)));
        let (from, to) = (x(bar.value.min(0.0)), x(bar.value.max(0.0)));
        svg.rect((from, y + 4.0), (to - from, BAR - 8.0), color, 0.85);
        svg.text(&bar.label, (left - GAP, y + BAR / 2.0), TEXT_SIZE, Anchor::Right, TEXT_COLOR, 0);
        let mut end = to;
        if bar.half_width > 0.0 {
            let (from, to) = (x(bar.value - bar.half_width), x(bar.value + bar.half_width));
            svg.line([(from, y + BAR / 2.0), (to, y + BAR / 2.0)], &line(TEXT_COLOR, 1.4));
            end = end.max(to);
        }
        let text = crate::text::significant(bar.value, 3);
        svg.text(&text, (end + GAP, y + BAR / 2.0), SMALL_SIZE, Anchor::Left, PALE_COLOR, 0);
    }
    svg.line([(x(0.0), top), (x(0.0), bottom)], &line(PALE_COLOR, 1.2));
    svg.text(x_label, (left + WIDTH / 2.0, bottom + GAP), TEXT_SIZE, Anchor::Top, TEXT_COLOR, 0);
    finish(svg, (width, height))
}

/// A node of a tree that is drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct TreeNode {
    /// A question, or what is done at a leaf.
    pub text: String,
    /// Its share of everything, which is how thick the line to it is.
    pub share: f64,
    /// The nodes for yes and no; none of a leaf.
    pub children: Option<(usize, usize)>,
    /// Leaves of one colour do the same.
    pub color: usize,
}

/// Draws a tree whose root is the first node: yes to the left, no to the right.
///
/// # Errors
/// If there are no nodes, or one has a child that is not after it.
pub fn tree(title: &str, nodes: &[TreeNode]) -> Result<Picture, PlotError> {
    const LEVEL: f64 = 74.0;
    let is_wrong = |(i, node): (usize, &TreeNode)| {
        node.children.is_some_and(|(yes, no)| yes <= i || no <= i || yes.max(no) >= nodes.len())
    };
    if nodes.is_empty() || nodes.iter().enumerate().any(is_wrong) {
        return Err(PlotError::NoData { label: None });
    }
    let typeface = Typeface::new()?;
    let mut svg = Svg::new(&typeface);
    let text_width = |text: &str| typeface.width(text) * SMALL_SIZE;
    // Leaves in order, each as wide as its text; a question lies above the middle of its two nodes.
    let mut places = vec![(0.0, 0.0); nodes.len()];
    let mut pen = MARGIN;
    let deepest = place(nodes, 0, 0, &text_width, &mut pen, &mut places);
    // Texts of one level that would lie over each other push what follows to the right.
    let widths: Vec<f64> = nodes.iter().map(|node| text_width(&node.text) + 2.0 * GAP).collect();
    let right = (0..nodes.len()).map(|i| places[i].0 + widths[i] / 2.0).fold(pen, f64::max) + MARGIN;
    let left = (0..nodes.len()).map(|i| places[i].0 - widths[i] / 2.0).fold(0.0, f64::min) - MARGIN;
    let top = MARGIN + TITLE_SIZE + 3.0 * GAP;
    let width = (right - left.min(0.0)).max(typeface.width(title) * TITLE_SIZE + 2.0 * MARGIN);
    let height = top + LEVEL * deepest as f64 + 30.0 + MARGIN;
    let at = |i: usize| -> Point { (places[i].0 - left.min(0.0), top + places[i].1 * LEVEL) };
    svg.rect((0.0, 0.0), (width, height), [255; 3], 1.0);
    svg.text(title, (width / 2.0, MARGIN), TITLE_SIZE, Anchor::Top, TEXT_COLOR, 0);
    for (i, node) in nodes.iter().enumerate() {
        let Some((yes, no)) = node.children else { continue };
        for (child, answer) in [(yes, "yes"), (no, "no")] {
            let (from, to) = (at(i), at(child));
            let thickness = 1.0 + 6.0 * nodes[child].share.clamp(0.0, 1.0);
            let stroke = Stroke { color: LINE_COLOR, opacity: 1.0, width: thickness, dashes: Vec::new() };
            svg.line([(from.0, from.1 + 13.0), (to.0, to.1 - 13.0)], &stroke);
            let middle = ((from.0 + to.0) / 2.0, (from.1 + to.1) / 2.0 - SMALL_SIZE * 0.6);
            svg.text(answer, middle, SMALL_SIZE * 0.9, Anchor::Top, PALE_COLOR, 0);
        }
    }
    for (i, node) in nodes.iter().enumerate() {
        let (x, y) = at(i);
        let is_leaf = node.children.is_none();
        let (color, opacity) = if is_leaf { (style::color(node.color), 0.22) } else { ([0xf4; 3], 1.0) };
        svg.rect((x - widths[i] / 2.0, y - 13.0), (widths[i], 26.0), [255; 3], 1.0);
        svg.rect((x - widths[i] / 2.0, y - 13.0), (widths[i], 26.0), color, opacity);
        svg.text(&node.text, (x, y - SMALL_SIZE * 0.5), SMALL_SIZE, Anchor::Top, TEXT_COLOR, 0);
    }
    finish(svg, (width, height))
}

/// Places a node and those below it; gives the deepest level. Places are columns and levels.
fn place(
    nodes: &[TreeNode],
    node: usize,
    level: usize,
    text_width: &dyn Fn(&str) -> f64,
    pen: &mut f64,
    places: &mut [(f64, f64)],
) -> usize {
    let own = text_width(&nodes[node].text) + 3.0 * GAP;
    match nodes[node].children {
        None => {
            places[node] = (*pen + own / 2.0, level as f64);
            *pen += own;
            level
        }
        Some((yes, no)) => {
            let start = *pen;
            let left = place(nodes, yes, level + 1, text_width, pen, places);
            let right = place(nodes, no, level + 1, text_width, pen, places);
            // What is below must be at least as wide as the question.
            *pen = pen.max(start + own);
            places[node] = ((places[yes].0 + places[no].0) / 2.0, level as f64);
            places[node].0 = places[node].0.max(start + own / 2.0);
            left.max(right)
        }
    }
}

/// Pictures are shown at the size of their units, or smaller if they would be too large.
pub(super) fn finish(svg: Svg<'_>, size: (f64, f64)) -> Result<Picture, PlotError> {
    const LARGEST: f64 = 4000.0;
    let fit = (LARGEST / size.0.max(size.1)).min(1.0);
    let shown = ((size.0 * fit).round().max(1.0) as u32, (size.1 * fit).round().max(1.0) as u32);
    Ok(Picture { svg: svg.finish(shown, size)?, notes: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(label: &str, value: f64) -> Bar {
        Bar { label: label.to_owned(), value, half_width: 0.1 }
    }

    #[test]
    fn bars_say_what_and_how_much() {
        let picture = bars("Importance", "return", &[bar("angle", 2.0), bar("speed", -1.0)]).unwrap();
        for text in ["Importance", "angle", "speed", "2.00", "-1.00"] {
            assert!(picture.svg.contains(&format!("aria-label=\"{text}\"")), "{text}");
        }
        assert!(bars("", "", &[]).is_err());
        assert!(bars("", "", &[bar("a", f64::NAN)]).is_err());
    }

    #[test]
    fn a_tree_is_drawn_with_its_answers() {
        let leaf = |text: &str| TreeNode { text: text.to_owned(), share: 0.5, children: None, color: 1 };
        let root = TreeNode { children: Some((1, 2)), ..leaf("angle ≤ 0?") };
        let nodes = [root, leaf("left"), leaf("right")];
        let picture = tree("A tree", &nodes).unwrap();
        for text in ["angle ≤ 0?", "left", "right", "yes", "no"] {
            assert!(picture.svg.contains(&format!("aria-label=\"{text}\"")), "{text}");
        }
        let turned = [leaf("left"), TreeNode { children: Some((0, 2)), ..leaf("?") }, leaf("right")];
        assert!(tree("", &turned).is_err());
    }
}
