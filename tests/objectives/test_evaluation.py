import torch

from flowsolve.objectives import Evaluation


def evaluation(n, start=0.0, grad=True):
    numbers = start + torch.arange(n, dtype=torch.float64)
    image = numbers[:, None, None, None].expand(n, 3, 2, 2).clone()
    return Evaluation(numbers + 3, numbers + 1, numbers + 2, image, 2 * image if grad else None)


def test_images_are_taken_out_and_put_back():
    whole, index = evaluation(4), torch.tensor([2, 0])
    part = whole.select(index)
    assert part.value.tolist() == [5.0, 3.0] and part.grad[0].unique().tolist() == [4.0]
    whole.put(torch.tensor([1, 3]), part)
    assert whole.value.tolist() == [3.0, 5.0, 5.0, 3.0]
    assert whole.image[:, 0, 0, 0].tolist() == [0.0, 2.0, 2.0, 0.0]


def test_a_missing_gradient_stays_missing():
    with_it, without = evaluation(2), evaluation(2, grad=False)
    assert without.select(torch.tensor([0])).grad is None
    assert with_it.plus(without).grad is None and without.scaled(2.0, image=without.image).grad is None
    before = with_it.grad.clone()
    with_it.put(torch.tensor([0]), without.select(torch.tensor([1])))
    assert torch.equal(with_it.grad, before)


def test_sums_and_multiples_are_of_value_terms_and_gradient():
    one, other = evaluation(2), evaluation(2, 10.0)
    total = one.plus(other).scaled(0.5, image=other.image)
    assert total.value.tolist() == [8.0, 9.0]
    assert total.data_fidelity.tolist() == [6.0, 7.0] and total.prior.tolist() == [7.0, 8.0]
    assert torch.equal(total.grad, (one.grad + other.grad) / 2) and torch.equal(total.image, other.image)


def test_a_copy_shares_no_memory():
    whole = evaluation(2)
    copy = whole.clone()
    for tensor in (copy.value, copy.data_fidelity, copy.prior, copy.image, copy.grad):
        tensor += 1
    assert torch.equal(whole.value, evaluation(2).value) and torch.equal(whole.grad, evaluation(2).grad)
