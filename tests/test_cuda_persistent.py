"""The design "persistent": what fits, the simulator's tests in their process, and kernels compiled without a GPU."""

import re
from pathlib import Path

import numpy as np
import pytest
from cuda_compiling import missing
from cuda_persistent_compiled import EVERYTHING, TRAINING, assembled

from nbrnn.targets.cuda import groups, persistent
from nbrnn.targets.cuda.designs import PRECISIONS, Site, choose, told
from nbrnn.targets.cuda.device import CHIPS
from nbrnn.targets.cuda.persistent_layout import KERNELS, fitting, lay
from nbrnn.targets.cuda.persistent_memory import allow_shared, high_half, low_half, pair

HERE = Path(__file__).parent
PASSES = [f"{cell}_{way}" for cell in ("simple_rnn", "lstm", "gru_after") for way in ("forward", "backward")]


def site(kernel="lstm_forward", units=64, samples=64, precision="float32", chip="H200"):
    return Site(kernel, {"T": 5, "B": samples, "H": units}, frozenset(), precision, CHIPS[chip])


# ---------------------------------------------------------------- what fits


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float64"])
@pytest.mark.parametrize("chip", CHIPS)
def test_a_layout_covers_the_matrices_and_stays_within_the_chip(kernel, precision, chip):
    limits = CHIPS[chip]
    for units in (1, 3, 16, 33, 64, 96, 128, 192):
        for samples in (1, 130, 1000, 10**5):
            layout = fitting(kernel, units, samples, precision, limits)
            if layout is None:
                continue
            for matrix in layout.matrices:
                assert matrix.slices * matrix.groups <= layout.threads
                assert matrix.slices * matrix.each >= matrix.inputs > (matrix.slices - 1) * matrix.each
                assert matrix.held <= matrix.each and matrix.each % 4 == matrix.held % 4 == 0
            assert layout.rows % layout.abreast == 0 and layout.items * layout.threads >= layout.rows * units
            assert layout.shared <= limits.shared and layout.registers < layout.needed <= 255
            assert layout.needed * layout.threads <= limits.registers
            assert layout.rows in (1, 2, 4, 8) and (layout.rows == 1 or layout.rows < 2 * samples / limits.processors)


@pytest.mark.parametrize(("precision", "units"), [("float32", 128), ("tf32", 128), ("bfloat16", 192), ("float64", 64)])
@pytest.mark.parametrize("kernel", KERNELS)
def test_the_sizes_that_are_promised_fit(kernel, precision, units):
    for n in range(1, units + 1):
        assert choose(site(kernel, n, 16, precision)).name == "persistent"


def test_what_does_not_fit_is_refused_with_the_arithmetic():
    assert persistent.refuses(site(units=512)) == (
        "the recurrent weights of its 512 units take 4096 KB in float32, and beside what a step needs a processor of "
        "NVIDIA H200 has 128 KB of registers and 217 KB of shared memory for them"
    )
    with pytest.raises(ValueError, match="design 'persistent' cannot run lstm_forward: the recurrent weights of its"):
        choose(site(units=512), "persistent")
    assert persistent.refuses(site(units=1024)) == (
        "a step of its 1024 units, with 4096 sums, takes more registers than 512 threads can have"
    )


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_what_is_refused_needs_more_than_there_is(kernel, precision):
    for chip in CHIPS:
        for units in range(4, 1025, 28):
            reason = persistent.refuses(site(kernel, units, 64, precision, chip))
            sizes = [int(number) for number in re.findall(r"(\d+) KB", reason)]
            if "KB" in reason:
                assert sizes[0] >= sizes[1] + sizes[2] > 0
            else:
                assert not reason or "takes more registers than 512 threads can have" in reason
            assert bool(reason) == (fitting(kernel, units, 64, precision, CHIPS[chip]) is None)


def test_the_printed_program_says_why_a_design_is_not_taken():
    assert told(site()) == "persistent: 1 sequence a block, 64 KB of weights in registers"
    assert told(site(units=512)) == (
        f"groups: {groups.describe(site(units=512))}; not persistent, since {persistent.refuses(site(units=512))}"
    )
    assert groups.describe(site(units=512)) == (
        "4 groups of 32 blocks, 128 KB of weights in the registers of each block"
    )
    assert told(site(units=512), "steps") == "steps"
    text = told(site(units=300, precision="float64"))
    assert text.startswith("steps: not persistent, since the recurrent weights of its 300 units")
    assert text.endswith("; not groups, since it multiplies float32, tf32 or bfloat16, not float64")


def test_a_layout_says_where_the_weights_lie():
    assert persistent.describe(site()) == "1 sequence a block, 64 KB of weights in registers"
    layout = lay("lstm_forward", 128, "float32", 4, 4, 256)
    held = layout.matrices[0].held / 64
    assert str(layout) == (
        f"4 sequences a block, {256 * held:.3g} KB of weights in registers, {256 * (1 - held):.3g} KB in shared memory"
    )
    assert 0 < held < 1


