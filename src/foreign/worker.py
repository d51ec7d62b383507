"""Steps environments of Gymnasium for Agon, which started this process.

Standard input is a socket. A message is a length (four bytes, little-endian), a kind (one byte) and that many bytes of
payload, mostly JSON; each request has one reply, of kind OK or FAILED. What is exchanged at every step lies in a file that
both sides know: actions and who acts go one way, rewards, flags and observations the other. The end of the socket is the end
of the process.
"""

import faulthandler
import functools
import importlib
import importlib.metadata
import importlib.util
import json
import mmap
import operator
import os
import random
import signal
import socket
import sys
import threading
import time
import traceback

try:
    import gymnasium
    import numpy as np
    from gymnasium import spaces
except ImportError as error:
    missing = error
else:
    missing = None

# Kinds of requests and replies.
MAKE, MAP, STEP, RESET, RESET_SOME, RENDER = b"m", b"a", b"s", b"r", b"t", b"p"
OK, FAILED = b"k", b"x"

# Packages that register the ids which begin so when they are imported.
PACKAGES = {"ALE/": "ale_py", "MiniGrid-": "minigrid", "BabyAI-": "minigrid"}
# Packages that decide what environments do, if they are there after an environment was made.
ENGINES = ("gymnasium", "numpy", "mujoco", "ale_py", "Box2D", "minigrid", "pybullet", "pymunk", "dm_control", "jax")
# What EnvPool says where it knows no bounds.
TINY, LARGEST = 1.1754943508222875e-38, 3.4028234663852886e38


class Unfit(Exception):
    """Something that an environment gave, or is, does not fit; the message says all."""


def main():
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the program that started this one
    faulthandler.enable()
    stream = socket.socket(fileno=os.dup(0))
    # Programs that an environment starts must not hold the socket open.
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    threading.Thread(target=end_with, args=(os.getppid(),), daemon=True).start()
    worker = Worker()
    while True:
        header = receive(stream, 5)
        if header is None:
            break
        payload = receive(stream, int.from_bytes(header[:4], "little"))
        if payload is None:
            break
        try:
            kind, reply = OK, worker.answer(header[4:], payload)
        except (Exception, SystemExit) as error:
            kind, reply = FAILED, json.dumps(describe(error, worker.row)).encode()
        try:
            stream.sendall(len(reply).to_bytes(4, "little") + kind + reply)
        except OSError:
            break
    worker.close()


def receive(stream, count):
    """The next `count` bytes; None at the end."""
    data = b""
    while len(data) < count:
        try:
            more = stream.recv(count - len(data))
        except OSError:
            return None
        if not more:
            return None
        data += more
    return data


