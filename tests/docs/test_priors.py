"""The blocks of docs/priors.md, run in their order."""

import re
from pathlib import Path

import pytest

from flowsolve.flows.zoo import PRIORS
from flowsolve.priors import terms

PAGE = Path(__file__).parents[2] / "docs" / "priors.md"
BLOCKS = re.findall(r"^```python run\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def test_every_block_runs(tmp_path, monkeypatch):
    pytest.importorskip("normflows", reason="normflows is not installed")
    monkeypatch.chdir(tmp_path)
    for registry in (PRIORS, terms.registry):
        monkeypatch.setattr(registry, "_items", dict(registry._items))
    assert len(BLOCKS) == 6
    names = {"__name__": "page"}
    for number, block in enumerate(BLOCKS):
        exec(compile(block, f"{PAGE.name}, block {number}", "exec"), names)
    assert (tmp_path / "flow.h5").exists()
