import json

import numpy as np

from flowsolve.cli import main
from flowsolve.cli.demo import face
from flowsolve.images import read_images


def test_the_face_is_a_colour_image_in_range():
    x, names = face()
    assert x.shape == (1, 3, 64, 64) and x.dtype == np.float32 and len(names) == 1
    assert x.min() >= 0 and x.max() <= 1 and x.std() > 0.1


def test_the_demo_restores_the_photograph(tmp_path, capsys):
    out = tmp_path / "demo"
    assert main(["demo", "--out", str(out), "--max-iter", "2", "--threads", "1", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert set(said) == {"inpaint-random", "deblur"}
    for task in said:
        for name in ("run.h5", "figure.png", "restored/astronaut.png"):
            assert (out / task / name).is_file()
    np.testing.assert_allclose(read_images([out / "photograph.png"]).x, face().x, atol=0.003)
    assert main(["demo", "--out", str(out), "--max-iter", "2"]) == 2
    assert "--force" in capsys.readouterr().err
