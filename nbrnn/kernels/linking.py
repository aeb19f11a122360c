"""How a kernel's helpers are compiled: linked into the kernel, and optimised and made machine code there, once.

Numba optimises every function when it is compiled, and makes machine code of it, even where it is only ever inlined
into others; what is called through four levels is optimised four times. A helper's library here holds its LLVM code as
it was written.
"""

from __future__ import annotations

from typing import Any

from numba.core import compiler, typed_passes
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler_machinery import register_pass
from numba.core.cpu import _dynfunc


class Whole(JITCodeLibrary):
    """A kernel's library. Numba optimises twice, since it looks for pairs of reference counts between; here are few."""

    def _optimize_final_module(self) -> None:
        self._run_passes()

    def _run_passes(self, **options: Any) -> None:
        manager, builder = self._codegen._module_pass_manager(**options)
        manager.run(self._final_module, builder)


class Optimised(Whole):
    """A library that is only linked into others."""

    def _optimize_final_module(self) -> None:
        self._run_passes(cost="cheap")  # which turns loops round, so that they can be vectorised

    def _finalize_specific(self) -> None:
        """Make no machine code."""

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True


class Linked(Optimised):
    """One that is not optimised either: that is left to what it is linked into."""

    def _optimize_final_module(self) -> None:
        pass

    def _optimize_functions(self, ll_module: Any) -> None:
        ll_module.data_layout = self._codegen._data_layout


@register_pass(mutates_CFG=True, analysis_only=False)
class WholeLowering(typed_passes.NativeLowering):
    """Lowers a kernel."""

    _name = "whole_lowering"
    library: type[Whole] = Whole

    def run_pass(self, state: Any) -> bool:
        """Lower the function into a library of ours."""
        state.library = self.library(state.targetctx.codegen(), state.func_id.func_qualname)
        state.library.enable_object_caching()
        return bool(super().run_pass(state))


@register_pass(mutates_CFG=True, analysis_only=False)
class LinkedLowering(WholeLowering):
    """Lowers a function into a library that is only linked."""

    _name = "linked_lowering"
    library = Linked

    def run_pass(self, state: Any) -> bool:
        """Lower, and register the function for calls from compiled code; from Python it cannot be called."""
        state.flags.no_compile = True
        super().run_pass(state)
        lowered, library = state["cr"], state.library
        description = lowered.fndesc
        name = description.qualname.split(".")[-1]
        module = description.lookup_module()
        function = _dynfunc.make_function(module, name, "", 0, lowered.env, (library,))
        state.targetctx.insert_user_function(function, description, [library])
        state["cr"] = lowered._replace(cfunc=function)
        return True


@register_pass(mutates_CFG=True, analysis_only=False)
class OptimisedLowering(LinkedLowering):
    """Lowers a function into a library that is optimised before it is linked."""

    _name = "optimised_lowering"
    library = Optimised


class Compiled(compiler.CompilerBase):
    """Numba's pipeline, but for the last pass: what becomes machine code."""

    lowering: type[WholeLowering] = WholeLowering

    def define_pipelines(self) -> list[Any]:
        """Return Numba's own passes with the last one exchanged."""
        manager = compiler.DefaultPassBuilder.define_nopython_pipeline(self.state, "helper")
        manager.passes = [
            (self.lowering, text) if kind is typed_passes.NativeLowering else (kind, text)
            for kind, text in manager.passes
        ]
        manager.finalize()
        return [manager]


class Helper(Compiled):
    """What is linked into others."""

    lowering = LinkedLowering


class Outermost(Compiled):
    """A kernel's function: optimised before its arrays' addresses are known, and once more with them."""

    lowering = OptimisedLowering
