"""The flags of commands that may run as several processes, on one host or on many."""

from absl import flags

from stylegan2_flax.run import devices as parallel

DISTRIBUTED = flags.DEFINE_bool(
    "distributed", None, "demand a cluster of processes, or with --nodistributed none; unsaid, one is taken if detected"
)
COORDINATOR = flags.DEFINE_string("coordinator", None, "HOST:PORT of process 0, where no cluster tells")
NUM_PROCESSES = flags.DEFINE_integer("num_processes", None, "how many processes there are", lower_bound=1)
PROCESS_ID = flags.DEFINE_integer("process_id", None, "which of them this is, from 0", lower_bound=0)


def join() -> None:
    """Join the cluster that the flags or the surroundings tell of, before JAX computes anything; see `parallel.join`.

    Raises:
        ValueError: the flags contradict each other, or ask for a cluster that is not there.
    """
    parallel.join(DISTRIBUTED.value, COORDINATOR.value, NUM_PROCESSES.value, PROCESS_ID.value)
