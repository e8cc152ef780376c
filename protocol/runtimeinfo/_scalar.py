"""Scalars: the one definition, which needs neither NumPy nor PyTorch, and how values are described in messages.

A scalar is a real number, or an array of exactly one:

- Python `int`, `float`, `bool` and any other `numbers.Real` (`fractions.Fraction`), if a float can hold it;
- anything with an ``item()`` and exactly one element of a real dtype: NumPy, PyTorch, JAX and CuPy arrays
  and NumPy's scalars, of any shape and of any bool, integer or floating dtype (bfloat16 too);
- an array of JAX that this process can read: one of several processes, if each of them has the whole value;
- a PyTorch DTensor of which each rank has the whole value: to read any other takes all ranks, and where one does
  not publish, the others would wait for it.

Complex numbers, strings, size-1 arrays of strings or objects, None and containers are not. Neither is a tensor that
stands for other values than its own: one that torch.vmap has batched, or one of code that is traced or exported. Nor
is a tracer of JAX, inside of `jit`, `grad` or `vmap`.
"""

from __future__ import annotations

import math
import reprlib
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from numbers import Real
from typing import Any, SupportsFloat, TypeGuard, cast

from runtimeinfo._errors import ScalarTypeError

_short = reprlib.Repr()
_short.maxlist = 4
_short.maxstring = _short.maxother = _short.maxlong = 100


def shown(value: object, /) -> str:
    """Return the repr of a value, cut where it gets long; it never raises.

    Anything may be where something else should be: a whole data set, or an object whose repr fails.

    Example:
        >>> shown("soon"), shown([0] * 1000)
        ("'soon'", '[0, 0, 0, 0, ...]')
    """
    try:
        return _short.repr(value)
    except ValueError:  # an int of thousands of digits
        return f"<{type(value).__name__}>"


_REAL_KINDS = frozenset("biuf")


def is_scalar(value: object, /) -> TypeGuard[SupportsFloat]:
    """Tell whether a value is a scalar, without reading it from the device it lies on.

    A type checker takes a scalar for something that `float` accepts. The opposite does not follow, which a ``TypeIs``
    would claim: a tensor of two elements, or an int of 400 digits, has that type and is not a scalar.

    Example:
        >>> is_scalar(0.5), is_scalar(True), is_scalar("0.5"), is_scalar([0.5]), is_scalar(10**400)
        (True, True, False, False, False)

    Source: SCALAR-01.
    """
    kind = type(value)
    check = _checks.get(kind)
    if check is None:
        check = _checks[kind] = _check_for(kind)
    return check(value)


def scalar_value(value: object, /, *, key: str | None = None) -> int | float:
    """Return a scalar as a Python number: an int where it is integral by type, a float otherwise.

    Args:
        value: A scalar, in the sense of `is_scalar`.
        key: What to call it in the error message.

    Raises:
        ScalarTypeError: If the value is not a scalar, or belongs to code that is being traced.

    Example:
        >>> scalar_value(True), scalar_value(0.25)
        (1, 0.25)

    Source: SCALAR-01.
    """
    if SCALAR_OF[type(value)] is _of_tensor:
        number = _of_tensor(value)
        if number is not None and number is not value:
            return cast("int | float", number)
    if not is_scalar(value):
        raise _refusal(value, key)
    return _read(value, key)


def _read(scalar: object, key: str | None) -> int | float:
    """Return a scalar as a Python number; raise `ScalarTypeError` where only the reading shows that it has none."""
    item = getattr(scalar, "item", None)
    try:
        number = scalar if item is None else item()
    except Exception as error:
        if _reason_without_value(scalar) is None:
            raise  # a device that fails, for example
        raise _refusal(scalar, key) from error
    if isinstance(number, int):
        return int(number)  # a bool becomes 0 or 1
    return float(cast("Any", number))


def lies_on_device(value: Any, /) -> bool:
    """Tell whether reading a value means waiting for an accelerator, on which it can be copied and read later.

    It holds for JAX's arrays on any platform, because JAX returns them before they are computed.

    It holds for PyTorch's tensors and parameters, for a subclass that has a tensor's memory (it overrides
    ``__torch_function__`` at most), and for a DTensor. Not for any other subclass with a ``__torch_dispatch__``: what
    its copy would hold, only it can tell. Nor for a meta tensor, which can never be read: its error belongs to
    the code that publishes it.

    Source: SCALAR-10.
    """
    kind = type(cast("object", value))
    may = _deferrable.get(kind)
    if may is None:
        may = _may_be_deferred(kind)
    return may and (kind in _arrays_of_jax or not (value.is_cpu or value.is_meta))


