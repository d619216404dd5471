"""Command-line flags for running several JAX processes, on one host or on many."""

from collections.abc import Callable

from absl import flags

from stylegan2_flax.run import parallel


def define(flag_values: flags.FlagValues) -> Callable[[], None]:
    """Define the flags. Returns a function that initializes `jax.distributed` as they say; see `parallel.join`.

    Call that function before JAX computes anything. It raises ValueError if the flags contradict each other, or if
    they require a cluster and there is none.
    """
    distributed = flags.DEFINE_bool(
        "distributed",
        None,
        "require a cluster of processes; --nodistributed runs alone; by default a cluster is used if one is detected",
        flag_values=flag_values,
    )
    coordinator = flags.DEFINE_string(
        "coordinator", None, "HOST:PORT of process 0, if there is no cluster manager", flag_values=flag_values
    )
    num_processes = flags.DEFINE_integer(
        "num_processes", None, "number of processes", lower_bound=1, flag_values=flag_values
    )
    process_id = flags.DEFINE_integer(
        "process_id", None, "index of this process, from 0", lower_bound=0, flag_values=flag_values
    )
    return lambda: parallel.join(distributed.value, coordinator.value, num_processes.value, process_id.value)
