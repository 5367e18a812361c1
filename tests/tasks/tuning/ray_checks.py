"""Program of the test of a search on Ray: runs alone in a network namespace with the loopback interface only."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
from ray.cluster_utils import Cluster

from recurra import SequenceClassifier
from recurra.tasks.tuning import on_ray

FOLDER = Path(sys.argv[1])
WORDS = ("good", "bad", "film", "very", "plot")


def main() -> None:
    """A search on two machines, of which one worker is killed."""
    random = np.random.default_rng(0)
    texts = [" ".join(random.choice(WORDS, random.integers(1, 6))) for _ in range(600)]
    labels = ["pos" if text.count("good") >= text.count("bad") else "neg" for text in texts]
    seen: list[int] = []
    run = on_ray.Actor.run

    def watched(actor, assignment, report):
        process = actor.ray.get(actor._actor.process.remote())
        seen.append(process)
        if len(seen) == 2:
            threading.Thread(target=lambda: (time.sleep(0.5), os.kill(process, signal.SIGKILL))).start()
        return run(actor, assignment, report)

    on_ray.Actor.run = watched
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    cluster.add_node(num_cpus=1)
    model = SequenceClassifier(tokens="word", embedding_size=4, epochs=60, n_iter_no_change=None, verbose=0)
    model.tune(texts, labels, trials=5, search={"hidden_size": [2, 4]}, cluster=cluster.address, folder=FOLDER / "s")
    states = [row["state"] for row in model.tuning_["trials"]]
    repeated = (FOLDER / "s" / "journal.log").read_text().count('"repeated":true')
    answer = {
        "states": states,
        "processes": len(set(seen)),
        "repeated": repeated,
        "answer": str(model.predict(["good"])[0]),
    }
    (FOLDER / "found.json").write_text(json.dumps(answer, default=str))
    cluster.shutdown()


main()
