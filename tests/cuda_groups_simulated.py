"""The kernels of design "groups" in a process in which Numba simulates CUDA; test_cuda_groups.py starts it."""

import threading
from dataclasses import replace

import numpy as np
import pytest
from cuda_strict import Race
from numba import cuda
from support import assert_close

from nbrnn.kernels import KERNELS
from nbrnn.kernels.abi import dimension
from nbrnn.targets.cuda import barrier, grouppasses, groups
from nbrnn.targets.cuda.designs import Site, choose
from nbrnn.targets.cuda.device import chip
from nbrnn.targets.cuda.splits import GATES, Split

TOLERANCES = {"float32": 2e-6, "tf32": 3e-3, "bfloat16": 2e-2}
T, B, D, H = 3, 5, 2, 12
ALIVE = np.array([5, 4, 1])
CELLS = ["lstm", "gru_after", "simple_rnn"]
EMPTY = ("Px", "Ph", "PT", "mask", "kept", "room")


def drawn(name, *, full=True, limited=False, every=True, keeps=True):
    """Return random arguments of a kernel, whose rows of gates are four numbers longer than the gates."""
    rng = np.random.default_rng(5)
    gates = GATES[name.rpartition("_")[0]]
    lengths = dict(T=T, B=B, D=D, H=H, G=gates * H + 4, E=gates * H + 4)
    lengths |= dict(U=T + 1, V=T + 1, K=T if every else 1) if keeps else dict(U=2, V=2, K=1)
    arguments = {}
    for a in KERNELS[name].arguments:
        if a.dims is None:
            arguments[a.name] = {"activation": 1, "gate": 2}.get(a.name, int(full))
        elif a.name == "alive":
            arguments[a.name] = ALIVE if limited else np.zeros(0, np.int64)
        elif a.name in EMPTY or (a.optional and not full):
            arguments[a.name] = np.zeros((0,) * len(a.dims), np.float32)
        else:
            parts = [dimension(text) for text in a.dims]
            arguments[a.name] = rng.normal(0.0, 0.5, [f * lengths[x] + more for f, x, more in parts]).astype("float32")
    return arguments


def split_for(name, precision, units=8, members=2, threads=None, room=48 * 1024):
    """Return two groups of blocks, the second with fewer sequences, and the last block with fewer units."""
    cell, way = name.rsplit("_", 1)
    threads = threads or (40 if precision == "float32" else 64)
    return Split(way == "backward", H, GATES[cell], precision, units, 2, 3, threads, room)


def on_the_device(name, split, arguments):
    """Return what the launches leave in copies of the arguments."""
    own = {k: cuda.to_device(v) if isinstance(v, np.ndarray) else v for k, v in arguments.items()}
    sizes = dict(T=T, B=B, H=H, U=own["h"].shape[0] if "h" in own else 0, K=own["g"].shape[0] if "g" in own else 0)
    site = Site(name, sizes, frozenset(), split.precision, chip())
    groups.form_of(site, split)(*own.values())
    return {k: v.copy_to_host() for k, v in own.items() if isinstance(arguments[k], np.ndarray)}


def on_the_cpu(name, arguments):
    own = {k: v.copy() if isinstance(v, np.ndarray) else v for k, v in arguments.items()}
    KERNELS[name].function(*own.values())
    return own


def compare(name, arguments, precision="float32", **options):
    expected = on_the_cpu(name, arguments)
    actual = on_the_device(name, split_for(name, precision, **options), arguments)
    for a in KERNELS[name].arguments:
        if a.written and expected[a.name].size:
            if arguments["alive"].size and a.name in ("g", "h"):  # the input's product stands in rows that have no step
                for t in range(T):
                    there = (t + 1) % len(expected["h"]) if a.name == "h" else t % len(expected["g"])
                    actual[a.name][there, ALIVE[t] :] = expected[a.name][there, ALIVE[t] :]
            assert_close(actual[a.name], expected[a.name], TOLERANCES[precision], f"{name}: {a.name}")
    return actual


WAYS = [f"{cell}_{way}" for cell in CELLS for way in ("forward", "backward")]
OPTIONS = [dict(), dict(full=False), dict(limited=True), dict(full=False, limited=True, every=False), dict(every=False)]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("name", WAYS)
def test_groups_of_blocks_give_the_cpus_numbers(name, options):
    if "forward" in name and not options.get("every", True):
        options = options | dict(keeps=False)
    compare(name, drawn(name, **options))


@pytest.mark.parametrize(
    ("name", "precision"),
    [
        ("lstm_forward", "bfloat16"),
        ("lstm_backward", "tf32"),
        ("gru_after_forward", "tf32"),
        ("simple_rnn_backward", "bfloat16"),
    ],
)
def test_tensor_cores_give_the_cpus_numbers_to_their_precision(name, precision):
    compare(name, drawn(name, limited=True), precision)


