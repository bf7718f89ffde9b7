"""Training of priors: from folders and zips of images to a file of weights.

One process, or several through torchrun; what is random in a run depends on its seed and on the
number of images seen, so that it can be resumed or divided among processes without a difference.
"""

from .log import Observer, Status
from .loop import train
from .options import TrainingOptions
from .report import TrainingReport

__all__ = ["Observer", "Status", "TrainingOptions", "TrainingReport", "train"]
