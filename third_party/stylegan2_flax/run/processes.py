"""The flags of commands that may run as several processes, on one host or on many."""

from collections.abc import Callable

from absl import flags

from stylegan2_flax.run import devices


def define(flag_values: flags.FlagValues) -> Callable[[], None]:
    """Define the flags; give the function that joins the processes which they, or the surroundings, tell of.

    It must be called before JAX computes anything, and raises ValueError if the flags contradict each other or ask for
    a cluster that is not there; see `devices.join`.
    """
    distributed = flags.DEFINE_bool(
        "distributed",
        None,
        "demand a cluster of processes, or with --nodistributed none; unsaid, one is taken if detected",
        flag_values=flag_values,
    )
    coordinator = flags.DEFINE_string(
        "coordinator", None, "HOST:PORT of process 0, where no cluster tells", flag_values=flag_values
    )
    num_processes = flags.DEFINE_integer(
        "num_processes", None, "how many processes there are", lower_bound=1, flag_values=flag_values
    )
    process_id = flags.DEFINE_integer(
        "process_id", None, "which of them this is, from 0", lower_bound=0, flag_values=flag_values
    )
    return lambda: devices.join(distributed.value, coordinator.value, num_processes.value, process_id.value)
