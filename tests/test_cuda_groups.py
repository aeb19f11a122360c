"""Design "groups": its arithmetic, its fragments of tensor cores, its kernels in the simulator and compiled."""

from dataclasses import replace

import numpy as np
import pytest
from cuda_compiling import ARCHITECTURES, array, compiled, needs_compiler
from numba import types

from nbrnn.kernels.activations import SIGMOID, TANH
from nbrnn.targets.cuda import tensorcores
from nbrnn.targets.cuda.designs import Site
from nbrnn.targets.cuda.device import CHIPS
from nbrnn.targets.cuda.splits import REGISTERS, THREADS, Split, split_of
from nbrnn.targets.cuda.tensorcores import PER_REGISTER, a_place, b_place, c_place, number_of

SIZES, PRECISIONS = (256, 512, 1024), ("float32", "tf32", "bfloat16")
CELLS = {  # dimensions of a cell's other arrays, forward and backward
    "lstm": ((3, 3, 3, 3), (3, 3, 3, 2, 1)),
    "gru_after": ((1, 3, 3, 3), (3, 3, 3, 3, 2)),
    "simple_rnn": ((3, 1, 1, 1), (3, 1, 1, 1, 1)),
}


@pytest.mark.cudasim
def test_groups_in_the_simulator(passes_in_the_simulator):
    passes_in_the_simulator("cuda_groups_simulated.py")


def site(cell, way, H, B=64, precision="float32", chip="H200"):
    return Site(f"{cell}_{way}", {"H": H, "B": B}, frozenset(), precision, CHIPS[chip])


def held(B, H, precision="float32", **sizes):
    return Split(False, H, 4, precision, 16, 1, B, **sizes)


# ---------------------------------------------------------------- how a layer lies on a chip


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize("B", [1, 7, 64, 1024])
@pytest.mark.parametrize("way", ["forward", "backward"])
@pytest.mark.parametrize("cell", CELLS)
def test_every_unit_sequence_and_weight_has_one_place(cell, way, B, chip):
    for H in (4, 100, 256, 512, 768, 1024):
        for precision in PRECISIONS:
            split = split_of(site(cell, way, H, B, precision, chip))
            if isinstance(split, str):
                assert H >= 768
                continue
            assert split.groups * split.members <= CHIPS[chip].processors and split.groups <= B
            assert (split.members - 1) * split.units < H <= split.members * split.units
            assert split.groups * (split.sequences - 1) < B <= split.groups * split.sequences
            assert split.parts * split.share >= split.depth and split.share % (16 if split.cores else 4) == 0
            lanes = 32 if split.cores else split.columns
            assert split.parts * lanes <= split.threads == THREADS
            width = (8 if split.half else 16 * split.tiles) if split.cores else split.columns
            numbers = PER_REGISTER.get(precision, 1)
            assert split.columns <= width and split.weights * lanes * numbers >= split.share * width
            assert split.weights <= REGISTERS and 0 < split.shared <= CHIPS[chip].shared
            assert split.rows > 0 and split.rows % (8 if split.cores else 4) == 0
            assert split.stride % 32 == 16 and split.stride >= split.parts * split.share


def test_weights_of_a_large_layer_fit_a_chip_exactly():
    split = split_of(site("lstm", "forward", 1024))
    assert (split.units, split.members, split.groups) == (8, 128, 1)
    assert split.weights * THREADS * 4 == 1024 * 4096 * 4 // 128
    assert split_of(site("lstm", "forward", 1024, precision="bfloat16")).members == 64
    assert "1024 units are too many for the 108 processors of NVIDIA A100" in split_of(
        site("lstm", "forward", 1024, chip="A100")
    )


def test_reads_and_products_are_weighed():
    split = held(16, 512)
    assert split.clocks == 16 * 512 * 4 / 64 + 16 * 512 * 64 / 128
    assert replace(split, precision="tf32").clocks == 16 * 512 * 4 / 64 + 16 * 512 * 64 / 512
    assert replace(split, sequences=1).clocks == 512 * 4 / 64 + 4 * 512 * 64 / 128
    assert split_of(site("lstm", "forward", 512, 1)).units == 8  # more blocks share the products of one sequence


# ---------------------------------------------------------------- tensor cores


