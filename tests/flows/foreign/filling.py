"""Weights and images by formula, the same for the programs that the formats come from and for the tests.

The reference numbers in ``reference/*.json`` were computed by those programs, in float64, with weights
filled by :func:`fill` and images by :func:`images`; the files also hold the names and shapes of the
programs' own ``state_dict``.
"""

import zlib

import numpy as np

LAST = (".conv.weight", ".conv3.weight", ".f.4.weight", "learn_top.weight")
"""Convolutions whose output counts directly."""

MASKS = {"u_mask": 1, "l_mask": -1}


def images(n, channels, size):
    """Return smooth images with some texture in [0, 1], float64, (n, channels, size, size)."""
    index = np.arange(n * channels * size * size).reshape(n, channels, size, size)
    row, column = np.meshgrid(np.arange(size), np.arange(size), indexing="ij")
    waves = np.sin(0.4 * row + index // (size * size)) * np.cos(0.3 * column)
    return 0.5 + 0.3 * waves + 0.15 * np.sin(index * 1.7)


def fill(shapes, seed=0):
    """Return a value for every name, away from all that programs start with, and invertible.

    Parameters
    ----------
    shapes : dict of str to sequence of int
    seed : int

    Returns
    -------
    dict of str to ndarray
        float32, so that every dtype means the same numbers.
    """
    return {name: _value(name, tuple(shape), seed) for name, shape in shapes.items()}


def _value(name, shape, seed):
    noise = np.random.default_rng([seed, zlib.crc32(name.encode())]).standard_normal(shape)
    last = name.split(".")[-1]
    if last in ("initialized",):
        return np.ones(shape, np.uint8)
    if last == "prior_h":
        return np.zeros(shape, np.float32)
    if last in MASKS:
        triangle = np.triu if MASKS[last] > 0 else np.tril
        return triangle(np.ones(shape), MASKS[last]).astype(np.float32)
    if last == "l_eye":
        return np.eye(shape[0], dtype=np.float32)
    if last in ("w_p", "p"):
        return np.roll(np.eye(shape[0]), 3, axis=0).astype(np.float32)
    if last in ("s_sign", "sign_s"):
        return np.where(np.arange(shape[0]) % 3 == 1, -1, 1).astype(np.float32)
    if ".invconv." in name and last in ("W", "weight"):
        matrix = np.roll(np.eye(shape[0]), 1, axis=0) + 0.2 * noise.reshape(shape[:2]) / np.sqrt(shape[0])
        return matrix.reshape(shape).astype(np.float32)
    if name.endswith("actnorm.scale"):
        # Some are negative, which that program allows.
        return (np.where(noise > 1.2, -1, 1) * (1 + 0.2 * np.abs(noise))).astype(np.float32)
    fan_in = int(np.prod(shape[1:])) if last == "weight" else 1
    width = 1.0 if last == "weight" else 0.1
    if name.endswith(LAST):
        width = 0.3
    if last in ("w_l", "w_u", "l", "u"):
        width = 0.3 / np.sqrt(shape[0])
    if last in ("logs", "scale", "w_s", "log_s"):
        width = 0.1
    return (width * noise / np.sqrt(fan_in)).astype(np.float32)
