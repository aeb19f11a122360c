"""Lanes: a register's worth of float32, worked on by one expression as if they were one number.

    store(y, j, n, tanh(load(x, j, n) * load(w, j, n)))      n neighbours, n <= width(y)

A cell writes its arithmetic once. In float32 `load` reads as many neighbours as a register holds, and `+ - * /`,
`muladd`, comparisons and `pick` work on all of them; in float64, in complex128 and in plain Python it reads one number.
Nothing depends on what LLVM's vectoriser makes of a loop. A row's rest, n < width, is read and written under a mask,
and its other lanes hold zeros. On other targets than the CPU it is one number always: a thread has no lanes.
"""

import operator
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.imputils import lower_builtin
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, models, register_model

from .abi import overloaded
from .tile import VECTOR_BYTES

WIDTH = VECTOR_BYTES // 4
I32, I64, FLOAT = ir.IntType(32), ir.IntType(64), ir.FloatType()
VECTOR, FLAGS = ir.VectorType(FLOAT, WIDTH), ir.VectorType(ir.IntType(1), WIDTH)
FIRST = ir.Constant(ir.VectorType(I32, WIDTH), [0] * WIDTH)


class Lanes(types.Type):
    """The type of WIDTH float32, or of as many truth values."""

    def __init__(self, kind: str) -> None:
        super().__init__(name=f"lanes of {kind}")


numbers, flags = Lanes("float32"), Lanes("bool")


@register_model(Lanes)
class _Model(models.PrimitiveModel):
    def __init__(self, manager, kind):  # type: ignore[no-untyped-def]
        super().__init__(manager, kind, VECTOR if kind is numbers else FLAGS)


def _spread(builder: ir.IRBuilder, value: Any) -> Any:
    """Return a value in all lanes."""
    if isinstance(value.type, ir.VectorType):
        return value
    nothing = ir.Constant(ir.VectorType(value.type, WIDTH), ir.Undefined)
    return builder.shuffle_vector(builder.insert_element(nothing, value, I32(0)), nothing, FIRST)


def _lanes(*kinds: Any) -> bool:
    """Return whether an operation is one of lanes: some are, the others are float32."""
    return numbers in kinds and all(kind in (numbers, types.float32) for kind in kinds)


def _operator(function: Any, result: Lanes, emit: Any) -> None:
    """Give an operator its form for lanes, or lanes and one float32."""

    @infer_global(function)
    class _Template(AbstractTemplate):
        def generic(self, args, kws):  # type: ignore[no-untyped-def]
            return signature(result, *args) if _lanes(*args) else None

    def lower(context, builder, sig, args):  # type: ignore[no-untyped-def]
        return emit(builder, *(_spread(builder, a) for a in args))

    for kinds in ((numbers, numbers), (numbers, types.float32), (types.float32, numbers)):
        lower_builtin(function, *kinds)(lower)


