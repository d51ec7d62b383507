"""Loads recorded data sets with Minari, and plays their episodes again in Gymnasium: the same observations and rewards."""

import minari
import numpy as np

for env in ("cartpole", "pendulum"):
    for layout in ("hdf5", "arrow", "parquet"):
        data = minari.load_dataset(f"{env}/{layout}-v0")
        assert (data.total_episodes, data.storage.FORMAT) == (12, layout), data
        played = data.recover_environment()
        steps = 0
        for episode, told in zip(data.iterate_episodes(), data.storage.get_episode_metadata(range(12))):
            observation, _ = played.reset(seed=told["seed"])
            np.testing.assert_allclose(episode.observations[0], observation, rtol=1e-6, atol=1e-6)
            for step, action in enumerate(episode.actions):
                observation, reward, terminated, truncated, _ = played.step(action)
                place = f"{env} {layout}, episode {episode.id}, step {step}"
                np.testing.assert_allclose(episode.observations[step + 1], observation, rtol=1e-4, atol=1e-4, err_msg=place)
                np.testing.assert_allclose(episode.rewards[step], reward, rtol=1e-4, err_msg=place)
                ended = (episode.terminations[step], episode.truncations[step])
                assert ended == (terminated, truncated), place
            assert terminated or truncated
            steps += len(episode.actions)
        assert steps == data.total_steps
