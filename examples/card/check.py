"""Reads a model card with huggingface_hub's own parser and reports what it warns of.

    pip install -r examples/card/requirements.txt
    python examples/card/check.py results/ppo_CartPole-v1_1/README.md

Nothing needs the network. Exits 1 if there is a warning, or if the card does not say what policies' cards say.
"""

import logging
import os
import sys
import warnings
from pathlib import Path

# Asked for before the package is imported.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"


class Kept(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


def check(path: Path) -> list[str]:
    """What is wrong with a card."""
    from huggingface_hub import ModelCard

    kept = Kept()
    for name in ["", "huggingface_hub"]:
        logging.getLogger(name).addHandler(kept)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        card = ModelCard.load(path, ignore_metadata_errors=False)
        again = ModelCard(str(card), ignore_metadata_errors=False)
    wrong = [f"warning: {warning.message}" for warning in caught]
    wrong += [f"logged: {message}" for message in kept.messages]

    data = card.data
    if again.data.to_dict() != data.to_dict():
        wrong.append("written and read again it says something else")
    if data.library_name != "agon" or data.pipeline_tag != "reinforcement-learning":
        wrong.append(f"expected a policy of agon, found {data.pipeline_tag} of {data.library_name}")
    if "reinforcement-learning" not in (data.tags or []):
        wrong.append(f"expected the tag reinforcement-learning, found {data.tags}")
    results = data.eval_results or []
    if len(results) != 1:
        return [*wrong, f"expected one result, found {len(results)}"]
    result = results[0]
    if (result.task_type, result.metric_type) != ("reinforcement-learning", "mean_reward"):
        wrong.append(f"expected mean_reward of reinforcement-learning, found {result.metric_type} of {result.task_type}")
    mean, _, spread = str(result.metric_value).partition(" +/- ")
    try:
        float(mean), float(spread)
    except ValueError:
        wrong.append(f"expected a value as 12.34 +/- 0.56, found {result.metric_value}")
    print(f"{path}: {data.model_name} on {result.dataset_name}, {result.metric_type} {result.metric_value}, license {data.license}")
    return wrong


def main() -> int:
    try:
        import huggingface_hub  # noqa: F401
    except ImportError:
        print("skipped: huggingface_hub is not installed (pip install -r examples/card/requirements.txt)")
        return 0
    if len(sys.argv) < 2:
        print("expected paths of model cards", file=sys.stderr)
        return 2
    wrong = [problem for path in sys.argv[1:] for problem in check(Path(path))]
    for problem in wrong:
        print(problem, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
