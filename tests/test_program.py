"""Programs: where buffers stand, what a call refuses, how it prints, and how samples fall into shards."""

import math
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import few, random_data, random_model, sizes

from nbrnn import Dense, Flatten, SimpleRNN
from nbrnn.lowering import Feed, make_plan
from nbrnn.plan import sample_counts, shard_size
from nbrnn.program import ALIGNMENT, BLOCKS, Buffer, Layout, Program, aligned


def compiled(layers, shape, optimizer="adam", **settings):
    model = random_model(layers, shape, **settings)
    model.compile(optimizer, "mse", ["mae"])
    return model


@pytest.fixture(scope="module")
def program():
    layers = [SimpleRNN(32, "relu", return_sequences=True), SimpleRNN(3), Dense(8, "relu"), Dense(1)]
    return compiled(layers, (4, 2), dtype="float32").program(batch_size=16)


# ---------------------------------------------------------------- buffers


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("mode", ["train", "evaluate", "predict"])
@given(H=sizes, D=few, B=few, units=few)
def test_buffers_do_not_overlap_and_begin_at_cache_lines(dtype, mode, H, D, B, units):
    layers = [SimpleRNN(H, return_sequences=True), SimpleRNN(units), Dense(H), Dense(1)]
    p = compiled(layers, (3, D), dtype=dtype).program(B, mode)
    whole = {"all parameters", "all gradients"}  # they name what others name too
    for block in BLOCKS:
        own = [b for b in p.layout.buffers.values() if b.block == block and b.name not in whole]
        own.sort(key=lambda b: b.offset)
        for low, high in pairwise(own):
            assert low.offset + low.size <= high.offset, f"{low} and {high} overlap"
        if own:
            assert own[-1].offset + own[-1].size <= p.layout.sizes[block]
        itemsize = p.dtype.itemsize if own and own[0].kind == "model" else 8
        for b in own:
            if block not in ("params", "grads") or b.size * itemsize >= 2 * ALIGNMENT:
                assert b.offset * itemsize % ALIGNMENT == 0, b


def test_a_gradient_stands_where_its_weight_does(program):
    for name, b in program.layout.buffers.items():
        if b.block == "params" and "/" in name:
            layer, weight = name.split("/")
            twin = program[f"{layer}/d{weight}"]
            assert (twin.block, twin.offset, twin.shape) == ("grads", b.offset, b.shape)
    assert program["all gradients"].size == program["all parameters"].size == program.layout.sizes["params"]


def test_a_name_cannot_stand_twice_in_a_layout():
    layout = Layout(4)
    layout.add("h", (3, 2), "work")
    with pytest.raises(ValueError, match="buffer h already"):
        layout.add("h", (1,), "work")


@given(shape=st.lists(st.integers(1, 6), min_size=1, max_size=4), data=st.data())
def test_a_part_of_a_buffer_is_numpys_part(shape, data):
    numbers = np.arange(7 + 6**4)
    buffer = Buffer("b", "work", 7, tuple(shape))

    def read(b):
        return numbers[b.offset : b.offset + b.size].reshape(b.shape)

    whole = read(buffer)
    start, stop = (data.draw(st.none() | st.integers(-8, 8)) for _ in range(2))
    index = data.draw(st.integers(-shape[0], shape[0] - 1))
    assert read(buffer[start:stop]).tolist() == whole[start:stop].tolist()
    assert buffer[start:stop].shape == whole[start:stop].shape
    assert (read(buffer[index]) == whole[index]).all() and buffer[index].shape == whole.shape[1:]
    assert (read(buffer.reshape(-1)) == whole.reshape(-1)).all()
    assert (read(buffer.reshape(shape[0], -1)) == whole.reshape(shape[0], -1)).all()
    assert (buffer.name, buffer.kind, buffer.size) == ("b", "model", math.prod(shape))


def test_what_a_buffer_refuses():
    buffer = Buffer("work of art", "work", 0, (4, 3))
    with pytest.raises(ValueError, match=r"work of art of shape \(4, 3\) cannot be seen as \(5, 2\)"):
        buffer.reshape(5, 2)
    with pytest.raises(ValueError, match=r"cannot be seen as \(2, 5\)"):
        buffer.reshape(-1, 5)
    with pytest.raises(ValueError, match="steps of 1 only, not 2"):
        buffer[::2]
    with pytest.raises(IndexError):
        buffer[4]


