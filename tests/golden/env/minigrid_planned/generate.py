"""Record episodes of MiniGrid that a planner plays, so that every id's success is recorded too.

Usage: python generate.py OUT_DIR < ids
Needs: minigrid==3.2.0, numpy. Columns as in ../../generate_env.py; `ids` has one id a line.
The planner knows the whole grid. 15 % of the actions are random, so that doors close and things are dropped.
"""
import collections, csv, gzip, io, pathlib, sys
import gymnasium as gym
import minigrid  # noqa: F401  registers the environments
import numpy as np

STEPS = 60          # an id and seed; more until something was rewarded
SEEDS = [3, 1234]
STEP = [(1, 0), (0, 1), (-1, 0), (0, -1)]
LEFT, RIGHT, AHEAD, PICKUP, DROP, TOGGLE, DONE = range(7)


def route(env, target, onto):
    """Actions that bring the agent onto the target, or to where it faces it; None if there is no way."""
    start = (int(env.agent_pos[0]), int(env.agent_pos[1]), int(env.agent_dir))
    queue, seen = collections.deque([(start, [])]), {start}
    while queue:
        (x, y, d), actions = queue.popleft()
        ahead = (x + STEP[d][0], y + STEP[d][1])
        if ((x, y) if onto else ahead) == tuple(target):
            return actions
        options = [((x, y, (d - 1) % 4), [LEFT]), ((x, y, (d + 1) % 4), [RIGHT])]
        if 0 <= ahead[0] < env.width and 0 <= ahead[1] < env.height:
            cell = env.grid.get(*ahead)
            if cell is None or cell.type == "goal" or (cell.type == "door" and cell.is_open):
                options.append(((*ahead, d), [AHEAD]))
            elif cell.type == "door" and not cell.is_locked:
                options.append(((*ahead, d), [TOGGLE, AHEAD]))
        for state, more in options:
            if state not in seen:
                seen.add(state)
                queue.append((state, actions + more))
    return None


def find(env, wanted):
    places = [(x, y) for x in range(env.width) for y in range(env.height)]
    return next((p for p in places if env.grid.get(*p) is not None and wanted(env.grid.get(*p))), None)


def facing(env, target, last):
    actions = None if target is None else route(env, target, onto=False)
    return None if actions is None else actions + [last]


def drop(env):
    """Turn to a free cell and drop what is carried."""
    for turns in ([], [RIGHT], [LEFT], [RIGHT, RIGHT]):
        d = (env.agent_dir + turns.count(RIGHT) - turns.count(LEFT)) % 4
        if env.grid.get(env.agent_pos[0] + STEP[d][0], env.agent_pos[1] + STEP[d][1]) is None:
            return turns + [DROP]
    return None


def put_near(env):
    if env.carrying is None:
        return facing(env, env.move_pos, PICKUP)
    x, y = env.target_pos
    near = [(x + i, y + j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
    free = [p for p in near if env.grid.get(*p) is None and p != tuple(env.agent_pos)]
    return min(filter(None, (facing(env, p, DROP) for p in free)), key=len, default=None)


def plan(env, rng):
    """Actions towards the next part of the task; None if there is nothing to be done."""
    name = type(env).__name__
    if name == "MemoryEnv":
        return route(env, env.success_pos if rng.random() < 0.8 else env.failure_pos, onto=True)
    if name == "FetchEnv":
        return facing(env, find(env, lambda c: (c.type, c.color) == (env.targetType, env.targetColor)), PICKUP)
    if name == "GoToDoorEnv":
        return facing(env, env.target_pos, DONE)
    if name == "RedBlueDoorEnv":
        door = env.blue_door if env.red_door.is_open else env.red_door
        return facing(env, find(env, lambda c: c is door), TOGGLE)
    if name == "PutNearEnv":
        return put_near(env)
    door = find(env, lambda c: c.type == "door" and c.is_locked)
    if door is not None and env.carrying is None:
        color = env.grid.get(*door).color
        return facing(env, find(env, lambda c: (c.type, c.color) == ("key", color)), PICKUP)
    if door is not None:
        return facing(env, door, TOGGLE)
    if hasattr(env, "obj"):
        return drop(env) if env.carrying else facing(env, find(env, lambda c: c is env.obj), PICKUP)
    goal = find(env, lambda c: c.type == "goal")
    return None if goal is None else route(env, goal, onto=True)


def record(name, path):
    env = gym.make(name)
    with gzip.GzipFile(path, "wb", mtime=0) as raw:
        out = csv.writer(io.TextIOWrapper(raw, newline="", write_through=True))
        out.writerow(["seed", "step", "action", "reward", "terminated", "truncated", "direction", "mission", "image_hex"])

        def row(seed, t, action, reward, terminated, truncated, obs):
            image = obs["image"].astype(np.uint8).tobytes().hex()
            out.writerow([seed, t, action, reward, terminated, truncated, obs["direction"], obs["mission"], image])

        for seed in SEEDS:
            rng = np.random.default_rng(seed + 99)
            obs, _ = env.reset(seed=seed)
            row(seed, 0, "", "", "", "", obs)
            t, total, won, queue = 0, 0, 0, []
            while total < STEPS or (not won and total < 20 * STEPS):
                if rng.random() < 0.15:
                    action, queue = int(rng.choice(7, p=[0.15, 0.15, 0.35, 0.1, 0.05, 0.15, 0.05])), []
                else:
                    queue = queue or plan(env.unwrapped, rng) or [int(rng.integers(3))]
                    action = queue.pop(0)
                if env.action_space.n == 3:
                    action, queue = min(action, 2), []
                obs, reward, terminated, truncated, _ = env.step(action)
                t, total, won = t + 1, total + 1, won + (reward > 0)
                row(seed, t, action, repr(float(reward)), int(terminated), int(truncated), obs)
                if terminated or truncated:
                    obs, _ = env.reset()
                    t, queue = 0, []
                    row(seed, 0, "", "", "", "", obs)


for line in sys.stdin:
    record(line.strip(), pathlib.Path(sys.argv[1]) / f"{line.strip()}.csv.gz")
