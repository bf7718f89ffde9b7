import dataclasses
import json

import numpy as np

from flowsolve.cli import main
from flowsolve.cli.demo import SHOWN, cat, face
from flowsolve.images import ImageSet, read_images


def test_the_face_is_a_colour_image_in_range():
    x, names = face()
    assert x.shape == (1, 3, 64, 64) and x.dtype == np.float32 and len(names) == 1
    assert x.min() >= 0 and x.max() <= 1 and x.std() > 0.1


def test_the_cat_is_a_whole_photograph():
    assert cat().x.shape == (1, 3, 300, 451) and cat().x.min() >= 0 and cat().x.max() <= 1


def test_the_demo_restores_photographs(tmp_path, capsys, monkeypatch):
    small = ImageSet(cat().x[..., 100:132, 100:148], ["chelsea"])
    shown = dataclasses.replace(SHOWN["photograph"], photograph=lambda: small)
    monkeypatch.setitem(SHOWN, "photograph", shown)
    out = tmp_path / "demo"
    assert main(["demo", "--out", str(out), "--max-iter", "2", "--threads", "1", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert set(said) == {"inpaint-random", "deblur", "photograph"}
    for name, image in (("inpaint-random", "astronaut"), ("deblur", "astronaut"), ("photograph", "chelsea")):
        for file in ("run.h5", "figure.png", f"restored/{image}.png"):
            assert (out / name / file).is_file()
    np.testing.assert_allclose(read_images([out / "astronaut.png"]).x, face().x, atol=0.003)
    assert main(["demo", "--out", str(out), "--max-iter", "2"]) == 2
    assert "--force" in capsys.readouterr().err
