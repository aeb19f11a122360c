"""Five layers that all look like SimpleRNN: four have a fault in their backward pass. Lesson 5 is about finding them.

Forward they are SimpleRNN. Look here only after you have questioned them with `check_gradients`.
"""

from __future__ import annotations

from .products import weight_gradient
from .program import Buffer, Program
from .simple import SimpleRNN


class Whole:
    """Goes back through all steps at once: the faults below are those of a whole sequence."""

    def steps_at_once(self, p: Program, x: Buffer) -> int:
        """Return the number of steps."""
        return x.shape[0]


class SuspectA(Whole, SimpleRNN):
    """A layer with SimpleRNN's forward pass and, perhaps, its backward pass."""

    kind = "suspect_a"

    def through_time(
        self,
        p: Program,
        Wh: Buffer,
        h: Buffer,
        dh: Buffer,
        da: Buffer,
        below: Buffer | None,
        add: bool = False,
        masks: dict[str, Buffer] | None = None,
    ) -> None:
        """Forget what comes from the future: dh_(t-1) gains nothing from da_t."""
        nothing = self.buffer(p, "nothing", *Wh.shape)  # no call writes it: zeros
        super().through_time(p, nothing, h, dh, da, None)
        if below is not None:
            p.call("input_gradient", da=da[0], W=Wh, dx=below)


class SuspectB(Whole, SimpleRNN):
    """A layer with SimpleRNN's forward pass and, perhaps, its backward pass."""

    kind = "suspect_b"

    def gradients(self, p: Program, x: Buffer, da: Buffer, h: Buffer, given: bool, add: bool = False) -> None:
        """Count the bias at the last step only, though every step uses it."""
        super().gradients(p, x, da, h, given)
        if self.use_bias:
            last = da.shape[0] - 1
            spare = self.buffer(p, "spare", x.shape[2], self.units)
            weight_gradient(p, x[last:], da[last:], spare, f"{self.name}/bias")


class SuspectC(Whole, SimpleRNN):
    """A layer with SimpleRNN's forward pass and, perhaps, its backward pass."""

    kind = "suspect_c"


class SuspectD(Whole, SimpleRNN):
    """A layer with SimpleRNN's forward pass and, perhaps, its backward pass."""

    kind = "suspect_d"

    def gradients(self, p: Program, x: Buffer, da: Buffer, h: Buffer, given: bool, add: bool = False) -> None:
        """Multiply da_t with h_t, the state after the step, instead of h_(t-1), the one before."""
        super().gradients(p, x, da, h, given)
        weight_gradient(p, h[1:], da, f"{self.name}/recurrent_kernel", None)


class SuspectE(Whole, SimpleRNN):
    """A layer with SimpleRNN's forward pass and, perhaps, its backward pass."""

    kind = "suspect_e"

    def through_time(
        self,
        p: Program,
        Wh: Buffer,
        h: Buffer,
        dh: Buffer,
        da: Buffer,
        below: Buffer | None,
        add: bool = False,
        masks: dict[str, Buffer] | None = None,
    ) -> None:
        """Take the slope of another activation: y (1 - y), the sigmoid's, where tanh has 1 - y^2."""
        own, self.activation = self.activation, "sigmoid" if self.activation != "sigmoid" else "tanh"
        try:
            super().through_time(p, Wh, h, dh, da, below)
        finally:
            self.activation = own


SUSPECTS = {"A": SuspectA, "B": SuspectB, "C": SuspectC, "D": SuspectD, "E": SuspectE}
