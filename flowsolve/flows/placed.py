"""Where and how a flow computes: device, dtypes, and what its gradients keep."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch

from ..ambient import undisturbed
from .choices import checked_device, checked_dtype
from .glow import Glow
from .inference import FrozenGlow
from .memory import Reconstruction

if TYPE_CHECKING:
    from typing_extensions import Self


class Placed:
    """A network, and its frozen form on a device.

    Parameters
    ----------
    glow : Glow
        The network; copied, so that training it further changes nothing here.
    device : str or torch.device
        Where to compute.
    dtype : torch.dtype
        ``torch.float32`` or ``torch.float64``.
    memory : {"store", "checkpoint", "invertible", "auto"}
        What a gradient keeps of the way there: all activations; a few channels of each step,
        computing the others again; or only each level's ends, computing everything else back,
        so that memory does not grow with the number of steps (see :attr:`reconstruction`).
        The last two take about half as long again. ``"auto"`` is the first of the three
        that keeps at most 1 GiB. Transforms of ``torch.func``, forward mode and gradients
        that are differentiated again keep all activations in any case.
    coupling_dtype : torch.dtype, optional
        What the couplings' networks compute in: `dtype` (the default), or ``torch.bfloat16``,
        which is up to twice as fast. Encoder and decoder use the same networks and so remain
        each other's inverse, but of a map that is a little different: with the
        bundled prior of faces the energies of photographs moved by 4e-4 of themselves at most and
        their gradients by 7 % (median; 11 % at most), decoded samples by less than 0.01, and an
        image that is encoded and decoded comes back to 0.011 (to 3e-6 without); images far from
        the prior move by more. Fit for the way to an optimum, not for its last digits.
    """

    @undisturbed
    def __init__(
        self,
        glow: Glow,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        memory: str = "store",
        coupling_dtype: torch.dtype | None = None,
    ) -> None:
        # The network as it was given is what every dtype is folded from: float64 is never
        # reached by way of float32 roundings of folded weights.
        self._glow = copy.deepcopy(glow).cpu().eval().requires_grad_(False)
        self._flow = FrozenGlow(
            self._glow,
            checked_device(device),
            checked_dtype(dtype),
            memory=memory,
            coupling_dtype=coupling_dtype,
        )

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of images and latents."""
        return self._flow.dtype

    @property
    def device(self) -> torch.device:
        """The device of images and latents."""
        return self._flow.device

    @property
    def coupling_dtype(self) -> torch.dtype:
        """What the couplings' networks compute in."""
        return self._flow.coupling_dtype

    @property
    def memory(self) -> str:
        """What a gradient keeps."""
        return self._flow.memory

    @property
    def reconstruction(self) -> Reconstruction:
        """How well gradients with ``memory="invertible"`` computed activations back."""
        return self._flow.reconstruction

    @undisturbed
    def to(
        self,
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
        coupling_dtype: torch.dtype | None = None,
    ) -> Self:
        """Return this prior on another device or in another dtype.

        Parameters
        ----------
        device : str or torch.device, optional
            Where to compute.
        dtype : torch.dtype, optional
            ``torch.float32`` or ``torch.float64``.
        coupling_dtype : torch.dtype, optional
            The dtype or ``torch.bfloat16``; by default, as before, or the new dtype if one is given.

        Returns
        -------
        Placed
            A new one, folded again from the weights of the file.

        Raises
        ------
        ArgumentError
            If the device is not there, or a dtype is another one.
        """
        new_device = self.device if device is None else checked_device(device)
        new_dtype = self.dtype if dtype is None else checked_dtype(dtype)
        if coupling_dtype is None and dtype is None:
            coupling_dtype = self.coupling_dtype
        other = copy.copy(self)
        other._flow = FrozenGlow(
            self._glow, new_device, new_dtype, memory=self.memory, coupling_dtype=coupling_dtype
        )
        return other

    def with_memory(self, memory: str) -> Self:
        """Return this prior, sharing its weights, with another ``memory`` mode.

        Raises
        ------
        ArgumentError
            If there is no such mode.
        """
        other = copy.copy(self)
        other._flow = self._flow.with_memory(memory)
        return other

    def with_cuda_graphs(self) -> Self:
        """Return this prior, sharing its weights, with gradients that replay CUDA graphs.

        See :class:`~flowsolve.flows.graphs.GraphedGlow` for when that can be used.

        Raises
        ------
        UnsupportedError
            If the prior is not on a GPU.
        """
        from .graphs import GraphedGlow

        other = copy.copy(self)
        other._flow = GraphedGlow(self._flow)
        return other
