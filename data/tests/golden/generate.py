"""Makes the golden data sets beside this file, and `expected.json`, which says what is in them.

Versions: Python 3.11, minari 0.5.4, gymnasium 1.4.0, numpy 2.4.6, h5py 3.16.0, pyarrow 26.0.1, pillow 13.0.0.
Run: python generate.py
"""

import importlib.metadata
import json
import os
import pathlib
import shutil
import sys

PINNED = {
    "minari": "0.5.4", "gymnasium": "1.4.0", "numpy": "2.4.6", "h5py": "3.16.0", "pyarrow": "26.0.1", "pillow": "13.0.0",
}
for package, version in PINNED.items():
    found = importlib.metadata.version(package)
    if found != version:
        sys.exit(f"{package} must be {version}, got {found}")

HERE = pathlib.Path(__file__).parent
ROOT = HERE / "sets"
shutil.rmtree(ROOT, ignore_errors=True)
os.environ["MINARI_DATASETS_PATH"] = str(ROOT)

import minari  # noqa: E402
import numpy as np  # noqa: E402
import pyarrow.ipc  # noqa: E402
import pyarrow.parquet  # noqa: E402
from gymnasium import spaces  # noqa: E402
from minari.data_collector import EpisodeBuffer  # noqa: E402

FORMATS = ["hdf5", "arrow", "parquet"]
# "episode_10" comes before "episode_2" in an HDF5 file.
EPISODES = {"discrete": 12}


def length(episode):
    """Steps of an episode: different, so that a mixed-up order shows."""
    return 2 + episode % 3


def stack(space, samples):
    """A list of samples as Minari's buffers hold them."""
    if isinstance(space, spaces.Dict):
        return {key: stack(part, [sample[key] for sample in samples]) for key, part in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(stack(part, [sample[i] for sample in samples]) for i, part in enumerate(space.spaces))
    return list(samples)


def plain(space, values):
    """Values as JSON: texts, or numbers in nested lists with their kind."""
    if isinstance(space, spaces.Dict):
        return {"dict": [[key, plain(part, values[key])] for key, part in space.spaces.items()]}
    if isinstance(space, spaces.Tuple):
        return {"tuple": [plain(part, values[i]) for i, part in enumerate(space.spaces)]}
    if isinstance(space, spaces.Text):
        return {"text": list(values)}
    array = np.asarray(values)
    return {"dtype": str(array.dtype), "shape": list(array.shape[1:]), "values": array.reshape(-1).tolist()}


KINDS = {
    "box32": (spaces.Box(-1, 1, (3,), np.float32), spaces.Box(-2, 2, (1,), np.float32)),
    "box64": (spaces.Box(-np.inf, np.inf, (2, 2), np.float64), spaces.Box(0, 1, (), np.float64)),
    "discrete": (spaces.Discrete(5, start=-2), spaces.Discrete(3, start=7)),
    "multi": (spaces.MultiDiscrete([2, 5, 9]), spaces.MultiBinary(4)),
    "multi2d": (spaces.MultiBinary([2, 3]), spaces.MultiDiscrete([[2, 3], [4, 5]], start=[[1, 2], [3, 4]])),
    "nested": (
        spaces.Dict({
            "z": spaces.Box(-1, 1, (2,), np.float32),
            "a": spaces.Tuple((spaces.Discrete(4), spaces.Box(0, 9, (1,), np.int16))),
            "deep": spaces.Dict({"x": spaces.MultiBinary(2)}),
        }),
        spaces.Tuple((spaces.Discrete(2), spaces.Dict({"force": spaces.Box(-1, 1, (1,), np.float64)}))),
    ),
    "text": (spaces.Text(6, min_length=1, charset="abé😀\"\\"), spaces.Text(3, min_length=1, charset="xyz")),
}


def buffers(kind, observation_space, action_space, with_infos):
    observation_space.seed(len(kind))
    action_space.seed(len(kind) + 1)
    generator = np.random.default_rng(len(kind))
    result = []
    for episode in range(EPISODES.get(kind, 2)):
        steps = length(episode)
        infos = None
        if with_infos:
            infos = {
                "count": list(range(episode, episode + steps + 1)),
                "flag": [bool(row % 2) for row in range(steps + 1)],
                "position": [generator.normal(size=(2, 1)).astype(np.float32) for _ in range(steps + 1)],
                "word": [f"w{episode}-{row}" for row in range(steps + 1)],
                "inner": {"speed": [float(row) / 3 for row in range(steps + 1)]},
            }
        result.append(EpisodeBuffer(
            id=episode,
            seed=100 + episode if episode % 2 == 0 else None,
            options={"level": episode, "gain": 0.5, "name": "é", "more": {"deep": [1, 2]}} if episode == 1 else None,
            observations=stack(observation_space, [observation_space.sample() for _ in range(steps + 1)]),
            actions=stack(action_space, [action_space.sample() for _ in range(steps)]),
            rewards=[float(x) for x in generator.normal(size=steps)],
            terminations=[row == steps - 1 and episode % 2 == 0 for row in range(steps)],
            truncations=[row == steps - 1 and episode % 2 == 1 for row in range(steps)],
            infos=infos,
        ))
    return result


def describe(buffer, observation_space, action_space):
    infos = None
    if buffer.infos is not None:
        def info(values):
            if isinstance(values, dict):
                return {"dict": [[key, info(values[key])] for key in sorted(values)]}
            if isinstance(values[0], str):
                return {"text": values}
            array = np.asarray(values)
            return {"dtype": str(array.dtype), "shape": list(array.shape[1:]), "values": array.reshape(-1).tolist()}
        infos = info(buffer.infos)
    return {
        "seed": buffer.seed,
        "options": buffer.options,
        "observations": plain(observation_space, buffer.observations),
        "actions": plain(action_space, buffer.actions),
        "rewards": buffer.rewards,
        "terminations": buffer.terminations,
        "truncations": buffer.truncations,
        "infos": infos,
    }


def create(name, data, observation_space, action_space, data_format, **more):
    minari.create_dataset_from_buffers(
        dataset_id=f"golden/{name}-{data_format}-v0", buffer=data, observation_space=observation_space,
        action_space=action_space, data_format=data_format, algorithm_name="random", author="A. Author",
        author_email="a@b.c", code_permalink="none", description="golden", requirements=["gymnasium>=1.0"], **more,
    )


def write_batches(path):
    with pyarrow.ipc.open_file(path) as reader:
        table = reader.read_all()
    with pyarrow.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)


