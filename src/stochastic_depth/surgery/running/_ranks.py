"""Skipping in several processes that train one model: what would hang or go wrong is refused.

Processes wait for each other where they exchange something. One that skips a block leaves
the exchanges of that block out, which is harmless only if all do, or if nobody waits.

A block sharded by `fully_shard` is called even if it is dropped, and so gathered with the others;
but only parameters that have a gradient are reduced. Where each process has gates of its own, a
block that runs in any of them therefore leaves gradients of zero where it is dropped.
"""

import warnings
from typing import TYPE_CHECKING

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from ..._errors import Unsupported
from ..._typing import Gates
from ._seat import SEAT

if TYPE_CHECKING:
    from ._controller import Options


def check_processes(model: nn.Module, options: "Options") -> None:
    """Refuse a training forward that other processes could wait for.

    It is looked at in each forward, because a model is wrapped, converted or sharded
    after stochastic depth was applied to it.

    Raises:
        Unsupported: skipping and what the model is wrapped in do not go together.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return
    _refuse_partitioned(model)
    if options.execution == "mask":
        return  # every branch runs in every process
    if options.dropped_grads == "none":
        # Asked in the forward: only there is it known who wraps the model.
        _check_replicas(DistributedDataParallel._get_active_ddp_module())
    if options.independent:
        refuse_synchronised(model)
        _refuse_shards(model)


def agree(model: nn.Module, options: "Options", step: int) -> int:
    """Return the number of the next draw: the largest of any process, where draws are shared.

    A process that made a forward more than the others, to log or because it alone was
    resumed, would draw other gates from then on: replicas would part company, and processes
    that share out the parameters would wait for each other for ever.

    Warns:
        UserWarning: the processes did not agree.
    """
    group = _group(model)
    if group is None or (options.independent and options.ranks != "equal-depth"):
        return step
    # One exchange tells both ends, as the smallest is minus the largest of the negatives.
    largest, smallest = _largest([step, -step], group)
    smallest = -smallest
    if largest != smallest:
        warnings.warn(
            f"The processes were to draw the gates of steps {smallest} to {largest}: one of them "
            f"has made a training forward that the others have not. All go on with {largest}.",
            stacklevel=2,
        )
    return largest


def run_anywhere(gates: Gates, group: distributed.ProcessGroup) -> list[bool]:
    """Return which blocks run in any process of a group, each of which has its own gates."""
    mine = (gates != 0).reshape(len(gates), -1).any(dim=1)
    return [bool(runs) for runs in _largest(mine.int().tolist(), group)]


def _largest(numbers: list[int], group: distributed.ProcessGroup) -> list[int]:
    """Return each number where it is largest among the processes of a group."""
    # NCCL exchanges nothing but memory of a GPU.
    device = "cpu" if "gloo" in str(distributed.get_backend(group)) else "cuda"
    largest = torch.tensor(numbers, device=device)
    distributed.all_reduce(largest, op=distributed.ReduceOp.MAX, group=group)
    return largest.tolist()


def _group(model: nn.Module) -> distributed.ProcessGroup | None:
    """Return the processes that wait for each other in this forward; None if none do."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return None
    wrapper = DistributedDataParallel._get_active_ddp_module()
    if wrapper is not None:
        joining = wrapper._join_config.enable  # processes may be short of batches then
        return None if joining else wrapper.process_group
    return sharing(model)


def sharing(model: nn.Module) -> distributed.ProcessGroup | None:
    """Return the processes that share out the parameters of `model`; None if none do."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return None
    sharded = any(_is_sharded(module) for module in model.modules())
    return distributed.group.WORLD if sharded else None


def refuse_wrapped(model: nn.Module) -> None:
    """Raise if `model` is shared out among processes already, or a part of it is.

    What draws the gates would then stand around what keeps the processes in step, which
    would not see the gates.
    """
    _refuse_partitioned(model)
    for path, module in model.named_modules():
        if isinstance(module, DistributedDataParallel | nn.DataParallel) or _is_sharded(module):
            raise Unsupported(
                f"{path or 'model'} is already wrapped or sharded for several devices "
                f"({type(module).__name__}). Apply stochastic depth to the plain model first."
            )


def _refuse_partitioned(model: nn.Module) -> None:
    """Raise if DeepSpeed has partitioned the parameters of `model`: ZeRO, stage 3."""
    for path, parameter in model.named_parameters():
        # So DeepSpeed marks them; stages 1 and 2 leave parameters whole.
        if hasattr(parameter, "ds_id") and hasattr(parameter, "ds_status"):
            raise Unsupported(
                f"The parameters of a model with stochastic depth must be whole, and {path} was "
                "partitioned by DeepSpeed ZeRO stage 3, which gathers a layer when its modules "
                "are called: those of a dropped block are not, and the other processes would "
                "wait for it. Use ZeRO stage 1 or 2, or apply stochastic depth first and call "
                "torch.distributed.fsdp.fully_shard on each block."
            )


def refuse_synchronised(model: nn.Module) -> None:
    """Raise if `model`, whose gates differ between processes, has synchronised statistics."""
    for path, module in model.named_modules():
        if isinstance(module, nn.SyncBatchNorm):
            raise Unsupported(
                f"ranks must be 'shared' for a model with SyncBatchNorm ({path}): a process whose "
                "block is dropped would not take part in the exchange the others wait for."
            )


def _refuse_shards(model: nn.Module) -> None:
    """Raise if processes with gates of their own would gather other parameters than the others."""
    from torch.distributed.fsdp import FullyShardedDataParallel  # over a second

    for path, module in model.named_modules():
        if isinstance(module, FullyShardedDataParallel):
            raise Unsupported(
                f"ranks must be 'shared' under FullyShardedDataParallel ({path or 'as a whole'}), "
                "which reduces all gradients of a block or none. Shard the blocks with "
                "torch.distributed.fsdp.fully_shard for gates of each process's own."
            )
        inner = (name for name, part in module.named_modules() if name and _is_sharded(part))
        if SEAT in vars(module) and (name := next(inner, None)):
            raise Unsupported(
                f"ranks must be 'shared' where a part of a block is sharded by itself "
                f"({path}.{name}): a process whose block is dropped would not gather it, and the "
                f"others would wait. Call fully_shard on the block, {path}, and not within it."
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