def describe(value: object, /) -> str:
    """Describe a value in an error message: its type, and its shape and dtype if it has them."""
    parts = [type(value).__name__]
    # Anything may come here, and what is called `shape` may be anything: a number, a method, a proxy of code that is
    # traced; a nested tensor raises when it is asked.
    with suppress(Exception):
        shape = getattr(value, "shape", None)
        if isinstance(shape, Iterable):
            parts.append(f"of shape {tuple(cast('Any', shape))}")
        dtype = getattr(value, "dtype", None)
        if dtype is not None:
            parts.append(f"and dtype {dtype}")
    if _is_distributed(type(value)):
        parts.append(
            f"with placements {cast('Any', value).placements}, which all ranks have to read together: "
            "give its full_tensor(), called on every rank"
        )
    return " ".join(parts)


def _refusal(value: object, key: str | None) -> ScalarTypeError:
    name = "a value" if key is None else f"the value of {key!r}"
    reason = _reason_without_value(value)
    return ScalarTypeError(
        f"{name} must be a scalar (a real number, or an array of exactly one), but got {describe(value)}"
        + ("; publish other data with update_info" if reason is None else f", {reason}"),
        key=key,
        requirement="SCALAR-01",
    )


_OUTSIDE_OF_TRACING = (
    "of code that is traced or exported, where there are no values: publish outside of that code, for example what it "
    "returns"
)


def _reason_without_value(value: Any) -> str | None:
    """Return the reason why a value of PyTorch or JAX cannot be read, with a remedy, or None if it can.

    It is asked after a refusal or an error only, so it can take its time.
    """
    jax: Any = sys.modules.get("jax")
    if hasattr(jax, "Array") and isinstance(value, jax.core.Tracer):
        return (
            "which stands for values inside of a function that JAX transforms (jit, grad, vmap, scan): publish outside "
            "of it what it returns, or inside with jax.debug.callback"
        )
    torch: Any = sys.modules.get("torch")
    if torch is None:
        return None
    if isinstance(value, torch.SymInt | torch.SymFloat | torch.SymBool | torch.fx.Proxy):
        return _OUTSIDE_OF_TRACING
    if not isinstance(value, torch.Tensor):
        return None
    if _is_batched(value):
        return (
            "which torch.vmap has batched, so that it stands for a value of each example: publish outside of the "
            "function that is mapped, for example the mean of what vmap returns"
        )
    if value.is_nested:
        return "which is nested: give the one value that it is about, for example value.values().sum()"
    # Where code is traced, these modules are loaded.
    functional: Any = sys.modules.get("torch._subclasses.functional_tensor")
    proxies: Any = sys.modules.get("torch.fx.experimental.proxy_tensor")
    is_traced = (
        _is_fake(type(cast("object", value)))
        or (functional is not None and isinstance(value, functional.FunctionalTensor))
        or (proxies is not None and proxies.get_proxy_mode() is not None)
    )
    return _OUTSIDE_OF_TRACING if is_traced else None


# -- How to tell, for each type. An iteration asks for every value that it publishes, and the types are few.

_Check = Callable[[Any], bool]

_checks: dict[type, _Check] = {}
_deferrable: dict[type, bool] = {}
_arrays_of_jax: set[type] = set()
_real_dtypes: dict[object, bool] = {}


def _check_for(kind: type[Any]) -> _Check:
    if issubclass(kind, float):
        return lambda _: True
    if issubclass(kind, int):
        # 1,023 bits always fit into a float; beyond that the conversion itself has to tell.
        return lambda value: value.bit_length() <= 1023 or _fits_float(value)
    if not callable(getattr(kind, "item", None)):
        return _fits_float if issubclass(kind, Real) else lambda _: False
    if not hasattr(kind, "dtype"):
        return lambda value: _element_count(value) == 1 and isinstance(value.item(), Real) and _fits_float(value.item())
    if _is_distributed(kind):
        return lambda value: (
            value.numel() == 1
            and _is_real_dtype(value.dtype)
            and not value.is_meta
            and all(placement.is_replicate() for placement in value.placements)
        )
    if _is_jax(kind):
        if issubclass(kind, sys.modules["jax"].core.Tracer):
            return lambda _: False
        return lambda value: (
            value.size == 1
            and _is_real_dtype(value.dtype)
            and (value.is_fully_addressable or value.is_fully_replicated)
        )
    if callable(getattr(kind, "numel", None)) and hasattr(kind, "is_meta"):  # PyTorch
        if _is_fake(kind):
            return lambda _: False
        is_batched = _batched_check(kind)
        # A meta tensor has no value to read.
        return lambda value: (
            value.numel() == 1 and _is_real_dtype(value.dtype) and not value.is_meta and not is_batched(value)
        )
    return lambda value: _element_count(value) == 1 and _is_real_dtype(value.dtype)


