"""Records with one thing changed that no run would write: bytes, configuration, datasets, links."""

import json
import random

import h5py
import numpy as np

#: What stands in the place of a value of the configuration.
ODD = [
    None, True, False, -1, 0, 1, 2**31, 2**63, 10**30, 1e308, -0.5, float("nan"), float("inf"), "", "x",
    "[red]", "../../etc/passwd", "\x00\x1b[31m", [], [[]], [1, 2], [None], {}, {"name": "x"}, {"name": None},
    {"shape": 3, "data": "x"}, {"shape": [9, 9], "data": "!"}, {"either": [1]}, {"uniform": 10**7},
]  # fmt: skip


def mutate(path, seed):
    """Change one thing in a record, the kind and place drawn with a seed; returns what was done."""
    rng = random.Random(seed)
    kind = rng.choice([_bytes, _config, _config, _config, _dataset, _dataset, _values, _attribute, _link])
    return f"{kind.__name__} {kind(path, rng)}"


def _bytes(path, rng):
    data = bytearray(path.read_bytes())
    for _ in range(rng.choice([1, 4, 30])):
        data[rng.randrange(len(data))] = rng.randrange(256)
    if rng.random() < 0.2:
        del data[rng.randrange(len(data)) :]
    path.write_bytes(data)
    return len(data)


def _config(path, rng):
    with h5py.File(path, "r+") as file:
        attributes = file["config"].attrs
        config = json.loads(attributes["json"])
        places = list(_places(config))
        where, key = rng.choice(places)
        value = rng.choice([*ODD, "DELETE"])
        if value == "DELETE":
            del where[key]
        else:
            where[key] = value
        attributes["json"] = json.dumps(config)
    return f"{key} = {value!r}"


def _places(value):
    for key in list(value) if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _places(value[key])


def _names(file):
    names = []
    file.visit(names.append)
    return sorted(names)


def _dataset(path, rng):
    with h5py.File(path, "r+") as file:
        name = rng.choice(_names(file))
        shape = getattr(file[name], "shape", (3,))
        del file[name]
        how = rng.randrange(9)
        if how == 1:
            file.create_group(name)
        elif how == 2:
            file[name] = np.zeros(rng.choice([(), (0,), (1,), (2, 3), (3, 0), (3, 1, 1), (7, 3, 8, 8)]))
        elif how == 3:
            file[name] = np.full(shape, b"text", "S8")
        elif how == 4:
            file.create_dataset(name, shape, "c16")
        elif how == 5:
            file[name] = h5py.Empty("f8")
        elif how == 6:
            file.create_dataset(name, (3, 10**11), "f8", chunks=(3, 256))
        elif how == 7:
            file.create_dataset(name, (3, 10**6), "f8", chunks=(3, 10**6), compression="gzip")
        elif how == 8:
            file.create_dataset(name, shape, h5py.string_dtype())
    return f"{name} {how}"


def _values(path, rng):
    with h5py.File(path, "r+") as file:
        name = rng.choice([name for name in _names(file) if isinstance(file[name], h5py.Dataset)])
        data = file[name]
        if data.dtype.kind in "fi" and data.size:
            odd = [0, -1, 2**40] if data.dtype.kind == "i" else [np.nan, np.inf, -1.0, 1e300, 0.0]
            values = data[()]
            value = rng.choice(odd)
            flat = np.ravel(values)
            flat[rng.randrange(flat.size) :] = value
            data[()] = flat.reshape(data.shape)
            return f"{name} from somewhere on {value}"
        if data.dtype.kind == "S":
            data[()] = np.full(data.shape, rng.choice([b"", b"running", b"\xff\xfe", b"finished", b"[/]"]))
    return name


def _attribute(path, rng):
    with h5py.File(path, "r+") as file:
        name = rng.choice(sorted(file.attrs))
        value = rng.choice(
            [None, 1, -5, 2**40, 1.5, "x", "", np.arange(9), np.nan, h5py.Empty("f4"), b"\xff"]
        )
        del file.attrs[name]
        if value is not None:
            file.attrs[name] = value
    return f"{name} = {value!r}"


def _link(path, rng):
    with h5py.File(path, "r+") as file:
        name = rng.choice(_names(file))
        del file[name]
        how = rng.randrange(5)
        if how == 0:
            file[name] = h5py.SoftLink(rng.choice(["/", "/nowhere", "/trace/value"]))
        elif how == 1:
            file[name] = h5py.ExternalLink("/etc/hostname", "/")
        elif how == 2:
            file.create_dataset(name, (3, 8), "u1", external=[("/etc/passwd", 0, 24)])
        elif how == 3:
            layout = h5py.VirtualLayout((3, 8), "f8")
            layout[:] = h5py.VirtualSource("/etc/passwd", "x", (3, 8))
            file.create_virtual_dataset(name, layout)
        else:
            file[name] = file["/"]
    return f"{name} {how}"
