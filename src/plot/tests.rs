use super::*;

/// A learning curve of the usual form, with noise that depends on the seed.
fn run(seed: u64, points: usize, steps: f64, speed: f64, noise: f64) -> Vec<(f64, f64)> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f64 / (1_u64 << 31) as f64 - 0.5
    };
    let offset = 60.0 * next();
    let mut wander = 0.0;
    (1..=points)
        .map(|i| {
            wander = 0.97 * wander + noise * next();
            let x = steps * i as f64 / points as f64;
            let level = 500.0 / (1.0 + (-(x / steps * 10.0 - speed)).exp());
            (x, (level + offset * x / steps + wander + noise * next()).min(500.0))
        })
        .collect()
}

fn curve(label: &str, seeds: u64, speed: f64) -> Curve {
    let runs = (1..=seeds).map(|seed| run(seed + (speed * 7.0) as u64, 240, 1e6, speed, 40.0)).collect();
    Curve { label: label.to_owned(), runs }
}

fn options() -> PlotOptions {
    PlotOptions {
        title: "made-up curves".to_owned(),
        threshold: Some((475.0, "solved (475)".to_owned())),
        ..PlotOptions::default()
    }
}

/// The pictures of `docs/plots.md`; where `AGON_PLOT_SAMPLES` names a directory they are written there, to be looked at.
#[test]
fn sample_plots_are_whole_pictures() {
    let short = |label: &str, speed: f64| {
        let mut curve = curve(label, 3, speed);
        curve.runs[1].truncate(100);
        curve
    };
    let many = (0..24).map(|i| {
        let label = format!(
            "ppo_CartPole-v1_learning_rate_{}e-4_network_encoder_hidden_{}_seeds_1-3",
            i % 6 + 1,
            32 << (i / 6)
        );
        curve(&label, 3, 2.0 + f64::from(i) * 0.25)
    });
    let decaying = |label: &str, scale: f64, seeds: u64| {
        let kl = |(x, y): &(f64, f64)| (*x, scale * (-y / 90.0).exp());
        let runs = (1..=seeds).map(|seed| run(seed, 200, 1e6, 5.0, 40.0).iter().map(kl).collect());
        Curve { label: label.to_owned(), runs: runs.collect() }
    };
    let mut broken = decaying("TD3", 0.02, 1);
    broken.runs[0][60..90].iter_mut().for_each(|(_, y)| *y = f64::NAN);
    broken.runs[0][150..160].iter_mut().for_each(|(_, y)| *y = 0.0);
    let with = |band: Band| PlotOptions { band, ..options() };
    let two = || vec![curve("PPO", 2, 4.0), curve("DQN", 2, 6.0)];
    let log =
        PlotOptions { log_x: true, log_y: true, y_label: "approx kl".to_owned(), ..PlotOptions::default() };
    let samples: Vec<(&str, Vec<Curve>, PlotOptions)> = vec![
        (
            "one_seed",
            vec![Curve { label: "PPO".to_owned(), runs: vec![run(3, 400, 1e5, 4.0, 60.0)] }],
            PlotOptions { smooth: 20, ..options() },
        ),
        ("three_curves", vec![curve("PPO", 5, 4.0), curve("A2C", 5, 5.0), curve("DQN", 5, 6.5)], options()),
        ("two_seeds", two(), options()),
        ("two_seeds_std", two(), with(Band::StandardDeviation)),
        ("seeds", vec![curve("PPO", 5, 4.0), curve("DQN", 5, 6.5)], with(Band::Seeds)),
        ("short_seed", vec![short("PPO", 4.0), curve("DQN", 5, 6.0)], options()),
        ("many_runs", many.collect(), options()),
        ("log_axes", vec![decaying("PPO", 0.02, 3), decaying("SAC", 0.3, 5), broken], log),
        (
            "small",
            vec![curve("PPO with a rather long name <&>", 5, 4.0), curve("DQN", 5, 6.0)],
            PlotOptions {
                size: (360, 240),
                title: "A title that is wider than the picture is, by far".to_owned(),
                ..options()
            },
        ),
        (
            "flat",
            vec![Curve { label: "random".to_owned(), runs: vec![vec![(2.5e6, -0.00125)]] }],
            PlotOptions { size: (1600, 700), x_label: "seconds".to_owned(), ..PlotOptions::default() },
        ),
    ];
    for (name, curves, options) in samples {
        let picture = draw(&curves, &options).unwrap();
        let png = svg_to_png(&picture.svg, 2.0).unwrap();
        let pixels = tiny_skia::Pixmap::decode_png(&png).unwrap();
        assert_eq!(pixels.width(), 2 * options.size.0, "{name}");
        assert!(pixels.height() >= 2 * options.size.1, "{name}");
        if let Some(dir) = std::env::var_os("AGON_PLOT_SAMPLES") {
            picture.save(&Path::new(&dir).join(format!("{name}.svg"))).unwrap();
            picture.save(&Path::new(&dir).join(format!("{name}.png"))).unwrap();
        }
    }
}

