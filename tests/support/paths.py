"""Where things lie: the checkout, and the reference data that may lie beside it."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("DMENET_SHARED", ROOT.parent / "shared"))
