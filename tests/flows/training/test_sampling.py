import numpy as np
import pytest
import torch

from flowsolve.flows.training.data import ImageStore
from flowsolve.flows.training.sampling import Prefetcher, Sampler, dequantise, generator, view


@pytest.fixture
def store(tmp_path, make_picture):
    store = ImageStore(tmp_path, 2**20)
    for i in range(7):
        store.append(make_picture(i, 8 + i, 9))
    store.close_block()
    return store


def test_every_image_comes_once_an_epoch_in_changing_order(store):
    sampler = Sampler(store, 8, 8, seed=3)
    epochs = [[sampler.index(7 * e + i) for i in range(7)] for e in range(3)]
    assert all(sorted(epoch) == list(range(7)) for epoch in epochs)
    assert epochs[0] != epochs[1] or epochs[1] != epochs[2]


def test_batches_do_not_depend_on_how_they_are_divided(store):
    sampler = Sampler(store, 8, 8, seed=3)
    whole = sampler.batch(5, 8)
    assert whole.shape == (8, 3, 8, 8) and whole.is_contiguous(memory_format=torch.channels_last)
    assert float(whole.min()) >= 0 and float(whole.max()) <= 1
    parts = torch.cat([Sampler(store, 8, 8, seed=3).batch(5 + i, 2) for i in (0, 2, 4, 6)])
    assert torch.equal(whole, parts)
    assert not torch.equal(whole, Sampler(store, 8, 8, seed=4).batch(5, 8))


def test_prefetched_batches_are_the_same(store):
    sampler = Sampler(store, 8, 8, seed=0)
    prefetcher = Prefetcher(Sampler(store, 8, 8, seed=0))
    for start, following in ((0, 4), (4, 8), (20, 24)):
        assert torch.equal(prefetcher.get(start, 4, following), sampler.batch(start, 4))
    prefetcher.close()


@pytest.mark.parametrize("bits", [8, 5, 1])
def test_noise_stays_in_the_grey_level(bits, make_picture):
    pixels = make_picture(0)
    x = dequantise(pixels, bits, generator(0, 1, 0))
    assert x.dtype == np.float32
    assert np.array_equal(np.floor(x * 2**bits).clip(0, 2**bits - 1), pixels >> (8 - bits))


def test_equal_size_is_taken_whole_and_mirrored_every_other_time(make_picture):
    pixels = make_picture(0)
    crops = [view(pixels, 8, 8, generator(0, 1, i), True) * 256 for i in range(40)]

    def count(image):
        # The sum of a value and its noise is rounded, so that it may reach the next grey level.
        return sum(np.abs(crop - image - 0.5).max() <= 0.5001 for crop in crops)

    mirrored, straight = count(pixels[:, ::-1].astype(float)), count(pixels.astype(float))
    assert mirrored + straight == 40 and min(mirrored, straight) > 8


def test_crops_reach_every_corner():
    pixels = np.zeros((10, 11, 3), np.uint8)
    pixels[..., 0], pixels[..., 1] = np.mgrid[:10, :11] * 10
    corners = {
        tuple(np.floor(view(pixels, 8, 8, generator(0, 1, i), False)[0, 0, :2] * 256) // 10)
        for i in range(200)
    }
    assert corners == {(r, c) for r in range(3) for c in range(4)}
