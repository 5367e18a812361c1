"""Checks that a tensor has numbers in memory, before any engine reads them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from recurra.errors import UsageError


def address(tensor: Tensor | None) -> int:
    """Returns the address of a tensor's numbers, 0 for None.

    Raises:
        UsageError: the numbers are not in the memory of the CPU.
    """
    if tensor is None:
        return 0
    if not tensor.is_cpu:
        raise UsageError(
            f"the native engine reads CPU memory, but a tensor of shape {tuple(tensor.shape)} is on {tensor.device}"
        )
    found = tensor.data_ptr()
    if not found and tensor.numel():
        raise UsageError(f"a tensor of shape {tuple(tensor.shape)} has no memory: its storage was freed")
    return found


def check_layout(name: str, tensor: Tensor) -> None:
    """Raises a `UsageError` for sparse, nested and other tensors without strides."""
    if tensor.is_nested:
        raise UsageError(f"{name} is a nested tensor; pass a padded tensor with `lengths`")
    if tensor.layout != torch.strided:
        raise UsageError(f"{name} has the layout {tensor.layout}; convert it with .to_dense()")


def check_device(name: str, tensor: Tensor, of_values: torch.device) -> None:
    """Raises a `UsageError` if a weight or state is on another device than the values."""
    check_tensor(name, tensor)
    if tensor.device != of_values:
        raise UsageError(
            f"values are on the device {of_values} but {name} is on {tensor.device}; move one of them with .to()"
        )


def check_readable(name: str, tensor: Tensor) -> None:
    """Raises a `UsageError` if a tensor has no numbers to read: fake, sparse, freed, or on the device meta."""
    if watched(tensor) or transforming():
        raise UsageError(f"{name} must be a tensor with numbers in memory, not one that a compiler or transform traces")
    check_layout(name, tensor)
    if tensor.device.type == "meta":
        raise UsageError(f"{name} is on the device meta, which holds no numbers; pass it on the CPU")
    check_storage(name, tensor)


def check_tensor(name: str, value: Any) -> None:
    """Raises a `UsageError` if a value is no tensor."""
    if not isinstance(value, Tensor):
        raise UsageError(f"{name} must be a tensor, not {type(value).__name__}; torch.as_tensor converts arrays")


def check_input(name: str, tensor: Tensor) -> None:
    """Raises a `UsageError` if a tensor has another layout or freed memory; traced tensors may have no memory."""
    check_tensor(name, tensor)
    check_layout(name, tensor)
    if not (watched(tensor) or transforming() or torch._C._get_tracing_state()):
        check_storage(name, tensor)


def check_storage(name: str, tensor: Tensor) -> None:
    """Raises a `UsageError` if the storage of a tensor was freed or made smaller than the tensor."""
    if tensor.device.type == "meta" or not tensor.numel() or tensor._is_zerotensor():
        return
    last = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    needed = (tensor.storage_offset() + last + 1) * tensor.element_size()
    held = tensor.untyped_storage().nbytes()
    if held < needed:
        raise UsageError(
            f"the storage of {name} was freed or made smaller: it holds {held} bytes of {needed}; load the values again"
        )


def watched(*tensors: Tensor) -> bool:
    """Returns whether a compiler, a mode or a tensor subclass must see the operators."""
    if torch.compiler.is_compiling() or torch._C._len_torch_dispatch_stack():
        return True
    kinds: list[Any] = [type(t) for t in tensors]
    return any(kind.__torch_dispatch__ is not torch._C._disabled_torch_dispatch_impl for kind in kinds)


def transforming() -> bool:
    """Returns whether a transform of torch.func is active."""
    return bool(torch._C._are_functorch_transforms_active())


def transformed() -> bool:
    """Returns whether torch.func or forward mode is active. An engine that reads memory does not see them."""
    return transforming() or forward_ad._current_level >= 0


def is_batched(grad: Tensor) -> bool:
    """Returns whether the tensor represents many gradients at once, which have no common memory."""
    functorch: Any = torch._C
    return transforming() or functorch._functorch.is_legacy_batchedtensor(grad)


def materialize(tensor: Tensor) -> Tensor:
    """Returns the same numbers in CPU memory, without torch's lazy negative bit, and with memory for zero tensors."""
    if tensor.is_cpu and tensor.data_ptr():
        return tensor.resolve_neg()
    if tensor._is_zerotensor():
        return tensor + 0
    address(tensor)  # torch's operations do not check it
    return tensor


def needs_grad(*tensors: Tensor | None) -> bool:
    """Returns whether a backward pass through one of the tensors may follow."""
    return torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)
