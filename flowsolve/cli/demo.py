"""``flowsolve demo``: restore a photograph that comes with scikit-image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import Force, Json, Seed, Threads

if TYPE_CHECKING:
    from ..images import ImageSet

#: Rows and columns of the face in the photograph, framed as aligned CelebA faces are: at 64x64 the eyes
#: are in row 33, sixteen pixels apart.
FRAME = (slice(2, 194), slice(130, 322))
SIDE = 64


def demo(
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("demo-output"),
    max_iter: Annotated[int | None, typer.Option(help="Most iterations of each run.")] = None,
    seed: Seed = 0,
    threads: Threads = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Restore a face photograph of which 60 % of the pixels are missing, and one that is blurred and noisy.

    The photograph is of the astronaut Eileen Collins (NASA, public domain), from scikit-image.
    """
    from ..images import write_png
    from .output import OutputFolder
    from .pipeline import run
    from .request import Request
    from .tables import console, print_outcome, print_outcomes_json

    photograph = face()
    requests = [
        # One small image keeps one thread busy; a second only waits, and on a busy machine for long.
        Request(
            images=(),
            task=task,
            out=out / task,
            seed=seed,
            threads=1 if threads is None else threads,
            force=force,
            **settings,
        )
        for task, settings in SETTINGS.items()
    ]
    if max_iter is not None:
        requests = [request.replaced(max_iter=max_iter) for request in requests]
    # Both folders are looked at before the first run: a refusal after a minute of work would be late.
    for request in requests:
        OutputFolder(request.out).check(force=force)
    outcomes = []
    for request in requests:
        outcomes.append(run(request, images=photograph))
        if not json:
            print_outcome(outcomes[-1], as_json=False)
    write_png(out / "photograph.png", photograph.x[0])
    if json:
        print_outcomes_json(outcomes)
    else:
        console().print(f"The photograph itself: {out / 'photograph.png'}", soft_wrap=True)


def face() -> ImageSet:
    """Return the photograph's face as one 64x64 image in [0, 1]."""
    import numpy as np
    from skimage import data
    from skimage.transform import resize

    from ..images import ImageSet

    crop = data.astronaut()[FRAME] / 255.0
    small = resize(crop, (SIDE, SIDE), order=1, anti_aliasing=True)
    return ImageSet(np.clip(small, 0, 1).astype(np.float32).transpose(2, 0, 1)[None], ["astronaut"])


#: The two runs: the noise of each and nothing else; how to restore, the method ``auto`` decides.
SETTINGS: dict[str, dict] = {"inpaint-random": {"sigma": 0.0}, "deblur": {"sigma": 0.01}}
