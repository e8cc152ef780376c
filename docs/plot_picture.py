"""Draws docs/plot.png: runs the training of docs/plot.md, and the command that the page shows for the picture.

python docs/plot_picture.py [FILE]
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PAGE = Path(__file__).with_name("plot.md")


def draw(file: Path) -> None:
    text = PAGE.read_text(encoding="utf-8")
    (training,) = re.findall(r"<!-- file: train.py -->\n```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    (command,) = re.findall(r"^\$ (runtimeinfo plot .* -o losses\.png)$\n```\n\n!\[", text, re.MULTILINE)
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
    }
    with tempfile.TemporaryDirectory() as folder:
        for words in ([sys.executable, "-c", training], ["/bin/sh", "-c", command]):
            subprocess.run(words, cwd=folder, env=environment, check=True)  # noqa: S603  # the page's own
        shutil.move(Path(folder, "losses.png"), file)


if __name__ == "__main__":
    draw(Path(sys.argv[1]) if len(sys.argv) > 1 else PAGE.with_name("plot.png"))