/// Every text of a picture and where it stands.
fn texts(svg: &str) -> Vec<(&str, f64, f64)> {
    let between = |text: &'_ str, from: &str, to: &str| -> Option<(usize, usize)> {
        let begin = text.find(from)? + from.len();
        Some((begin, begin + text[begin..].find(to)?))
    };
    let elements = svg.split("<path role=\"img\" ").skip(1);
    let found = elements.map(|element| {
        let (a, b) = between(element, "aria-label=\"", "\"").unwrap();
        let (c, d) = between(element, "translate(", ")").unwrap();
        let (x, y) = element[c..d].split_once(' ').unwrap();
        (&element[a..b], x.parse().unwrap(), y.parse().unwrap())
    });
    found.collect()
}

/// The height that a picture says it has.
fn height(svg: &str) -> f64 {
    let begin = svg.find("height=\"").unwrap() + 8;
    svg[begin..].split('"').next().unwrap().parse().unwrap()
}

#[test]
fn texts_say_what_is_shown_and_stay_inside() {
    let picture = draw(&[curve("PPO", 5, 4.0), curve("a < b", 1, 5.0)], &options()).unwrap();
    let texts = texts(&picture.svg);
    for text in [
        "made-up curves",
        "PPO (n = 5)",
        "a &lt; b (n = 1)",
        "solved (475)",
        "environment steps",
        "0.4M",
        "200",
    ] {
        assert!(texts.iter().any(|(found, _, _)| *found == text), "{text} is missing in {texts:?}");
    }
    for (text, x, y) in texts {
        let inside = (0.0..960.0).contains(&x) && (0.0..600.0).contains(&y);
        assert!(inside, "{text} at {x}, {y}");
    }
}

#[test]
fn many_long_names_stay_in_the_picture_apart_and_different() {
    let label = |i: u32| {
        format!("a_directory_with_a_very_long_name_of_an_experiment_number_{i}_of_twenty_four_of_them_all")
    };
    let curves: Vec<Curve> = (0..24).map(|i| curve(&label(i), 2, 4.0)).collect();
    let picture = draw(&curves, &options()).unwrap();
    let height = height(&picture.svg);
    let texts = texts(&picture.svg);
    let names: Vec<_> = texts.iter().filter(|(text, _, _)| text.contains("(n = 2)")).collect();
    assert_eq!(names.len(), 24);
    let different: std::collections::BTreeSet<&str> = names.iter().map(|(text, _, _)| *text).collect();
    assert_eq!(different.len(), 24, "{different:?}");
    let axis = texts.iter().find(|(text, _, _)| *text == "environment steps").unwrap();
    for (i, (text, x, y)) in names.iter().enumerate() {
        assert!((0.0..960.0).contains(x) && *y > axis.2 && *y < height, "{text} at {x}, {y} of {height}");
        for (_, other_x, other_y) in names[..i].iter() {
            assert!(
                (x - other_x).abs() > 300.0 || (y - other_y).abs() > 14.0,
                "{text} lies over another one"
            );
        }
    }
    let title = texts.iter().find(|(text, _, _)| *text == "made-up curves").unwrap();
    assert!(title.2 < axis.2 && axis.2 > 0.5 * 600.0, "the plot keeps its height: {axis:?}");
}

#[test]
fn the_picture_says_what_its_band_is_and_what_it_leaves_out() {
    let notes = |curves: &[Curve], options: &PlotOptions| {
        let picture = draw(curves, options).unwrap();
        let shown: Vec<&str> = texts(&picture.svg).into_iter().map(|(text, _, _)| text).collect();
        let shown = shown.join(" ");
        let first_words = picture.notes.iter().filter_map(|note| note.split(' ').next());
        first_words.for_each(|word| assert!(shown.contains(word), "{word} is not in the picture: {shown}"));
        picture.notes.join("; ")
    };
    let five = [curve("PPO", 5, 4.0)];
    assert_eq!(
        notes(&five, &options()),
        "line: mean over the n seeds; band: 95 % interval of the mean, bootstrapped over seeds"
    );
    assert!(notes(&[curve("PPO", 2, 4.0)], &options()).contains("of 2 or 3"));
    assert_eq!(notes(&[curve("PPO", 1, 4.0)], &options()), "");
    let band = |band| notes(&five, &PlotOptions { band, ..options() });
    assert!(band(Band::StandardDeviation).contains("one standard deviation"));
    assert!(band(Band::StandardError).contains("one standard error"));
    assert!(band(Band::Range).contains("lowest to the highest"));
    assert_eq!(band(Band::None), "line: mean over the n seeds");
    let hole = Curve {
        label: "DQN".to_owned(),
        runs: vec![vec![(0.0, 1.0), (1.0, f64::NAN), (2.0, 0.0), (3.0, 2.0)]],
    };
    assert_eq!(
        notes(std::slice::from_ref(&hole), &PlotOptions::default()),
        "gaps where values are not finite: DQN"
    );
    let logged = notes(&[hole], &PlotOptions { log_y: true, ..PlotOptions::default() });
    assert!(logged.starts_with("without points at or below 0"), "{logged}");
    let mut short = curve("PPO", 3, 4.0);
    short.runs[0].truncate(100);
    let picture = draw(&[short], &options()).unwrap();
    assert!(
        texts(&picture.svg).iter().any(|(text, _, _)| *text == "PPO (n = 3, 2 from 417k)"),
        "{:?}",
        texts(&picture.svg)
    );
    assert!(picture.notes.iter().any(|note| note.starts_with("thin: the mean of fewer seeds")));
}