@pytest.mark.parametrize("name", WAYS)
def test_sequences_that_do_not_fit_at_once_are_taken_one_after_the_other(name):
    arguments = drawn(name)
    whole = split_for(name, "float32")
    one = replace(whole, groups=1, sequences=B)
    assert one.rows == 8
    few = replace(one, room=4 * one.shared // 8)
    assert few.rows == 4
    expected = on_the_device(name, whole, arguments)
    for split in (one, few):
        for key, array in on_the_device(name, split, arguments).items():
            np.testing.assert_array_equal(array, expected[key], err_msg=key)


@pytest.mark.parametrize("name", WAYS)
def test_a_launch_may_take_any_part_of_the_steps(name, monkeypatch):
    """A group of one block waits for nobody, so that the simulator can run many steps in a launch."""
    arguments = drawn(name, limited=True)
    split = split_for(name, "float32", units=16, threads=64)
    assert split.members == 1
    apart = on_the_device(name, split, arguments)
    monkeypatch.setattr(groups, "SIMULATED", False)
    for key, array in on_the_device(name, split, arguments).items():
        np.testing.assert_array_equal(array, apart[key], err_msg=key)


def test_a_design_is_chosen_and_refused_by_what_it_says():
    sizes = dict(T=3, B=4, D=2, H=16, K=3, U=4)
    site = Site("lstm_forward", sizes, frozenset(), "float32", chip())
    assert choose(site, "groups").name == "groups"
    for other, reason in (
        (replace(site, precision="float64"), "not float64"),
        (replace(site, given=frozenset({"mask"})), "dropout"),
        (replace(site, sizes=sizes | {"H": 18}), "18 units are no multiple of 4"),
        (replace(site, sizes=sizes | {"H": 512}), "512 units are too many for the 4 processors"),
        (replace(site, precision="tf32", chip=replace(chip(), capability=(7, 5))), "8.0"),
    ):
        with pytest.raises(ValueError, match=f"cannot run lstm_forward: .*{reason}"):
            choose(other, "groups")


# ---------------------------------------------------------------- the barrier


@pytest.fixture
def counted(monkeypatch):
    """Return a counter and a status, to which Python's threads may arrive as blocks do."""
    lock = threading.Lock()
    add = barrier.arrive

    def arrive(counters, group):
        with lock:
            add(counters, group)

    monkeypatch.setattr(barrier, "arrive", arrive)
    return np.zeros(2 * barrier.APART, np.int32), np.zeros(1, np.int32)


def test_two_buffers_and_one_meeting_a_step_are_enough(counted):
    """Blocks write their part of a buffer, meet, read all of it: what they read is what the step wrote."""
    counters, status = counted
    members, steps, seen = 4, 40, []
    h = np.full((2, members), -1)

    def block(member):
        for t in range(steps):
            if t > 0:
                seen.append((t, tuple(h[t % 2])))
            h[(t + 1) % 2, member] = t + 1
            if not barrier.arrive_and_wait(counters, status, 1, (t + 1) * members, 10**7):
                return

    blocks = [threading.Thread(target=block, args=(m,)) for m in range(members)]
    for one in blocks:
        one.start()
    for one in blocks:
        one.join(60)
    assert len(seen) == members * (steps - 1) and all(set(states) == {t} for t, states in seen)
    assert counters[barrier.APART] == members * steps and counters[0] == 0 and status[0] == 0


def test_a_block_that_never_comes_ends_the_wait(counted):
    counters, status = counted
    there = []
    blocks = [
        threading.Thread(target=lambda: there.append(barrier.arrive_and_wait(counters, status, 0, 3, 100)))
        for _ in range(2)
    ]
    for one in blocks:
        one.start()
    for one in blocks:
        one.join(60)
    assert there == [False, False] and status[0] == 2


@pytest.mark.parametrize("limited", [False, True])
@pytest.mark.parametrize("name", WAYS)
def test_blocks_that_meet_take_all_steps_in_one_launch(name, limited, monkeypatch):
    """A forward pass without a tape keeps two states that take turns, a pass back one step's gradient."""
    monkeypatch.setattr(groups, "SIMULATED", False)
    compare(name, drawn(name, limited=limited, every=False, keeps="backward" in name))
    barrier.require_met()


@pytest.mark.parametrize("name", WAYS)
def test_blocks_that_do_not_wait_for_one_another_are_noticed(name, monkeypatch):
    monkeypatch.setattr(groups, "SIMULATED", False)
    monkeypatch.setattr(grouppasses, "arrives_and_waits", lambda *arguments: True)
    with pytest.raises(Race, match="of device memory"):
        on_the_device(name, split_for(name, "float32"), drawn(name))


@pytest.mark.parametrize("name", ["lstm_forward", "gru_after_backward"])
def test_blocks_that_do_not_meet_leave_and_are_reported(name, monkeypatch):
    barrier.require_met()
    arrive = barrier.arrive

    def but_one(counters, group):
        if counters.size == 1 or threading.current_thread().blockIdx.x != 1:
            arrive(counters, group)

    monkeypatch.setattr(barrier, "arrive", but_one)
    monkeypatch.setattr(groups, "SIMULATED", False)
    monkeypatch.setattr(grouppasses, "SPINS", 20)
    left = on_the_device(name, split_for(name, "float32"), drawn(name))
    assert np.isnan(left["h"][T] if "forward" in name else left["dq"][0]).any()
    again = on_the_device(name, split_for(name, "float32"), drawn(name))
    assert not any(np.isnan(array).any() for array in again.values())  # at once, and without results
    with pytest.raises(ValueError, match="the blocks of a group did not meet"):
        barrier.require_met()
    barrier.require_met()