@given(shape=st.lists(st.integers(0, 5), min_size=1, max_size=3), dtype=st.sampled_from(("f4", "f8", "c16", "i8")))
def test_aligned_memory_begins_at_a_cache_line_and_is_zero(shape, dtype):
    array = aligned(tuple(shape), dtype)
    assert array.shape == tuple(shape) and array.dtype == dtype and not array.any()
    assert array.ctypes.data % ALIGNMENT == 0 or array.size == 0
    assert array.flags.c_contiguous and array.flags.writeable


# ---------------------------------------------------------------- calls


@pytest.fixture
def bench():
    """An empty program with some buffers."""
    p = Program(np.dtype("float32"), 2, Layout(4), "bench")
    for name, shape in {"x": (5, 3), "W": (3, 4), "b": (4,), "y": (5, 4), "long": (6,), "cube": (5, 2, 2)}.items():
        p.buffer(name, *shape)
    p.buffer("control", 8, block="control")
    p.buffer("order", 5, block="order")
    return p


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"W": "y"}, ["dense_forward wants W[F,O]", "y has shape (5, 4)", "F is 3 elsewhere"]),
        ({"b": "long"}, ["wants b[O]", "long has shape (6,)", "O is 4 elsewhere"]),
        ({"y": "cube"}, ["wants y[N,O]", "cube has shape (5, 2, 2)"]),
        ({"b": "order"}, ["wants b[O]", "order has shape (5,)", "holds i8 numbers, not model"]),
        ({"x": None}, ["dense_forward needs a buffer for x, not None"]),
        ({"x": 3}, ["dense_forward needs a buffer for x, not 3"]),
        ({"b": 3}, ["dense_forward needs a buffer for b, not 3"]),
        ({"activation": None}, ["needs the number activation, not None"]),
        ({"activation": "x"}, ["needs the number activation, not Buffer"]),
        ({"bias": "b"}, ["takes no argument bias"]),
        ({"bias": "b", "alpha": 1}, ["takes no argument alpha, bias"]),
    ],
)
def test_a_call_refuses_what_does_not_fit(bench, changes, words):
    named = {"x": "x", "W": "W", "b": "b", "activation": 0, "y": "y"} | changes
    arguments = {key: bench[value] if isinstance(value, str) else value for key, value in named.items()}
    with pytest.raises(ValueError) as refused:
        bench.call("dense_forward", **arguments)
    for word in words:
        assert word in str(refused.value)
    assert bench.calls == []


def test_a_missing_argument_is_refused_and_an_absent_optional_one_is_not(bench):
    with pytest.raises(ValueError, match="needs a buffer for W"):
        bench.call("dense_forward", x=bench["x"], b=bench["b"], activation=0, y=bench["y"])
    bench.call("dense_forward", x=bench["x"], W=bench["W"], activation=2, y=bench["y"])
    assert bench.calls[0].dims == {"N": 5, "F": 3, "O": 4}
    assert [b.name for b in bench.calls[0].buffers(False)] == ["x", "W"]
    assert [b.name for b in bench.calls[0].buffers(True)] == ["y"]


def test_a_letter_with_an_offset_is_checked_too(bench):
    h = bench.buffer("h", 3, 2, 4)
    shapes = {"Wh": (4, 4), "dh": (1, 2, 4), "da": (2, 2, 4)}
    arguments = {name: bench.buffer(f"rnn {name}", *shape) for name, shape in shapes.items()}
    bench.call("simple_rnn_backward", **arguments, activation=0, add=0, h=h)
    with pytest.raises(ValueError, match=r"wants da\[T,B,E\], but rnn da has shape \(2, 2, 4\), and T is 1 elsewhere"):
        bench.call("simple_rnn_backward", **arguments, activation=0, add=0, h=h[:2])


def test_a_row_holds_numbers_of_blocks_offsets_and_lengths_but_no_pointer(program):
    names = list(BLOCKS)
    for call in program.calls:
        row = call.row()
        assert all(type(word) is int for word in row)
        scalars = [v for v in call.arguments.values() if not isinstance(v, Buffer)]
        if not any(isinstance(v, float) for v in scalars):
            assert max(row) < 2**20  # an address is larger
        for b in call.buffers(True):
            words = [names.index(b.block), b.offset, *b.shape]
            assert words in [row[k : k + len(words)] for k in range(len(row))]


def test_a_number_in_a_row_is_its_64_bits():
    p = Program(np.dtype("float32"), 0, Layout(4), "clip")
    grads = p.buffer("g", 32, block="grads")
    p.call("clip_norm", limit=0.3, grads=grads, lanes=p.buffer("lanes", 16, block="hyper"))
    assert np.array(p.calls[0].row())[:1].view(np.float64)[0] == 0.3


# ---------------------------------------------------------------- the printed table