def end_with(parent):
    """Ends this process soon after its parent, also while an environment is being stepped."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


def describe(error, row):
    """An exception as the other side wants it."""
    message, trace = str(error), ""
    if not isinstance(error, Unfit):
        message = f"{type(error).__name__}: {error}"
        frames = error.__traceback__
        while frames is not None and frames.tb_frame.f_code.co_filename == __file__:
            frames = frames.tb_next
        trace = "".join(traceback.format_exception(type(error), error, frames)) if frames else ""
    return {"row": row, "message": message, "traceback": trace}


class Worker:
    """The environments of this process, and what is shared of them."""

    def __init__(self):
        self.envs = []
        self.row = None  # The environment that is being asked something.
        self.spaces = ()

    def answer(self, kind, payload):
        self.row = None
        if kind == STEP:
            self.step()
        elif kind == RESET_SOME:
            self.reset_some()
        elif kind == RESET:
            self.reset(json.loads(payload))
        elif kind == RENDER:
            return self.render(json.loads(payload)["env"])
        elif kind == MAKE:
            return json.dumps(self.make(**json.loads(payload))).encode()
        elif kind == MAP:
            self.map(**json.loads(payload))
        else:
            raise Unfit(f"expected a known request, got {kind!r}")
        return b""

    def make(self, id, module, args, num_envs):
        """Makes the environments; gives their spaces, versions and remarks."""
        if missing is not None:
            refuse_missing()
        if module is not None:
            import_named(module, f"env.module names the module {module}, which")
        for prefix, package in PACKAGES.items():
            if id.startswith(prefix):
                import_named(package, f"{id} is of the package {package}, which")
        options = dict(args)
        if "render_mode" not in options and "rgb_array" in render_modes(id):
            options["render_mode"] = "rgb_array"  # Nothing is drawn before somebody asks.
        for _ in range(num_envs):
            self.envs.append(make_one(id, options))
        first = self.envs[0]
        self.spaces = first.observation_space, first.action_space
        return {
            "observation_space": space_of(first.observation_space, "observation space"),
            "action_space": space_of(first.action_space, "action space"),
            "versions": versions(first, module),
            "remarks": remarks(first),
        }

    def map(self, path, size, num_envs, actions, active, rewards, terminated, truncated, observations):
        """Opens the shared file, whose parts are at the given offsets in bytes."""
        with open(path, "r+b") as file:
            shared = mmap.mmap(file.fileno(), size)
        os.unlink(path)
        observation_space, action_space = self.spaces

        def part(offset, width, kind):
            return np.ndarray((num_envs, width), kind, shared, offset)

        is_image = leaf_is_bytes(observation_space)
        rows = part(observations, packed_len(observation_space), np.uint8 if is_image else np.float32)
        self.writers = [writer(observation_space, row, "observation") for row in rows]
        width, kind, self.read_actions = reader(action_space)
        self.actions = part(actions, width, kind)
        self.active = part(active, 1, np.uint8)[:, 0]
        self.rewards = part(rewards, 1, np.float64)[:, 0]
        self.terminated = part(terminated, 1, np.uint8)[:, 0]
        self.truncated = part(truncated, 1, np.uint8)[:, 0]

    def step(self):
        count = len(self.envs)
        rewards, terminated, truncated = [0.0] * count, [False] * count, [False] * count
        actions, active = self.read_actions(self.actions), self.active.tolist()
        for row, env in enumerate(self.envs):
            if not active[row]:
                continue
            self.row = row
            outcome = env.step(actions[row])
            if len(outcome) != 5:
                expected = "expected five values from step (observation, reward, terminated, truncated, info)"
                raise Unfit(f"{expected}, got {len(outcome)}")
            observation, reward, ended, cut, _ = outcome
            self.writers[row](observation)
            rewards[row] = number(reward)
            terminated[row] = flag(ended, "terminated")
            truncated[row] = flag(cut, "truncated")
        self.rewards[:], self.terminated[:], self.truncated[:] = rewards, terminated, truncated

    def reset(self, seeds):
        # Whoever draws from the generators of the whole process is at least repeatable.
        random.seed(seeds[0])
        np.random.seed(seeds[0] % 2**32)
        for row, seed in enumerate(seeds):
            self.begin(row, seed=seed)

    def reset_some(self):
        for row in range(len(self.envs)):
            if self.active[row]:
                self.begin(row)

    def begin(self, row, **options):
        self.row = row
        outcome = self.envs[row].reset(**options)
        if not (isinstance(outcome, tuple) and len(outcome) == 2):
            raise Unfit(f"expected two values from reset (observation, info), got {type(outcome).__name__}")
        self.writers[row](outcome[0])

    def render(self, env):
        """A picture as height, width (four bytes each) and pixels; empty if there is none."""
        self.row = env
        if self.envs[env].render_mode != "rgb_array":
            return b""
        try:
            frame = np.ascontiguousarray(self.envs[env].render(), np.uint8)
        except Exception:
            traceback.print_exc()  # The other side only hears that there is no picture.
            return b""
        if frame.ndim != 3 or frame.shape[2] != 3:
            raise Unfit(f"expected a picture of shape (height, width, 3), got {frame.shape}")
        height, width, _ = frame.shape
        return height.to_bytes(4, "little") + width.to_bytes(4, "little") + frame.tobytes()

    def close(self):
        for env in self.envs:
            try:
                env.close()
            except Exception:
                traceback.print_exc()


def refuse_missing():
    if getattr(missing, "name", None) != "gymnasium":
        raise missing
    python = f"{sys.executable} (Python {sys.version.split()[0]})"
    raise Unfit(f"{python} has no gymnasium: install it there, or name another interpreter (env.python, AGON_PYTHON)")


def import_named(module, subject):
    if module.endswith(".py"):
        return import_file(module)
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not (module + ".").startswith(error.name + "."):
            raise
        hint = "install it there, or name another interpreter (env.python, AGON_PYTHON)"
        raise Unfit(f"{subject} {sys.executable} does not have: {hint}") from None


def import_file(path):
    name = os.path.splitext(os.path.basename(path))[0]
    if not os.path.isfile(path):
        raise Unfit(f"env.module names the file {path}, which does not exist")
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def render_modes(id):
    """How the class of an environment can draw; nothing if that cannot be known before it is made."""
    try:
        entry = gymnasium.spec(id).entry_point
        maker = gymnasium.envs.registration.load_env_creator(entry) if isinstance(entry, str) else entry
        return getattr(maker, "metadata", {}).get("render_modes") or ()
    except Exception:
        return ()


def make_one(id, options):
    try:
        return gymnasium.make(id, disable_env_checker=True, **options)
    except gymnasium.error.Error as error:
        # Its messages say what is wrong, and name the nearest ids.
        raise Unfit(str(error)) from None


def versions(env, module):
    """Versions of what decides the results, by the names that packages are imported by."""
    own = {type(env.unwrapped).__module__.split(".")[0], (module or "").removesuffix(".py").split(".")[0]}
    found = {}
    for name in sorted(own.union(ENGINES)):
        loaded = sys.modules.get(name)
        version = getattr(loaded, "__version__", None)
        if loaded is not None and not isinstance(version, str):
            try:
                version = importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                version = None
        if isinstance(version, str):
            found[name] = version
    return found


def remarks(env):
    """The settings of an environment that decide which problem it is, where its id does not say."""
    spec = env.spec
    if spec is None:
        return []
    shown = {key: value for key, value in spec.kwargs.items() if key != "render_mode"}
    if spec.max_episode_steps is not None:
        shown["max_episode_steps"] = spec.max_episode_steps
    return [f"{spec.id} with {', '.join(f'{key} = {value!r}' for key, value in shown.items())}"] if shown else []


# Spaces: each is described as Agon writes it, and packed as Agon packs it.


def space_of(space, path):
    """A space as JSON."""
    if isinstance(space, spaces.Discrete):
        return {"Discrete": {"n": int(space.n), "start": int(space.start)}}
    if isinstance(space, spaces.Box):
        low, high = np.ravel(space.low).astype(float), np.ravel(space.high).astype(float)
        unknown = np.isclose(low, TINY, rtol=1e-6, atol=0.0) & (high >= LARGEST)
        low, high = np.where(unknown, -np.inf, low), np.where(unknown, np.inf, high)
        kind = "u8" if space.dtype == np.uint8 else "f32"
        shape = [int(side) for side in space.shape]
        return {"Box": {"low": bounds(low), "high": bounds(high), "shape": shape, "dtype": kind}}
    if isinstance(space, spaces.MultiDiscrete):
        return {"MultiDiscrete": {"nvec": [int(n) for n in np.ravel(space.nvec)]}}
    if isinstance(space, spaces.MultiBinary):
        return {"MultiBinary": {"n": packed_len(space)}}
    if isinstance(space, spaces.Dict):
        return {"Dict": {name: space_of(space[name], f"{path}.{name}") for name in names_of(space, path)}}
    if isinstance(space, spaces.Tuple):
        return {"Tuple": [space_of(part, f"{path}[{i}]") for i, part in enumerate(space.spaces)]}
    known = "Box, Discrete, MultiDiscrete, MultiBinary, Dict or Tuple"
    raise Unfit(f"{path}: expected {known}, got {type(space).__name__}")


def names_of(space, path="space"):
    """The names of a Dict in Agon's order."""
    wrong = [name for name in space.spaces if not isinstance(name, str)]
    if wrong:
        raise Unfit(f"{path}: expected names that are texts, got {wrong[0]!r}")
    return sorted(space.spaces, key=str.encode)


