"""PNG files of every kind the format has, written from the specification and not by what shall read them."""

import struct
import zlib

import numpy as np

#: Samples a pixel of each colour type.
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}

#: Depths that each colour type has.
DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}

#: First column and row of each pass of an interlaced file, and the steps between them.
PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def chunk(name, content):
    body = name + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


def png(samples, colour_type, depth, *, filters=(0,), interlaced=False, before=()):
    """Return a PNG of integers (H, W, C); rows take the filters in turn, chunks go before the pixels."""
    height, width = samples.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, int(interlaced))
    parts = [samples]
    if interlaced:
        parts = [samples[y::down, x::right] for x, y, right, down in PASSES]
    raw = b"".join(_rows(part, depth, filters) for part in parts if part.size)
    chunks = [chunk(b"IHDR", header), *(chunk(*one) for one in before)]
    return b"\x89PNG\r\n\x1a\n" + b"".join([*chunks, chunk(b"IDAT", zlib.compress(raw)), chunk(b"IEND", b"")])


def _rows(samples, depth, filters):
    height, width, channels = samples.shape
    if depth == 16:
        rows = samples.astype(">u2").reshape(height, -1).view(np.uint8)
    elif depth == 8:
        rows = samples.astype(np.uint8).reshape(height, -1)
    else:
        bits = (samples.reshape(height, width, 1) >> np.arange(depth)[::-1]) & 1
        rows = np.packbits(bits.reshape(height, -1).astype(np.uint8), axis=1)
    step = max(1, channels * depth // 8)
    rows = rows.astype(int)
    above = np.vstack([np.zeros_like(rows[:1]), rows[:-1]])
    left, corner = (np.pad(a, ((0, 0), (step, 0)))[:, : rows.shape[1]] for a in (rows, above))
    p = left + above - corner
    distances = np.stack([abs(p - left), abs(p - above), abs(p - corner)])
    nearest = np.choose(distances.argmin(0), [left, above, corner])
    predictions = [0 * rows, left, above, (left + above) // 2, nearest]
    lines = []
    for i in range(height):
        kind = filters[i % len(filters)]
        lines.append(bytes([kind]) + ((rows[i] - predictions[kind][i]) % 256).astype(np.uint8).tobytes())
    return b"".join(lines)
