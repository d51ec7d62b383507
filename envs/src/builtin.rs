//! The built-in environments, put together from their families.

use crate::Registry;

impl Registry {
    /// The built-in environments.
    ///
    /// # Panics
    /// Never: the built-in ids are valid and distinct, which a test shows.
    #[expect(clippy::expect_used, reason = "constant ids, tested")]
    pub fn builtin() -> Self {
        let mut registry = Self::empty();
        for register in [
            crate::classic::register,
            crate::toy_text::register,
            crate::minatar::register,
            crate::minigrid::register,
            crate::physics::register,
            crate::memory::register,
            crate::multi_agent::register,
            crate::board::register,
            crate::puzzles::register,
            crate::fairness::register,
        ] {
            register(&mut registry).expect("built-in ids are valid and distinct");
        }
        registry
    }
}

#[cfg(test)]
mod tests {
    use crate::classic::CartPole;
    use crate::{EnvError, EnvSpec, MakeOptions, Registry};

    #[test]
    fn unknown_ids_name_the_nearest_ones() {
        let error = Registry::builtin().get("Cartpole-v2").unwrap_err();
        let expected = "unknown environment `Cartpole-v2`: did you mean `CartPole-v0`, `CartPole-v1`";
        assert!(error.to_string().starts_with(expected), "{error}");
        let error = Registry::builtin().get("zzz").unwrap_err();
        assert_eq!(error.to_string(), "unknown environment `zzz`");
    }

    #[test]
    fn ids_must_be_versioned_and_unique() {
        let mut registry = Registry::builtin();
        let spec = |id| EnvSpec::ecs(id, CartPole::validated);
        assert!(matches!(registry.register(spec("CartPole-v1")), Err(EnvError::DuplicateId(_))));
        for id in ["CartPole", "-v1", "A-v", "A-vx", "A b-v1"] {
            assert!(matches!(registry.register(spec(id)), Err(EnvError::MalformedId(_))), "{id}");
        }
        assert!(registry.register(spec("mine/CartPole-v12")).is_ok());
    }

    #[test]
    fn unknown_arguments_are_refused() {
        let mut options = MakeOptions::default();
        options.args.insert("wind".into(), toml::Value::Float(1.0));
        let error = Registry::builtin().make("CartPole-v1", &options).unwrap_err().to_string();
        assert!(error.contains("wind") && error.contains("sutton_barto_reward"), "{error}");
    }
}
