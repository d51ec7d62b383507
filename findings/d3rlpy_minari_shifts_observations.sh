#!/usr/bin/env bash
# d3rlpy 2.8.1 with Minari 0.5.4: `d3rlpy.datasets.get_minari` pairs actions with observations of other steps, from the second episode on.
#
# The guess: `get_minari("pendulum/random-v0")` gives the episodes of the data set: as many, each with its own observations in front of
# its own actions. A Minari episode of T steps has T + 1 observations; d3rlpy has no place for the last, so it is left out.
#
# What happens: the observations of all episodes are put into one array with their last ones, T + 1 an episode, and cut again by the
# ends of T actions. The second episode begins with the last observation of the first, the k-th is k - 1 rows late. Nothing is said, and
# shapes and numbers of steps are right. (`minari >= 0.5.2` is what `d3rlpy install minari` asks for.)
#
# Why it matters: whoever learns from Minari's data by d3rlpy, or compares with its scores, has after some hundred episodes actions that
# belong to states of half an episode away. Losses fall all the same; nothing but the score shows it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "d3rlpy==2.8.1" "minari[hdf5]==0.5.4" "pillow==13.0.0" "numpy==2.4.6"
MINARI_DATASETS_PATH="$folder/sets" "$folder/venv/bin/python" - 2>/dev/null <<'PYTHON' | grep -v "determined"
import d3rlpy
import gymnasium
import minari
import numpy as np
from minari.data_collector import EpisodeBuffer

STEPS = 10
environment = gymnasium.make("Pendulum-v1", max_episode_steps=STEPS)
environment.action_space.seed(0)
episodes = []
for seed in range(4):
    observation, _ = environment.reset(seed=seed)
    observations, actions, rewards = [observation], [], []
    for _ in range(STEPS):
        action = environment.action_space.sample()
        observation, reward, *_ = environment.step(action)
        observations.append(observation)
        actions.append(action)
        rewards.append(float(reward))
    episodes.append(EpisodeBuffer(
        observations=np.stack(observations), actions=np.stack(actions), rewards=rewards,
        terminations=[False] * STEPS, truncations=[False] * (STEPS - 1) + [True], seed=seed,
    ))
data = minari.create_dataset_from_buffers("pendulum/random-v0", buffer=episodes, env=environment)
read, _ = d3rlpy.datasets.get_minari("pendulum/random-v0")
rows = np.concatenate([episode.observations for episode in data.iterate_episodes()])
late = []
for index, (written, given) in enumerate(zip(data.iterate_episodes(), read.episodes, strict=True)):
    assert np.array_equal(written.actions, given.actions), "the actions are those of the episode"
    begins = int(np.flatnonzero((rows == given.observations[0]).all(axis=1))[0])
    late.append(index * (STEPS + 1) - begins)
print("d3rlpy", d3rlpy.__version__, "minari", minari.__version__)
print("rows by which each episode's observations are off:", late)
raise SystemExit(0 if late == [0, 1, 2, 3] else 1)
PYTHON
