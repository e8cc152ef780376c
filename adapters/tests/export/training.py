"""A training of minutes without a framework: ``training.py NAME [ITERATION]``, from which on the loss is NaN."""

import math
import sys
import time

from runtimeinfo_adapters.loop import Loop


def main() -> None:
    name, *diverges = sys.argv[1:]
    loop = Loop(train_loader=range(100), max_epochs=100, experiment_name=name)
    with loop.run():
        for _epoch in loop.epochs():
            for _batch in loop.train():
                diverged = bool(diverges) and loop.iter >= int(diverges[0])
                loop.log(loss=math.nan if diverged else 1 / (1 + loop.iter), lr=0.1)
                time.sleep(0.02)


if __name__ == "__main__":
    main()