def write_row_groups(path):
    table = pyarrow.parquet.read_table(path, partitioning=None)
    pyarrow.parquet.write_table(table, path, row_group_size=2)


def main():
    expected = {}
    for kind, (observation_space, action_space) in KINDS.items():
        data = buffers(kind, observation_space, action_space, kind == "box32")
        expected[kind] = [describe(buffer, observation_space, action_space) for buffer in data]
        for data_format in FORMATS:
            create(kind, data, observation_space, action_space, data_format)

    # Frames of one colour, of which one takes more bytes, so that HDF5 needs sequences; "even" has frames of one size.
    image = spaces.Box(0, 255, (32, 32, 3), np.uint8)
    action_space = spaces.Discrete(2)
    for kind, jpeg in [("pixels", False), ("jpeg", True), ("even", True)]:
        data = []
        for episode in range(2):
            frames = [np.full((32, 32, 3), 10 * episode + 40 * row, np.uint8) for row in range(3)]
            if kind != "even":
                frames[1] = frames[1].copy()
                frames[1][4:20, 8:24] = (255, 0, 128)
            data.append(EpisodeBuffer(
                id=episode, seed=episode, observations=frames, actions=[0, 1], rewards=[0.0, 1.0],
                terminations=[False, True], truncations=[False, False],
            ))
        for data_format in FORMATS:
            create(kind, data, image, action_space, data_format, jpeg_encoding=jpeg)
        # What was drawn, in colours, for pixels; what Minari decodes for frames of JPEG.
        loaded = list(minari.load_dataset(f"golden/{kind}-arrow-v0").iterate_episodes())
        expected[kind] = [
            {"frames": [int(np.asarray(frame, dtype=np.int64).sum()) for frame in episode.observations],
             "corners": [frame[0, 0].tolist() + frame[12, 12].tolist() for frame in episode.observations]}
            for episode in loaded
        ]

    # A data set that the collector recorded: metadata of episodes, a specification of an environment.
    import gymnasium
    environment = minari.DataCollector(gymnasium.make("CartPole-v1", max_episode_steps=5), record_infos=False)
    for seed in range(2):
        environment.reset(seed=seed)
        environment.action_space.seed(seed)
        ended = False
        while not ended:
            _, _, terminated, truncated, _ = environment.step(environment.action_space.sample())
            ended = terminated or truncated
    environment.create_dataset(dataset_id="golden/cartpole-hdf5-v0", algorithm_name="random", author="A", author_email="a@b.c", code_permalink="none", description="golden")

    # Episodes in several batches or row groups, as Minari writes those of more than 32,768 rows and cannot read them.
    for data_format, write in [("arrow", write_batches), ("parquet", write_row_groups)]:
        folder = ROOT / "golden" / f"batches-{data_format}-v0"
        shutil.copytree(ROOT / "golden" / f"box32-{data_format}-v0", folder)
        metadata = folder / "data" / "metadata.json"
        metadata.write_text(metadata.read_text().replace("box32-", "batches-"))
        for path in folder.glob("data/*/part-0.*"):
            write(path)
    expected["batches"] = expected["box32"]

    (HERE / "expected.json").write_text(json.dumps(expected) + "\n")


main()