def _is_distributed(kind: type[Any]) -> bool:
    """Return whether this is PyTorch's DTensor, judged by its members because importing it takes long."""
    return hasattr(kind, "placements") and hasattr(kind, "full_tensor")


def _is_jax(kind: type[Any]) -> bool:
    """Tell whether values of this type are arrays of JAX, or the tracers that stand for them."""
    jax: Any = sys.modules.get("jax")  # code that has an array has loaded it
    # A folder of that name can be a module, too, and has nothing.
    return hasattr(jax, "Array") and (issubclass(kind, jax.Array) or issubclass(kind, jax.core.Tracer))


def _may_be_deferred(kind: type[Any]) -> bool:
    if _is_jax(kind):
        is_array = not issubclass(kind, sys.modules["jax"].core.Tracer)
        if is_array:
            _arrays_of_jax.add(kind)
        return _deferrable.setdefault(kind, is_array)
    torch: Any = sys.modules.get("torch")  # code that has a tensor has loaded it
    if torch is None:
        return False  # and not remembered
    may = issubclass(kind, torch.Tensor) and (
        _is_distributed(kind) or kind.__torch_dispatch__ is torch.Tensor.__torch_dispatch__
    )
    _deferrable[kind] = may
    return may


def _is_fake(kind: type[Any]) -> bool:
    """Tell whether tensors of this type have a shape only, as they have while code is exported."""
    module: Any = sys.modules.get("torch._subclasses.fake_tensor")
    return module is not None and issubclass(kind, module.FakeTensor)


def _batched_check(kind: type[Any]) -> _Check:
    """Return the function that tells whether torch.vmap has batched a tensor of this type.

    It is called for each value, so it looks at the last transform only: reading tells of those below. Dynamo knows it.
    """
    torch: Any = sys.modules.get("torch")
    if torch is None or not issubclass(kind, torch.Tensor):
        return lambda _: False
    return cast("_Check", torch._C._functorch.is_batchedtensor)


def _is_batched(tensor: Any) -> bool:
    """Tell whether torch.vmap is among the transforms that have wrapped a tensor."""
    functorch: Any = sys.modules["torch"]._C._functorch
    while functorch.is_functorch_wrapped_tensor(tensor):
        if functorch.is_batchedtensor(tensor):
            return True
        tensor = functorch.get_unwrapped(tensor)
    return False


def _fits_float(value: SupportsFloat) -> bool:
    try:
        float(value)
    except OverflowError:
        return False
    return True


def _element_count(value: Any) -> int | None:
    """Count the elements: NumPy's, JAX's and CuPy's `size`, or else the shape's product."""
    size = getattr(value, "size", None)
    if isinstance(size, int):
        return size
    shape = getattr(value, "shape", None)
    return None if shape is None else math.prod(shape)


def _is_real_dtype(dtype: object) -> bool:
    known = _real_dtypes.get(dtype)
    if known is None:
        known = _real_dtypes[dtype] = _examine_dtype(dtype)
    return known


def _examine_dtype(dtype: object) -> bool:
    is_complex = getattr(dtype, "is_complex", None)
    if isinstance(is_complex, bool):  # PyTorch: everything that is not complex is real
        return not is_complex
    kind = getattr(dtype, "kind", None)
    if kind == "V":  # ml_dtypes' bfloat16 and float8 call themselves void
        return str(dtype).startswith(("bfloat", "float", "int", "uint"))
    return kind in _REAL_KINDS


def _of_any(value: Any) -> Any:
    """Return a scalar as a Python number, which every hub takes; one on an accelerator as it is, to be read later.

    None for a value that is not a scalar.
    """
    if not is_scalar(value):
        return None
    if lies_on_device(value):
        return value
    try:
        return _read(value, None)
    except ScalarTypeError:  # `is_scalar` does not find out everything about tensors of transforms and tracers
        return None


def _of_tensor(tensor: Any) -> Any:
    """Do the same for a `torch.Tensor`. Nearly every loss is one, so this takes as few calls into it as can be."""
    if tensor.is_cpu:
        try:
            number = tensor.item()
        except RuntimeError:  # of several values, or none; `numel` would be another call
            return _of_any(tensor)
        if type(number) is float:  # so its dtype, which is another call, is known to be real
            return number
    return _of_any(tensor)


class _ScalarOf(dict[type, Callable[[Any], Any]]):
    """How to get a scalar out of a value, by the type of the value."""

    def __missing__(self, kind: type) -> Callable[[Any], Any]:
        torch: Any = sys.modules.get("torch")  # code that has a tensor has loaded it
        is_tensor = torch is not None and kind is torch.Tensor
        scalar_of = self[kind] = _of_tensor if is_tensor else _of_any
        return scalar_of


SCALAR_OF = _ScalarOf()
"""A function for each type: it returns what to publish of a value, or None if that is not a scalar."""
