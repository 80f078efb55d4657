"""What every worker needs, loaded once by the server from which workers are forked."""

import dlc
import dlc.data.worker

NEEDED = dlc.random, dlc.data.worker  # the names of `dlc` are loaded when one is first used
