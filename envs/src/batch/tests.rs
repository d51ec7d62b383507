use super::*;

#[test]
fn parts_of_one_kind_are_chosen_together_in_the_order_of_their_names() {
    let choices = Space::dict([
        ("turn", Space::discrete_from(-1, 3).unwrap()),
        (
            "aim",
            Space::tuple([Space::multi_binary(2).unwrap(), Space::multi_discrete(&[4]).unwrap()]).unwrap(),
        ),
    ]);
    assert_eq!(ActionSpec::of(&choices.unwrap()).unwrap(), ActionSpec::Discrete { nvec: vec![2, 2, 4, 3] });
    let push = Space::box_f32(&[-1.0], &[2.0]).unwrap();
    let numbers = Space::tuple([push.clone(), Space::box_uniform(0.0, 1.0, &[2]).unwrap()]).unwrap();
    let expected = ActionSpec::Continuous { low: vec![-1.0, 0.0, 0.0], high: vec![2.0, 1.0, 1.0] };
    assert_eq!(ActionSpec::of(&numbers).unwrap(), expected);
    let mixed = Space::dict([("gear", Space::discrete(5).unwrap()), ("push", push)]).unwrap();
    let message = ActionSpec::of(&mixed).unwrap_err().to_string();
    assert!(message.contains("all such boxes or none, got Dict('gear': Discrete(5), 'push'"), "{message}");
}
