"""What tests of executors send to workers: jobs and a network whose process dies once."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor


def square(number):
    return number * number


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def die_once(marker):
    if not marker.exists():
        marker.touch()
        die()
    return "survived"


def network(n_inputs, n_fields, shape, marker, main):
    """A perceptron; the first process that builds it, other than `main`, dies of it."""
    if os.getpid() != main and not os.path.exists(marker):
        with open(marker, "w"):
            die()
    from newcomer.perceptron import perceptron  # brings torch, which jobs do without

    return perceptron(n_inputs, n_fields, shape, width=8)


class Counting(ThreadPoolExecutor):
    """Runs calls in its own process, one at a time, and writes a line for each to ``$CALLS``."""

    def __init__(self, max_workers=1):
        super().__init__(1)

    def submit(self, function, /, *arguments, **named):
        with open(os.environ["CALLS"], "a") as file:
            print(os.getpid(), file=file)
        return super().submit(function, *arguments, **named)
