"""``flowsolve demo``: restore photographs that come with scikit-image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
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
    """Restore a face of which 60 % of the pixels are missing, the same face blurred, and a whole photograph.

    The face is that of the astronaut Eileen Collins (NASA, public domain), the photograph is of the cat
    Chelsea (Stéfan van der Walt, CC0); both come with scikit-image.
    """
    from ..encoding import write_png
    from .output import OutputFolder
    from .pipeline import run
    from .request import Request
    from .tables import console, print_outcome, print_outcomes_json

    demonstrations = [
        # One small image keeps one thread busy; a second only waits, and on a busy machine for long.
        (
            Request(
                images=(),
                task=shown.task,
                sigma=shown.sigma,
                prior=shown.prior,
                out=out / name,
                seed=seed,
                threads=1 if threads is None else threads,
                force=force,
                max_iter=max_iter,
            ),
            shown.photograph,
        )
        for name, shown in SHOWN.items()
    ]
    # All folders are looked at before the first run: a refusal after a minute of work would be late.
    for request, _ in demonstrations:
        OutputFolder(request.out).check(force=force)
    outcomes = []
    for request, photograph in demonstrations:
        outcomes.append(run(request, images=photograph()))
        if not json:
            print_outcome(outcomes[-1], as_json=False)
    for photograph in (face(), cat()):
        write_png(out / f"{photograph.names[0]}.png", photograph.x[0])
    if json:
        print_outcomes_json(outcomes)
    else:
        console().print(f"The photographs themselves: {out / '*.png'}", soft_wrap=True)


def face() -> ImageSet:
    """Return the photograph's face as one 64x64 image in [0, 1]."""
    import numpy as np
    from skimage import data
    from skimage.transform import resize

    from ..images import ImageSet

    crop = data.astronaut()[FRAME] / 255.0
    small = resize(crop, (SIDE, SIDE), order=1, anti_aliasing=True)
    return ImageSet(np.clip(small, 0, 1).astype(np.float32).transpose(2, 0, 1)[None], ["astronaut"])


def cat() -> ImageSet:
    """Return a whole photograph, 300x451, as an image in [0, 1]."""
    import numpy as np
    from skimage import data

    from ..images import ImageSet

    return ImageSet((data.chelsea() / 255.0).astype(np.float32).transpose(2, 0, 1)[None], ["chelsea"])


@dataclass(frozen=True)
class Shown:
    """A run of the demo: the problem and the prior, and nothing else; how to restore, ``auto`` decides."""

    photograph: Callable[[], ImageSet]
    task: str
    sigma: float
    prior: str


SHOWN = {
    "inpaint-random": Shown(face, "inpaint-random", 0.0, "faces64"),
    "deblur": Shown(face, "deblur", 0.01, "faces64"),
    "photograph": Shown(cat, "deblur", 0.01, "natural"),
}