def bounds(values):
    """Bounds as single-precision numbers, one if all are the same; what has none there is open."""
    with np.errstate(over="ignore"):
        single = values.astype(np.float32)
    if np.isnan(single).any():
        raise Unfit("expected bounds of a Box that are numbers, got NaN")
    shown = single[:1] if (single == single[:1]).all() else single
    return [float(bound) if np.isfinite(bound) else None for bound in shown]


def leaf_is_bytes(space):
    return isinstance(space, spaces.Box) and space.dtype == np.uint8


def packed_len(space):
    """Numbers in a packed row."""
    if isinstance(space, spaces.Dict):
        return sum(packed_len(part) for part in space.spaces.values())
    if isinstance(space, spaces.Tuple):
        return sum(packed_len(part) for part in space.spaces)
    return int(np.prod(space.shape))


def writer(space, row, path):
    """A function that checks a value and writes it into `row`."""
    if isinstance(space, spaces.Dict):
        names, writers, start = names_of(space), [], 0
        for name in names:
            end = start + packed_len(space[name])
            writers.append(writer(space[name], row[start:end], f"{path}.{name}"))
            start = end
        return functools.partial(write_dict, list(zip(names, writers)), path)
    if isinstance(space, spaces.Tuple):
        writers, start = [], 0
        for i, part in enumerate(space.spaces):
            end = start + packed_len(part)
            writers.append(writer(part, row[start:end], f"{path}[{i}]"))
            start = end
        return functools.partial(write_tuple, writers, path)
    if isinstance(space, spaces.Discrete):
        return functools.partial(write_index, row, int(space.start), int(space.n), path)
    if isinstance(space, spaces.Box):
        return functools.partial(write_box, row.reshape(space.shape), space.dtype, path)
    return functools.partial(write_choices, row.reshape(space.shape), *choices(space), path)


