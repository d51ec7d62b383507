"""Writes what Opacus' accountants say of a grid of settings: `tests/golden/privacy/opacus.csv`.

    python -m venv opacus && opacus/bin/pip install --no-deps opacus==1.5.4 && opacus/bin/pip install numpy scipy
    opacus/bin/python benches/opacus_accountants.py > tests/golden/privacy/opacus.csv

The accountants need NumPy and SciPy alone; PyTorch, which the package imports elsewhere, is not needed. Settings whose ε is
above 10 are left out.
"""

import importlib.metadata
import importlib.util
import sys
import types
import warnings

warnings.simplefilter("ignore")
ROOT = importlib.util.find_spec("opacus").submodule_search_locations[0]
for name, path in [("opacus", ROOT), ("opacus.accountants", f"{ROOT}/accountants")]:
    # Without the packages' own imports, which reach for PyTorch.
    package = types.ModuleType(name)
    package.__path__ = [path]
    sys.modules[name] = package
optimizers = types.ModuleType("opacus.optimizers")
optimizers.DPOptimizer = object
sys.modules["opacus.optimizers"] = optimizers

from opacus.accountants.prv import PRVAccountant  # noqa: E402
from opacus.accountants.rdp import RDPAccountant  # noqa: E402

versions = " ".join(f"{name} {importlib.metadata.version(name)}" for name in ("opacus", "numpy", "scipy"))
print(f"# {versions}; prv is the upper bound, eps_error 0.01 and delta_error delta/1000")
print("sample_rate,noise_multiplier,steps,delta,rdp,prv")
for sample_rate in (0.001, 0.01, 0.05, 0.25):
    for noise_multiplier in (0.7, 1.0, 1.5, 3.0):
        for steps in (1, 100, 1000, 5000):
            for delta in (1e-5, 1e-6):
                history = [(noise_multiplier, sample_rate, steps)]
                rdp, prv = RDPAccountant(), PRVAccountant()
                rdp.history, prv.history = list(history), list(history)
                moments = rdp.get_epsilon(delta=delta)
                # More says nothing of privacy, and its grids are huge.
                if moments > 10.0:
                    continue
                upper = prv.get_epsilon(delta=delta)
                print(f"{sample_rate},{noise_multiplier},{steps},{delta},{moments:.6f},{upper:.6f}")
