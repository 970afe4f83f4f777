"""Skipping in several processes that train one model: what would hang or go wrong is refused.

Processes wait for each other where they exchange something. One that skips a block leaves
the exchanges of that block out, which is harmless only if all do, or if nobody waits.
"""

from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from .._errors import Unsupported
from ._controller import Options


def check_processes(model: nn.Module, options: Options) -> None:
    """Refuse a training forward that other processes could wait for.

    It is looked at in each forward, because a model is wrapped, converted or sharded
    after stochastic depth was applied to it.

    Raises:
        Unsupported: skipping and what the model is wrapped in do not go together.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return
    if options.execution == "mask":
        return  # every branch runs in every process
    if options.dropped_grads == "none":
        _check_replicas(DistributedDataParallel._get_active_ddp_module())
    if options.independent:
        refuse_synchronised(model)
        _refuse_sharded(model)


def refuse_wrapped(model: nn.Module) -> None:
    """Raise if `model` is shared out among processes already, or a part of it is.

    What draws the gates would then stand around what keeps the processes in step, which
    would not see the gates.
    """
    for path, module in model.named_modules():
        if isinstance(module, DistributedDataParallel | nn.DataParallel) or _is_sharded(module):
            raise Unsupported(
                f"{path or 'model'} is already wrapped or sharded for several devices "
                f"({type(module).__name__}). Apply stochastic depth to the plain model first."
            )


def refuse_synchronised(model: nn.Module) -> None:
    """Raise if `model`, whose gates differ between processes, has synchronised statistics."""
    for path, module in model.named_modules():
        if isinstance(module, nn.SyncBatchNorm):
            raise Unsupported(
                f"ranks must be 'shared' for a model with SyncBatchNorm ({path}): a process whose "
                "block is dropped would not take part in the exchange the others wait for."
            )


def _refuse_sharded(model: nn.Module) -> None:
    for path, module in model.named_modules():
        if _is_sharded(module):
            raise Unsupported(
                f"ranks must be 'shared' for a model sharded by FSDP ({path or 'as a whole'}): a "
                "process whose block is dropped would not take part in gathering its parameters "
                "and reducing their gradients, and the others would wait for it."
            )


def _is_sharded(module: nn.Module) -> bool:
    if not (distributed.is_available() and distributed.is_initialized()):
        return False  # nobody is there to share with
    from torch.distributed.fsdp import FSDPModule, FullyShardedDataParallel  # over a second

    return isinstance(module, FSDPModule | FullyShardedDataParallel)


def _check_replicas(wrapper: DistributedDataParallel | None) -> None:
    """Refuse parameters without a gradient where DistributedDataParallel waits for all."""
    if wrapper is None:
        return
    if wrapper.static_graph:
        raise Unsupported(
            "dropped_grads must be 'zero' under DistributedDataParallel with static_graph=True, "
            "which expects gradients of the same parameters in every step."
        )
    if not wrapper.find_unused_parameters:
        raise Unsupported(
            "DistributedDataParallel waits for a gradient of every parameter, and those of a "
            "dropped block have none: its replicas would drift apart. Pass "
            "find_unused_parameters=True to it, or dropped_grads='zero' to stochastic_depth.apply."
        )
