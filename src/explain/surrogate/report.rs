//! What is told of surrogates on the page.

use super::cart::Tree;
use super::words::{leaf_words, question};
use super::{
    Language, Surrogate, SurrogateKind, SurrogateOptions, SurrogateReport, rules, source, surrogate,
};
use crate::RunError;
use crate::explain::subject::Subject;
use crate::page::Page;
use crate::plot::{self, Line, PlotOptions, TreeNode};
use crate::setup::Setup;
use crate::text::{significant, table};

/// Leaves of a tree that is drawn, at most: of larger ones the first splits.
const MOST_DRAWN: usize = 24;

/// Rules that are told, at most.
const MOST_RULES: usize = 40;

/// Makes surrogates and writes their section.
///
/// # Errors
/// As [`surrogate`], or if a file cannot be written.
pub fn explain(
    setup: &Setup,
    subject: &Subject,
    options: &SurrogateOptions,
    page: &mut Page,
) -> Result<(), RunError> {
    let report = surrogate(setup, subject, options)?;
    page.heading(2, "Surrogate");
    page.paragraph(&format!(
        "{} It was asked in {} states over {} rounds, in which the surrogate leads after the first; each state counts by how \
         much the choice matters there.",
        match report.kind {
            SurrogateKind::Tree => "Decision trees that do what the policy does (VIPER).",
            SurrogateKind::Linear => "Weighted sums that do what the policy does (DAgger with least squares).",
        },
        report.examples,
        options.rounds
    ));
    let chosen = report.chosen();
    let size = match report.kind {
        SurrogateKind::Tree => format!("a tree of {} leaves", chosen.leaves),
        SurrogateKind::Linear => "a weighted sum for each action".to_owned(),
    };
    let agreement = report.fidelity_on_policy.agreement;
    let alike = match report.kind {
        SurrogateKind::Tree => format!("it does the same in {} of the states", percent(agreement)),
        SurrogateKind::Linear => format!("R² of its actions is {agreement:.3} in the states"),
    };
    page.finding(format!(
        "In place of the policy {size} has a return of {} ± {} over {} new episodes, the policy {} ± {}; {alike} where the \
         policy leads.",
        significant(chosen.mean_return, 4),
        significant(chosen.half_width, 2),
        options.episodes,
        significant(report.policy_return, 4),
        significant(report.policy_half_width, 2),
    ));
    curve(&report, subject, page)?;
    fidelity(&report, subject, page);
    page.heading(3, "Rules");
    let all = rules(subject, &chosen.surrogate);
    let shown: Vec<String> = all.iter().take(MOST_RULES).map(|rule| format!("- {rule}")).collect();
    page.paragraph(&shown.join("\n"));
    if all.len() > MOST_RULES {
        page.paragraph(&format!("{} more rules apply less often; the code has all.", all.len() - MOST_RULES));
    }
    if let Surrogate::Tree(tree) = &chosen.surrogate {
        let drawn = tree.pruned(MOST_DRAWN);
        let title = match drawn.leaves() < tree.leaves() {
            true => format!("The first {} of {} leaves", drawn.leaves(), tree.leaves()),
            false => format!("{} leaves", tree.leaves()),
        };
        page.picture("tree", "The tree", &plot::tree(&title, &nodes(subject, &drawn))?)?;
    }
    page.file("surrogate.rs", &source(subject, &chosen.surrogate, Language::Rust))?;
    page.file("surrogate.py", &source(subject, &chosen.surrogate, Language::Python))?;
    page.paragraph("As code without dependencies: [Rust](surrogate.rs), [Python](surrogate.py).");
    page.numbers("surrogate", &report)?;
    page.numbers("surrogate_chosen", &chosen.surrogate)
}

fn percent(share: f64) -> String {
    format!("{} %", significant(100.0 * share, 3))
}

/// Return by size.
fn curve(report: &SurrogateReport, subject: &Subject, page: &mut Page) -> Result<(), RunError> {
    let rows: Vec<Vec<String>> = report
        .curve
        .iter()
        .enumerate()
        .map(|(i, sized)| {
            let mark = if i == report.chosen { " (told below)" } else { "" };
            vec![
                format!("{}{mark}", sized.leaves),
                format!("{} ± {}", significant(sized.mean_return, 4), significant(sized.half_width, 2)),
                significant(sized.validation_return, 4),
            ]
        })
        .collect();
    if report.kind == SurrogateKind::Tree {
        page.paragraph(&table(&["leaves", "return in new episodes", "return in validation"], &rows));
    }
    if report.curve.len() < 2 {
        return Ok(());
    }
    let line = Line {
        label: "trees".to_owned(),
        num_runs: 1,
        points: report.curve.iter().map(|sized| (sized.leaves as f64, sized.mean_return)).collect(),
        band: report
            .curve
            .iter()
            .map(|sized| (sized.mean_return - sized.half_width, sized.mean_return + sized.half_width))
            .collect(),
        joined: true,
    };
    let options = PlotOptions {
        title: format!("What size costs in {}", subject.env.id),
        x_label: "leaves".to_owned(),
        log_x: true,
        threshold: Some((report.policy_return, "the policy itself".to_owned())),
        notes: vec!["band: 95 % interval of the mean over episodes that nothing was chosen by".to_owned()],
        ..PlotOptions::default()
    };
    page.picture("sizes", "Return by size", &plot::draw_lines(&[line], &options)?)
}

fn fidelity(report: &SurrogateReport, subject: &Subject, page: &mut Page) {
    let row = |name: &str, fidelity: &super::Fidelity| {
        vec![
            name.to_owned(),
            fidelity.states.to_string(),
            percent(fidelity.agreement),
            percent(fidelity.weighted_agreement),
        ]
    };
    let what = if subject.is_continuous() { "variance explained" } else { "same action" };
    let rows =
        [row("the policy", &report.fidelity_on_policy), row("the surrogate", &report.fidelity_on_surrogate)];
    page.paragraph("On states of episodes that nothing was fitted on:");
    page.paragraph(&table(&["who leads", "states", what, "weighted by what matters"], &rows));
}

/// A tree as it is drawn.
fn nodes(subject: &Subject, tree: &Tree) -> Vec<TreeNode> {
    let leaves: Vec<String> = tree.nodes.iter().map(|node| leaf_words(subject, &node.value)).collect();
    let mut kinds: Vec<&String> = leaves.iter().collect();
    kinds.sort();
    kinds.dedup();
    let node = |(own, words): (&super::Node, &String)| TreeNode {
        text: match own.split {
            Some(split) => format!("{}?", question(&subject.features.all[split.feature], split.threshold)),
            None => words.clone(),
        },
        share: f64::from(own.share),
        children: own.split.map(|split| (split.left, split.right)),
        color: kinds.iter().position(|kind| *kind == words).unwrap_or(0),
    };
    tree.nodes.iter().zip(&leaves).map(node).collect()
}
