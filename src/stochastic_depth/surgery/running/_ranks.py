"""Skipping in several processes that train one model: what would hang or go wrong is refused.

Processes wait for each other where they exchange something. One that skips a block leaves
the exchanges of that block out, which is harmless only if all do, or if nobody waits.
"""

import warnings

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from ..._errors import Unsupported
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
        # Asked in the forward: only there is it known who wraps the model.
        _check_replicas(DistributedDataParallel._get_active_ddp_module())
    if options.independent:
        refuse_synchronised(model)
        _refuse_sharded(model)


def agree(model: nn.Module, options: Options, step: int) -> int:
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
    # NCCL exchanges nothing but memory of a GPU.
    device = "cpu" if "gloo" in str(distributed.get_backend(group)) else "cuda"
    # One exchange tells both ends, as the smallest is minus the largest of the negatives.
    steps = torch.tensor([step, -step], device=device)
    distributed.all_reduce(steps, op=distributed.ReduceOp.MAX, group=group)
    largest, smallest = int(steps[0]), -int(steps[1])
    if largest != smallest:
        warnings.warn(
            f"The processes were to draw the gates of steps {smallest} to {largest}: one of them "
            f"has made a training forward that the others have not. All go on with {largest}.",
            stacklevel=2,
        )
    return largest


def _group(model: nn.Module) -> distributed.ProcessGroup | None:
    """Return the processes that wait for each other in this forward; None if none do."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return None
    wrapper = DistributedDataParallel._get_active_ddp_module()
    if wrapper is not None:
        joining = wrapper._join_config.enable  # processes may be short of batches then
        return None if joining else wrapper.process_group
    sharded = any(_is_sharded(module) for module in model.modules())
    return distributed.group.WORLD if sharded else None


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
