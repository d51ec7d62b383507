use super::*;

fn axis(text: &str) -> Result<Vec<f64>, String> {
    text.parse::<Axis>().map(|axis| axis.values).map_err(|error| error.to_string())
}

#[test]
fn values_are_listed_or_between_two_ends() {
    assert_eq!(axis("length=0.2:2:10").unwrap(), [0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.6, 1.8, 2.0]);
    assert_eq!(axis("gravity= -9.8, 1,20").unwrap(), [-9.8, 1.0, 20.0]);
    for wrong in [
        "length",
        "=1",
        "length=",
        "length=2,1",
        "length=1:2",
        "length=1:2:1",
        "length=2:1:5",
        "length=1:inf:5",
        "length=1:2:100000",
    ] {
        let message = axis(wrong).unwrap_err();
        assert!(message.contains("NAME=FROM:TO:COUNT") && message.contains(wrong), "{message}");
    }
}

#[test]
fn what_was_trained_on_is_read_from_arguments() {
    let args: toml::Table = "length = [0.3, 1]\ngravity = 12\nname = \"x\"".parse().unwrap();
    let trained = |name: &str| Axis { argument: name.to_owned(), values: vec![1.0] }.trained(&args);
    assert_eq!(trained("length"), Some([0.3, 1.0]));
    assert_eq!(trained("gravity"), Some([12.0, 12.0]));
    assert_eq!((trained("masscart"), trained("name")), (None, None));
}

#[test]
fn grids_out_of_bounds_are_refused() {
    let options = |axes: &[&str]| ContextOptions {
        out: PathBuf::new(),
        axes: axes.iter().map(|axis| axis.parse().unwrap()).collect(),
        episodes: 1,
        seed: 0,
        beside: None,
    };
    options(&["length=1,2"]).validate().unwrap();
    for (axes, word) in [
        (&[][..], "one or two"),
        (&["a=1", "b=1", "c=1"], "one or two"),
        (&["a=1", "a=2"], "`a` twice"),
        (&["a=1:2:200", "b=1:2:200"], "at most 10000 cells, got 40000"),
    ] {
        let message = options(axes).validate().unwrap_err().to_string();
        assert!(message.contains(word), "{message}");
    }
}
