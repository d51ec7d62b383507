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
        title: "CartPole-v1".to_owned(),
        threshold: Some((475.0, "solved (475)".to_owned())),
        ..PlotOptions::default()
    }
}

/// Where `AGON_PLOT_SAMPLES` names a directory, pictures to look at are written there.
#[test]
fn sample_plots_are_pictures_of_twice_the_size() {
    let two_curves = [curve("PPO", 2, 4.0), curve("DQN", 1, 6.0)];
    let nine: Vec<_> =
        (0..9).map(|i| curve(&format!("algorithm {i}"), 3, 3.0 + f64::from(i) * 0.5)).collect();
    let samples: [(&str, Vec<Curve>, PlotOptions); 6] = [
        (
            "one_seed",
            vec![Curve { label: "PPO".to_owned(), runs: vec![run(3, 400, 100_000.0, 4.0, 60.0)] }],
            PlotOptions { smooth: 20, ..options() },
        ),
        ("three_curves", vec![curve("PPO", 5, 4.0), curve("A2C", 5, 5.0), curve("DQN", 5, 6.5)], options()),
        ("two_seeds", two_curves.to_vec(), PlotOptions::default()),
        ("nine_curves", nine, options()),
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
        let png = svg_to_png(&draw_svg(&curves, &options).unwrap(), 2.0).unwrap();
        let picture = tiny_skia::Pixmap::decode_png(&png).unwrap();
        assert_eq!((picture.width(), picture.height()), (2 * options.size.0, 2 * options.size.1));
        if let Some(dir) = std::env::var_os("AGON_PLOT_SAMPLES") {
            save(&curves, &options, &Path::new(&dir).join(format!("{name}.svg"))).unwrap();
            save(&curves, &options, &Path::new(&dir).join(format!("{name}.png"))).unwrap();
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

#[test]
fn texts_say_what_is_shown_and_stay_inside() {
    let svg = draw::draw(&[curve("PPO", 5, 4.0), curve("a < b", 1, 5.0)], &options()).unwrap();
    let texts = texts(&svg);
    for text in
        ["CartPole-v1", "PPO (n = 5)", "a &lt; b (n = 1)", "solved (475)", "environment steps", "0.4M", "200"]
    {
        assert!(texts.iter().any(|(found, _, _)| *found == text), "{text} is missing in {texts:?}");
    }
    for (text, x, y) in texts {
        let inside = (0.0..8.0 * 960.0).contains(&x) && (0.0..8.0 * 600.0).contains(&y);
        assert!(inside, "{text} at {x}, {y}");
    }
}

#[test]
fn pictures_do_not_depend_on_installed_fonts() {
    let svg = draw_svg(&[curve("PPO", 1, 4.0)], &options()).unwrap();
    assert!(!svg.contains("<text"), "text must be drawn as outlines");
    assert!(svg.contains(r#"width="960" height="600""#));
}

#[test]
fn same_data_gives_the_same_picture() {
    let draw = || draw_svg(&[curve("PPO", 3, 4.0)], &options()).unwrap();
    assert_eq!(draw(), draw());
}

#[test]
fn band_is_drawn_for_several_seeds_only() {
    let polygons =
        |seeds| draw::draw(&[curve("PPO", seeds, 4.0)], &options()).unwrap().matches("<polygon").count();
    assert_eq!((polygons(1), polygons(3)), (0, 1));
    let without = PlotOptions { bands: false, ..options() };
    assert!(!draw::draw(&[curve("PPO", 3, 4.0)], &without).unwrap().contains("<polygon"));
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
    assert!(saved("curve.PNG").unwrap().starts_with(b"\x89PNG"));
    let error = saved("curve.pdf").unwrap_err();
    assert!(error.to_string().starts_with("a plot is saved as .svg or .png, got "), "{error}");
    assert!(matches!(saved("missing/curve.svg"), Err(PlotError::Io { action: "write", .. })));
}

#[test]
fn nothing_to_draw_is_an_error() {
    assert_eq!(draw_svg(&[], &options()).unwrap_err().to_string(), "no data to plot");
    let empty = Curve { label: "PPO".to_owned(), runs: vec![vec![(f64::NAN, 0.0)]] };
    let error = draw_svg(&[curve("DQN", 1, 4.0), empty], &options()).unwrap_err();
    assert_eq!(error.to_string(), "no data to plot: `PPO` has no finite points");
}

#[test]
fn impossible_options_are_errors() {
    let message = |options: PlotOptions| draw_svg(&[curve("PPO", 1, 4.0)], &options).unwrap_err().to_string();
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
    let svg = draw_svg(&[curve("PPO", 1, 4.0)], &options()).unwrap();
    for scale in [0.0, -1.0, f32::NAN, 1e6] {
        assert!(matches!(svg_to_png(&svg, scale), Err(PlotError::InvalidOption { field: "scale", .. })));
    }
}
