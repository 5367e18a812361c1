"""Products and sums that do not depend on the number of threads."""

from __future__ import annotations

import multiprocessing
import types
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from recurra.ops import Linear, linear, reproducible, reproducible_algebra, total

pytestmark = pytest.mark.skipif(reproducible._set_threads() is None, reason="torch was built without MKL")


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(reproducible, "BLOCK", 1 << 10)


@pytest.fixture
def threads():
    """Calls a function with 1 to 4 threads and returns what it gave."""
    before = torch.get_num_threads()

    def run(function):
        found = []
        for count in (1, 2, 3, 4):
            torch.set_num_threads(count)
            found.append(function())
        return found

    yield run
    torch.set_num_threads(before)


SHAPES = [(5, 64, 128), (200, 7, 3), (3, 50, 400), (129, 65, 127), (1, 2048, 1), (47, 6, 23), (432, 267, 41)]


@pytest.mark.parametrize(("rows", "depth", "columns"), SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("biased", [True, False])
def test_values_and_gradients_are_those_of_torch(rows, depth, columns, dtype, biased):
    torch.manual_seed(0)
    shapes = [(2, rows, depth), (columns, depth), (columns,)][: 3 if biased else 2]
    ours = [torch.randn(shape, dtype=dtype).requires_grad_() for shape in shapes]
    theirs = [tensor.detach().double().requires_grad_() for tensor in ours]
    found, expected = linear(*ours), torch.nn.functional.linear(*theirs)
    assert found.shape == (2, rows, columns)
    weight = torch.randn(found.shape, dtype=dtype)
    (found * weight).sum().backward()
    (expected * weight.double()).sum().backward()
    tolerance = 1e-5 if dtype == torch.float32 else 1e-12
    torch.testing.assert_close(found.double(), expected, rtol=tolerance, atol=10 * tolerance)
    for one, other in zip(ours, theirs, strict=True):
        scale = float(other.grad.abs().max())
        torch.testing.assert_close(one.grad.double(), other.grad, rtol=tolerance, atol=10 * tolerance * scale)


@pytest.mark.parametrize(("rows", "depth", "columns"), SHAPES)
def test_any_number_of_threads_gives_the_same_bits(threads, rows, depth, columns):
    torch.manual_seed(0)
    values, weight, bias = torch.randn(rows, depth), torch.randn(columns, depth), torch.randn(columns)

    def run():
        leaves = [tensor.clone().requires_grad_() for tensor in (values, weight, bias)]
        with reproducible_algebra():
            found = linear(*leaves)
            found.square().sum().backward()
        return [found, *(leaf.grad for leaf in leaves)]

    first, *others = threads(run)
    for other in others:
        assert all(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_decompositions_and_small_products(threads):
    torch.manual_seed(0)
    square, narrow = torch.randn(160, 160), torch.randn(2000, 128)

    def run():
        with reproducible_algebra():
            return [*torch.linalg.qr(square), torch.linalg.solve(square, narrow[:160]), narrow @ narrow[:100].T]

    first, *others = threads(run)
    for other in others:
        assert all(torch.equal(a, b) for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("shape", [(3,), (0,), (100_001,), (7, 30_000), (2, 300, 400)])
def test_sums(threads, shape):
    torch.manual_seed(0)
    values = torch.randn(shape)
    first, *others = threads(lambda: total(values))
    assert all(torch.equal(first, other) for other in others)
    assert first.item() == pytest.approx(values.double().sum().item(), abs=1e-2)
    leaf = values.clone().requires_grad_()
    (3 * total(leaf)).backward()
    assert bool((leaf.grad == 3).all())


def test_a_sum_is_that_of_parts_of_16384_numbers():
    torch.manual_seed(0)
    values = torch.randn(100_001)
    expected = values[:98_304].view(6, 16_384).sum(1).sum() + values[98_304:].sum()
    assert torch.equal(total(values), expected)
    assert torch.equal(total(values[:16_384]), values[:16_384].sum())


@pytest.mark.parametrize("rows", [31, 32, 33])
def test_from_two_blocks_on_a_product_is_shared(monkeypatch, rows):
    shared, before = [], reproducible.product
    monkeypatch.setattr(reproducible, "product", lambda *given: shared.append(given) or before(*given))
    linear(torch.ones(rows, 8), torch.ones(8, 8))  # 2 · BLOCK multiply-adds with 32 rows
    assert bool(shared) == (rows >= 32)


@pytest.mark.parametrize(("rows", "columns"), [(200, 7), (7, 200), (50, 50)])
def test_blocks_divide_the_longer_side(monkeypatch, rows, columns):
    shapes, before = [], torch.mm

    def multiply(a, b, out):
        shapes.append(tuple(out.shape))
        return before(a, b, out=out)

    monkeypatch.setattr(torch, "mm", multiply)
    reproducible.product(torch.ones(rows, 10), torch.ones(10, columns))
    if rows == columns:
        assert sorted(shapes) == [(2, 50), (48, 50)]
    elif rows > columns:
        assert sorted(shapes) == [(8, 7)] + [(48, 7)] * 4
    else:
        assert sorted(shapes) == [(7, 8)] + [(7, 48)] * 4


@pytest.mark.parametrize(
    ("rows", "depth", "columns", "sizes"),
    [
        (40_000, 16, 64, [16_416, 16_416, 7_168]),  # 16 384 rows are a block; the next multiple of 48
        (64, 16, 40_000, [16_416, 16_416, 7_168]),
        (16_417, 16, 64, [16_416, 1]),
        (16_416, 16, 64, [16_416]),
        (3, 0, 2, [3]),
        (0, 3, 2, [2]),
    ],
)
def test_a_block_has_16_million_multiplications_and_whole_tiles(monkeypatch, rows, depth, columns, sizes):
    monkeypatch.undo()  # the usual size
    blocks = []
    monkeypatch.setattr(reproducible, "_share", lambda work, found: blocks.extend(found))
    reproducible.product(torch.empty(rows, depth), torch.empty(depth, columns))
    longest = max(rows, columns)
    assert [len(range(longest)[block]) for block in blocks] == sizes
    assert [block.start for block in blocks] == [sum(sizes[:i]) for i in range(len(sizes))]


@pytest.mark.parametrize(("threads", "blocks", "helpers"), [(1, 5, 0), (2, 5, 1), (3, 5, 2), (4, 2, 1), (4, 1, 0)])
def test_as_many_threads_work_as_there_are_blocks_for(monkeypatch, threads, blocks, helpers):
    started, done = [], []

    class Pool:
        def submit(self, run):
            started.append(run)
            return types.SimpleNamespace(result=lambda: done.append("waited"))

    monkeypatch.setattr(reproducible, "_pool", lambda process, count: Pool() if count == threads else None)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    worked = []
    reproducible._share(worked.append, [slice(i, i + 1) for i in range(blocks)])
    assert worked == [slice(i, i + 1) for i in range(blocks)]
    assert (len(started), len(done)) == (helpers, helpers)


@pytest.mark.parametrize(("threads", "workers"), [(1, 1), (2, 1), (3, 2), (5, 4)])
def test_a_pool_has_the_other_threads(threads, workers):
    pool = reproducible._pool(-threads, threads)
    assert pool._max_workers == workers
    assert pool is reproducible._pool(-threads, threads)
    assert pool is not reproducible._pool(-9, threads)
    reproducible._pool.cache_clear()


def test_algebra_runs_on_one_thread_and_the_number_before_comes_back(monkeypatch):
    given = []
    monkeypatch.setattr(reproducible, "_set_threads", lambda: lambda count: given.append(count) or 7)

    def fail():
        with reproducible_algebra():
            assert given == [1]
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert given == [1, 7]
    monkeypatch.setattr(reproducible, "_set_threads", lambda: None)
    with reproducible_algebra():
        pass


def test_what_the_blocks_do_not_serve_is_left_to_torch(monkeypatch):
    shared = []
    monkeypatch.setattr(reproducible, "product", lambda *given: shared.append(given) or torch.zeros(1))
    plain = reproducible._plain
    large = torch.ones(40, 40)
    assert plain(large, large)
    assert plain(large.double(), large.double())
    assert not plain(large, large.double())
    assert not plain(large.long(), large.long())
    assert not plain(large, large.to("meta"))
    assert not plain(large.to("meta"))
    with torch.autocast("cpu"):
        assert not plain(large)
    for name in ("transformed", "watched"):
        with monkeypatch.context() as patch:
            patch.setattr(reproducible, name, lambda *given: True)
            assert not plain(large)
    monkeypatch.setattr(reproducible, "_set_threads", lambda: None)
    linear(large, large)
    assert not shared


def test_second_derivatives_transforms_and_inference():
    torch.manual_seed(0)
    weight = torch.randn(60, 40, dtype=torch.float64)
    values = torch.randn(30, 40, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda v: linear(v[:2, :5], weight[:6, :5]).tanh(), (values,))
    (first,) = torch.autograd.grad(linear(values, weight).pow(3).sum(), values, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), values)
    (expected,) = torch.autograd.grad(
        torch.autograd.grad((values @ weight.T).pow(3).sum(), values, create_graph=True)[0].sum(), values
    )
    torch.testing.assert_close(second, expected)
    batched = torch.func.vmap(lambda v: linear(v, weight))(values.detach().expand(3, -1, -1))
    torch.testing.assert_close(batched[1], values.detach() @ weight.T)
    with torch.inference_mode():
        torch.testing.assert_close(linear(values, weight), values.detach() @ weight.T)


def test_a_layer_keeps_the_names_of_torch():
    layer = Linear(40, 60)
    assert list(layer.state_dict()) == ["weight", "bias"]
    values = torch.randn(3, 30, 40)
    torch.testing.assert_close(layer(values), torch.nn.Linear.forward(layer, values))


def test_an_error_of_a_helper_reaches_the_caller(monkeypatch):
    before = torch.get_num_threads()
    torch.set_num_threads(3)

    def fail(block):
        raise RuntimeError("a helper failed")

    try:
        with pytest.raises(RuntimeError, match="a helper failed"):
            reproducible._share(fail, [slice(0, 1)] * 5)
    finally:
        torch.set_num_threads(before)


def _child(queue):
    queue.put(linear(torch.ones(100, 40), torch.ones(60, 40)).sum().item())


def test_a_fork_starts_helpers_of_its_own():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        linear(torch.ones(100, 40), torch.ones(60, 40))
        context = multiprocessing.get_context("fork")
        queue = context.SimpleQueue()
        child = context.Process(target=_child, args=(queue,))
        child.start()
        child.join(30)
        assert not child.is_alive()
        assert queue.get() == 100 * 40 * 60
    finally:
        torch.set_num_threads(before)


def test_the_limit_holds_in_a_new_thread():
    """The first parallel operation of a thread sets the number of threads of MKL again."""
    values, weight, bias = torch.randn(10, 192), torch.randn(459, 192), torch.randn(459)

    def compute() -> torch.Tensor:
        with reproducible_algebra():
            torch.ones(100_000).mul_(2)  # torch shares it among threads
            return torch.addmm(bias, values, weight.T)

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        expected = compute()
        with ThreadPoolExecutor(1) as pool:
            assert torch.equal(pool.submit(compute).result(), expected)
    finally:
        torch.set_num_threads(before)