#[test]
fn pictures_do_not_depend_on_installed_fonts() {
    let svg = draw(&[curve("PPO", 1, 4.0)], &options()).unwrap().svg;
    assert!(!svg.contains("<text"), "text must be drawn as outlines");
    assert!(svg.contains(r#"width="960" height="600""#));
}

#[test]
fn same_data_gives_the_same_picture() {
    let draw = || draw(&[curve("PPO", 3, 4.0)], &options()).unwrap();
    assert_eq!(draw(), draw());
}

#[test]
fn bands_are_drawn_for_several_seeds_only() {
    let filled = |seeds, band| {
        let svg = draw(&[curve("PPO", seeds, 4.0)], &PlotOptions { band, ..options() }).unwrap().svg;
        svg.matches("<polygon opacity=\"0.").count()
    };
    // The band, and its sign in the legend.
    assert_eq!((filled(1, Band::Interval), filled(3, Band::Interval)), (0, 2));
    assert_eq!((filled(3, Band::Seeds), filled(3, Band::None)), (0, 0));
}

#[test]
fn files_are_written_by_their_ending() {
    let dir = tempfile::tempdir().unwrap();
    let curves = [curve("PPO", 1, 4.0)];
    let saved = |name: &str| {
        save(&curves, &options(), &dir.path().join(name))
            .map(|()| std::fs::read(dir.path().join(name)).unwrap())
    };
    assert!(saved("curve.svg").unwrap().starts_with(b"<svg"));
    assert!(saved("curve.png").unwrap().starts_with(b"\x89PNG"));
    let error = saved("curve.pdf").unwrap_err();
    assert!(error.to_string().starts_with("a plot is saved as .svg or .png, got "), "{error}");
    assert!(saved("a/new/folder/curve.svg").unwrap().starts_with(b"<svg"));
    assert!(matches!(saved("curve.png/curve.svg"), Err(PlotError::Io { .. })), "a file is no folder");
    std::fs::remove_file(dir.path().join("curve.svg")).unwrap();
    assert!(saved("curve.pdf").is_err() && !dir.path().join("curve.svg").exists());
}

#[test]
fn nothing_to_draw_is_an_error() {
    assert_eq!(draw(&[], &options()).unwrap_err().to_string(), "no data to plot");
    let empty = Curve { label: "PPO".to_owned(), runs: vec![vec![(f64::NAN, 0.0)]] };
    let error = draw(&[curve("DQN", 1, 4.0), empty], &options()).unwrap_err();
    assert_eq!(error.to_string(), "no data to plot: `PPO` has no points that can be shown");
}

#[test]
fn impossible_options_are_errors() {
    let message = |options: PlotOptions| draw(&[curve("PPO", 1, 4.0)], &options).unwrap_err().to_string();
    assert_eq!(message(PlotOptions { smooth: 0, ..options() }), "smooth must be at least 1, got 0");
    assert_eq!(
        message(PlotOptions { size: (10, 600), ..options() }),
        "size must be between 200 x 150 and 8192 x 8192, got 10 x 600"
    );
    assert_eq!(
        message(PlotOptions { threshold: Some((f64::NAN, String::new())), ..options() }),
        "threshold must be a finite number, got NaN"
    );
}

#[test]
fn other_texts_are_not_pictures() {
    assert_eq!(svg_to_png("no picture", 1.0).unwrap_err().to_string(), "cannot read the SVG picture");
    let svg = draw(&[curve("PPO", 1, 4.0)], &options()).unwrap().svg;
    for scale in [0.0, -1.0, f32::NAN, 1e6] {
        assert!(matches!(svg_to_png(&svg, scale), Err(PlotError::InvalidOption { field: "scale", .. })));
    }
}
