"""Lets Minari 0.5.4 load what `examples/write_samples.rs` wrote, and compares it with `golden/expected.json`.

Run: cargo run --example write_samples -- tests/golden/sets OUT && python tests/minari_reads_ours.py OUT
Also appends to, filters and combines data sets, in a copy of OUT.
"""

import json
import os
import pathlib
import shutil
import sys
import tempfile
import warnings

root = pathlib.Path(tempfile.mkdtemp()) / "root"
shutil.copytree(sys.argv[1], root)
os.environ["MINARI_DATASETS_PATH"] = str(root)

import minari  # noqa: E402
import numpy as np  # noqa: E402
from minari.data_collector import EpisodeBuffer  # noqa: E402

# What is not as it should be is an error here, above all warnings about versions.
warnings.simplefilter("error")
expected = json.loads((pathlib.Path(__file__).parent / "golden" / "expected.json").read_text())


def same(found, wanted, place):
    if "dict" in wanted:
        if isinstance(found, np.ndarray) and found.dtype == object:
            # Minari 0.5.4 gives structures of infos in Arrow files as dictionaries, one a row.
            found = {key: [row[key] for row in found] for key, _ in wanted["dict"]}
        assert sorted(found) == sorted(key for key, _ in wanted["dict"]), (place, found.keys())
        for key, part in wanted["dict"]:
            same(found[key], part, f"{place}.{key}")
    elif "tuple" in wanted:
        assert len(found) == len(wanted["tuple"]), place
        for index, part in enumerate(wanted["tuple"]):
            same(found[index], part, f"{place}.{index}")
    elif "text" in wanted:
        texts = [text.decode() if isinstance(text, bytes) else str(text) for text in found]
        assert texts == wanted["text"], (place, texts, wanted)
    else:
        array = np.asarray(found)
        assert str(array.dtype) == wanted["dtype"], (place, array.dtype, wanted["dtype"])
        assert list(array.shape[1:]) == wanted["shape"], (place, array.shape, wanted["shape"])
        assert array.reshape(-1).tolist() == wanted["values"], place


def plain(value):
    """Attributes of HDF5 are of NumPy's types."""
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    return value.tolist() if hasattr(value, "tolist") else value


def compare(name, data_set):
    kind = name.split("-")[0]
    if kind == "cartpole":
        assert data_set.env_spec.id == "CartPole-v1" and data_set.recover_environment() is not None
        assert data_set.total_episodes == 2
        return
    wanted = expected[kind]
    assert len(data_set) == len(wanted), name
    assert data_set.total_steps == sum(len(episode.get("rewards", [0, 0])) for episode in wanted), name
    attributes = list(data_set.storage.get_episode_metadata(range(len(data_set))))
    for index, (episode, want) in enumerate(zip(data_set.iterate_episodes(), wanted)):
        place = f"{name}[{index}]"
        assert episode.id == index, place
        if "frames" in want:
            frames = np.asarray(episode.observations).astype(np.int64)
            assert [int(frame.sum()) for frame in frames] == want["frames"], place
            continue
        same(episode.observations, want["observations"], f"{place}.observations")
        same(episode.actions, want["actions"], f"{place}.actions")
        assert episode.rewards.tolist() == want["rewards"] and episode.rewards.dtype == np.float64, place
        for flags in ["terminations", "truncations"]:
            found = getattr(episode, flags)
            assert found.dtype == np.bool_ and found.tolist() == want[flags], (place, found)
        if want["infos"] is not None:
            same(episode.infos, want["infos"], f"{place}.infos")
        assert attributes[index].get("seed") == want["seed"], place
        assert plain(attributes[index].get("options")) == want["options"], (place, attributes[index])


def rows(values, stop):
    """The first rows, as Minari's buffers hold them."""
    if isinstance(values, dict):
        return {key: rows(part, stop) for key, part in values.items()}
    if isinstance(values, tuple):
        return tuple(rows(part, stop) for part in values)
    return list(values[:stop])


def infos_of(wanted, stop):
    """Infos of an episode, as they are expected. Minari 0.5.4 cannot read Arrow files of which only some have infos."""
    if "dict" in wanted:
        return {key: infos_of(part, stop) for key, part in wanted["dict"]}
    if "text" in wanted:
        return wanted["text"][:stop]
    if wanted["shape"]:
        return list(np.array(wanted["values"], wanted["dtype"]).reshape(-1, *wanted["shape"])[:stop])
    return wanted["values"][:stop]


names = sorted(minari.list_local_datasets())
assert names and all(name.startswith("ours/") for name in names), names
assert minari.namespace.list_local_namespaces() == ["ours"]
for name in names:
    data_set = minari.load_dataset(name)
    assert data_set.storage.get_size() == data_set.storage.metadata["dataset_size"] or abs(
        data_set.storage.get_size() - data_set.storage.metadata["dataset_size"]) <= 0.2, name
    compare(name.removeprefix("ours/"), data_set)
print(f"read: {len(names)} passed")

changed = 0
for name in names:
    data_set = minari.load_dataset(name)
    count, steps = len(data_set), data_set.total_steps
    before = list(data_set.iterate_episodes())
    last = before[-1]
    filtered = data_set.filter_episodes(lambda episode: episode.terminations[-1])
    assert len(filtered) == sum(bool(episode.terminations[-1]) for episode in before), name
    wanted = expected.get(name.removeprefix("ours/").split("-")[0], [{}])[-1].get("infos")
    data_set.update_dataset_from_buffer([EpisodeBuffer(
        observations=rows(last.observations, 3), actions=rows(last.actions, 2), rewards=last.rewards[:2].tolist(),
        terminations=last.terminations[:2].tolist(), truncations=last.truncations[:2].tolist(),
        infos=None if wanted is None else infos_of(wanted, 3),
    )])
    again = minari.load_dataset(name)
    assert (len(again), again.total_steps) == (count + 1, steps + 2), name
    after = list(again.iterate_episodes())
    assert len(after) == count + 1 and len(after[-1]) == 2, name
    changed += 1
print(f"append and filter: {changed} passed")

combined = 0
for kind in ["discrete", "box64", "nested", "text", "pixels", "jpeg"]:
    for data_format in ["hdf5", "arrow", "parquet"]:
        parts = [minari.load_dataset(f"ours/{kind}-from-{source}-{data_format}-v0") for source in ["hdf5", "arrow"]]
        whole = minari.combine_datasets(parts, f"ours/{kind}-{data_format}-combined-v0")
        assert len(whole) == sum(map(len, parts)), kind
        assert sum(len(episode) for episode in whole.iterate_episodes()) == whole.total_steps, kind
        combined += 1
print(f"combine: {combined} passed")

# What was changed, for the crate to read.
if len(sys.argv) > 2:
    shutil.copytree(root, sys.argv[2])