def product_by_definition(A, B, per):
    """Pack A (16 x 16) and B (16 x 8) as a block does, multiply as mma.sync is defined, and unpack C."""
    pack = tensorcores.to_bfloat16 if per == 2 else tensorcores.to_tf32
    word = lambda numbers: sum(int(pack(x)) << (16 * half) for half, x in enumerate(numbers))
    c = np.zeros((32, 4), np.float32)
    for mma in range(2 // per):
        a, b = np.zeros((32, 4), np.uint32), np.zeros((32, 2), np.uint32)
        for lane in range(32):
            for r in range(4):
                places = [a_place(lane, r, half, per) for half in range(per)]
                a[lane, r] = word(A[row, number_of(mma, k, per)] for row, k in places)
            for r in range(2):
                places = [b_place(lane, r, half, per) for half in range(per)]
                b[lane, r] = word(B[number_of(mma, k, per), column] for k, column in places)
        c = np.array([tensorcores.product_of_fragments(a, b, c[lane], lane, per) for lane in range(32)])
    C = np.zeros((16, 8), np.float32)
    for lane in range(32):
        for r in range(4):
            C[c_place(lane, r)] = c[lane, r]
    return C


@pytest.mark.parametrize(("precision", "rounding"), [("bfloat16", 2**-8), ("tf32", 2**-11)])
def test_fragments_make_the_product(precision, rounding):
    rng = np.random.default_rng(3)
    A, B = rng.normal(size=(16, 16)).astype(np.float32), rng.normal(size=(16, 8)).astype(np.float32)
    per = PER_REGISTER[precision]
    bits = tensorcores.to_bfloat16 if per == 2 else tensorcores.to_tf32
    near = [np.array(bits(M) << np.uint32(16 * (per - 1)), np.uint32).view(np.float32) for M in (A, B)]
    for M, rounded in zip((A, B), near, strict=True):
        assert np.abs(M - rounded).max() > 0 and (np.abs(M - rounded) <= rounding * np.abs(M)).all()
    np.testing.assert_allclose(product_by_definition(A, B, per), near[0] @ near[1], rtol=0, atol=2e-6)


@pytest.mark.parametrize("per", [1, 2])
def test_every_number_has_one_place_in_the_fragments(per):
    lanes, halves, depth = range(32), range(per), 8 * per
    A = {a_place(lane, r, half, per) for lane in lanes for r in range(4) for half in halves}
    B = {b_place(lane, r, half, per) for lane in lanes for r in range(2) for half in halves}
    assert {(row, k) for row in range(16) for k in range(depth)} == A
    assert {(k, column) for k in range(depth) for column in range(8)} == B
    assert {c_place(lane, r) for lane in lanes for r in range(4)} == {(i, j) for i in range(16) for j in range(8)}
    numbers = sorted(number_of(mma, k, per) for mma in range(2 // per) for k in range(depth))
    assert numbers == list(range(16))
    for lane in lanes:  # the four neighbours that a lane reads are all that its registers of B hold
        places = [(mma, *b_place(lane, r, half, per)) for mma in range(2 // per) for r in range(2) for half in halves]
        assert [number_of(mma, k, per) for mma, k, _ in places] == [4 * (lane % 4) + i for i in range(4)]


def test_rounding_is_to_the_nearest():
    to16, to19 = tensorcores.to_bfloat16, tensorcores.to_tf32
    float_of = lambda bits: np.uint32(bits).view(np.float32)
    for bits, rounded in ((0x3F808000, 0x3F80), (0x3F818000, 0x3F82), (0x3F808001, 0x3F81), (0xFF800000, 0xFF80)):
        assert to16(float_of(bits)) == rounded
    assert to16(np.float32(np.nan)) == 0x7FFF
    for bits, rounded in ((0x3F801000, 0x3F802000), (0x3F800FFF, 0x3F800000), (0x7F800000, 0x7F800000)):
        assert to19(float_of(bits)) == rounded


# ---------------------------------------------------------------- machine code


def signature_of(cell, way):
    matrix, cube, whole = array("float32", 2), array("float32", 3), types.int64
    others = [array("float32", n) for n in CELLS[cell][way == "backward"]]
    words, meeting = array("int64", 1), [array("int32", 1)] * 2
    if way == "forward":
        return (matrix, cube, words, whole, cube, *others, *meeting, whole, whole, whole)
    return (matrix, words, whole, cube, cube, matrix, *others, *meeting, whole, whole)


SITES = [  # every size in every precision, half of them forward
    ("lstm", ("forward", "backward")[(i + j) % 2], H, precision, "H200")
    for i, H in enumerate(SIZES)
    for j, precision in enumerate(PRECISIONS)
]
SITES += [("gru_after", way, 512, p, "H200") for way, p in (("forward", "bfloat16"), ("backward", "float32"))]
SITES += [("simple_rnn", way, 512, p, "H200") for way, p in (("forward", "tf32"), ("backward", "bfloat16"))]
SITES += [("lstm", "forward", 256, p, chip) for p, chip in (("bfloat16", "A100"), ("float32", "B200"))]


class TestCompiled:
    pytestmark = needs_compiler

    @pytest.mark.parametrize("case", SITES, ids=lambda case: "-".join(map(str, case)))
    def test_weights_stay_in_registers(self, case, tmp_path):
        from nbrnn.targets.cuda import grouppasses

        cell, way, H, precision, chip = case
        split = split_of(site(cell, way, H, 64, precision, chip))
        if isinstance(split, str):  # tf32 at 1024 units: half a tile of weights, and twice the numbers to multiply
            assert (cell, way, H, precision) == (
                "lstm",
                "backward",
                1024,
                "tf32",
            ) and "1024 units are too many" in split
            return
        kernel = grouppasses.kernel_of(cell, split, TANH, SIGMOID)
        assert CHIPS[chip].capability in ARCHITECTURES
        found = compiled(kernel, signature_of(cell, way), CHIPS[chip].capability, tmp_path)
        assert found.stack == found.spills == found.shared == 0 and ".local" not in found.ptx
        assert split.weights < found.registers and found.registers * THREADS <= CHIPS[chip].registers
        assert ".f64" not in found.ptx
        # What others write is never read by way of a cache that is not coherent, and 16 bytes are copied at once.
        assert "cp.async.cg.shared.global" in found.ptx and "ld.global.nc" not in found.ptx
        assert found.ptx.count(".extern .shared .align 16") == found.ptx.count(".extern .shared") == 2
        assert "div.s64" not in found.ptx and "rem.s64" not in found.ptx  # a hundred clocks each, in every step
        for barrier in ("red.release.gpu.add.s32", "ld.acquire.gpu.s32"):  # of the meetings, and of the status
            assert found.ptx.count(barrier) == 2
        kind = {"float32": "", "tf32": "m16n8k8.row.col.f32.tf32", "bfloat16": "m16n8k16.row.col.f32.bf16"}[precision]
        products = split.share // 16 * split.tiles * (2 if precision == "tf32" else 1)
        assert found.ptx.count("mma.sync") == (products if kind else 0)
        assert found.ptx.count(f"mma.sync.aligned.{kind}") == (products if kind else 0)
        assert found.ptx.count("fma.rn.f32") >= (0 if kind else 4 * split.share)