for _function, _name in (
    (operator.add, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _operator(_function, numbers, lambda builder, a, b, name=_name: getattr(builder, name)(a, b))
for _function, _name in ((operator.gt, ">"), (operator.lt, "<"), (operator.ge, ">=")):
    _operator(_function, flags, lambda builder, a, b, name=_name: builder.fcmp_ordered(name, a, b))


@infer_global(operator.or_)
class _Or(AbstractTemplate):
    def generic(self, args, kws):  # type: ignore[no-untyped-def]
        return signature(flags, *args) if args == (flags, flags) else None


@lower_builtin(operator.or_, flags, flags)
def _or(context, builder, sig, args):  # type: ignore[no-untyped-def]
    return builder.or_(*args)


def llvm_function(builder: ir.IRBuilder, name: str, returns: Any, *takes: Any) -> Any:
    """Declare an LLVM function in the module that is being written."""
    return cgutils.get_or_insert_function(builder.module, ir.FunctionType(returns, takes), name)


for _unary in (operator.neg, abs):

    @infer_global(_unary)
    class _Unary(AbstractTemplate):
        def generic(self, args, kws):  # type: ignore[no-untyped-def]
            return signature(numbers, *args) if args == (numbers,) else None


@lower_builtin(operator.neg, numbers)
def _negative(context, builder, sig, args):  # type: ignore[no-untyped-def]
    return builder.fneg(args[0])


@lower_builtin(abs, numbers)
def _abs(context, builder, sig, args):  # type: ignore[no-untyped-def]
    return builder.call(llvm_function(builder, f"llvm.fabs.v{WIDTH}f32", VECTOR, VECTOR), args)


def pick(condition: Any, yes: Any, no: Any) -> Any:
    """Return `yes` where the condition holds, else `no`."""
    return yes if condition else no


@intrinsic
def _pick(typingctx, condition, yes, no):  # type: ignore[no-untyped-def]
    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        return builder.select(args[0], _spread(builder, args[1]), _spread(builder, args[2]))

    return numbers(condition, yes, no), codegen


@overloaded(pick)
def _native_pick(condition, yes, no):  # type: ignore[no-untyped-def]
    if condition is flags:
        return lambda condition, yes, no: _pick(condition, yes, no)
    return lambda condition, yes, no: yes if condition else no


def constant(a: Any, value: float) -> Any:
    """Return a constant in the type of a."""
    return type(a)(value)


@intrinsic
def _constant(typingctx, a, value):  # type: ignore[no-untyped-def]
    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        return _spread(builder, builder.fptrunc(args[1], FLOAT))

    return numbers(a, types.float64), codegen


@overloaded(constant)
def _native_constant(a, value):  # type: ignore[no-untyped-def]
    if a is numbers:
        return lambda a, value: _constant(a, value)
    return lambda a, value: type(a)(value)


def real(a: Any) -> Any:
    """Return the real part, by which complex numbers are compared."""
    return a.real


@overloaded(real)
def _native_real(a):  # type: ignore[no-untyped-def]
    if isinstance(a, types.Complex):
        return lambda a: a.real
    return lambda a: a


def power(t: Any) -> Any:
    """Return 2^k from a float32 whose last bits are those of the integer k + 127: they move to the exponent."""
    return np.uint32(np.float32(t).view(np.uint32) << np.uint32(23)).view(np.float32)


@intrinsic
def _power(typingctx, t):  # type: ignore[no-untyped-def]
    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        kind = args[0].type
        whole = ir.VectorType(I32, WIDTH) if isinstance(kind, ir.VectorType) else I32
        places = ir.Constant(whole, [23] * WIDTH) if isinstance(kind, ir.VectorType) else I32(23)
        return builder.bitcast(builder.shl(builder.bitcast(args[0], whole), places), kind)

    return t(t), codegen


@overloaded(power)
def _native_power(t):  # type: ignore[no-untyped-def]
    return lambda t: _power(t)


ROOT_HALF = 0x3F3504F3  # the bits of sqrt(1/2) as a float32


def exponent(x: Any) -> Any:
    """Return k, as a float32, of a normal x = 2^k m above 0, where m is from sqrt(1/2) to sqrt(2)."""
    return np.float32((int(np.float32(x).view(np.int32)) - ROOT_HALF) >> 23)


def significand(x: Any) -> Any:
    """Return that m."""
    return np.int32(((int(np.float32(x).view(np.int32)) - ROOT_HALF) & 0x7FFFFF) + ROOT_HALF).view(np.float32)


def _of_bits(emit: Any) -> Any:
    """Make an intrinsic that makes a float32, or lanes, of the bits of another, less ROOT_HALF."""

    @intrinsic
    def made(typingctx, x):  # type: ignore[no-untyped-def]
        def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
            kind = args[0].type
            vector = isinstance(kind, ir.VectorType)
            whole = ir.VectorType(I32, WIDTH) if vector else I32

            def number(value):  # type: ignore[no-untyped-def]
                return ir.Constant(whole, [value] * WIDTH) if vector else I32(value)

            bits = builder.sub(builder.bitcast(args[0], whole), number(ROOT_HALF))
            return emit(builder, bits, number, kind)

        return x(x), codegen

    return made


_exponent = _of_bits(lambda builder, bits, number, kind: builder.sitofp(builder.ashr(bits, number(23)), kind))
_significand = _of_bits(
    lambda builder, bits, number, kind: builder.bitcast(
        builder.add(builder.and_(bits, number(0x7FFFFF)), number(ROOT_HALF)), kind
    )
)


@overloaded(exponent)
def _native_exponent(x):  # type: ignore[no-untyped-def]
    return lambda x: _exponent(x)


@overloaded(significand)
def _native_significand(x):  # type: ignore[no-untyped-def]
    return lambda x: _significand(x)


def muladd(a: Any, b: Any, c: Any) -> Any:
    """Return a b + c; natively, in one real dtype, with one rounding where the processor has FMA and two elsewhere."""
    return a * b + c


@intrinsic
def _fmuladd(typingctx, a, b, c):  # type: ignore[no-untyped-def]
    """Emit llvm.fmuladd: the target alone decides, where fastmath's `contract` leaves it to each optimisation."""
    lanes = numbers in (a, b, c)

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        values = [_spread(builder, v) for v in args] if lanes else args
        kind = values[0].type
        suffix = f"v{WIDTH}f32" if lanes else {"float": "f32", "double": "f64"}[str(kind)]
        return builder.call(llvm_function(builder, f"llvm.fmuladd.{suffix}", kind, kind, kind, kind), values)

    return (numbers if lanes else a)(a, b, c), codegen


@overloaded(muladd)
def _muladd(a, b, c):  # type: ignore[no-untyped-def]
    if _lanes(a, b, c) or (a == b == c and a in (types.float32, types.float64)):
        return lambda a, b, c: _fmuladd(a, b, c)
    return lambda a, b, c: a * b + c


def width(V: Any) -> int:
    """Return how many numbers of an array are worked on at once."""
    return 1


@overloaded(width, elsewhere=lambda V: lambda V: 1)
def _width(V):  # type: ignore[no-untyped-def]
    count = WIDTH if V.dtype == types.float32 else 1
    return lambda V: count


def load(V: Any, j: int, n: int) -> Any:
    """Return n neighbours of a row from its j-th number on, at most `width(V)`."""
    return V[j]


def store(V: Any, j: int, n: int, value: Any) -> None:
    """Write n neighbours of a row."""
    V[j] = value


def _place(context, builder, kind, array, j):  # type: ignore[no-untyped-def]
    """Return the address of a row's j-th number."""
    data = context.make_array(kind)(context, builder, array).data
    return builder.gep(builder.bitcast(data, ir.PointerType()), [j], inbounds=True, source_etype=FLOAT)


def _mask(builder: ir.IRBuilder, n: Any) -> Any:
    """Return which lanes are below n; all of them, known to LLVM, where n is the constant width."""
    counts = ir.Constant(ir.VectorType(I64, WIDTH), list(range(WIDTH)))
    return builder.icmp_signed("<", counts, _spread(builder, n))


@intrinsic
def _load(typingctx, V, j, n):  # type: ignore[no-untyped-def]
    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        place, zero = _place(context, builder, sig.args[0], *args[:2]), ir.Constant(VECTOR, [0.0] * WIDTH)
        read = llvm_function(builder, f"llvm.masked.load.v{WIDTH}f32.p0", VECTOR, ir.PointerType(), I32, FLAGS, VECTOR)
        return builder.call(read, [place, I32(4), _mask(builder, args[2]), zero])

    return numbers(V, types.intp, types.intp), codegen


@overloaded(load, elsewhere=lambda V, j, n: lambda V, j, n: V[j])
def _native_load(V, j, n):  # type: ignore[no-untyped-def]
    if V.dtype == types.float32:
        return lambda V, j, n: _load(V, j, n)
    return lambda V, j, n: V[j]


@intrinsic
def _store(typingctx, V, j, n, value):  # type: ignore[no-untyped-def]
    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        place, value = _place(context, builder, sig.args[0], *args[:2]), _spread(builder, args[3])
        takes = (VECTOR, ir.PointerType(), I32, FLAGS)
        write = llvm_function(builder, f"llvm.masked.store.v{WIDTH}f32.p0", ir.VoidType(), *takes)
        if VECTOR_BYTES == 64:
            builder.call(write, [value, place, I32(4), _mask(builder, args[2])])
            return context.get_dummy_value()
        with builder.if_else(builder.icmp_signed(">=", args[2], I64(WIDTH))) as (whole, rest):  # a mask costs more here
            with whole:
                builder.call(write, [value, place, I32(4), ir.Constant(FLAGS, [1] * WIDTH)])
            with rest:
                builder.call(write, [value, place, I32(4), _mask(builder, args[2])])
        return context.get_dummy_value()

    return types.void(V, types.intp, types.intp, value), codegen


def _store_one(V, j, n, value):  # type: ignore[no-untyped-def]
    V[j] = value


@overloaded(store, elsewhere=lambda V, j, n, value: _store_one)
def _native_store(V, j, n, value):  # type: ignore[no-untyped-def]
    if V.dtype == types.float32:
        return lambda V, j, n, value: _store(V, j, n, value)
    return _store_one