def test_the_printed_program_is_readable(program):
    text = str(program)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0] == "sequential: train, float32, 16 samples" and "FLOPs" in lines[2] and "bytes" in lines[2]
    for call in program.calls:
        assert call.kernel in text
        for b in [*call.buffers(True), *call.buffers(False)]:
            assert f"{b.name}({','.join(map(str, b.shape))})" in text
    forward = next(line for line in lines if "simple_rnn_forward" in line)
    assert f"{4 * 16 * 32 * 2 * (2 + 32):,}" in forward  # T B H 2 (D + H)
    moved = 4 * (4 * 16 * 2 + 2 * 32 + 32 * 32 + 32 + 5 * 16 * 32 * 2)  # x Wx Wh b, and h read and written
    assert f"{moved:,}" in forward
    total = next(line for line in lines if " total " in line)
    assert f"{sum(c.flops for c in program.calls):,}" in total
    assert f"work {program.nbytes['work']:,} bytes" in " ".join(text[text.index("blocks: ") :].split())


def test_the_order_of_a_training_program_is_forward_loss_backward(program):
    kernels = [call.kernel for call in program.calls]
    assert kernels[:2] == ["gather", "simple_rnn_forward"]
    order = ["gather", "simple_rnn_forward", "dense_forward", "mse", "mae", "weight_gradient", "simple_rnn_backward"]
    assert [k for k in dict.fromkeys(kernels) if k in order] == order
    assert kernels.count("weight_gradient") == 2 + 2 * 2
    assert kernels.count("input_gradient") == 3  # the input's own gradient is not wanted


def test_only_what_is_needed_is_lowered():
    model = compiled([Flatten(), Dense(2, "tanh"), Dense(1)], (3, 2))
    assert {c.kernel for c in model.program(4, "predict").calls} == {"gather", "flatten", "dense_forward", "scatter"}
    assert "flatten_backward" not in {c.kernel for c in model.program(4).calls}
    assert "activation_backward" in {c.kernel for c in model.program(4).calls}
    with pytest.raises(ValueError, match=r"mode 'training' is unknown .*'train'"):
        model.program(4, "training")
    with pytest.raises(ValueError, match="'train' needs a loss: call compile"):
        random_model([Dense(1)], (3,)).program()


def test_a_program_of_open_length_needs_steps():
    model = compiled([SimpleRNN(3, return_sequences=True), Dense(1)], (None, 2))
    assert model.program(2, steps=7)["simple_rnn/h"].shape == (8, 2, 3)
    with pytest.raises(ValueError, match="steps must be a whole number of at least 1, not None"):
        model.program(2)


# ---------------------------------------------------------------- shards


def met(samples, batch):
    """Walk an epoch as the runner does: yield every shard as (start, size)."""
    shard = shard_size(min(batch, samples))
    for start in range(0, samples, batch):
        size = min(batch, samples - start)
        for s in range(-(-size // shard)):
            yield start + s * shard, min(shard, size - s * shard)


@given(samples=st.integers(1, 700), batch=st.integers(1, 700))
def test_every_sample_is_met_exactly_once(samples, batch):
    walked = [n for start, size in met(samples, batch) for n in range(start, start + size)]
    assert walked == list(range(samples))
    smaller = min(batch, samples)
    assert {size for _, size in met(samples, batch)} == sample_counts(samples, smaller, shard_size(smaller))


@given(batch=st.integers(1, 5000))
def test_a_shard_is_large_enough_and_there_are_at_most_eight(batch):
    shard = shard_size(batch)
    assert 1 <= -(-batch // shard) <= 8
    assert shard == batch if batch < 32 else 16 <= shard <= batch


@cache
def trained():
    """Return a model whose optimizer has its slots: it has taken a step."""
    model = compiled([SimpleRNN(2), Dense(1)], (3, 1))
    model.train_on_batch(*random_data(model, 2, 0))
    return model


@given(samples=st.integers(1, 200), batch=st.integers(1, 250))
def test_a_plan_has_a_program_for_every_shard_and_room_for_the_largest(samples, batch):
    x, y = Feed.contiguous(samples, (3, 1)), Feed.contiguous(samples, (1,))
    plan = make_plan(trained(), "train", x, y, batch)
    assert set(plan.programs) == {size for _, size in met(samples, batch)}
    assert all(p.samples == n for n, p in plan.programs.items())
    assert plan.shards == max(-(-min(batch, samples - start) // plan.shard) for start in range(0, samples, batch))
    assert [c.kernel for c in plan.update.calls] == ["sum_shards"] * (plan.shards > 1) + ["adam"]
    for p in plan.programs.values():
        assert all(plan.sizes[block] >= size for block, size in p.layout.sizes.items())