def test_sums_do_not_depend_on_the_batch():
    for kernel in KERNELS:
        for units in (5, 64, 128):
            shapes = {
                tuple((m.slices, m.each) for m in fitting(kernel, units, b, "float32", CHIPS["H200"]).matrices)
                for b in (1, 64, 200, 400, 5000)
            }
            assert len(shapes) == 1


def test_pairs_hold_bfloat16_exactly():
    rng = np.random.default_rng(1)
    bits = (rng.integers(0, 2**16, (500, 2)) << 16).astype(np.uint32)
    numbers = bits[np.isfinite(bits.view(np.float32)).all(axis=1)].view(np.float32)
    for low, high in numbers:
        both = pair(low, high)
        assert low_half(both).tobytes() == low.tobytes() and high_half(both).tobytes() == high.tobytes()
    assert len(numbers) > 400


def test_shared_memory_beyond_48_kb_is_asked_for(monkeypatch):
    driver = pytest.importorskip("numba.cuda.cudadrv.driver")
    if not hasattr(driver, "binding"):
        pytest.skip("numba-cuda is not installed")
    asked = []

    class Driver:
        def cuKernelSetAttribute(self, *arguments):
            asked.append(arguments)

    class Function:
        handle = "handle"
        device = type("Device", (), {"id": 3})

    library = type("Library", (), {"get_cufunc": lambda self: Function()})
    kernel = type("Kernel", (), {"overloads": {0: type("Definition", (), {"_codelibrary": library()})()}})
    monkeypatch.setattr(driver, "driver", Driver())
    allow_shared(kernel, 48 * 1024)
    assert not asked
    allow_shared(kernel, 100_000)
    wanted = driver.binding.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
    assert asked == [(wanted, 100_000, "handle", 3)]


# ---------------------------------------------------------------- the simulator


@pytest.mark.cudasim
def test_in_the_simulator(passes_in_the_simulator):
    passes_in_the_simulator("cuda_persistent_simulated.py")


# ---------------------------------------------------------------- compiled without a GPU


LAST = EVERYTHING - {"every"}  # where the last step alone feeds the loss
COMPILED = [
    *((name, "float32", 128, 64, TRAINING, "H200") for name in PASSES),
    *((name, "bfloat16", 192, 64, TRAINING, "H200") for name in ("lstm_forward", "lstm_backward")),
    ("lstm_forward", "float32", 64, 1024, EVERYTHING, "H200"),
    ("gru_before_backward", "float32", 96, 64, EVERYTHING, "H200"),
    ("lstm_backward", "float32", 128, 64, EVERYTHING, "A100"),
    ("gru_after_forward", "float32", 128, 1024, TRAINING, "B200"),
    # Where few registers are left beside the weights: many sequences of a block, pairs, float64, each with all options.
    ("lstm_backward", "float32", 128, 1024, TRAINING, "H200"),
    ("gru_before_backward", "float32", 100, 1024, EVERYTHING, "A100"),
    ("simple_rnn_backward", "float32", 192, 1024, LAST, "A100"),
    ("lstm_backward", "bfloat16", 96, 1024, EVERYTHING, "A100"),
    ("lstm_backward", "bfloat16", 192, 64, LAST, "A100"),
    ("gru_after_backward", "bfloat16", 160, 64, TRAINING, "A100"),
    ("gru_before_backward", "bfloat16", 160, 1024, LAST, "H200"),
    ("gru_before_forward", "bfloat16", 224, 200, frozenset({"biased"}), "H200"),
    ("gru_after_forward", "float64", 100, 1, frozenset({"biased"}), "A100"),
    ("gru_before_backward", "float64", 96, 1, TRAINING, "B200"),
]


@pytest.mark.cuda_compile
@pytest.mark.skipif(bool(missing()), reason=missing())
@pytest.mark.parametrize(
    ("kernel", "precision", "units", "samples", "words", "chip"),
    COMPILED,
    ids=[f"{k}-{p}-{h}-{b}-{c}-{len(w)} words" for k, p, h, b, w, c in COMPILED],
)
def test_weights_stay_in_registers(kernel, precision, units, samples, words, chip, tmp_path):
    layout = fitting(kernel, units, samples, precision, CHIPS[chip])
    made = assembled(layout, words, chip, tmp_path)
    assert (made.stack, made.spills, made.shared) == (0, 0, 0)  # shared memory is asked for at the launch
    assert layout.registers < made.registers <= min(255, 65536 // layout.threads)
    # One number beside the sums in double precision would be arithmetic at 1/64 of the speed.
    assert (".f64" in made.ptx) == (precision == "float64") and ".local" not in made.ptx
    assert "ld.global.nc" not in made.ptx and "div.s64" not in made.ptx and "rem.s64" not in made.ptx
    assert made.ptx.count(".extern .shared .align 16") == made.ptx.count(".extern .shared") == 1  # 16 bytes at once
    blocks = sum(m.each // 4 for m in layout.matrices) * layout.abreast
    kind, load = ("f64", "ld.shared.v2.f64") if precision == "float64" else ("f32", "ld.shared.v4.f32")
    assert made.ptx.count(f"fma.rn.{kind}") >= 16 * blocks and load in made.ptx
