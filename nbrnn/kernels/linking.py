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


class Linked(JITCodeLibrary):
    """A library that is only linked into others."""

    def _optimize_final_module(self) -> None:
        """Leave it to the library that this one is linked into."""

    def _finalize_specific(self) -> None:
        """Make no machine code."""

    def _optimize_functions(self, ll_module: Any) -> None:
        ll_module.data_layout = self._codegen._data_layout

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True


@register_pass(mutates_CFG=True, analysis_only=False)
class LinkedLowering(typed_passes.NativeLowering):
    """Lowers a function into a library that is only linked."""

    _name = "linked_lowering"

    def run_pass(self, state: Any) -> bool:
        """Lower, and register the function for calls from compiled code; from Python it cannot be called."""
        library = state.library = Linked(state.targetctx.codegen(), state.func_id.func_qualname)
        library.enable_object_caching()
        state.flags.no_compile = True
        super().run_pass(state)
        lowered = state["cr"]
        description = lowered.fndesc
        name = description.qualname.split(".")[-1]
        module = description.lookup_module()
        function = _dynfunc.make_function(module, name, "", 0, lowered.env, (library,))
        state.targetctx.insert_user_function(function, description, [library])
        state["cr"] = lowered._replace(cfunc=function)
        return True


class Helper(compiler.CompilerBase):
    """Numba's pipeline, but for the last pass."""

    def define_pipelines(self) -> list[Any]:
        """Return Numba's own passes with the last one exchanged."""
        manager = compiler.DefaultPassBuilder.define_nopython_pipeline(self.state, "helper")
        manager.passes = [
            (LinkedLowering, text) if kind is typed_passes.NativeLowering else (kind, text)
            for kind, text in manager.passes
        ]
        manager.finalize()
        return [manager]