def choices(space):
    """First value and number of values of each factor of a MultiDiscrete or MultiBinary."""
    if hasattr(space, "nvec"):
        start = getattr(space, "start", None)
        return (np.zeros_like(space.nvec) if start is None else start), space.nvec
    return np.zeros(space.shape, np.int64), np.full(space.shape, 2)


def write_dict(writers, path, value):
    if not isinstance(value, dict) or value.keys() != {name for name, _ in writers}:
        found = sorted(map(str, value)) if isinstance(value, dict) else type(value).__name__
        raise Unfit(f"{path}: expected a dict of {[name for name, _ in writers]}, got {found}")
    for name, write in writers:
        write(value[name])


def write_tuple(writers, path, value):
    if not isinstance(value, (tuple, list)) or len(value) != len(writers):
        found = len(value) if isinstance(value, (tuple, list)) else type(value).__name__
        raise Unfit(f"{path}: expected a tuple of {len(writers)}, got {found}")
    for write, part in zip(writers, value):
        write(part)


def write_index(row, start, n, path, value):
    try:
        index = operator.index(value)
    except TypeError:
        raise Unfit(f"{path}: expected an integer, got {value!r}") from None
    if not start <= index < start + n:
        raise Unfit(f"{path}: expected an integer from {start} to {start + n - 1}, got {index}")
    row[0] = index


def write_box(row, kind, path, value):
    array = as_array(row.shape, path, value)
    if array.dtype != kind:
        check_kind(array, row.dtype, kind, path)
    row[...] = array


def write_choices(row, start, n, path, value):
    array = as_array(row.shape, path, value)
    if array.dtype.kind not in "iub" or (array < start).any() or (array >= start + n).any():
        raise Unfit(f"{path}: expected integers from {start.tolist()}, {n.tolist()} of them each, got {array.tolist()}")
    row[...] = array - start


def as_array(shape, path, value):
    array = value if isinstance(value, np.ndarray) else np.asarray(value)
    if array.shape != shape:
        raise Unfit(f"{path}: expected shape {shape}, got {array.shape}")
    return array


def check_kind(array, kind, said, path):
    """That numbers of another kind than the space's can be written as such."""
    fits = np.can_cast(array.dtype, kind, "same_kind")
    if fits and kind == np.uint8:
        fits = array.size == 0 or (array.min() >= 0 and array.max() <= 255)
    if not fits:
        raise Unfit(f"{path}: expected numbers of kind {said}, got {array.dtype}")


def number(reward):
    try:
        return float(reward)
    except (TypeError, ValueError):
        raise Unfit(f"reward: expected a number, got {reward!r}") from None


def flag(value, name):
    try:
        return bool(value)
    except (TypeError, ValueError):
        raise Unfit(f"{name}: expected true or false, got {value!r}") from None


def reader(space):
    """Width and kind of an action as it comes, and what makes a batch of them actions of the space."""
    if isinstance(space, spaces.Discrete):
        start, kind = int(space.start), space.dtype.type
        return 1, np.uint32, lambda batch: [kind(start + index) for index in batch[:, 0].tolist()]
    shape, kind = space.shape, space.dtype
    if isinstance(space, spaces.Box):
        if kind.kind != "f":
            raise Unfit(f"action space: expected a Box of floating point numbers, got one of {kind}")
        low, high = space.low, space.high
        # A copy, which the environment may keep. Bounds of double precision were rounded to single precision.
        if kind == np.float32:
            return packed_len(space), np.float32, lambda batch: batch.reshape(-1, *shape).copy()
        return packed_len(space), np.float32, lambda batch: np.clip(batch.reshape(-1, *shape).astype(kind), low, high)
    start, _ = choices(space)
    return packed_len(space), np.uint32, lambda batch: (batch.reshape(-1, *shape) + start).astype(kind)


main()
