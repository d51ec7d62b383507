//! A network as a table: layers, shapes, parameters and work.

use std::fmt;

use serde::Serialize;

use crate::layer::LayerSummary;

/// The layers of a network by its parts. Its text is a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Names of the parts, each with its layers.
    pub parts: Vec<(String, Vec<LayerSummary>)>,
}

impl Summary {
    /// The number of parameters.
    #[must_use]
    pub fn parameters(&self) -> usize {
        self.layers().map(|layer| layer.parameters).sum()
    }

    /// Floating-point operations of the matrix products of a row's forward pass.
    #[must_use]
    pub fn flops(&self) -> u64 {
        self.layers().map(|layer| layer.flops).sum()
    }

    fn layers(&self) -> impl Iterator<Item = &LayerSummary> {
        self.parts.iter().flat_map(|(_, layers)| layers)
    }
}

/// Groups the digits of a number by three.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["part", "layer", "output shape", "parameters", "FLOPs"].map(str::to_owned);
        let mut rows = vec![head];
        for (part, layers) in &self.parts {
            for layer in layers {
                rows.push([
                    part.clone(),
                    layer.layer.clone(),
                    format!("{:?}", layer.output_shape),
                    grouped(layer.parameters as u64),
                    grouped(layer.flops),
                ]);
            }
        }
        rows.push([
            "total".to_owned(),
            String::new(),
            String::new(),
            grouped(self.parameters() as u64),
            grouped(self.flops()),
        ]);
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: [usize; 5] = std::array::from_fn(width);
        for (index, row) in rows.iter().enumerate() {
            let [part, layer, shape, parameters, flops] = row;
            let [w0, w1, w2, w3, w4] = widths;
            writeln!(f, "{part:<w0$}  {layer:<w1$}  {shape:<w2$}  {parameters:>w3$}  {flops:>w4$}")?;
            if index == 0 || index + 2 == rows.len() {
                writeln!(f, "{}", "─".repeat(widths.iter().sum::<usize>() + 8))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_totals_and_aligned_columns() {
        let layer = |layer: &str, parameters, flops| LayerSummary {
            layer: layer.to_owned(),
            output_shape: vec![2],
            parameters,
            flops,
        };
        let summary = Summary {
            parts: vec![
                ("encoder".to_owned(), vec![layer("Linear(3, 2, tanh)", 8, 12)]),
                ("q".to_owned(), vec![layer("Linear(2, 2, identity)", 1_234_567, 8)]),
            ],
        };
        assert_eq!((summary.parameters(), summary.flops()), (1_234_575, 20));
        let text = summary.to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 6);
        assert!(lines.iter().all(|line| line.chars().count() == lines[0].chars().count()), "{text}");
        assert!(lines[5].contains("1 234 575"), "{text}");
    }
}
