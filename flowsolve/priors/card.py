"""The card of a prior: what a person should know before using it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class PriorCard(BaseModel):
    """What a person should know about a prior before using it.

    Parameters
    ----------
    summary : str
        One line: what images it is for.
    training : str
        The images it was trained on.
    terms : str
        Licence of the weights, or the terms of the data that carry over to them.
    bits_per_dim : float or None
        Held-out negative log-likelihood in bits a dimension, where it was measured.
    notes : str
        What else is worth knowing, such as what an import had to assume.
    noise_sigma : float or None
        Standard deviation of the Gaussian noise that was added to the images it was trained on, in units of
        their range; None where it is not known.
    noise_width : float or None
        Width of the uniform noise that was added to unquantised images in place of one grey level; None where
        that was not done.
    latent_companion : str or None
        Name of a prior of the same images that is better for descents over latents.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    summary: str = ""
    training: str = "not stated"
    terms: str = "not stated"
    bits_per_dim: float | None = None
    notes: str = ""
    noise_sigma: float | None = None
    noise_width: float | None = None
    latent_companion: str | None = None
